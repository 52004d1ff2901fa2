// SPDX-License-Identifier: MIT
// The timers of a P, in heap and wheel, against std::multimap, and the handshake between firing and removing.
#include "sched/timers.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "base/clock.hpp"

namespace urge {
namespace {

struct entry : timer_node {
  std::atomic<int> fired{0};
  std::vector<entry*>* order = nullptr;
};

struct Timers : testing::Test {
  Timers() { calibrate_clock(); }
  static void count(timer_node* t) noexcept {
    auto* e = static_cast<entry*>(t);
    e->fired.fetch_add(1);
    if (e->order) e->order->push_back(e);
  }
  entry& arm(std::int64_t when, std::vector<entry*>* order = nullptr) {
    entries.push_back(std::make_unique<entry>());
    entry& e = *entries.back();
    e.when = when, e.fire = count, e.order = order;
    heap.add(&e);
    return e;
  }
  timers heap;
  std::vector<std::unique_ptr<entry>> entries;
};

TEST_F(Timers, RunsTheEarliestOfThoseThatAreDueAndNoMoreThanItIsTold) {
  std::vector<entry*> order;
  entry &c = arm(30, &order), &a = arm(10, &order), &b = arm(20, &order), &later = arm(50, &order);
  EXPECT_EQ(heap.run(40, 2), 2u);
  EXPECT_EQ(order, (std::vector{&a, &b}));
  EXPECT_EQ(heap.next_when.load(), 30);
  EXPECT_EQ(heap.run(40, 2), 1u);
  EXPECT_EQ(order.back(), &c);
  EXPECT_EQ(heap.run(40, 0), 0u);
  EXPECT_TRUE(remove_timer(&later));
}

TEST_F(Timers, AddSaysWhetherItIsTheEarliest) {
  entry a, b, c;
  a.when = 20, b.when = 10, c.when = 30;
  EXPECT_EQ(heap.next_when.load(), INT64_MAX);
  EXPECT_TRUE(heap.add(&a));
  EXPECT_TRUE(heap.add(&b));
  EXPECT_FALSE(heap.add(&c));
  EXPECT_EQ(heap.next_when.load(), 10);
  EXPECT_TRUE(remove_timer(&b));
  EXPECT_EQ(heap.next_when.load(), 20);
  EXPECT_TRUE(remove_timer(&c));
  EXPECT_TRUE(remove_timer(&a));
  EXPECT_EQ(heap.next_when.load(), INT64_MAX);
  EXPECT_EQ(heap.next_tick.load(), UINT64_MAX);
}

TEST_F(Timers, RunFiresWhatIsDueInTheOrderOfTime) {
  std::vector<entry*> order;
  for (const std::int64_t when : {50, 10, 40, 10, 30, 20}) arm(when, &order);
  EXPECT_EQ(heap.run(9), 0u);
  EXPECT_EQ(heap.run(30), 4u);
  ASSERT_EQ(order.size(), 4u);
  for (std::size_t i = 1; i < order.size(); ++i) EXPECT_LE(order[i - 1]->when, order[i]->when);
  EXPECT_EQ(heap.next_when.load(), 40);
  EXPECT_EQ(heap.run(INT64_MAX), 2u);
  EXPECT_EQ(heap.fired.load(), 6u);
}

TEST_F(Timers, RemoveTellsWhetherItWasPending) {
  entry never;
  EXPECT_FALSE(remove_timer(&never));
  entry& e = arm(10);
  EXPECT_TRUE(remove_timer(&e));
  EXPECT_FALSE(remove_timer(&e));
  heap.run(100);
  EXPECT_EQ(e.fired.load(), 0);
  heap.add(&e);
  heap.run(100);
  EXPECT_FALSE(remove_timer(&e));
  EXPECT_EQ(e.fired.load(), 1);
}

using multimap = std::multimap<std::int64_t, entry*>;
bool remove_one(multimap& model, std::size_t which) {
  const auto at = std::next(model.begin(), static_cast<std::ptrdiff_t>(which % model.size()));
  const bool removed = remove_timer(at->second);
  model.erase(at);
  return removed;
}

TEST_F(Timers, DoTheSameAsAMultimapUnderRandomOperations) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    multimap model;
    std::vector<std::unique_ptr<entry>> nodes;
    std::int64_t now = 0;
    for (int step = 0; step < 5000; ++step) {
      const unsigned what = random() % 10;
      if (what < 5) {
        nodes.push_back(std::make_unique<entry>());
        entry* e = nodes.back().get();
        e->when = now + 1 + static_cast<std::int64_t>(random() % 1000);
        e->fire = count;
        const bool first = model.empty() || e->when < model.begin()->first;
        ASSERT_EQ(heap.add(e), first);
        model.emplace(e->when, e);
      } else if (what < 8 && !model.empty()) {
        ASSERT_TRUE(remove_one(model, random()));
      } else {
        now += static_cast<std::int64_t>(random() % 100);
        const auto end = model.upper_bound(now);
        unsigned due = 0;
        for (auto at = model.begin(); at != end; ++at) ++due;
        ASSERT_EQ(heap.run(now), due);
        for (auto at = model.begin(); at != end; at = model.erase(at)) ASSERT_EQ(at->second->fired.load(), 1);
      }
      ASSERT_EQ(heap.next_when.load(), model.empty() ? INT64_MAX : model.begin()->first);
    }
    while (!model.empty()) {
      ASSERT_TRUE(remove_timer(model.begin()->second));
      model.erase(model.begin());
    }
  }
}

// From a microsecond to an hour, in steps of the clock as long: most of them go through the levels of the wheel.
TEST_F(Timers, DoTheSameAsAMultimapNearAndFar) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random(seed);
    const auto some_time = [&] {
      return static_cast<std::int64_t>(random() % (std::uint64_t{1} << (10 + random() % 32)));
    };
    multimap model;
    std::vector<std::unique_ptr<entry>> nodes;
    std::vector<entry*> order;
    timers both;
    std::int64_t now = monotonic_ns();
    for (int step = 0; step < 4000; ++step) {
      const unsigned what = random() % 10;
      if (what < 6) {
        nodes.push_back(std::make_unique<entry>());
        entry* e = nodes.back().get();
        e->when = now + 1 + some_time(), e->fire = count, e->order = &order;
        both.add(e);
        model.emplace(e->when, e);
      } else if (what < 8 && !model.empty()) {
        ASSERT_TRUE(remove_one(model, random()));
      } else {
        now = random() % 2 && !model.empty() ? both.next_when.load() : now + some_time();
        order.clear();
        const unsigned n = both.run(now);
        ASSERT_EQ(n, order.size());
        for (entry* e : order) {
          ASSERT_EQ(e->when, model.begin()->first);
          ASSERT_LE(e->when, now);
          for (auto at = model.begin();; ++at)
            if (at->second == e) {
              model.erase(at);
              break;
            }
        }
        ASSERT_TRUE(model.empty() || model.begin()->first > now);
        ASSERT_GT(both.next_when.load(), now);
      }
      ASSERT_LE(both.next_when.load(), model.empty() ? INT64_MAX : model.begin()->first);
      ASSERT_EQ(both.next_when.load() == INT64_MAX, model.empty());
    }
    // Whoever goes by what is said to be next comes to each of them, in few steps.
    for (int looks = 0; !model.empty(); ++looks) {
      ASSERT_LT(looks, 20'000);
      now = both.next_when.load();
      order.clear();
      both.run(now);
      for (entry* e : order) {
        ASSERT_EQ(e->when, model.begin()->first);
        model.erase(model.begin());
      }
    }
    both.clear();
  }
}

TEST_F(Timers, AllMoveToAnotherFromTheWheelToo) {
  timers other;
  const std::int64_t now = monotonic_ns();
  for (const std::int64_t in : {1'000L, 1'000'000L, 50'000'000L, 5'000'000'000L}) arm(now + in);
  heap.move_to(other);
  EXPECT_EQ(heap.next_when.load(), INT64_MAX);
  EXPECT_EQ(other.run(now + 60'000'000), 3u);
  heap.heir = nullptr;
  entry& last = *entries.back();
  EXPECT_TRUE(remove_timer(&last));
  EXPECT_EQ(other.next_when.load(), INT64_MAX);
}

// A list of a million siblings, then a chain of a million children: neither may be walked by recursion.
TEST_F(Timers, ManyAreNoDangerToTheStack) {
  constexpr int n = 1'000'000;
  const auto nodes = std::make_unique<entry[]>(n);
  for (int i = 0; i < n; ++i) nodes[i].when = i, nodes[i].fire = count, heap.add(&nodes[i]);
  EXPECT_EQ(heap.run(n), static_cast<unsigned>(n));
  for (int i = n; i-- != 0;) nodes[i].when = i, heap.add(&nodes[i]);
  EXPECT_EQ(heap.run(n), static_cast<unsigned>(n));
  for (int i = 0; i < n; ++i) ASSERT_EQ(nodes[i].fired.load(), 2);
}

TEST_F(Timers, ClearForgetsThemWithoutFiring) {
  entry& a = arm(1);
  entry& b = arm(2);
  heap.clear();
  EXPECT_EQ(heap.run(100), 0u);
  EXPECT_EQ(a.fired.load() + b.fired.load(), 0);
  EXPECT_FALSE(remove_timer(&a));
  EXPECT_EQ(heap.next_when.load(), INT64_MAX);
}

TEST_F(Timers, OneThatHasFiredMayBeArmedAgain) {
  entry& e = arm(1);
  heap.run(1);
  e.when = 2;
  EXPECT_TRUE(heap.add(&e));
  EXPECT_EQ(heap.run(1), 0u);
  EXPECT_EQ(heap.run(2), 1u);
  EXPECT_EQ(e.fired.load(), 2);
}

// While its function runs, remove waits: afterwards the node's memory is the caller's.
TEST_F(Timers, RemoveWaitsForAFunctionThatRuns) {
  static std::atomic<int> stage;
  stage = 0;
  entry e;
  e.when = 1;
  e.fire = [](timer_node*) noexcept {
    stage = 1;
    while (stage != 2) std::this_thread::yield();
    for (int i = 0; i < 10'000; ++i) _mm_pause();
    stage = 3;
  };
  heap.add(&e);
  std::thread runs([&] { heap.run(1); });
  while (stage != 1) std::this_thread::yield();
  stage = 2;
  EXPECT_FALSE(remove_timer(&e));
  EXPECT_EQ(stage.load(), 3);
  runs.join();
}

TEST_F(Timers, EachIsEitherFiredOrRemovedNeverBothNeverNeither) {
  constexpr int n = 20'000;
  const auto nodes = std::make_unique<entry[]>(n);
  std::atomic<int> armed{0};
  std::atomic<bool> over{false};
  std::thread runs([&] {
    while (!over) heap.run(INT64_MAX);
  });
  int removed = 0;
  for (int i = 0; i < n; ++i) {
    nodes[i].when = i, nodes[i].fire = count;
    heap.add(&nodes[i]);
    if (i % 64 == 0) std::this_thread::yield();
    const bool was_pending = remove_timer(&nodes[i]);
    removed += was_pending;
    ASSERT_EQ(nodes[i].fired.load(), was_pending ? 0 : 1);
  }
  over = true;
  runs.join();
  EXPECT_EQ(heap.fired.load(), static_cast<std::uint64_t>(n - removed));
}

// Removers find the heap that a node is in even while it moves to another one.
TEST_F(Timers, NodesMayMoveBetweenHeaps) {
  timers two;
  constexpr int n = 50'000;
  entry e;
  e.fire = count;
  std::atomic<bool> over{false};
  std::thread runs([&] {
    while (!over) heap.run(INT64_MAX), two.run(INT64_MAX);
  });
  int removed = 0;
  for (int i = 0; i < n; ++i) {
    e.when = i;
    (i % 2 ? heap : two).add(&e);
    removed += remove_timer(&e);
  }
  over = true;
  runs.join();
  EXPECT_EQ(e.fired.load() + removed, n);
}

}  // namespace
}  // namespace urge
