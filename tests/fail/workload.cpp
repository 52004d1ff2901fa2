// SPDX-License-Identifier: MIT
// See workload.hpp. No G refers to another's stack: an exception that leaves the main G leaves the others behind.
// Nothing in it is endless: where no signal can be sent, what cannot be stopped has to end.
#include "fail/workload.hpp"

#include <urge/urge.hpp>

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <vector>

namespace urge::test {

namespace {

using namespace std::chrono_literals;

thread_local int per_identity = 0;

// Some milliseconds at a quantum of 50 us, much of it inside malloc; with less to do between, nearly all of it.
std::uint64_t compute(std::uint64_t x, int rounds, int between = 50) {
  for (int i = 0; i < rounds; ++i) {
    void* p = std::malloc(16 + x % 4000);
    asm volatile("" ::"r"(p) : "memory");
    std::free(p);
    for (int k = 0; k < between; ++k) x = x * 6364136223846793005u + 1442695040888963407u;
  }
  return x;
}
constexpr int some = 20'000;

struct shared {
  std::atomic<bool> begun{false};
  chan<int> numbers{4};
  mutex lock;
  int locked_sum = 0;
};

// Nearly all of its frames have qsort among their callers.
void sort_for_a_while(const std::shared_ptr<shared>& s) {
  constexpr int n = 40'000;
  static int numbers[n];
  for (int i = 0; i < n; ++i) numbers[i] = i * 7919 % 40'009;
  const auto compare = [](const void* a, const void* b, void* in) {
    static_cast<shared*>(in)->begun.store(true, std::memory_order_relaxed);
    return *static_cast<const int*>(a) - *static_cast<const int*>(b);
  };
  ::qsort_r(numbers, n, sizeof numbers[0], compare, s.get());
}

long work(const std::shared_ptr<shared>& s, bool leave_some) {
  std::vector<join_handle<std::uint64_t>> hogs;
  for (std::uint64_t i = 0; i < 3; ++i) hogs.push_back(spawn([i] { return compute(i, some); }));

  std::vector<join_handle<int>> all;
  for (int i = 1; i <= 12; ++i)
    all.push_back(spawn([i, s] {
      const std::lock_guard hold(s->lock);
      return s->locked_sum += i, i;
    }));
  for (int i = 0; i < 3; ++i)
    all.push_back(spawn([] {
      blocking([] { return ::usleep(1000); });
      return 1;
    }));
  for (int i = 0; i < 2; ++i)
    all.push_back(spawn({.own_identity = true}, [] {
      for (int k = 0; k < 5; ++k) ++per_identity, this_g::sleep_for(100us);
      return per_identity;
    }));
  all.push_back(spawn({.name = "roomy", .stack_size = 1 << 20}, [] { return after(1ms).recv() ? 1 : 0; }));
  go([s] {
    for (int i = 1; i <= 20; ++i) s->numbers.send(i);
    s->numbers.close();
  });
  all.push_back(spawn([s] {
    int sum = 0;
    while (const auto i = s->numbers.recv()) sum += *i;
    return sum;
  }));
  auto victim = spawn([] { this_g::sleep_for(24h); });

  long sum = victim.kill() ? 1 : 0;
  for (auto& h : all) sum += h.join();
  for (auto& h : hogs) sum += h.join() != 0;
  if (!leave_some) return sum + s->locked_sum;
  // These are inside libc when the run ends.
  for (std::uint64_t i = 0; i < 2; ++i) go([i] { (void)compute(i, 10 * some, 3); });
  go(sort_for_a_while, s);
  while (!s->begun) this_g::sleep_for(50us);
  return sum + s->locked_sum;
}
// Killed; twelve numbers; three sleepers; two identities; the timer; the channel; three hogs; the twelve once more.
constexpr long expected = 1 + 78 + 3 + 2 * 5 + 1 + 210 + 3 + 78;

}  // namespace

attempt try_workload(bool leave_some, const way& stop) noexcept {
  attempt a;
  options how;
  how.procs = 2, how.quantum = 50us, how.preempt = stop.preempt, how.slice_end = stop.slice_end;
  try {
    const auto s = std::make_shared<shared>();
    const long got = run([s, leave_some] { return work(s, leave_some); }, how);
    a.how = got == expected ? ending::right : ending::wrong;
    std::snprintf(a.text, sizeof a.text, "%ld, expected %ld", got, expected);
  } catch (const std::system_error& e) {
    a.how = ending::thrown;
    std::snprintf(a.text, sizeof a.text, "std::system_error: %s", e.what());
  } catch (const std::bad_alloc&) {
    a.how = ending::thrown;
    std::snprintf(a.text, sizeof a.text, "std::bad_alloc");
  } catch (const std::exception& e) {
    std::snprintf(a.text, sizeof a.text, "another exception: %s", e.what());
  }
  return a;
}

}  // namespace urge::test
