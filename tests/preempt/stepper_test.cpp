// SPDX-License-Identifier: MIT
// What is done with each body of the stepper (stepper.hpp), and the stepper's own check: that it counts every
// instruction of a function whose instructions are known.
#include <cstdio>

#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

// Steps that one test may take when not everything is wanted: each costs some 20 us in a virtual machine.
constexpr std::uint64_t most_steps = 30'000;
// Longer ones are not run afresh: the steps grow with the square.
constexpr std::uint64_t longest_afresh = 5'000;

void report(const char* how, const body& b, const counts& c) {
  std::printf("[ stepper  ] %s, %s: %s\n", b.name.c_str(), how, to_string(c).c_str());
  testing::Test::RecordProperty(how, to_string(c));
}

void expect_right(const counts& c) {
  EXPECT_EQ(c.wrong, 0u) << "results that a run alone does not have";
  EXPECT_EQ(c.stops, c.asked) << "places where the body was not preempted";
  EXPECT_EQ(c.complete + c.stuck, c.stops) << "did not come back from each stop";
  EXPECT_EQ(c.elsewhere, 0u) << "went on at another instruction, or was stopped in the runtime";
  EXPECT_EQ(c.lost, 0u) << "the trap flag was lost on the way";
}

TEST_P(Stepper, InOnePass) {
  const body& b = GetParam();
  with_stepper(b, [&](auto step) {
    const counts alone = step(plan{plan::never, 1});
    const std::uint64_t every = long_run() ? 1 : alone.instructions / b.most_stops + 1;
    const counts c = step(plan{0, every});
    report("one pass", b, c);
    expect_right(c);
    EXPECT_EQ(c.asked, (c.instructions + every - 1) / every);
    // Stopped ones take the slower ways too, and the quicker: but it is the same body.
    EXPECT_GE(c.instructions * 4, alone.instructions * 3);
    EXPECT_GT(c.complete, 0u);
  });
}

TEST_P(Stepper, AfreshForEachStop) {
  const body& b = GetParam();
  with_stepper(b, [&](auto step) {
    const std::uint64_t n = step(plan{plan::never, 1}).instructions;
    const std::uint64_t steps = n * n / 2;
    std::uint64_t every = 1;
    if (!long_run())
      every = steps / most_steps + 1;
    else if (n > longest_afresh)
      every = n / longest_afresh * (n / longest_afresh) + 1;
    counts all;
    for (std::uint64_t at = 0;; at += every) {
      const counts c = step(plan{at, 0});
      all += c;
      if (c.asked == 0) break;
    }
    report(("afresh, each " + std::to_string(every) + ".").c_str(), b, all);
    expect_right(all);
    EXPECT_GE(all.stops, n / every / 2);
  });
}

}  // namespace
}  // namespace urge::test::stepper
