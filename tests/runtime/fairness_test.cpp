// SPDX-License-Identifier: MIT
// Who gets how much: hogs against each other, by weight, against those that wait often. Shares are compared as counts
// within one run; the bounds are those that a broken scheduler misses by far.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>
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

// One hog per weight on one P, and nobody whose wake-ups would cut slices short. Shares are turns times their length;
// work and CPU time would tell what the kernel did with the M meanwhile. It takes long spells from an M on a busy
// machine: slices get longer by that, not shorter. So each hog must have the slices it has a right to, and one at least
// that is no longer. They go on until that is so.
void compete(const options& how, const std::vector<unsigned>& weights,
             const std::vector<std::chrono::nanoseconds>& due) {
  struct hog {
    std::vector<std::chrono::nanoseconds> slices;
    bool in_time = false;
  };
  using clock = std::chrono::steady_clock;
  constexpr std::size_t enough = 12;
  std::vector<hog> hogs(weights.size());
  const auto give_up = clock::now() + 30s;
  std::atomic<std::size_t> turn{weights.size()};
  clock::time_point begun;  // the slice of `turn`
  std::atomic<bool> over{false};
  const auto body = [&](std::size_t me) {
    for (; !over; preempt_point()) {
      if (turn == me) continue;
      const auto now = clock::now();
      const std::size_t before = turn.exchange(me);
      const auto slice = now - std::exchange(begun, now);
      if (before == hogs.size()) continue;
      hogs[before].slices.push_back(slice);
      if (2 * slice < 3 * due[before]) hogs[before].in_time = true;
      const bool all = std::ranges::all_of(hogs, [](auto& h) { return h.in_time && h.slices.size() >= enough; });
      if (all || now > give_up) over = true;
    }
  };
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (std::size_t i = 0; i < weights.size(); ++i) all.push_back(spawn({.weight = weights[i]}, body, i));
        for (auto& h : all) h.join();
      },
      how);
  std::size_t most = 0, fewest = SIZE_MAX;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    auto& slices = hogs[i].slices;
    most = std::max(most, slices.size()), fewest = std::min(fewest, slices.size());
    ASSERT_GE(slices.size(), enough) << "weight " << weights[i];
    EXPECT_TRUE(hogs[i].in_time) << "weight " << weights[i] << ": each slice is longer than due";
    std::ranges::sort(slices);
    EXPECT_GT(slices[slices.size() / 2], due[i] * 9 / 10) << "weight " << weights[i];
  }
  EXPECT_LE(most - fewest, 1u) << "they take turns";
}

TEST_P(Weights, EqualOnesGetTheSame) { compete(how(), {1, 1, 1, 1}, {5ms, 5ms, 5ms, 5ms}); }

TEST_P(Weights, SlicesAreAsTheWeights) { compete(how(), {1, 2, 4}, {5ms, 10ms, 20ms}); }

// A slice is four quanta at most, so beyond that the others' slices are shortened.
TEST_P(Weights, AboveFourTheyStillHold) {
  compete(how(), {1, 8}, {2500us, 20ms});
  compete(how(), {1, 4, 16}, {1250us, 5ms, 20ms});
}

TEST_P(Weights, AHeavyOneThatEndedLeavesNoTrace) {
  compete(how(), {1, 100}, {200us, 20ms});
  compete(how(), {1, 1}, {5ms, 5ms});
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
