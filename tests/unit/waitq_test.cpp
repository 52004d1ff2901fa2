// SPDX-License-Identifier: MIT
// Wait lists: order, and that a waiter who lies in several of them is claimed once.
#include "sched/waitq.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace urge {
namespace {

// As in a wait that nobody has claimed.
void put_in_wait(G& g, wait_record& r) {
  r.g = &g;
  g.wait_word = r.number;
}

struct WaitQueue : testing::Test {
  wait_list list, other;
  waiter a, b, c, d;
  G ga, gb, gc, gd;
  wait_record ra, rb, rc, rd;
  void SetUp() override {
    put_in_wait(ga, ra), put_in_wait(gb, rb), put_in_wait(gc, rc), put_in_wait(gd, rd);
    a.record = &ra, b.record = &rb, c.record = &rc, d.record = &rd;
  }
};

TEST_F(WaitQueue, ServesInTheOrderOfComing) {
  EXPECT_TRUE(empty(list));
  push_back(list, a), push_back(list, b), push_back(list, c);
  EXPECT_FALSE(empty(list));
  EXPECT_EQ(pop(list), &a);
  EXPECT_EQ(pop(list), &b);
  push_back(list, d);
  EXPECT_EQ(pop(list), &c);
  EXPECT_EQ(pop(list), &d);
  EXPECT_EQ(pop(list), nullptr);
  EXPECT_TRUE(empty(list));
}

TEST_F(WaitQueue, PushFrontGoesBeforeAll) {
  push_front(list, a);
  push_back(list, b);
  push_front(list, c);
  EXPECT_EQ(pop(list), &c);
  EXPECT_EQ(pop(list), &a);
  EXPECT_EQ(pop(list), &b);
}

TEST_F(WaitQueue, UnlinkWorksAtBothEndsAndInTheMiddle) {
  for (waiter* w : {&a, &b, &c, &d}) push_back(list, *w);
  unlink(b);
  unlink(a);
  unlink(d);
  EXPECT_EQ(pop(list), &c);
  EXPECT_TRUE(empty(list));
  push_back(list, a);
  unlink(a);
  EXPECT_TRUE(empty(list));
}

TEST_F(WaitQueue, PopSetsTheWinnerAndPassesOverThoseAlreadyClaimed) {
  waiter a_elsewhere;
  a_elsewhere.record = &ra;
  push_back(list, a), push_back(list, b);
  push_back(other, a_elsewhere);
  EXPECT_EQ(pop(other), &a_elsewhere);
  EXPECT_EQ(ra.winner, &a_elsewhere);
  EXPECT_EQ(pop(list), &b) << "a has been claimed by the other list";
  EXPECT_EQ(ra.winner, &a_elsewhere);
  EXPECT_TRUE(empty(list));
}

TEST_F(WaitQueue, ForgetTakesEveryNodeOffItsList) {
  waiter nodes[2];
  G g;
  wait_record r;
  put_in_wait(g, r);
  r.nodes = nodes, r.n = 2;
  for (waiter& w : nodes) w.record = &r;
  push_back(list, a), push_back(list, nodes[0]), push_back(list, b);
  push_back(other, nodes[1]);
  forget(r);
  EXPECT_TRUE(empty(other));
  EXPECT_EQ(pop(list), &a);
  EXPECT_EQ(pop(list), &b);
  EXPECT_EQ(pop(list), nullptr);
}

TEST_F(WaitQueue, AListThatEndsLetsItsWaitersGo) {
  {
    wait_list shortlived;
    push_back(shortlived, a), push_back(shortlived, b);
  }
  push_back(list, a), push_back(list, b);
  EXPECT_EQ(pop(list), &a);
  EXPECT_EQ(pop(list), &b);
}

// Poppers on two lists fight for records that lie in both.
TEST_F(WaitQueue, OneOfManyPoppersClaimsARecord) {
  constexpr int n = 20'000;
  std::vector<waiter> first(n), second(n);
  std::vector<wait_record> records(n);
  const auto gs = std::make_unique<G[]>(n);
  for (std::size_t i = 0; i < n; ++i) {
    put_in_wait(gs[i], records[i]);
    first[i].record = second[i].record = &records[i];
    push_back(list, first[i]), push_back(other, second[i]);
  }
  std::atomic<int> claimed{0};
  const auto pop_all = [&](wait_list& l) {
    for (;;) {
      const std::lock_guard hold(lock_of(l));
      if (!pop(l)) return;
      ++claimed;
    }
  };
  std::thread one([&] { pop_all(list); }), two([&] { pop_all(other); });
  one.join(), two.join();
  EXPECT_EQ(claimed.load(), n);
  for (std::size_t i = 0; i < n; ++i) EXPECT_TRUE(records[i].winner == &first[i] || records[i].winner == &second[i]);
}

}  // namespace
}  // namespace urge
