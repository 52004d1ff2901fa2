// SPDX-License-Identifier: MIT
// A program with checks in all of its code, linked by a linker that knows -fsplit-stack: gold and lld rewrite the
// prologues of functions that call code without checks, so that they call `__morestack_non_split` at every entry. They
// must compute the same, give way, and need nothing of libgcc's. The code below itself is changed in this way: it calls
// the library.
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <atomic>
#include <cstdio>

#include "entry/code/checked.hpp"

extern "C" const urge::test::checked_code checked_object;

namespace {

std::atomic<bool> seen{false};
std::atomic<int> begun{0}, wrong{0};

[[gnu::noinline]] void work(int n) {
  const auto& c = checked_object;
  const double d = n;
  if (c.fib(12) != 144 || c.wide(n) != 5 * 1024 || c.catches(5) != 5 || c.on_stack(6) != 6) ++wrong;
  if (c.sum_of_doubles(10, d, d, d, d, d, d, d, d, d, 2 * d) != 11 * d) ++wrong;
}

}  // namespace

int main() {
  urge::options how;
  how.procs = 1, how.quantum = std::chrono::milliseconds(1), how.preempt = urge::preempt_mode::cooperative;
  urge::run(
      [] {
        auto hog = urge::spawn([] {
          begun = 1;
          for (int n = 0; !seen; ++n) work(n % 100);
        });
        while (begun == 0) urge::this_g::yield();
        urge::spawn([] { seen = true; }).join();
        hog.join();
      },
      how);
  const auto stops = static_cast<unsigned long>(urge::snapshot().preempts_cooperative);
  std::printf("%lu stops, %d wrong\n", stops, wrong.load());
  return wrong == 0 && stops >= 1 ? 0 : 1;
}
