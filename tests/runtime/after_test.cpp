// SPDX-License-Identifier: MIT
// urge::after: a channel that gets the time once.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/runtime.hpp>
#include <urge/time.hpp>

#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

using std::chrono::steady_clock;

class After : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, After, testing::ValuesIn(settings()), name_setting());

TEST_P(After, SendsTheTimeWhenTheDurationHasPassed) {
  run(
      [] {
        const auto from = steady_clock::now();
        const auto when = after(3ms).recv();
        ASSERT_TRUE(when);
        EXPECT_GE(*when, from + 3ms);
        EXPECT_LE(*when, steady_clock::now());
      },
      how());
}

TEST_P(After, SendsOnce) {
  run(
      [] {
        auto c = after(0s);
        EXPECT_TRUE(c.recv());
        EXPECT_EQ(c.try_recv(), std::nullopt);
        EXPECT_EQ(c.recv_until(steady_clock::now() + 2ms), std::nullopt);
        EXPECT_TRUE(after(-5s).recv());
      },
      how());
}

TEST_P(After, OneThatIsDroppedNeverFires) {
  run(
      [] {
        for (int i = 0; i < 1000; ++i) after(1h);
        for (int i = 0; i < 1000; ++i) after(std::chrono::microseconds(i % 50));
      },
      how());
}

TEST_P(After, DroppingOneWhileItFiresIsSafe) {
  const int n = scaled(400);
  run(
      [n] {
        std::vector<join_handle<void>> all;
        for (int g = 0; g < 4; ++g)
          all.push_back(spawn([n] {
            for (int i = 0; i < n; ++i) {
              auto c = after(5us);
              if (i % 2) c.recv_until(steady_clock::now() + 5us);
            }
          }));
        for (auto& h : all) h.join();
      },
      how());
}

// The heap gives them in the order of their times (Timers.*); two who fire some each, a P and sysmon, may be through
// with theirs in any.
TEST_P(After, EachOfManyFiresBehindItsTime) {
  run(
      [] {
        struct one {
          time_point not_before;
          chan<time_point> c;
        };
        std::vector<one> all;
        for (int i = 0; i < 200; ++i) {
          const auto d = std::chrono::microseconds(20 * ((i * 7) % 200));
          const auto earliest = steady_clock::now() + d;
          all.push_back({earliest, after(d)});
        }
        for (one& a : all) EXPECT_GE(*a.c.recv(), a.not_before);
      },
      how());
}

TEST_P(After, ALongOneNeitherFiresNorHoldsUpTheEndOfTheRun) {
  run(
      [] {
        auto c = after(std::chrono::hours::max());
        go([c]() mutable { c.recv(); });
        this_g::sleep_for(1ms);
        EXPECT_EQ(c.try_recv(), std::nullopt);
      },
      how());
}

TEST_P(After, AHandleMayOutliveItsRun) {
  chan<time_point> kept;
  run([&] { kept = after(1h); }, how());
  EXPECT_EQ(kept.try_recv(), std::nullopt);
  kept = chan<time_point>();
  run([&] { kept = after(0s), this_g::sleep_for(1ms); }, how());
  EXPECT_TRUE(kept.try_recv());
}

// All Ps are busy with code that never stops: sysmon must look after the timers. Source: Go's issue 25686.
TEST_P(After, FiresWhileAllPsAreBusy) {
  if (!async()) GTEST_SKIP() << "nothing else stops such a G";
  const unsigned n = GetParam().procs;
  run(
      [n] {
        for (unsigned i = 0; i < 2 * n; ++i)
          go([] {
            for (;;) {
            }
          });
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(after(1ms).recv());
      },
      how());
}

}  // namespace
}  // namespace urge::test
