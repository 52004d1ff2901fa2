// SPDX-License-Identifier: MIT
// What is done with each body of the stepper (stepper.hpp) that is stopped at its instructions.
#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

// What one test may step over when not everything is wanted: each step costs 20 us or more in a virtual machine. A body
// that runs afresh is stepped up to the place of its stop: so these are few, and what one pass can show it shows.
struct limits {
  std::uint64_t one_pass, afresh;
};
constexpr limits in_async{80'000, 8'000}, in_kernel_thread{40'000, 4'000};
// Longer ones are not run afresh: the steps grow with the square.
constexpr std::uint64_t longest_afresh = 5'000;

TEST_P(Stepper, IsStoppedAtEachInstruction) {
  const bool all = long_run(), async = mode() == preempt_mode::async;
  const limits few = async ? in_async : in_kernel_thread;
  const std::uint64_t most = all ? UINT64_MAX : few.one_pass, every = all ? what().every_at_least : what().every;
  const unsigned times = async ? 2 : 1;
  with_stepper(what(), mode(), [&](auto step) {
    const counts c = step(plan{0, every, times, most});
    report(what().name, "one pass", c);
    expect_right(c);
    EXPECT_EQ(c.asked, (c.places - c.cut + every - 1) / every * times);
    EXPECT_GT(c.complete, 0u);
    // Each second, but for a G that is promoted when it is let go out of a wait, or gives way while it is stepped.
    if (!what().keeps_identity) {
      EXPECT_EQ(c.promoted > c.stops / 4, async);
    }
    if (c.cut) return;

    std::uint64_t alone = 0;
    if (const std::uint64_t n = c.places; n <= longest_afresh) {
      const std::uint64_t apart = all ? 1 : n * (n + c.in_runtime) / 2 / few.afresh + 1;
      counts fresh;
      for (std::uint64_t at = 0;; at += apart) {
        const counts one = step(plan{at, 0});
        fresh += one;
        if (one.asked != 0) continue;
        alone = one.places;
        break;
      }
      report(what().name, "afresh", fresh);
      expect_right(fresh);
      EXPECT_GE(fresh.stops, alone / apart);
    } else if (all || async) {
      alone = step(plan{plan::never, 1, 1, most}).places;
    }
    // Stopped, it may take slower ways, or find done what it has to do alone: but it is the same body.
    EXPECT_GE(c.places * what().part, alone);
  });
}

}  // namespace
}  // namespace urge::test::stepper
