// SPDX-License-Identifier: MIT
// The global queue's list.
#include "sched/gqueue.hpp"

#include <gtest/gtest.h>

namespace urge {
namespace {

struct GlobalQueue : testing::Test {
  gqueue q, other;
  G a, b, c, d;
};

TEST_F(GlobalQueue, IsFirstInFirstOut) {
  for (G* g : {&a, &b, &c}) q.push_back(g);
  EXPECT_EQ(q.n, 3u);
  EXPECT_EQ(q.pop_front(), &a);
  q.push_back(&d);
  EXPECT_EQ(q.pop_front(), &b);
  EXPECT_EQ(q.pop_front(), &c);
  EXPECT_EQ(q.pop_front(), &d);
  EXPECT_EQ(q.n, 0u);
}

TEST_F(GlobalQueue, GivesNothingWhenEmptyAndCanBeUsedAgain) {
  EXPECT_EQ(q.pop_front(), nullptr);
  q.push_back(&a);
  EXPECT_EQ(q.pop_front(), &a);
  EXPECT_EQ(q.pop_front(), nullptr);
  q.push_back(&b);
  EXPECT_EQ(q.pop_front(), &b);
}

TEST_F(GlobalQueue, AppendEmptiesTheOtherAndKeepsTheOrder) {
  q.push_back(&a);
  other.push_back(&b), other.push_back(&c);
  q.append(other);
  EXPECT_EQ(other.n, 0u);
  EXPECT_EQ(other.pop_front(), nullptr);
  EXPECT_EQ(q.n, 3u);
  for (G* g : {&a, &b, &c}) EXPECT_EQ(q.pop_front(), g);
}

TEST_F(GlobalQueue, AppendOfAndToAnEmptyOne) {
  q.append(other);
  EXPECT_EQ(q.n, 0u);
  other.push_back(&a);
  q.append(other);
  q.append(other);
  EXPECT_EQ(q.n, 1u);
  q.push_back(&b);
  EXPECT_EQ(q.pop_front(), &a);
  EXPECT_EQ(q.pop_front(), &b);
}

TEST_F(GlobalQueue, LeavesNoLinkInWhatItHandsOut) {
  q.push_back(&a), q.push_back(&b);
  EXPECT_EQ(q.pop_front()->link, nullptr);
  EXPECT_EQ(q.pop_front()->link, nullptr);
}

}  // namespace
}  // namespace urge
