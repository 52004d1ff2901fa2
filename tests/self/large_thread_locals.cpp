// SPDX-License-Identifier: MIT
// A program with 1 MiB of thread_locals: glibc takes them off the stack of each thread, those of the made identities
// and of kernel_thread mode too. Each G finds its own after being stopped by signal.
// Context: a test of its own, for every thread of its process pays for them.
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <cstdio>
#include <vector>

namespace {

thread_local char large[1 << 20];

constexpr std::uint64_t enough = 50;

// What it has written is still there some slices later, with no call of urge in between.
bool keeps_its_own(unsigned who) {
  const std::size_t at = (who + 1) * 100'000;
  while (urge::snapshot().preempts_by_signal() < enough) {
    large[at] = static_cast<char>(who + 1);
    for (int k = 0; k < 3'000'000; ++k) asm volatile("");
    if (large[at] != static_cast<char>(who + 1)) return false;
  }
  return true;
}

bool holds(urge::preempt_mode mode) {
  urge::options how;
  how.procs = 2, how.quantum = std::chrono::microseconds(100), how.preempt = mode;
  return urge::run(
      [] {
        std::vector<urge::join_handle<bool>> all;
        for (unsigned who = 0; who < 6; ++who) all.push_back(urge::spawn(keeps_its_own, who));
        bool right = true;
        for (auto& h : all) right = h.join() && right;
        return right;
      },
      how);
}

}  // namespace

int main() {
  for (const auto mode : {urge::preempt_mode::async, urge::preempt_mode::kernel_thread})
    if (!holds(mode)) return std::puts("a thread_local was lost"), 1;
  return 0;
}
