// SPDX-License-Identifier: MIT
// The ring of a P: order, bounds, and that each element is handed out exactly once while thieves help themselves.
#include "sched/runq.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "sched/g.hpp"

namespace urge {
namespace {

struct RunQueue : testing::Test {
  runq q;
  std::vector<G> gs = std::vector<G>(4 * runq::capacity);
};

// Source: Go's TestSchedLocalQueue.
TEST_F(RunQueue, HandsOutInTheOrderOfPutting) {
  for (std::uint32_t n = 0; n <= runq::capacity; ++n) {
    ASSERT_EQ(q.get(), nullptr);
    ASSERT_EQ(q.size(), 0u);
    for (std::uint32_t i = 0; i < n; ++i) ASSERT_TRUE(q.put(&gs[i]));
    ASSERT_EQ(q.size(), n);
    for (std::uint32_t i = 0; i < n; ++i) ASSERT_EQ(q.get(), &gs[i]);
    ASSERT_EQ(q.get(), nullptr);
  }
}

TEST_F(RunQueue, RefusesWhenFullAndTakesAgainAfterOneLeft) {
  for (std::uint32_t i = 0; i < runq::capacity; ++i) ASSERT_TRUE(q.put(&gs[i]));
  EXPECT_FALSE(q.put(&gs[runq::capacity]));
  EXPECT_EQ(q.get(), &gs[0]);
  EXPECT_TRUE(q.put(&gs[runq::capacity]));
  EXPECT_FALSE(q.put(&gs[0]));
  for (std::uint32_t i = 1; i <= runq::capacity; ++i) ASSERT_EQ(q.get(), &gs[i]);
}

// Source: Go's TestSchedLocalQueueSteal.
TEST_F(RunQueue, GrabTakesTheOlderHalfRoundedUp) {
  for (std::uint32_t n = 0; n <= runq::capacity; ++n) {
    for (std::uint32_t i = 0; i < n; ++i) ASSERT_TRUE(q.put(&gs[i]));
    G* taken[runq::capacity];
    const std::uint32_t half = q.grab(taken);
    ASSERT_EQ(half, n - n / 2);
    for (std::uint32_t i = 0; i < half; ++i) ASSERT_EQ(taken[i], &gs[i]);
    for (std::uint32_t i = half; i < n; ++i) ASSERT_EQ(q.get(), &gs[i]);
    ASSERT_EQ(q.size(), 0u);
  }
}

TEST_F(RunQueue, GrabTakesNoMoreThanItIsTold) {
  for (std::uint32_t i = 0; i < 100; ++i) q.put(&gs[i]);
  G* taken[runq::capacity];
  EXPECT_EQ(q.grab(taken, 3), 3u);
  EXPECT_EQ(taken[2], &gs[2]);
  EXPECT_EQ(q.size(), 97u);
}

TEST_F(RunQueue, EachElementIsHandedOutExactlyOnce) {
  constexpr std::uint32_t total = 300'000;
  std::vector<std::uint32_t> times(total);
  std::vector<G> many(total);
  const auto index = [&](const G* g) { return static_cast<std::size_t>(g - many.data()); };
  std::atomic<std::uint32_t> left{total};
  std::vector<std::vector<G*>> stolen(3);
  std::vector<std::thread> thieves;
  for (auto& mine : stolen)
    thieves.emplace_back([&, &mine = mine] {
      G* batch[runq::capacity];
      while (left.load() != 0) {
        const std::uint32_t n = q.grab(batch);
        for (std::uint32_t i = 0; i < n; ++i) mine.push_back(batch[i]);
        left.fetch_sub(n);
        if (n == 0) std::this_thread::yield();
      }
    });
  std::uint32_t next = 0;
  while (left.load() != 0) {
    for (int i = 0; i < 7 && next < total; ++i)
      if (q.put(&many[next])) ++next;
    for (int i = 0; i < 3; ++i)
      if (G* g = q.get()) ++times[index(g)], left.fetch_sub(1);
    if (next == total) std::this_thread::yield();
  }
  for (auto& t : thieves) t.join();
  for (const auto& mine : stolen)
    for (const G* g : mine) ++times[index(g)];
  for (std::uint32_t i = 0; i < total; ++i) ASSERT_EQ(times[i], 1u) << "element " << i;
  EXPECT_EQ(q.get(), nullptr);
}

}  // namespace
}  // namespace urge
