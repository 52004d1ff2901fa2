// SPDX-License-Identifier: MIT
// What do Gs cost others that sleep in calls of the kernel which nobody told the library of? Two tasks that only
// compute, on two Ps; beside them no G, 100 that sleep in a plain read(2) of a pipe, and 100 of which one is sent a
// byte each 10 ms. An iteration is the work of both tasks: its time alone, over its time beside the readers, is the
// speed that is left to them.
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <vector>

#include "bench.hpp"

namespace {

using namespace std::chrono_literals;

constexpr int n_readers = 100;

void compute() {
  double x = 1;
  for (long i = 0; i < 100'000'000; ++i) {
    x = x * 1.0000001 + 1e-9;
    asm volatile("" : "+x"(x));
  }
}

class readers {
 public:
  explicit readers(int n) : ends_(static_cast<std::size_t>(n)) {
    for (pipe_ends& p : ends_) {
      if (::pipe(&p.read) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
      gs_.push_back(urge::spawn([fd = p.read] {
        for (char c; ::read(fd, &c, 1) == 1;) {
        }
        ::close(fd);
      }));
    }
  }
  ~readers() {
    for (const pipe_ends& p : ends_) ::close(p.write);
    for (auto& g : gs_) g.join();
  }
  void wake(std::size_t i) const {
    if (::write(ends_[i % ends_.size()].write, "x", 1) != 1)
      throw std::system_error(errno, std::generic_category(), "write");
  }

 private:
  struct pipe_ends {
    int read = -1, write = -1;
  };
  std::vector<pipe_ends> ends_;
  std::vector<urge::join_handle<void>> gs_;
};

void BM_TwoTasksBesideReaders(benchmark::State& state) {
  bench::run(2, [&] {
    const readers beside(static_cast<int>(state.range(0)));
    // Each has a P for a millisecond before it is seen to sleep: that is the start, not what is asked.
    while (urge::snapshot().detached < static_cast<std::uint64_t>(state.range(0))) urge::this_g::sleep_for(1ms);
    std::atomic<bool> over{false};
    urge::join_handle<void> writer;
    if (state.range(1) != 0)
      writer = urge::spawn([&] {
        for (std::size_t i = 0; !over; ++i) {
          urge::this_g::sleep_for(10ms);
          beside.wake(i);
        }
      });
    for (auto _ : state) {
      auto other = urge::spawn(compute);
      compute();
      other.join();
    }
    over = true;
    if (state.range(1) != 0) writer.join();
  });
}
BENCHMARK(BM_TwoTasksBesideReaders)
    ->ArgNames({"readers", "one_wakes_each_10ms"})
    ->Args({0, 0})
    ->Args({n_readers, 0})
    ->Args({n_readers, 1})
    ->Unit(benchmark::kMillisecond)
    ->Apply(bench::on_gs);

}  // namespace
