// SPDX-License-Identifier: MIT
// The two clocks and the random numbers.
#include "base/clock.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "base/rng.hpp"

namespace urge {
namespace {

TEST(Clock, NeitherClockGoesBackwardsOnOneThread) {
  std::int64_t ns = monotonic_ns();
  for (int i = 0; i < 100'000; ++i) {
    const std::int64_t now = monotonic_ns();
    ASSERT_GE(now, ns);
    ns = now;
  }
}

TEST(Clock, CalibrationIsMeasuredOnceAndAgreesWithTheOtherClock) {
  calibrate_clock();
  const double rate = ns_per_tick;
  ASSERT_GT(rate, 0.0);
  calibrate_clock();
  EXPECT_EQ(ns_per_tick, rate);
  // Between two pairs of readings the tick clock's time lies between the narrowest and the widest that the other saw.
  const std::int64_t before_first = monotonic_ns();
  const std::uint64_t first = ticks();
  const std::int64_t after_first = monotonic_ns();
  while (monotonic_ns() < after_first + 20'000'000) {
  }
  const std::int64_t before_last = monotonic_ns();
  const std::uint64_t last = ticks();
  const std::int64_t after_last = monotonic_ns();
  const auto measured = static_cast<double>(ticks_to_ns(last - first));
  EXPECT_GT(measured, static_cast<double>(before_last - after_first) * 0.95);
  EXPECT_LT(measured, static_cast<double>(after_last - before_first) * 1.05);
}

TEST(Clock, TicksAndNanosecondsConvertBackAndForth) {
  calibrate_clock();
  for (const std::int64_t ns : {0l, 1'000l, 50'000l, 10'000'000l, 10'000'000'000l}) {
    const std::int64_t back = ticks_to_ns(ns_to_ticks(ns));
    EXPECT_LE(std::abs(back - ns), 2 + ns / 1'000'000);
  }
}

TEST(Rng, BelowStaysBelowAndReachesEveryValueAboutEquallyOften) {
  constexpr std::uint32_t n = 7;
  constexpr int draws = 70'000;
  rng r(1);
  std::vector<int> seen(n);
  for (int i = 0; i < draws; ++i) {
    const std::uint32_t x = r.below(n);
    ASSERT_LT(x, n);
    ++seen[x];
  }
  // Ten sigma of a binomial distribution.
  const double p = 1.0 / n, sigma = std::sqrt(draws * p * (1 - p));
  for (const int times : seen) EXPECT_LT(std::abs(times - draws * p), 10 * sigma);
  EXPECT_EQ(r.below(1), 0u);
}

TEST(Rng, SeedsGiveDifferentSequencesZeroIncluded) {
  std::set<std::uint32_t> first;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    rng r(seed);
    r.next();
    first.insert(r.next());
  }
  EXPECT_GT(first.size(), 990u);
}

}  // namespace
}  // namespace urge
