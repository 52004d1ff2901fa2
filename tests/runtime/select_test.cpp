// SPDX-License-Identifier: MIT
// select: which case it takes, that it takes one only, and that nothing is lost while many select on the same channels.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <array>
#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Select : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Select, testing::ValuesIn(settings({1, 2, 4, 8})), name_setting());

constexpr auto ignore = [](auto&&...) {};

TEST_P(Select, ReturnsTheIndexInTheOrderGiven) {
  run(
      [] {
        chan<int> a(1), b(1), none;
        int from = 0;
        a.send(10);
        EXPECT_EQ(select(on_recv(none, ignore), on_recv(a, [&](auto v) { from = *v; }), on_recv(none, ignore)), 1u);
        EXPECT_EQ(from, 10);
        b.send(20);
        EXPECT_EQ(select(otherwise(ignore), on_recv(none, ignore), on_recv(b, [&](auto v) { from = *v; })), 2u);
        EXPECT_EQ(from, 20);
        EXPECT_EQ(select(on_recv(a, ignore), on_send(none, 1, ignore), otherwise([&] { from = 30; })), 2u);
        EXPECT_EQ(from, 30);
        EXPECT_EQ(select(otherwise([&] { from = 40; }), on_recv(a, ignore)), 0u);
        EXPECT_EQ(from, 40);
      },
      how());
}

TEST_P(Select, RunsTheFunctionOfTheChosenCaseOnly) {
  run(
      [] {
        chan<int> a(4), b(4);
        int ran_a = 0, ran_b = 0;
        for (int i = 0; i < 100; ++i) {
          if (a.size() == 0) a.send(1);
          if (b.size() == 0) b.send(1);
          select(on_recv(a, [&](auto) { ++ran_a; }), on_recv(b, [&](auto) { ++ran_b; }));
          EXPECT_EQ(ran_a + ran_b, i + 1);
        }
      },
      how());
}

TEST_P(Select, WaitsForTheFirstThatGetsReady) {
  run(
      [] {
        chan<int> a, b;
        chan<std::string> c;
        auto h = spawn([=]() mutable {
          std::string got;
          for (int i = 0; i < 3; ++i)
            select(on_recv(a, [&](auto v) { got += "a" + std::to_string(*v); }), on_send(b, 7, [&] { got += "b"; }),
                   on_recv(c, [&](auto v) { got += *v; }));
          return got;
        });
        for (int i = 0; i < 10; ++i) this_g::yield();
        c.send("c");
        for (int i = 0; i < 10; ++i) this_g::yield();
        EXPECT_EQ(b.recv(), 7);
        a.send(1);
        EXPECT_EQ(h.join(), "cba1");
      },
      how());
}

TEST_P(Select, ChoosesUniformlyAmongThoseThatAreReady) {
  // Ten sigma of a binomial distribution. Source: Go's TestSelectFairness.
  constexpr int trials = 10'000;
  run(
      [] {
        chan<int> a(1), b(1), full(1);
        full.send(0);
        std::array<int, 3> chosen{};
        for (int i = 0; i < trials; ++i) {
          if (a.size() == 0) a.send(1);
          if (b.size() != 0) b.recv();
          ++chosen[select(on_recv(a, ignore), on_send(b, 2, ignore), after(0s, ignore), on_send(full, 1, ignore))];
        }
        const double p = 1.0 / 3, sigma = std::sqrt(trials * p * (1 - p));
        for (const int n : chosen) EXPECT_LT(std::abs(n - trials * p), 10 * sigma);
      },
      how());
}

TEST_P(Select, ReadsAClosedChannelAtOnceAndThrowsForASendToOne) {
  run(
      [] {
        chan<int> open, shut(1);
        shut.send(5);
        shut.close();
        std::optional<int> got;
        EXPECT_EQ(select(on_recv(open, ignore), on_recv(shut, [&](auto v) { got = v; })), 1u);
        EXPECT_EQ(got, 5);
        EXPECT_EQ(select(on_recv(open, ignore), on_recv(shut, [&](auto v) { got = v; })), 1u);
        EXPECT_EQ(got, std::nullopt);
        EXPECT_THROW(select(on_recv(open, ignore), on_send(shut, 1, ignore)), closed);
        EXPECT_THROW(select(on_send(shut, 1, ignore), otherwise(ignore)), closed);
      },
      how());
}

TEST_P(Select, IsWokenByAClose) {
  run(
      [] {
        chan<int> a, b, c, d;
        auto receiver = spawn([=]() mutable {
          bool told = false;
          const std::size_t i = select(on_recv(a, ignore), on_recv(b, [&](auto v) { told = !v; }));
          return i == 1 && told;
        });
        auto sender = spawn([=]() mutable { select(on_send(c, 1, ignore), on_send(d, 1, ignore)); });
        for (int i = 0; i < 20; ++i) this_g::yield();
        b.close();
        d.close();
        EXPECT_TRUE(receiver.join());
        EXPECT_THROW(sender.join(), closed);
        EXPECT_EQ(c.try_recv(), std::nullopt) << "its other case is off";
      },
      how());
}

TEST_P(Select, AfterRunsWhenNothingElseIsReadyInTime) {
  run(
      [] {
        chan<int> never;
        const auto from = std::chrono::steady_clock::now();
        EXPECT_EQ(select(on_recv(never, ignore), after(2ms, ignore)), 1u);
        EXPECT_GE(std::chrono::steady_clock::now() - from, 2ms);
        EXPECT_EQ(select(after(1h, ignore), after(1ms, ignore), after(1min, ignore)), 1u) << "the earliest of several";
        EXPECT_EQ(select(after(-1s, ignore), on_recv(never, ignore)), 0u);
        EXPECT_EQ(select(after(1h, ignore), otherwise(ignore)), 1u);
        EXPECT_EQ(select(after(0s, ignore), otherwise(ignore)), 0u) << "elapsed is ready";
        chan<int> one(1);
        one.send(1);
        EXPECT_EQ(select(on_recv(one, ignore), after(1h, ignore)), 0u);
      },
      how());
}

TEST_P(Select, AnAfterIsTakenAlthoughTheOthersAreAlwaysReady) {
  // Source: Go's TestTimerFairness.
  if (!preempts()) GTEST_SKIP() << "without preemption two senders and a receiver may keep the P to themselves";
  run(
      [] {
        chan<int> c;
        for (int i = 0; i < 2; ++i)
          go([c]() mutable {
            for (;;) c.send(1);
          });
        const auto deadline = urge::spawn([] { this_g::sleep_for(20ms); });
        while (!deadline.done()) select(on_recv(c, ignore), after(1h, ignore));
        while (select(on_recv(c, ignore), after(0s, ignore)) != 1) {
        }
      },
      how());
}

TEST_P(Select, TakesTheSameChannelTwice) {
  run(
      [] {
        chan<int> c(1);
        std::array<int, 2> chosen{};
        for (int i = 0; i < 1000; ++i) {
          c.send(i);
          ++chosen[select(on_recv(c, ignore), on_recv(c, ignore))];
        }
        EXPECT_GT(chosen[0], 0);
        EXPECT_GT(chosen[1], 0);
        chan<int> none;
        auto h = spawn([none]() mutable { return select(on_recv(none, ignore), on_recv(none, ignore)); });
        for (int i = 0; i < 10; ++i) this_g::yield();
        none.send(1);
        EXPECT_LT(h.join(), 2u);
      },
      how());
}

// A select that sends and receives on one channel must not meet itself. Source: Go's TestSelfSelect.
TEST_P(Select, DoesNotMatchItself) {
  const int n = scaled(1000);
  run(
      [n] {
        for (const std::size_t cap : {0u, 1u, 10u}) {
          chan<int> c(cap);
          std::vector<join_handle<bool>> both;
          for (int me = 0; me < 2; ++me)
            both.push_back(spawn([c, me, n, cap]() mutable {
              bool right = true;
              for (int i = 0; i < n; ++i) {
                const auto check = [&](std::optional<int> v) { right = right && (!v || cap != 0 || *v != me); };
                if (i % 2 == 0)
                  select(on_send(c, me, ignore), on_recv(c, check));
                else
                  select(on_recv(c, check), on_send(c, me, ignore));
              }
              return right;
            }));
          // One may be left waiting when the other has done its rounds.
          while (!both[0].done() || !both[1].done()) {
            if (both[0].done() || both[1].done()) {
              int v = 5;
              if (!c.try_recv()) c.try_send(v);
            }
            this_g::yield();
          }
          for (auto& h : both) EXPECT_TRUE(h.join()) << "received its own value";
        }
      },
      how());
}

TEST_P(Select, SendsAValueOnlyIfChosen) {
  run(
      [] {
        chan<std::shared_ptr<int>> a(1), b;
        auto v = std::make_shared<int>(1), w = std::make_shared<int>(2);
        EXPECT_EQ(select(on_send(b, w, ignore), on_send(a, v, ignore)), 1u);
        EXPECT_EQ(w.use_count(), 1);
        EXPECT_EQ(v.use_count(), 2);
        EXPECT_EQ(**a.recv(), 1);
        EXPECT_EQ(v.use_count(), 1);
        chan<std::unique_ptr<int>> moved(1);
        EXPECT_EQ(select(on_send(moved, std::make_unique<int>(3), ignore)), 0u);
        std::unique_ptr<int> got;
        EXPECT_EQ(select(on_recv(moved, [&](auto p) { got = std::move(*p); })), 0u);
        EXPECT_EQ(*got, 3);
      },
      how());
}

TEST_P(Select, AnExceptionOfTheFunctionReachesTheCaller) {
  run(
      [] {
        chan<int> c(1);
        c.send(1);
        EXPECT_THROW(select(on_recv(c, [](auto) { throw 5; })), int);
        EXPECT_EQ(c.size(), 0u) << "its case had been done";
      },
      how());
}

TEST_P(Select, WithoutCasesWaitsForEver) {
  run(
      [] {
        go([] { select(); });
        auto h = spawn([] { select(); });
        for (int i = 0; i < 20; ++i) this_g::yield();
        EXPECT_FALSE(h.done());
        EXPECT_EQ(select(otherwise(ignore)), 0u);
      },
      how());
}

TEST_P(Select, SixtyFourCasesAreAllowed) {
  run(
      [] {
        std::array<chan<int>, 64> cs;
        cs[50] = chan<int>(1);
        cs[50].send(1);
        const std::size_t i = std::apply([](auto&... c) { return select(on_recv(c, ignore)...); }, cs);
        EXPECT_EQ(i, 50u);
        auto h =
            spawn([cs]() mutable { return std::apply([](auto&... c) { return select(on_recv(c, ignore)...); }, cs); });
        for (int k = 0; k < 10; ++k) this_g::yield();
        cs[63].send(1);
        EXPECT_EQ(h.join(), 63u);
      },
      how());
}

// Source: Go's TestSelectStress: senders and receivers mix waiting calls and selects on four channels.
TEST_P(Select, NothingIsLostOrDoubledAmongFourChannels) {
  const int n = scaled(3000);
  run(
      [n] {
        std::array<chan<int>, 4> c{chan<int>(0), chan<int>(0), chan<int>(2), chan<int>(3)};
        std::array<std::atomic<long>, 4> sent{}, received{};
        std::vector<join_handle<void>> all;
        for (std::size_t k = 0; k < 4; ++k) {
          all.push_back(spawn([=, &sent]() mutable {
            for (int i = 0; i < n; ++i) c[k].send(i), sent[k] += i;
          }));
          all.push_back(spawn([=, &received]() mutable {
            for (int i = 0; i < n; ++i) received[k] += *c[k].recv();
          }));
        }
        all.push_back(spawn([=, &sent]() mutable {
          std::array<int, 4> left{n, n, n, n};
          for (int total = 4 * n; total != 0; --total) {
            std::array<chan<int>, 4> to;
            for (std::size_t k = 0; k < 4; ++k)
              if (left[k] != 0) to[k] = c[k];  // a channel of its own never gets ready
            const std::size_t k = select(on_send(to[0], 1, ignore), on_send(to[1], 1, ignore),
                                         on_send(to[2], 1, ignore), on_send(to[3], 1, ignore));
            ++sent[k], --left[k];
          }
        }));
        all.push_back(spawn([=, &received]() mutable {
          std::array<int, 4> left{n, n, n, n};
          for (int total = 4 * n; total != 0; --total) {
            std::array<chan<int>, 4> from;
            for (std::size_t k = 0; k < 4; ++k)
              if (left[k] != 0) from[k] = c[k];
            int v = 0;
            const auto keep = [&](auto x) { v = *x; };
            const std::size_t k =
                select(on_recv(from[0], keep), on_recv(from[1], keep), on_recv(from[2], keep), on_recv(from[3], keep));
            received[k] += v, --left[k];
          }
        }));
        for (auto& h : all) h.join();
        for (std::size_t k = 0; k < 4; ++k) EXPECT_EQ(sent[k].load(), received[k].load()) << "channel " << k;
      },
      how());
}

// A deadline, a close and a partner race for one select, over and over.
TEST_P(Select, EndsOnceWhenEverythingHappensTogether) {
  const int n = scaled(1000);
  run(
      [n] {
        for (int i = 0; i < n; ++i) {
          chan<int> a, b;
          int ran = 0;
          auto h = spawn([=, &ran]() mutable {
            return select(on_recv(a, [&](auto) { ++ran; }), on_recv(b, [&](auto) { ++ran; }),
                          after(std::chrono::microseconds(i % 30), [&] { ++ran; }));
          });
          auto sender = spawn([a]() mutable {
            int v = 1;
            for (int k = 0; k < 20 && !a.try_send(v); ++k) this_g::yield();
          });
          b.close();
          EXPECT_LT(h.join(), 3u);
          EXPECT_EQ(ran, 1);
          sender.join();
        }
      },
      how());
}

}  // namespace
}  // namespace urge::test
