// SPDX-License-Identifier: MIT
// The new Gs of a P: order at both ends, bounds, and that each is handed out exactly once while thieves help
// themselves.
#include "sched/spawnq.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "sched/g.hpp"

namespace urge {
namespace {

struct SpawnQueue : testing::Test {
  spawnq q;
  std::vector<G> gs = std::vector<G>(4 * spawnq::capacity);
};

TEST_F(SpawnQueue, ItsOwnerTakesTheNewest) {
  for (std::uint32_t n = 0; n <= spawnq::capacity; ++n) {
    ASSERT_EQ(q.pop(), nullptr);
    ASSERT_EQ(q.size(), 0u);
    for (std::uint32_t i = 0; i < n; ++i) ASSERT_TRUE(q.push(&gs[i]));
    ASSERT_EQ(q.size(), n);
    for (std::uint32_t i = n; i-- > 0;) ASSERT_EQ(q.pop(n % 2 == 0), &gs[i]);
    ASSERT_EQ(q.pop(true), nullptr);
  }
}

TEST_F(SpawnQueue, RefusesWhenFull) {
  for (std::uint32_t i = 0; i < spawnq::capacity; ++i) ASSERT_TRUE(q.push(&gs[i]));
  EXPECT_FALSE(q.push(&gs[spawnq::capacity]));
  EXPECT_FALSE(q.push_oldest(&gs[spawnq::capacity]));
  EXPECT_EQ(q.pop(), &gs[spawnq::capacity - 1]);
  EXPECT_TRUE(q.push_oldest(&gs[spawnq::capacity]));
  EXPECT_FALSE(q.push(&gs[0]));
}

TEST_F(SpawnQueue, GrabTakesTheOlderHalfRoundedUp) {
  for (std::uint32_t n = 0; n <= spawnq::capacity; ++n) {
    for (std::uint32_t i = 0; i < n; ++i) ASSERT_TRUE(q.push(&gs[i]));
    G* taken[spawnq::capacity];
    const std::uint32_t half = q.grab(taken);
    ASSERT_EQ(half, n - n / 2);
    for (std::uint32_t i = 0; i < half; ++i) ASSERT_EQ(taken[i], &gs[i]);
    for (std::uint32_t i = n; i-- > half;) ASSERT_EQ(q.pop(), &gs[i]);
    ASSERT_EQ(q.size(), 0u);
  }
  for (std::uint32_t i = 0; i < 100; ++i) q.push(&gs[i]);
  G* taken[spawnq::capacity];
  EXPECT_EQ(q.grab(taken, 3), 3u);
  EXPECT_EQ(q.size(), 97u);
}

TEST_F(SpawnQueue, OneThatIsPutAtTheOldEndComesLast) {
  EXPECT_TRUE(q.push_oldest(&gs[0]));  // below index 0
  for (std::uint32_t i = 1; i < 4; ++i) q.push(&gs[i]);
  EXPECT_TRUE(q.push_oldest(&gs[4]));
  G* first = nullptr;
  EXPECT_EQ(q.grab(&first, 1), 1u);
  EXPECT_EQ(first, &gs[4]);
  for (std::uint32_t i = 4; i-- > 0;) EXPECT_EQ(q.pop(), &gs[i]);
  EXPECT_EQ(q.pop(), nullptr);
}

TEST_F(SpawnQueue, EachElementIsHandedOutExactlyOnce) {
  constexpr std::uint32_t total = 300'000;
  std::vector<std::uint32_t> times(total);
  std::vector<G> many(total);
  const auto index = [&](const G* g) { return static_cast<std::size_t>(g - many.data()); };
  std::atomic<std::uint32_t> left{total};
  std::vector<std::vector<G*>> stolen(3);
  std::vector<std::thread> thieves;
  for (auto& mine : stolen)
    thieves.emplace_back([&, &mine = mine] {
      G* batch[spawnq::capacity];
      while (left.load() != 0) {
        const std::uint32_t n = q.grab(batch);
        for (std::uint32_t i = 0; i < n; ++i) mine.push_back(batch[i]);
        left.fetch_sub(n);
        if (n == 0) std::this_thread::yield();
      }
    });
  // Few at a time: the ends meet often.
  std::uint32_t next = 0;
  for (std::uint32_t round = 0; left.load() != 0; ++round) {
    for (std::uint32_t i = 0; i < 1 + round % 7 && next < total; ++i)
      if (i % 3 == 2 ? q.push_oldest(&many[next]) : q.push(&many[next])) ++next;
    for (std::uint32_t i = 0; i < 1 + round % 5; ++i)
      if (G* g = q.pop()) ++times[index(g)], left.fetch_sub(1);
    if (next == total) std::this_thread::yield();
  }
  for (auto& t : thieves) t.join();
  for (const auto& mine : stolen)
    for (const G* g : mine) ++times[index(g)];
  for (const std::uint32_t n : times) ASSERT_EQ(n, 1u);
  EXPECT_EQ(q.size(), 0u);
}

}  // namespace
}  // namespace urge
