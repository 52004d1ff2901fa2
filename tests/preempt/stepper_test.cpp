// SPDX-License-Identifier: MIT
// What is done with each body of the stepper (stepper.hpp), and the stepper's own check: that it counts every
// instruction of a function whose instructions are known.
#include <cstdio>

#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

// What one test may step over when not everything is wanted: each step costs some 20 us in a virtual machine.
constexpr std::uint64_t most_in_one_pass = 40'000, most_afresh = 30'000;
// Longer ones are not run afresh: the steps grow with the square.
constexpr std::uint64_t longest_afresh = 5'000;

void report(const char* how, const body& b, const counts& c) {
  std::printf("[ stepper  ] %s, %s: %s\n", b.name.c_str(), how, to_string(c).c_str());
  testing::Test::RecordProperty(how, to_string(c));
}

void expect_right(const counts& c) {
  EXPECT_EQ(c.wrong, 0u) << "results that a run alone does not have";
  EXPECT_EQ(c.stops, c.asked) << "places where the body was not preempted";
  EXPECT_EQ(c.complete + c.waiting, c.stops) << "did not come back from each stop";
  EXPECT_EQ(c.elsewhere, 0u) << "went on at another instruction, or was stopped in the runtime";
  EXPECT_EQ(c.lost, 0u) << "the trap flag was lost on the way";
}

TEST_P(Stepper, InOnePass) {
  const body& b = GetParam();
  const std::uint64_t most = long_run() ? UINT64_MAX : most_in_one_pass;
  with_stepper(b, [&](auto step) {
    const counts alone = step(plan{plan::never, 1, most});
    const std::uint64_t every = long_run() ? 1 : alone.instructions / b.most_stops + 1;
    const counts c = step(plan{0, every, most});
    report("one pass", b, c);
    expect_right(c);
    const std::uint64_t places = c.instructions - c.cut;
    EXPECT_EQ(c.asked, (places + every - 1) / every);
    // Stopped, it may take slower ways, or find done what it has to do alone: but it is the same body.
    EXPECT_GE(c.instructions * 2, alone.instructions);
    EXPECT_GT(c.complete, 0u);
  });
}

TEST_P(Stepper, AfreshForEachStop) {
  const body& b = GetParam();
  with_stepper(b, [&](auto step) {
    const counts alone = step(plan{plan::never, 1, longest_afresh});
    if (alone.cut) return;
    const std::uint64_t n = alone.instructions;
    const std::uint64_t every = long_run() ? 1 : n * (n + alone.in_runtime) / 2 / most_afresh + 1;
    counts all;
    for (std::uint64_t at = 0;; at += every) {
      const counts c = step(plan{at, 0});
      all += c;
      if (c.asked == 0) break;
    }
    report("afresh", b, all);
    expect_right(all);
    EXPECT_GE(all.stops, n / every / 2);
  });
}

}  // namespace
}  // namespace urge::test::stepper
