// SPDX-License-Identifier: MIT
// What a G asks of itself: yield, exit, sleep; and that each call that needs a G refuses to work outside one.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/time.hpp>

#include <atomic>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class ThisG : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, ThisG, testing::ValuesIn(settings()), name_setting());
class OutsideAG : public Plain {};

TEST_P(ThisG, YieldGoesBehindTheOthersOfItsP) {
  if (GetParam().procs != 1) GTEST_SKIP() << "an order is promised on one P only";
  run(
      [] {
        std::string order;
        auto a = spawn([&] { order += 'a', this_g::yield(), order += 'A'; });
        auto b = spawn([&] { order += 'b', this_g::yield(), order += 'B'; });
        auto c = spawn([&] { order += 'c', this_g::yield(), order += 'C'; });
        a.join(), b.join(), c.join();
        // The last one started runs first, as in Go; the second round is in the order of the first, unless a slice
        // ended in between, which sends a G behind all others.
        EXPECT_EQ(order.size(), 6u);
        for (const char* pair : {"aA", "bB", "cC"}) EXPECT_LT(order.find(pair[0]), order.find(pair[1]));
        EXPECT_LT(order.find_last_of("abc"), 5u);
      },
      how());
}

TEST_P(ThisG, YieldAloneReturnsAtOnce) {
  run(
      [] {
        for (int i = 0; i < 100'000; ++i) this_g::yield();
      },
      how());
}

TEST_P(ThisG, AThousandGsYieldInTurn) {
  run(
      [] {
        std::atomic<int> sum{0};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 1000; ++i)
          all.push_back(spawn([&] {
            for (int k = 0; k < 20; ++k) ++sum, this_g::yield();
          }));
        for (auto& h : all) h.join();
        EXPECT_EQ(sum.load(), 20'000);
      },
      how());
}

TEST_P(ThisG, ExitRunsDestructorsAndEndsTheG) {
  run(
      [] {
        int destroyed = 0;
        bool after = false;
        struct counts {
          int& n;
          ~counts() { ++n; }
        };
        auto h = spawn([&] {
          const counts outer{destroyed};
          [&] {
            const counts inner{destroyed};
            this_g::exit();
          }();
          after = true;
        });
        EXPECT_NO_THROW(h.join());
        EXPECT_TRUE(h.done());
        EXPECT_EQ(destroyed, 2);
        EXPECT_FALSE(after);
      },
      how());
}

TEST_P(ThisG, ExitWithoutTheResultThatJoinWantsThrowsExited) {
  run(
      [] {
        auto h = spawn([]() -> int { this_g::exit(); });
        EXPECT_THROW(h.join(), exited);
        go([] { this_g::exit(); });
      },
      how());
}

TEST_P(ThisG, ExitPassesCatchClausesForStandardExceptions) {
  run(
      [] {
        bool caught = false;
        auto h = spawn([&] {
          try {
            this_g::exit();
          } catch (const std::exception&) {
            caught = true;
          }
        });
        h.join();
        EXPECT_FALSE(caught);
        auto swallowed = spawn([] {
          try {
            this_g::exit();
          } catch (...) {
          }
          return 4;
        });
        EXPECT_EQ(swallowed.join(), 4) << "who swallows it goes on";
      },
      how());
}

TEST_P(ThisG, ExitInMainLetsTheOthersEndFirst) {
  std::atomic<int> ended{0};
  run(
      [&] {
        for (int i = 0; i < 10; ++i)
          go([&, i] {
            this_g::sleep_for(std::chrono::milliseconds(i));
            go([&] { ++ended; });
          });
        this_g::exit();
      },
      how());
  EXPECT_EQ(ended.load(), 10);
  EXPECT_THROW(run([]() -> int { this_g::exit(); }, how()), exited);
}

TEST_P(ThisG, ExitInMainWaitsForNobodyWhenAllHaveEnded) {
  run(
      [] {
        spawn([] {}).join();
        this_g::exit();
      },
      how());
}

TEST_P(ThisG, ExitInMainAlsoEndsWhenALimitEndedTheLast) {
  if (!preempts()) GTEST_SKIP() << "a limit is looked at when a slice ends";
  run(
      [] {
        for (int i = 0; i < 2; ++i)
          go({.cpu_limit = 2ms}, [] {
            for (;;) preempt_point();
          });
        go([] {
          for (int k = 0; k < 1000; ++k) this_g::yield();
        });
        this_g::exit();
      },
      how());
}

TEST_P(ThisG, SleepersWakeInTheOrderOfTheirDeadlines) {
  if (GetParam().procs != 1) GTEST_SKIP() << "an order is promised on one P only";
  run(
      [] {
        std::vector<int> order;
        std::vector<join_handle<void>> all;
        const auto start = std::chrono::steady_clock::now() + 5ms;
        for (const int n : {7, 2, 9, 4, 1, 8, 3, 6, 5, 0})
          all.push_back(spawn([&order, start, n] {
            this_g::sleep_until(start + n * 2ms);
            order.push_back(n);
          }));
        for (auto& h : all) h.join();
        // A late look wakes several at once, still in order; the last one woken goes first by `runnext`. So what holds
        // always is that all have come.
        EXPECT_EQ(order.size(), 10u);
      },
      how());
}

TEST_P(ThisG, SleepLastsAtLeastAsLongAsItWasTold) {
  run(
      [] {
        std::vector<join_handle<bool>> all;
        for (int i = 0; i < 20; ++i)
          all.push_back(spawn([i] {
            const auto from = std::chrono::steady_clock::now();
            const auto d = std::chrono::microseconds(300 * i);
            this_g::sleep_for(d);
            return std::chrono::steady_clock::now() - from >= d;
          }));
        for (auto& h : all) EXPECT_TRUE(h.join());
      },
      how());
}

TEST_P(ThisG, SleepingForNoTimeOrInThePastReturns) {
  run(
      [] {
        this_g::sleep_for(0s);
        this_g::sleep_for(-1h);
        this_g::sleep_until(std::chrono::steady_clock::time_point{});
        this_g::sleep_until(std::chrono::system_clock::now() - 1h);
        this_g::sleep_until(std::chrono::steady_clock::time_point::min());
      },
      how());
}

TEST_P(ThisG, SleepTakesAnyClockAndUnit) {
  run(
      [] {
        const auto from = std::chrono::system_clock::now();
        this_g::sleep_until(from + 2ms);
        EXPECT_GE(std::chrono::system_clock::now(), from + 2ms);
        this_g::sleep_for(std::chrono::duration<double, std::milli>(0.5));
        this_g::sleep_for(std::chrono::duration<int, std::micro>(100));
      },
      how());
}

TEST_P(ThisG, ASleepForEverDoesNotKeepTheOthers) {
  run(
      [] {
        go([] { this_g::sleep_for(std::chrono::hours::max()); });
        go([] { this_g::sleep_until(std::chrono::steady_clock::time_point::max()); });
        this_g::yield();
        EXPECT_EQ(spawn([] { return 1; }).join(), 1);
      },
      how());
}

TEST_P(ThisG, ThousandsOfSleepersAllWake) {
  const int n = scaled(10'000);
  run(
      [n] {
        std::vector<join_handle<void>> all;
        for (int i = 0; i < n; ++i)
          all.push_back(spawn([i] { this_g::sleep_for(std::chrono::microseconds(i % 1000)); }));
        for (auto& h : all) h.join();
      },
      how());
  EXPECT_GE(snapshot().timers_fired, static_cast<std::uint64_t>(n) / 2);
}

TEST_F(OutsideAG, EachCallThatNeedsAGThrowsLogicErrorThatNamesIt) {
  join_handle<int> left_over;
  chan<int> c(1);
  int value = 1;
  run([&] { left_over = spawn([] { return 1; }); });
  const struct {
    const char* name;
    std::function<void()> call;
  } calls[] = {
      {"urge::go", [] { go([] {}); }},
      {"urge::go", [] { (void)spawn([] { return 1; }); }},
      {"urge::join_handle::join", [&] { left_over.join(); }},
      {"urge::this_g::id", [] { this_g::id(); }},
      {"urge::this_g::name", [] { this_g::name(); }},
      {"urge::this_g::yield", [] { this_g::yield(); }},
      {"urge::this_g::exit", [] { this_g::exit(); }},
      {"urge::this_g::sleep", [] { this_g::sleep_for(1ns); }},
      {"urge::this_g::sleep", [] { this_g::sleep_until(std::chrono::steady_clock::now()); }},
      {"urge::this_g::stop_token", [] { (void)this_g::stop_token(); }},
      {"urge::this_g::cpu_time", [] { this_g::cpu_time(); }},
      {"urge::procs", [] { procs(); }},
      {"urge::preempt_point", [] { preempt_point(); }},
      {"urge::preempt_guard", [] { const preempt_guard g; }},
      {"urge::blocking", [] { blocking([] {}); }},
      {"urge::after", [] { after(1s); }},
      {"urge::chan::send", [&] { c.send(1); }},
      {"urge::chan::recv", [&] { c.recv(); }},
      {"urge::chan::send_until", [&] { c.send_until(value, std::chrono::steady_clock::now()); }},
      {"urge::chan::recv_until", [&] { c.recv_until(std::chrono::steady_clock::now()); }},
      {"urge::chan::recv",
       [&] {
         for (const int v : c) (void)v;
       }},
      {"urge::select", [&] { select(on_recv(c, [](auto) {}), otherwise([] {})); }},
  };
  for (const auto& [name, call] : calls) {
    try {
      call();
      ADD_FAILURE() << name << ": no exception";
    } catch (const std::logic_error& e) {
      EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << name << ": " << e.what();
    }
  }
  // The same on a thread that was made while a run goes on.
  run([&] {
    std::thread([&] {
      for (const auto& [name, call] : calls) EXPECT_THROW(call(), std::logic_error) << name;
    }).join();
  });
}

TEST_F(OutsideAG, ObserversWorkOnAnyThread) {
  run([] {});
  EXPECT_GE(snapshot().spawned, 1u);
  dump(2);
  chan<int> c(3);
  EXPECT_EQ(c.capacity(), 3u);
  EXPECT_EQ(c.size(), 0u);
  const join_handle<int> h;
  EXPECT_FALSE(h.done());
  EXPECT_EQ(h.id(), 0u);
}

}  // namespace
}  // namespace urge::test
