// SPDX-License-Identifier: MIT
// The histogram of latencies: percentiles within a sixteenth, the maximum exact.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include "sched/sched.hpp"

namespace urge {
namespace {

struct Latency : testing::Test {
  Latency() { reset_latency(); }
  ~Latency() override { reset_latency(); }
};

TEST_F(Latency, EmptyOneIsAllZero) {
  const latency_histogram h = read_latency();
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.percentile(50), 0);
  EXPECT_EQ(h.max(), 0);
}

TEST_F(Latency, OneValueIsEveryPercentile) {
  add_preempt_latency(12'345);
  const latency_histogram h = read_latency();
  EXPECT_EQ(h.count(), 1u);
  EXPECT_EQ(h.max(), 12'345);
  for (const double p : {0.0, 50.0, 99.9, 100.0}) EXPECT_EQ(h.percentile(p), 12'345);
}

TEST_F(Latency, SmallValuesAreExact) {
  for (int i = 0; i < 16; ++i) add_preempt_latency(i);
  const latency_histogram h = read_latency();
  for (int i = 0; i < 16; ++i) EXPECT_EQ(h.percentile((i + 1) * 100 / 16.0), i);
}

TEST_F(Latency, PercentilesAreRightWithinASixteenth) {
  std::mt19937_64 random(1);
  std::vector<std::int64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    const auto octave = static_cast<int>(random() % 40);
    values.push_back(
        static_cast<std::int64_t>((std::uint64_t{1} << octave) | (random() & ((std::uint64_t{1} << octave) - 1))));
    add_preempt_latency(values.back());
  }
  std::sort(values.begin(), values.end());
  const latency_histogram h = read_latency();
  EXPECT_EQ(h.count(), values.size());
  EXPECT_EQ(h.max(), values.back());
  for (const double p : {1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 100.0}) {
    const auto rank = static_cast<std::size_t>(std::max(1.0, std::ceil(p / 100 * static_cast<double>(values.size()))));
    const std::int64_t exact = values[rank - 1];
    EXPECT_GE(h.percentile(p), exact);
    EXPECT_LE(static_cast<double>(h.percentile(p)), static_cast<double>(exact) * (1 + 1.0 / 16) + 1);
  }
}

TEST_F(Latency, ExtremesHaveAClass) {
  for (const std::int64_t ns : {INT64_MIN, std::int64_t{-1}, std::int64_t{0}, INT64_MAX}) add_preempt_latency(ns);
  const latency_histogram h = read_latency();
  EXPECT_EQ(h.count(), 4u);
  EXPECT_EQ(h.max(), INT64_MAX);
  EXPECT_EQ(h.percentile(75), 0) << "a clock that stepped back counts as nothing";
  EXPECT_EQ(h.percentile(100), INT64_MAX);
}

TEST_F(Latency, ThreadsLoseNothing) {
  std::vector<std::thread> threads;
  for (int t = 1; t <= 4; ++t)
    threads.emplace_back([t] {
      for (int i = 0; i < 50'000; ++i) add_preempt_latency(t * 1000 + i);
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(read_latency().count(), 200'000u);
  EXPECT_EQ(read_latency().max(), 4000 + 49'999);
}

}  // namespace
}  // namespace urge
