// SPDX-License-Identifier: MIT
// The account of the time that woken Gs have had before others: in CPU time where the thread is the same, else in
// ticks.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "sched/sched.hpp"

namespace urge {
namespace {

struct Share : testing::Test {
  void SetUp() override {
    calibrate_clock();
    p.m.store(&m);
    sched.how.wakeup_share = 50;
    sched.woken_slice = ns_to_ticks(woken_slice_ns), sched.least_run = ns_to_ticks(least_run_ns);
  }
  void begin(bool woken, bool by_cpu_time) {
    settle_share(p, &m, ticks(), by_cpu_time);
    p.woken_slice.store(woken);
  }
  static std::uint64_t cpu() { return static_cast<std::uint64_t>(os::own_cpu_ns()); }
  static std::uint64_t to_ticks(std::uint64_t ns) { return ns_to_ticks(static_cast<std::int64_t>(ns)); }
  static void lose_the_cpu() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }
  static constexpr std::uint64_t rounding = 1000;  // ns

  std::unique_ptr<P> storage = std::make_unique<P>();
  std::unique_ptr<M> thread = std::make_unique<M>();
  P& p = *storage;
  M& m = *thread;
};

TEST_F(Share, WhatTheKernelGaveToOthersIsNoDebt) {
  const std::uint64_t from = cpu();
  begin(true, true);
  lose_the_cpu();
  const std::uint64_t used = cpu();
  while (cpu() < used + 1'000'000) {
  }
  settle_share(p, &m, ticks(), true);
  EXPECT_GE(p.woken_debt.load(), to_ticks(1'000'000));
  EXPECT_LE(p.woken_debt.load(), to_ticks(cpu() - from + rounding));
}

TEST_F(Share, NorDoesItPayOneOff) {
  const std::uint64_t from = cpu();
  begin(false, true);  // from here on it is reckoned in CPU time
  p.woken_debt.store(to_ticks(5'000'000));
  lose_the_cpu();
  begin(true, true);
  EXPECT_GE(p.woken_debt.load() + to_ticks(cpu() - from + rounding), to_ticks(5'000'000));
}

TEST_F(Share, OfAnotherThreadOnlyTheTicksAreKnown) {
  begin(true, true);
  lose_the_cpu();
  const M another;
  settle_share(p, &another, ticks(), true);
  EXPECT_EQ(p.woken_debt.load(), 4 * sched.woken_slice) << "20 ms have passed; a debt is no longer than this";
}

TEST_F(Share, OneWhoIsAboutToBeTurnedAwayIsReckonedExactly) {
  begin(true, true);
  lose_the_cpu();
  EXPECT_FALSE(may_take_woken(p, ticks()));
  EXPECT_TRUE(may_take_woken_here(p)) << "20 ms have passed, of which next to nothing was used";
}

TEST_F(Share, AWokenSliceLastsAsMuchLongerAsItsThreadHadNoCpu) {
  m.tid.store(os::gettid());
  const std::uint64_t used_before = cpu(), from = ticks();
  settle_share(p, &m, from, true);
  p.slice_start.store(from), p.woken_slice.store(true);
  lose_the_cpu();
  const std::uint64_t now = ticks(), lost = lost_in_woken_slice(p, now), used = cpu() - used_before + rounding;
  EXPECT_LE(lost, now - from);
  EXPECT_GE(lost + to_ticks(used), now - from);
  p.slice_start.store(from + 1);
  EXPECT_EQ(lost_in_woken_slice(p, now), 0u) << "the mark is another slice's";
  p.slice_start.store(from), p.woken_slice.store(false);
  EXPECT_EQ(lost_in_woken_slice(p, now), 0u);
}

TEST_F(Share, AnIdlePHasNoDebt) {
  p.woken_debt.store(1000);
  put_idle_p_locked(&p);
  EXPECT_EQ(take_idle_p_locked(), &p);
  EXPECT_EQ(p.woken_debt.load(), 0u);
}

TEST_F(Share, TheOthersPayAtTheRateOfTheShareToTheRest) {
  sched.how.wakeup_share = 20;
  p.woken_debt.store(1000), p.debt_from.store(5000);
  EXPECT_EQ(debt_at(p, 5000), 1000u);
  EXPECT_EQ(debt_at(p, 5400), 900u);
  EXPECT_EQ(debt_at(p, 9000), 0u);
  EXPECT_EQ(debt_at(p, 4000), 1000u) << "another CPU's clock";
  p.woken_slice.store(true);
  EXPECT_EQ(debt_at(p, 5400), 1400u);
  EXPECT_EQ(debt_at(p, 5000 + 10 * sched.woken_slice), 4 * sched.woken_slice) << "an endless debt is nobody's due";
  sched.how.wakeup_share = 100;
  EXPECT_EQ(debt_at(p, 5400), 0u);
}

}  // namespace
}  // namespace urge
