// SPDX-License-Identifier: MIT
// The one-shot event on which Ms sleep.
#include "base/note.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace urge {
namespace {

TEST(Note, WokenBeforeTheSleepDoesNotSleep) {
  note n;
  n.wake();
  EXPECT_TRUE(n.sleep());
  EXPECT_TRUE(n.sleep(0)) << "it stays woken until it is cleared";
}

TEST(Note, SleepEndsAtItsDeadline) {
  note n;
  const std::int64_t until = os::monotonic_ns() + 2'000'000;
  EXPECT_FALSE(n.sleep(until));
  EXPECT_GE(os::monotonic_ns(), until);
}

TEST(Note, DeadlineOfThePastAndBelowZeroReturnAtOnce) {
  note n;
  EXPECT_FALSE(n.sleep(1));
  EXPECT_FALSE(n.sleep(-5));
}

TEST(Note, ClearMakesItFresh) {
  note n;
  n.wake();
  n.clear();
  EXPECT_FALSE(n.sleep(os::monotonic_ns()));
}

TEST(Note, WhatTheWakerDidIsSeenByTheSleeper) {
  for (int round = 0; round < 2000; ++round) {
    note there, back;
    int value = 0;
    std::thread waker([&] {
      there.sleep();
      value += 1;
      back.wake();
    });
    value = 41;
    there.wake();
    EXPECT_TRUE(back.sleep());
    EXPECT_EQ(value, 42);
    waker.join();
  }
}

}  // namespace
}  // namespace urge
