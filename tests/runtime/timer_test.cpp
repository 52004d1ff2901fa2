// SPDX-License-Identifier: MIT
// urge::timer, after_func and ticker.
#include <urge/time.hpp>

#include <urge/go.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

using std::chrono::steady_clock;

class Timer : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Timer, testing::ValuesIn(settings()), name_setting());

TEST_P(Timer, SendsTheTimeOnce) {
  run(
      [] {
        const auto from = steady_clock::now();
        timer t(2ms);
        const auto when = t.c.recv();
        ASSERT_TRUE(when);
        EXPECT_GE(*when, from + 2ms);
        EXPECT_FALSE(t.stop());
        EXPECT_EQ(t.c.recv_until(steady_clock::now() + 1ms), std::nullopt);
      },
      how());
}

TEST_P(Timer, StopSaysWhetherItWasPending) {
  run(
      [] {
        timer t(1h);
        EXPECT_TRUE(t.stop());
        EXPECT_FALSE(t.stop());
        EXPECT_FALSE(t.reset(1h));
        EXPECT_TRUE(t.reset(1us));
        EXPECT_TRUE(t.c.recv());
        EXPECT_FALSE(t.reset(1us));
        EXPECT_TRUE(t.c.recv());
        timer never(std::chrono::hours::max());
        EXPECT_TRUE(never.stop());
      },
      how());
}

TEST_P(Timer, NothingStaleIsReceivedAfterStopOrReset) {
  run(
      [] {
        timer t(0s);
        yield_until([&] { return t.c.size() == 1; });
        EXPECT_FALSE(t.stop());
        EXPECT_EQ(t.c.try_recv(), std::nullopt);
        t.reset(0s);
        yield_until([&] { return t.c.size() == 1; });
        const auto from = steady_clock::now();
        EXPECT_FALSE(t.reset(2ms));
        EXPECT_GE(*t.c.recv(), from + 2ms);
      },
      how());
}

TEST_P(Timer, StaysWithItsChannel) {
  run(
      [] {
        auto c = timer(1ms).c;
        EXPECT_TRUE(c.recv());
        for (int i = 0; i < 1000; ++i) timer(std::chrono::microseconds(i % 50));
      },
      how());
}

class AfterFunc : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, AfterFunc, testing::ValuesIn(settings()), name_setting());

TEST_P(AfterFunc, CallsOnAGOfItsOwnOncePerReset) {
  run(
      [] {
        chan<std::uint64_t> calls(8);
        timer t = after_func(1ms, [calls]() mutable { calls.send(this_g::id()); });
        EXPECT_NE(calls.recv(), this_g::id());
        EXPECT_EQ(calls.recv_until(steady_clock::now() + 2ms), std::nullopt);
        EXPECT_FALSE(t.reset(1us));
        EXPECT_TRUE(calls.recv());
        EXPECT_FALSE(t.reset(1h));
        EXPECT_TRUE(t.reset(1us));
        EXPECT_TRUE(calls.recv());
        EXPECT_EQ(calls.recv_until(steady_clock::now() + 2ms), std::nullopt);
        EXPECT_EQ(t.c.try_recv(), std::nullopt);
      },
      how());
}

// Each is called, or stop has said that it was pending: never both, never neither.
TEST_P(AfterFunc, IsCalledOrStopped) {
  const int n = scaled(2000);
  run(
      [n] {
        std::atomic<int> called{0};
        int stopped = 0;
        for (int i = 0; i < n; ++i) {
          timer t = after_func(std::chrono::microseconds(i % 20), [&called] { ++called; });
          if (i % 3 == 0) this_g::yield();
          for (volatile int k = 0; k < i % 7 * 300;) k = k + 1;
          stopped += t.stop();
        }
        yield_until([&] { return called + stopped >= n; });
        this_g::sleep_for(1ms);
        EXPECT_EQ(called + stopped, n);
      },
      how());
}

class Ticker : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Ticker, testing::ValuesIn(settings()), name_setting());

TEST_P(Ticker, TicksNoMoreOftenThanItsPeriod) {
  run(
      [] {
        const auto from = steady_clock::now();
        ticker t(1ms);
        for (int i = 1; i <= 5; ++i) EXPECT_GE(*t.c.recv(), from + i * 1ms);
        t.stop();
        EXPECT_EQ(t.c.recv_until(steady_clock::now() + 3ms), std::nullopt);
        const auto again = steady_clock::now();
        t.reset(2ms);
        for (int i = 1; i <= 3; ++i) EXPECT_GE(*t.c.recv(), again + i * 2ms);
      },
      how());
}

TEST_P(Ticker, DropsTicksForASlowReceiver) {
  run(
      [] {
        ticker t(100us);
        yield_until([&] { return t.c.size() == 1; });
        const auto fired = snapshot().timers_fired;
        yield_until([&] { return snapshot().timers_fired >= fired + 5; });
        EXPECT_EQ(t.c.size(), 1u);
        EXPECT_TRUE(t.c.recv());
        EXPECT_TRUE(t.c.recv());
      },
      how());
}

TEST_P(Ticker, WantsADurationAboveZero) {
  run(
      [] {
        EXPECT_THROW(ticker(0s), std::invalid_argument);
        EXPECT_THROW(ticker(-1ms), std::invalid_argument);
        ticker t(std::chrono::hours::max());
        EXPECT_THROW(t.reset(0s), std::invalid_argument);
        EXPECT_EQ(t.c.try_recv(), std::nullopt);
      },
      how());
}

TEST_P(Ticker, StoppingDroppingAndSettingWhileItFiresIsSafe) {
  const int n = scaled(300);
  run(
      [n] {
        std::vector<join_handle<void>> all;
        for (int g = 0; g < 4; ++g)
          all.push_back(spawn([n, g] {
            for (int i = 0; i < n; ++i) {
              ticker t(std::chrono::microseconds(1 + i % 5));
              if (i % 2) t.c.recv();
              if (i % 3) t.reset(std::chrono::microseconds(1 + g));
              if (i % 5 == 0) t.stop();
            }
          }));
        for (auto& h : all) h.join();
      },
      how());
}

// Those that wake have their turn as often as those that stand in the queues, however many these are. One P: where the
// machine holds up one of two, the other goes on with its queue.
class DueTimers : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, DueTimers, testing::ValuesIn(settings({1})), name_setting());

TEST_P(DueTimers, DoNotWaitForTheQueues) {
  constexpr std::size_t queued = 20'000, sleepers = 400;
  if (GetParam().preempt == preempt_mode::off) GTEST_SKIP() << "what sysmon wakes is a G like any other there";
  run(
      [] {
        std::vector<steady_clock::time_point> begun(queued), due(sleepers), woken(sleepers);
        wait_group asleep, over;
        asleep.add(sleepers), over.add(queued + sleepers);
        for (std::size_t i = 0; i < sleepers; ++i)
          go([&, i] {
            due[i] = steady_clock::now() + 2ms + std::chrono::microseconds(i * 37 % 10'000);
            asleep.done();
            this_g::sleep_until(due[i]);
            woken[i] = steady_clock::now();
            over.done();
          });
        asleep.wait();
        for (std::size_t i = 0; i < queued; ++i)
          go([&, i] {
            begun[i] = steady_clock::now();
            while (steady_clock::now() < begun[i] + 2us) {
            }
            over.done();
          });
        over.wait();
        // How many of the others began between the moment and the wake-up: a pause of the machine is none.
        std::sort(begun.begin(), begun.end());
        const auto before = [&](auto t) { return std::lower_bound(begun.begin(), begun.end(), t) - begun.begin(); };
        std::vector<std::ptrdiff_t> others;
        for (std::size_t i = 0; i < sleepers; ++i) others.push_back(before(woken[i]) - before(due[i]));
        std::sort(others.begin(), others.end());
        // Behind the queues, it would be most of them. Those that wake at once have half of the time.
        EXPECT_LT(others[sleepers / 2], queued / 4) << "the largest: " << others.back();
      },
      how());
}

TEST(TimersOutsideAG, AreRefused) {
  EXPECT_THROW(timer(1s), std::logic_error);
  EXPECT_THROW(ticker(1s), std::logic_error);
  EXPECT_THROW(after_func(1s, [] {}), std::logic_error);
}

}  // namespace
}  // namespace urge::test
