// SPDX-License-Identifier: MIT
// Stacks: classes, guards, reuse. Sizes here are used by no other test of this program, so that counts are this
// test's own.
#include "stack/stack.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace urge {
namespace {

constexpr std::size_t page = 4096;

stack take(std::size_t size) {
  int error = 0;
  const stack s = take_stack(stack_class_of(size), error);
  EXPECT_TRUE(s) << "errno " << -error;
  return s;
}
std::uintptr_t at(const char* p) { return reinterpret_cast<std::uintptr_t>(p); }

TEST(Stack, AClassIsMadeOncePerSize) {
  stack_class* a = stack_class_of(20 * page);
  EXPECT_EQ(stack_class_of(20 * page), a);
  EXPECT_NE(stack_class_of(21 * page), a);
}

// More sizes than there are classes: the later ones share classes of at least their size.
TEST(StackManySizes, EverySizeHasAClassThatIsLargeEnough) {
  for (std::size_t pages = 300; pages < 600; ++pages) {
    int error = 0;
    stack_class* c = stack_class_of(pages * page);
    ASSERT_NE(c, nullptr);
    const stack s = take_stack(c, error);
    ASSERT_TRUE(s);
    EXPECT_GE(s.size, pages * page);
    EXPECT_LE(s.size, pages * page * 5 / 4 + page);
    EXPECT_EQ(s.size % page, 0u);
    put_stack(s);
  }
  EXPECT_NE(stack_class_of(16 * 1024), nullptr);
  EXPECT_NE(stack_class_of(1024 * 1024 * 1024), nullptr);
}

TEST(Stack, AllOfItCanBeWrittenAndOnlyIt) {
  const stack s = take(22 * page);
  EXPECT_GE(s.size, 22 * page);
  EXPECT_EQ(at(s.low) % page, 0u);
  std::memset(s.low, 0x5a, s.size);
  EXPECT_TRUE(s.holds(at(s.low)));
  EXPECT_TRUE(s.holds(at(s.top())));
  EXPECT_FALSE(s.holds(at(s.low) - 1));
  EXPECT_FALSE(s.holds(at(s.top()) + 1));
  put_stack(s);
}

TEST(Stack, TheGuardLiesBelowAndIsFound) {
  std::vector<stack> many;
  for (int i = 0; i < 40; ++i) many.push_back(take(23 * page));  // more than the first reservation holds
  for (const stack& s : many) {
    EXPECT_TRUE(in_guard(at(s.low) - 1));
    EXPECT_TRUE(in_guard(at(s.low) - guard_bytes));
    EXPECT_FALSE(in_guard(at(s.low)));
    EXPECT_FALSE(in_guard(at(s.top()) - 1));
  }
  int on_this_stack = 0;
  EXPECT_FALSE(in_guard(reinterpret_cast<std::uintptr_t>(&on_this_stack)));
  EXPECT_FALSE(in_guard(0));
  EXPECT_FALSE(in_guard(UINTPTR_MAX));
  for (const stack& s : many) put_stack(s);
}

TEST(StackDeathTest, TouchingTheGuardIsAFault) {
  const stack s = take(24 * page);
  const auto write_below = [&](std::size_t bytes) {
    std::signal(SIGSEGV, SIG_DFL);  // a sanitizer would report it and exit
    s.low[-static_cast<std::ptrdiff_t>(bytes)] = 1;
  };
  EXPECT_EXIT(write_below(1), testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(write_below(guard_bytes), testing::KilledBySignal(SIGSEGV), "");
  put_stack(s);
}

TEST(Stack, TheLastOnePutBackIsTheFirstOneTaken) {
  const stack a = take(25 * page), b = take(25 * page), c = take(25 * page);
  EXPECT_EQ((std::set{a.low, b.low, c.low}.size()), 3u);
  put_stack(a), put_stack(c), put_stack(b);
  EXPECT_EQ(take(25 * page).low, b.low);
  EXPECT_EQ(take(25 * page).low, c.low);
  EXPECT_EQ(take(25 * page).low, a.low);
  put_stack(a), put_stack(b), put_stack(c);
}

TEST(Stack, CountsAddUp) {
  const stack_counts before = count_stacks();
  std::vector<stack> many;
  for (int i = 0; i < 100; ++i) many.push_back(take(26 * page));
  const stack_counts during = count_stacks();
  EXPECT_EQ(during.made, before.made + 100);
  EXPECT_EQ(during.idle, before.idle);
  EXPECT_GT(during.reservations, before.reservations);
  EXPECT_LE(during.reservations, before.reservations + 3) << "16, 32, 64 slots";
  for (const stack& s : many) put_stack(s);
  EXPECT_EQ(count_stacks().idle, before.idle + 100);
  for (stack& s : many) s = take(26 * page);
  EXPECT_EQ(count_stacks().made, during.made) << "idle ones are used before new ones are made";
  for (const stack& s : many) put_stack(s);
}

// Idle stacks beyond a bound give their pages back: what was written to them is gone, but for the page with the link.
TEST(Stack, ManyIdleOnesGiveTheirPagesBack) {
  std::vector<stack> many;
  for (int i = 0; i < 200; ++i) many.push_back(take(27 * page));
  for (const stack& s : many) std::memset(s.low, 0x77, s.size);
  for (const stack& s : many) put_stack(s);
  int kept = 0;
  for (stack& s : many) {
    s = take(27 * page);
    if (s.low[0] == 0x77) ++kept;
  }
  EXPECT_EQ(kept, 64);
  for (const stack& s : many) put_stack(s);
}

TEST(Stack, ThreadsNeverGetTheSameOne) {
  constexpr int n_threads = 4, rounds = 2000;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < n_threads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        int error = 0;
        stack mine[3];
        for (stack& s : mine) {
          s = take_stack(stack_class_of(28 * page), error);
          *reinterpret_cast<int*>(s.low) = t;
        }
        for (const stack& s : mine) wrong += *reinterpret_cast<int*>(s.low) != t;
        for (const stack& s : mine) put_stack(s);
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace urge
