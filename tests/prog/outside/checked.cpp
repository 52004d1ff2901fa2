// SPDX-License-Identifier: MIT
// No signals: a G that never gives way by itself does so where it enters a function, of the program or of its library.
#include <urge/urge.hpp>

#include <atomic>
#include <cstdio>

#include "recursion.hpp"

int main() {
  std::atomic<bool> seen = false;
  urge::options how;
  how.procs = 1;
  how.preempt = urge::preempt_mode::cooperative;
  const int sum = urge::run(
      [&] {
        auto hog = urge::spawn([&] {
          int n = 0;
          while (!seen.load(std::memory_order_relaxed)) n = recursion(9);
          return n;
        });
        urge::this_g::yield();  // to the hog, and no other way back than its own
        seen = true;
        return hog.join() + 8;
      },
      how);
  const bool gave_way = urge::snapshot().preempts_cooperative != 0;
  std::printf("outside: %d\n", gave_way ? sum : 0);
}
