// SPDX-License-Identifier: MIT
// A program that gdb_script.py looks at: on one P a G in each state that a debugger may meet, and from the line "ready"
// on none of them changes. For the G that prints it spins under a preempt_guard for ever: nobody else gets the P.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>

namespace subject {

std::atomic<long> rounds{0};
std::atomic<bool> in_kernel{false};

// Each goes on behind its call, so that it stays on the stack.
[[gnu::noinline]] void wait_for_news(urge::chan<int>& news) {
  const auto got = news.recv();
  rounds += got.value_or(0);
}
[[gnu::noinline]] void sleep_long() {
  urge::this_g::sleep_for(std::chrono::hours(10));
  ++rounds;
}
[[gnu::noinline]] void wait_in_the_kernel() {
  urge::blocking([] {
    in_kernel = true;
    pause();
  });
  ++rounds;
}
// Stopped by signal: it has no yield point. The answer is in rdi all the while, which no unwind table tells.
[[gnu::noinline]] void spin_until_stopped(long answer) {
  for (volatile bool on = true; on;) asm volatile("" : : "D"(answer));
}

// gdb writes a core file by the megabyte, and leaves out one with a page in it that cannot be read: a guard of a stack,
// which is in the middle of a mapping where the kernel knows MADV_GUARD_REMOVE (103), and alone in one where it does
// not.
void remove_guards() {
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  char line[1024];
  while (maps && std::fgets(line, sizeof line, maps)) {
    std::uintptr_t from = 0, to = 0;
    if (std::sscanf(line, "%lx-%lx", &from, &to) == 2) madvise(reinterpret_cast<void*>(from), to - from, 103);
  }
  if (maps) std::fclose(maps);
}
[[gnu::noinline]] void spin_under_guard() {
  const urge::preempt_guard hold;
  urge::go({.name = "newcomer"}, [] { ++rounds; });
  remove_guards();
  std::puts("ready");
  std::fflush(stdout);
  for (volatile bool on = true; on;) rounds.fetch_add(1, std::memory_order_relaxed);
}

void run_all() {
  urge::chan<int> news;
  urge::go({.name = "reader"}, [&] { wait_for_news(news); });
  urge::go({.name = "sleeper"}, [] { sleep_long(); });
  urge::go({.name = "blocked"}, [] { wait_in_the_kernel(); });
  const auto hog = urge::spawn({.name = "hog"}, [] { spin_until_stopped(42); });
  while (!in_kernel || hog.info().preempts_async == 0) urge::this_g::yield();
  spin_under_guard();
}

}  // namespace subject

int main() {
  alarm(280);               // should nobody end it
  mallopt(M_ARENA_MAX, 1);  // a core file takes in all that is reserved, 64 MB for each arena
  // Where only parents may attach.
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  urge::run(subject::run_all, urge::options{.procs = 1, .quantum = std::chrono::milliseconds(1)});
}
