// SPDX-License-Identifier: MIT
// Who gets how much: hogs against each other, by weight, against those that wait often. Shares are compared as counts
// within one run; the bounds are those that a broken scheduler misses by far.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <algorithm>
#include <atomic>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Fairness : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Fairness, testing::ValuesIn(settings({1, 2})), name_setting());
class HogFairness : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, HogFairness, testing::ValuesIn(async_settings({1, 2, 4})), name_setting());
// Weights are a matter of one P: quanta long against the delays of sysmon on a busy machine.
class Weights : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Weights,
                         testing::Values(setting{1, preempt_mode::cooperative, 5ms},
                                         setting{1, preempt_mode::async, 5ms}),
                         name_setting());

// Sources: Go's TestPreemption family and fixedbugs/issue19182: three hogs that call nothing, call functions that are
// no yield points, or store atomically; main sees all three at work although there is one P.
TEST_P(HogFairness, HogsOfAnyKindDoNotKeepThePFromOthers) {
  URGE_TEST_NEEDS_ASYNC();
  static std::atomic<std::uint64_t> counted;
  static std::atomic<int> seen;
  counted = 0, seen = 0;
  run(
      [] {
        go([] {
          ++seen;
          for (;;) counted.fetch_add(1, std::memory_order_relaxed);
        });
        go([] {
          ++seen;
          std::uint64_t x = 1;
          for (;;) asm volatile("imulq $3, %0" : "+r"(x));
        });
        go([] {
          ++seen;
          for (;;) asm volatile("");
        });
        while (seen != 3 || counted == 0) this_g::yield();
        EXPECT_EQ(spawn([] { return 1; }).join(), 1);
      },
      how());
  if (GetParam().procs < 4) {
    EXPECT_GE(snapshot().preempts_by_signal(), 1u);  // four Ps have room for all
  }
}

TEST_P(HogFairness, ManyHogsAllMakeProgressAgainAndAgain) {
  URGE_TEST_NEEDS_ASYNC();
  constexpr std::size_t n = 12;
  std::vector<std::atomic<std::uint64_t>> steps(n);  // the hogs count on until the run has ended
  run(
      [&steps] {
        for (std::size_t i = 0; i < n; ++i)
          go([&steps, i] {
            for (;;) steps[i].fetch_add(1, std::memory_order_relaxed);
          });
        std::vector<std::uint64_t> last(n);
        for (int round = 0; round < 3; ++round)
          for (std::size_t i = 0; i < n; ++i) {
            while (steps[i] == last[i]) this_g::yield();
            last[i] = steps[i];
          }
      },
      how());
}

// Two Gs hand a flag to and fro by spinning: each needs the other to run. Source: Go's TestPreemption.
TEST_P(HogFairness, SpinningForEachOtherEnds) {
  URGE_TEST_NEEDS_ASYNC();
  run(
      [] {
        std::atomic<int> turn{0};
        const auto player = [&turn](int me) {
          for (int i = 0; i < 5; ++i) {
            while (turn != 2 * i + me) {
            }
            ++turn;
          }
        };
        auto a = spawn(player, 0), b = spawn(player, 1);
        a.join(), b.join();
        EXPECT_EQ(turn.load(), 10);
      },
      how());
}

// A pair that plays ping-pong beside a hog pair that computes long between its hops, on one P. Without slices that are
// inherited by whom one wakes, the pair would hop once per slice of the hogs. Source: Go's TestPingPongHog, whose bound
// is 20 with a gap of 1000 where the scheduler is wrong.
TEST_P(Fairness, APingPongPairKeepsUpWithAPairOfHogs) {
  if (GetParam().procs != 1 || !preempts()) GTEST_SKIP() << "a matter of slices on one P";
  constexpr std::uint64_t wanted = 3000;
  std::uint64_t light_work = 0, hog_work = 0;
  run(
      [&] {
        std::atomic<bool> over{false};
        struct pair {
          chan<bool> there, back;
          std::uint64_t work = 0;
        };
        pair light, hog;
        const auto play = [&over](pair& p, std::uint64_t steps) {
          const auto side = [&over, steps](chan<bool> in, chan<bool> out, std::uint64_t* work) {
            while (in.recv()) {
              for (std::uint64_t i = 0; i < steps; ++i) asm volatile("");
              *work += steps;
              if (over) return out.close();
              out.send(true);
            }
            if (over) out.close();
          };
          go(side, p.there, p.back, &p.work);
          go([side, &p]() mutable {
            p.there.send(true);
            std::uint64_t none = 0;
            side(p.back, p.there, &none);
          });
        };
        play(hog, 100'000);
        play(light, 1'000);
        // In steps of work, not of time: until both have done much.
        while (light.work < wanted * 1'000 || hog.work < wanted * 1'000) this_g::sleep_for(1ms);
        light_work = light.work, hog_work = hog.work;
      },
      how());
  EXPECT_LT(std::max(light_work, hog_work), 20 * std::min(light_work, hog_work))
      << "light " << light_work << ", hog " << hog_work;
}

// A G that often waits gets through although hogs want the same P.
TEST_P(HogFairness, SleepersAndYieldersRunBesideHogs) {
  URGE_TEST_NEEDS_ASYNC();
  run(
      [] {
        for (int i = 0; i < 3; ++i)
          go([] {
            for (;;) asm volatile("");
          });
        auto sleeper = spawn([] {
          for (int i = 0; i < 5; ++i) this_g::sleep_for(100us);
        });
        auto yielder = spawn([] {
          for (int i = 0; i < 5; ++i) this_g::yield();
        });
        chan<int> c;
        go([c]() mutable {
          for (int i = 0; i < 5; ++i) c.send(i);
        });
        for (int i = 0; i < 5; ++i) EXPECT_EQ(c.recv(), i);
        sleeper.join(), yielder.join();
      },
      how());
}

// One hog per weight on one P, until the first has had the time of so many slices. Returns what each has done
// meanwhile, not its CPU time: that goes on while the kernel runs another program on the M's processor.
std::vector<std::uint64_t> compete(const options& how, const std::vector<unsigned>& weights, std::uint64_t slices) {
  std::vector<std::uint64_t> work(weights.size(), 0);
  run(
      [&] {
        std::atomic<bool> over{false};
        std::vector<join_handle<void>> all;
        for (std::size_t i = 0; i < weights.size(); ++i)
          all.push_back(spawn({.weight = weights[i]}, [&, i] {
            for (; !over; ++work[i]) preempt_point();
          }));
        // The one that looks cuts slices short, so they are not counted.
        while (all[0].cpu_time() < static_cast<std::int64_t>(slices) * how.quantum) this_g::sleep_for(2ms);
        over = true;
        for (auto& h : all) h.join();
      },
      how);
  return work;
}

TEST_P(Weights, EqualOnesGetAboutTheSame) {
  const auto work = compete(how(), {1, 1, 1, 1}, 40);
  const auto [least, most] = std::minmax_element(work.begin(), work.end());
  EXPECT_LT(*most, 2 * *least);
}

TEST_P(Weights, SharesAreInTheOrderOfWeights) {
  const auto work = compete(how(), {1, 2, 4}, 10);
  EXPECT_LT(work[0], work[1]);
  EXPECT_LT(work[1], work[2]);
  EXPECT_GT(work[2], 2 * work[0]) << "four to one";
}

// A slice is four quanta at most, so beyond that the others' slices are shortened.
TEST_P(Weights, AboveFourTheyStillHold) {
  const auto work = compete(how(), {1, 8}, 10);
  EXPECT_GT(work[1], 4 * work[0]) << "eight to one";
  const auto three = compete(how(), {1, 4, 16}, 10);
  EXPECT_LT(three[0], three[1]);
  EXPECT_LT(three[1], three[2]);
}

TEST_P(Weights, AHeavyOneThatEndedLeavesNoTrace) {
  compete(how(), {1, 100}, 2);
  const auto work = compete(how(), {1, 1}, 20);
  EXPECT_LT(work[1], 2 * work[0]);
  EXPECT_LT(work[0], 2 * work[1]);
}

// All Gs that are runnable come to run, whichever queue they are in.
TEST_P(Fairness, TheGlobalQueueIsNotForgotten) {
  run(
      [preempted = preempts()] {
        std::atomic<bool> over{false};
        std::vector<join_handle<void>> busy;
        for (int i = 0; i < 3; ++i)
          busy.push_back(spawn([&] {
            while (!over) this_g::yield();
          }));
        // More than a local queue holds: half of it goes to the global one.
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 2000; ++i) all.push_back(spawn([] { this_g::yield(); }));
        for (auto& h : all) h.join();
        over = true;
        for (auto& h : busy) h.join();
      },
      how());
}

}  // namespace
}  // namespace urge::test
