// SPDX-License-Identifier: MIT
// join_handle: results, exceptions, wrong uses, and what it tells of its G.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Join : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Join, testing::ValuesIn(settings()), name_setting());

TEST_P(Join, DeliversTheResultBeforeAndAfterTheEndOfTheG) {
  run(
      [] {
        auto late = spawn([] { return 1; });
        while (!late.done()) this_g::yield();
        EXPECT_EQ(late.join(), 1);
        chan<int> c;
        auto early = spawn([c]() mutable { return *c.recv(); });
        go([c]() mutable { c.send(2); });
        EXPECT_EQ(early.join(), 2);
      },
      how());
}

TEST_P(Join, RethrowsTheException) {
  run(
      [] {
        auto h = spawn([]() -> int { throw std::runtime_error("from the G"); });
        try {
          h.join();
          ADD_FAILURE() << "no exception";
        } catch (const std::runtime_error& e) {
          EXPECT_STREQ(e.what(), "from the G");
        }
        auto nothing = spawn([] { throw 3; });
        EXPECT_THROW(nothing.join(), int);
      },
      how());
}

TEST_P(Join, ExceptionsPassThroughAChainOfGs) {
  struct chain {
    static void step(int depth) {
      if (depth == 0) throw std::out_of_range("bottom");
      spawn(step, depth - 1).join();
    }
  };
  EXPECT_THROW(run([] { chain::step(100); }, how()), std::out_of_range);
}

TEST_P(Join, IsForOnceAndNotForEmptyHandles) {
  run(
      [] {
        join_handle<int> empty;
        EXPECT_THROW(empty.join(), std::logic_error);
        EXPECT_FALSE(empty.done());
        EXPECT_EQ(empty.id(), 0u);
        EXPECT_EQ(empty.cpu_time(), 0ns);
        empty.request_stop();
        auto h = spawn([] { return 1; });
        EXPECT_EQ(h.join(), 1);
        EXPECT_THROW(h.join(), std::logic_error);
        auto thrown = spawn([] { throw 1; });
        EXPECT_THROW(thrown.join(), int);
        EXPECT_THROW(thrown.join(), std::logic_error);
      },
      how());
}

TEST_P(Join, OfOneselfIsRefused) {
  run(
      [] {
        auto h = std::make_shared<join_handle<void>>();
        chan<bool> ready;
        *h = spawn([h, ready]() mutable {
          ready.recv();
          EXPECT_THROW(h->join(), std::logic_error);
        });
        ready.send(true);
        while (!h->done()) this_g::yield();
      },
      how());
}

TEST_P(Join, HandlesMove) {
  run(
      [] {
        auto a = spawn([] { return 1; });
        const std::uint64_t id = a.id();
        join_handle<int> b(std::move(a));
        EXPECT_EQ(b.id(), id);
        EXPECT_EQ(a.id(), 0u);  // NOLINT: a moved-from handle is an empty one
        EXPECT_THROW(a.join(), std::logic_error);
        auto c = spawn([] { return 2; });
        c = std::move(b);  // detaches the one that it held
        EXPECT_EQ(c.id(), id);
        EXPECT_EQ(c.join(), 1);
        std::vector<join_handle<int>> many;
        for (int i = 0; i < 100; ++i) many.push_back(spawn([i] { return i; }));
        int sum = 0;
        for (auto& h : many) sum += h.join();
        EXPECT_EQ(sum, 4950);
      },
      how());
}

TEST_P(Join, ADroppedHandleDetaches) {
  run(
      [] {
        chan<int> c;
        {
          const auto dropped = spawn([c]() mutable { c.send(9); });
        }
        EXPECT_EQ(c.recv(), 9);
      },
      how());
}

TEST_P(Join, ManyMayWaitForGsThatEndTogether) {
  run(
      [] {
        chan<bool> start;
        std::vector<join_handle<int>> gs;
        for (int i = 0; i < 50; ++i)
          gs.push_back(spawn([start]() mutable {
            start.recv();
            return 1;
          }));
        std::vector<join_handle<int>> joiners;
        for (auto& g : gs) joiners.push_back(spawn([h = std::move(g)]() mutable { return h.join(); }));
        start.close();
        int sum = 0;
        for (auto& j : joiners) sum += j.join();
        EXPECT_EQ(sum, 50);
      },
      how());
}

TEST_P(Join, AHandleMayOutliveItsRun) {
  join_handle<std::string> kept;
  run([&] { kept = spawn([] { return std::string(100, 'k'); }), this_g::yield(); }, how());
  const bool finished = kept.done();
  EXPECT_TRUE(finished) << "ended, or abandoned with the run";
  EXPECT_EQ(kept.id(), 2u);
  EXPECT_THROW(kept.join(), std::logic_error) << "outside a G";
  run(
      [&] {
        try {
          EXPECT_EQ(kept.join(), std::string(100, 'k'));
        } catch (const killed&) {  // was not run in time
        }
      },
      how());
}

TEST_P(Join, OfAGThatTheRunAbandonedThrowsKilled) {
  join_handle<int> kept;
  chan<int> never;
  run([&] { kept = spawn([never]() mutable { return *never.recv(); }), this_g::yield(); }, how());
  EXPECT_TRUE(kept.done());
  run([&] { EXPECT_THROW(kept.join(), killed); }, how());
}

TEST_P(Join, DoneIdCpuTimeAndStopMayBeAskedByAnyThread) {
  std::atomic<bool> stop_seen{false};
  run(
      [&] {
        auto h = spawn([&] {
          const std::stop_token token = this_g::stop_token();
          while (!token.stop_requested()) this_g::yield();
          stop_seen = true;
        });
        std::thread other([&] {
          EXPECT_EQ(h.id(), 2u);
          EXPECT_FALSE(h.done());
          EXPECT_GE(h.cpu_time(), 0ns);
          h.request_stop();
        });
        while (!h.done()) this_g::yield();
        other.join();
        EXPECT_TRUE(h.done());
      },
      how());
  EXPECT_TRUE(stop_seen.load());
}

TEST_P(Join, CpuTimeGrowsWhileItRunsAndStandsStillAfterwards) {
  run(
      [] {
        auto h = spawn([] {
          const auto until = std::chrono::steady_clock::now() + 3ms;
          while (std::chrono::steady_clock::now() < until) {
          }
          return this_g::cpu_time();
        });
        while (!h.done()) this_g::yield();
        const auto total = h.cpu_time();
        EXPECT_GT(total, 0ns);
        EXPECT_EQ(h.cpu_time(), total);
        EXPECT_LE(h.join(), total) << "what it knew of itself just before its end";
      },
      how());
}

TEST_P(Join, WhatAHandleTellsStaysTrueAfterTheJoin) {
  run(
      [] {
        auto h = spawn([] { this_g::yield(); });
        const std::uint64_t id = h.id();
        h.join();
        EXPECT_TRUE(h.done());
        EXPECT_EQ(h.id(), id);
        EXPECT_GT(h.cpu_time(), 0ns);
        const join_handle<void> moved = std::move(h);
        EXPECT_TRUE(moved.done());
        EXPECT_EQ(moved.id(), id);
      },
      how());
}

TEST_P(Join, CpuTimeLeavesOutWaiting) {
  run(
      [] {
        auto h = spawn([] { this_g::sleep_for(50ms); });
        while (!h.done()) this_g::sleep_for(1ms);
        EXPECT_LT(h.cpu_time(), 50ms);
      },
      how());
}

TEST_P(Join, InfoCountsThePreemptionsOfTheG) {
  if (!preempts() || GetParam().procs != 1) GTEST_SKIP() << "on more Ps nobody may wait for this one";
  run(
      [] {
        chan<bool> enough(1);
        auto h = spawn([enough]() mutable {
          while (!enough.try_recv()) preempt_point();
        });
        while (h.info().preempts() < 5) this_g::yield();
        bool yes = true;
        enough.try_send(yes);
        while (!h.done()) this_g::yield();
        const g_info of_it = h.info();
        const stats s = snapshot();
        EXPECT_FALSE(of_it.running);
        EXPECT_GE(of_it.preempts(), 5u);
        EXPECT_LE(of_it.preempts_cooperative, s.preempts_cooperative);
        EXPECT_LE(of_it.preempts_by_signal(), s.preempts_by_signal());
        EXPECT_LE(of_it.promotions, of_it.preempts_async);
        EXPECT_GT(of_it.max_wait_ns, 0);
      },
      how());
}

TEST_P(Join, TheStopTokenIsTheGsOwn) {
  run(
      [] {
        auto asked = spawn([] {
          while (!this_g::stop_token().stop_requested()) this_g::yield();
          return true;
        });
        auto not_asked = spawn([] { return this_g::stop_token().stop_requested(); });
        asked.request_stop();
        EXPECT_TRUE(asked.join());
        EXPECT_FALSE(not_asked.join());
        EXPECT_FALSE(this_g::stop_token().stop_requested());
      },
      how());
}

TEST_P(Join, RequestStopRunsTheStopCallbacks) {
  run(
      [] {
        std::atomic<int> called{0};
        chan<bool> ready, over;
        auto h = spawn([&, ready, over]() mutable {
          const std::stop_callback on_stop(this_g::stop_token(), [&] { ++called; });
          ready.send(true);
          over.recv();
        });
        ready.recv();
        h.request_stop();
        h.request_stop();
        EXPECT_EQ(called.load(), 1);
        over.send(true);
        h.join();
      },
      how());
}

TEST_P(Join, AGThatUsedUpItsCpuLimitIsKilled) {
  if (!preempts()) GTEST_SKIP() << "a limit is looked at when a slice ends";
  run(
      [] {
        auto greedy = spawn({.cpu_limit = 5ms}, [] {
          for (;;) preempt_point();
        });
        auto other = spawn([&] {
          while (!greedy.done()) this_g::yield();  // somebody for whom it is preempted
        });
        other.join();
        EXPECT_GE(greedy.cpu_time(), 5ms);
        EXPECT_THROW(greedy.join(), killed);
        EXPECT_EQ(spawn({.cpu_limit = 10s}, [] { return 1; }).join(), 1);
      },
      how());
}

}  // namespace
}  // namespace urge::test
