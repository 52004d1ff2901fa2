// SPDX-License-Identifier: MIT
// The counters: they begin at 0 with each run, only grow, add up, and stay readable afterwards.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <numeric>
#include <thread>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Stats : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Stats, testing::ValuesIn(settings()), name_setting());

void work(int n) {
  std::vector<join_handle<void>> all;
  for (int i = 0; i < n; ++i)
    all.push_back(spawn([] {
      this_g::yield();
      this_g::sleep_for(50us);
    }));
  for (auto& h : all) h.join();
}

// The counters that may only grow during a run.
std::vector<std::uint64_t> monotone(const stats& s) {
  std::vector<std::uint64_t> all = {s.spawned,
                                    s.finished,
                                    s.switches,
                                    s.steals,
                                    s.stolen,
                                    s.global_gets,
                                    s.handoffs,
                                    s.retakes,
                                    s.preempt_requests,
                                    s.preempt_signals,
                                    s.preempts_cooperative,
                                    s.preempts_async,
                                    s.preempts_kernel_thread,
                                    s.preempts_deferred,
                                    s.stops_under_lock,
                                    s.resumed_elsewhere,
                                    s.promoted,
                                    s.identities_taken,
                                    s.timers_fired,
                                    s.preempt_latency.count()};
  all.insert(all.end(), s.deferred_by_reason.begin(), s.deferred_by_reason.end());
  all.insert(all.end(), s.stops_by_place.begin(), s.stops_by_place.end());
  return all;
}

TEST_P(Stats, CountGsThatWereStartedAndHaveEnded) {
  run([] { work(100); }, how());
  const stats s = snapshot();
  EXPECT_EQ(s.spawned, 101u) << "with the main G";
  EXPECT_EQ(s.finished, 101u);
  EXPECT_EQ(s.live, 0u);
  EXPECT_EQ(s.abandoned, 0u);
  // A sleep that begins late, at its end or after it, needs no timer.
  EXPECT_LE(s.timers_fired, 100u);
  EXPECT_GT(s.timers_fired, 0u);
  // Nor is a yield a switch where another P has taken those that waited.
  EXPECT_GE(s.switches, 101 + s.timers_fired) << "first run, after the sleep";
}

TEST_P(Stats, BeginAtZeroWithEachRun) {
  run([] { work(50); }, how());
  run([] {}, how());
  const stats s = snapshot();
  EXPECT_EQ(s.spawned, 1u);
  EXPECT_EQ(s.finished, 1u);
  EXPECT_EQ(s.timers_fired, 0u);
  EXPECT_EQ(s.preempts_async + s.preempts_cooperative + s.retakes + s.handoffs, 0u);
  EXPECT_EQ(s.preempts_async, std::accumulate(s.stops_by_place.begin(), s.stops_by_place.end(), std::uint64_t{0}));
  EXPECT_EQ(s.preempt_latency.count(), 0u);
  EXPECT_LE(s.switches, 2u);
}

TEST_P(Stats, StayReadableAfterTheRun) {
  run([] { work(10); }, how());
  const stats a = snapshot(), b = snapshot();
  EXPECT_EQ(monotone(a), monotone(b));
}

TEST_P(Stats, OnlyGrowDuringARun) {
  run(
      [] {
        std::atomic<bool> over{false};
        auto busy = spawn([&] {
          while (!over) work(10);
        });
        auto last = monotone(snapshot());
        for (int i = 0; i < 200; ++i) {
          this_g::yield();
          const auto now = monotone(snapshot());
          for (std::size_t k = 0; k < now.size(); ++k) EXPECT_GE(now[k], last[k]) << "counter " << k;
          last = now;
        }
        over = true;
        busy.join();
      },
      how());
}

TEST_P(Stats, AddUp) {
  run(
      [preempted = preempts()] {
        std::atomic<bool> over{false};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 6; ++i)
          all.push_back(spawn([&] {
            while (!over) preempted ? preempt_point() : this_g::yield();
          }));
        work(20);
        this_g::sleep_for(2ms);
        over = true;
        for (auto& h : all) h.join();
      },
      how());
  const stats s = snapshot();
  EXPECT_EQ(s.spawned, s.finished + s.live);
  EXPECT_EQ(s.preempts_deferred,
            std::accumulate(s.deferred_by_reason.begin(), s.deferred_by_reason.end(), std::uint64_t{0}));
  EXPECT_EQ(s.preempts_by_signal(),
            std::accumulate(s.stops_by_place.begin(), s.stops_by_place.end(), std::uint64_t{0}));
  EXPECT_EQ(s.preempt_latency.count(), s.preempts_cooperative + s.preempts_by_signal());
  EXPECT_LE(s.preempts_by_signal(), s.preempt_signals);
  EXPECT_LE(s.promoted, s.preempts_async);
  EXPECT_GE(s.stolen, s.steals);
  EXPECT_GE(s.retakes, s.handoffs);
  EXPECT_GE(s.preempt_latency.max(), s.preempt_latency.percentile(99));
  EXPECT_GE(s.preempt_latency.percentile(99), s.preempt_latency.percentile(50));
  EXPECT_TRUE(preempts() || s.preempt_requests == 0);
  EXPECT_TRUE(GetParam().procs > 1 || s.steals == 0);
}

TEST_P(Stats, LiveCountsThoseThatHaveNotEnded) {
  run(
      [] {
        chan<bool> over;
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 30; ++i) all.push_back(spawn([over]() mutable { over.recv(); }));
        EXPECT_EQ(snapshot().live, 31u);
        over.close();
        for (auto& h : all) h.join();
        while (snapshot().live != 1) this_g::yield();  // join returns a moment before the end is counted
      },
      how());
  EXPECT_EQ(snapshot().live, 0u);
}

TEST_P(Stats, CountThoseThatTheRunAbandoned) {
  run(
      [] {
        for (int i = 0; i < 5; ++i) go([] { chan<int>().recv(); });
        this_g::yield();
      },
      how());
  const stats s = snapshot();
  EXPECT_EQ(s.abandoned + s.finished, 6u);
  EXPECT_EQ(s.abandoned_inside, 0u);
}

TEST_P(Stats, ThreadsAreNoMoreThanNeeded) {
  if (GetParam().preempt == preempt_mode::kernel_thread) GTEST_SKIP() << "each stopped G keeps one";
  const unsigned n = GetParam().procs;
  run(
      [n] {
        work(50);
        const stats s = snapshot();
        EXPECT_GE(s.threads, 1u);
        EXPECT_LE(s.threads, n) << "nothing has blocked in the kernel";
        EXPECT_LE(s.idle_threads, s.threads);
        EXPECT_LE(s.spinning, s.threads);
      },
      how());
}

TEST_P(Stats, MayBeReadByAnyThread) {
  run(
      [] {
        std::atomic<bool> over{false};
        std::thread other([&] {
          std::uint64_t last = 0;
          while (!over) {
            const std::uint64_t now = snapshot().spawned;
            EXPECT_GE(now, last);
            last = now;
          }
        });
        work(200);
        over = true;
        other.join();
      },
      how());
}

}  // namespace
}  // namespace urge::test
