// SPDX-License-Identifier: MIT
// Channels: order, each value once, closing, the calls that do not wait or not for long, and what kinds of values they
// carry. Source of several: Go's chan_test.go.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

using std::chrono::steady_clock;

class Chan : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Chan, testing::ValuesIn(settings({1, 2, 4, 8})), name_setting());

constexpr std::size_t capacities[] = {0, 1, 2, 3, 10, 100};

TEST_P(Chan, ReceivesInTheOrderOfSending) {
  run(
      [] {
        for (const std::size_t cap : capacities) {
          chan<int> c(cap);
          go([c]() mutable {
            for (int i = 0; i < 500; ++i) c.send(i);
          });
          for (int i = 0; i < 500; ++i) EXPECT_EQ(c.recv(), i);
        }
      },
      how());
}

TEST_P(Chan, AReceiverWaitsForASender) {
  run(
      [] {
        for (const std::size_t cap : capacities) {
          chan<int> c(cap);
          auto h = spawn([c]() mutable { return c.recv(); });
          for (int i = 0; i < 10; ++i) {
            this_g::yield();
            EXPECT_FALSE(h.done());
          }
          c.send(7);
          EXPECT_EQ(h.join(), 7);
        }
      },
      how());
}

TEST_P(Chan, ASenderWaitsWhenThereIsNoRoom) {
  run(
      [] {
        for (const std::size_t cap : capacities) {
          chan<int> c(cap);
          for (std::size_t i = 0; i < cap; ++i) c.send(static_cast<int>(i));
          EXPECT_EQ(c.size(), cap);
          EXPECT_EQ(c.capacity(), cap);
          auto h = spawn([c, cap]() mutable { c.send(static_cast<int>(cap)); });
          for (int i = 0; i < 10; ++i) {
            this_g::yield();
            EXPECT_FALSE(h.done());
          }
          for (std::size_t i = 0; i <= cap; ++i) EXPECT_EQ(c.recv(), static_cast<int>(i));
          h.join();
        }
      },
      how());
}

TEST_P(Chan, WaitingSendersAndReceiversAreServedInTheOrderOfComing) {
  if (GetParam().procs != 1) GTEST_SKIP() << "an order is promised on one P only";
  run(
      [] {
        chan<int> c;
        std::vector<join_handle<int>> receivers;
        for (int i = 0; i < 20; ++i) {
          receivers.push_back(spawn([c]() mutable { return *c.recv(); }));
          this_g::sleep_for(100us);  // it waits before the next one is started
        }
        for (int i = 0; i < 20; ++i) c.send(i);
        for (int i = 0; i < 20; ++i) EXPECT_EQ(receivers[static_cast<std::size_t>(i)].join(), i);
        for (int i = 0; i < 20; ++i) {
          go([c, i]() mutable { c.send(i); });
          this_g::sleep_for(100us);
        }
        for (int i = 0; i < 20; ++i) EXPECT_EQ(c.recv(), i);
      },
      how());
}

TEST_P(Chan, EachValueIsReceivedExactlyOnce) {
  const int per_sender = scaled(2000);
  run(
      [per_sender] {
        for (const std::size_t cap : capacities) {
          constexpr int senders = 4, receivers = 5;
          chan<int> c(cap);
          std::vector<std::atomic<int>> seen(static_cast<std::size_t>(senders * per_sender));
          std::vector<join_handle<bool>> takers;
          for (int r = 0; r < receivers; ++r)
            takers.push_back(spawn([c, &seen, per_sender]() mutable {
              std::array<int, senders> last;
              last.fill(-1);
              bool in_order = true;
              for (const int v : c) {
                ++seen[static_cast<std::size_t>(v)];
                const auto from = static_cast<std::size_t>(v / per_sender);
                in_order = in_order && v > last[from];
                last[from] = v;
              }
              return in_order;
            }));
          std::vector<join_handle<void>> givers;
          for (int s = 0; s < senders; ++s)
            givers.push_back(spawn([c, s, per_sender]() mutable {
              for (int i = 0; i < per_sender; ++i) c.send(s * per_sender + i);
            }));
          for (auto& h : givers) h.join();
          c.close();
          for (auto& h : takers) EXPECT_TRUE(h.join()) << "values of one sender overtook each other";
          for (const auto& n : seen) EXPECT_EQ(n.load(), 1);
        }
      },
      how());
}

TEST_P(Chan, CloseLetsReceiversDrainIt) {
  run(
      [] {
        chan<int> c(3);
        c.send(1), c.send(2);
        c.close();
        EXPECT_EQ(c.recv(), 1);
        EXPECT_EQ(c.try_recv(), 2);
        EXPECT_EQ(c.recv(), std::nullopt);
        EXPECT_EQ(c.try_recv(), std::nullopt);
        EXPECT_EQ(c.recv_until(steady_clock::time_point::max()), std::nullopt);
        EXPECT_EQ(c.size(), 0u);
      },
      how());
}

TEST_P(Chan, EverySendOnAClosedOneThrowsAndKeepsTheValue) {
  run(
      [] {
        for (const std::size_t cap : {0u, 2u}) {
          chan<std::string> c(cap);
          c.close();
          EXPECT_THROW(c.send("x"), closed);
          std::string kept(100, 'v');
          EXPECT_THROW(c.try_send(kept), closed);
          EXPECT_EQ(kept, std::string(100, 'v'));
          EXPECT_THROW(c.send_until(kept, steady_clock::now() + 1h), closed);
          EXPECT_EQ(kept, std::string(100, 'v'));
          EXPECT_THROW(c.close(), closed);
        }
      },
      how());
}

TEST_P(Chan, CloseWakesAllWhoWait) {
  run(
      [] {
        chan<int> c;
        std::vector<join_handle<bool>> receivers;
        for (int i = 0; i < 20; ++i) receivers.push_back(spawn([c]() mutable { return !c.recv().has_value(); }));
        for (int i = 0; i < 50; ++i) this_g::yield();
        c.close();
        for (auto& h : receivers) EXPECT_TRUE(h.join());
        chan<std::unique_ptr<int>> d;
        std::vector<join_handle<void>> senders;
        for (int i = 0; i < 20; ++i) senders.push_back(spawn([d]() mutable { d.send(std::make_unique<int>(1)); }));
        for (int i = 0; i < 50; ++i) this_g::yield();
        d.close();
        for (auto& h : senders) EXPECT_THROW(h.join(), closed);
      },
      how());
}

TEST_P(Chan, TryCallsDoNotWait) {
  run(
      [] {
        chan<int> none;
        int v = 5;
        EXPECT_FALSE(none.try_send(v));
        EXPECT_EQ(none.try_recv(), std::nullopt);
        chan<int> one(1);
        EXPECT_EQ(one.try_recv(), std::nullopt);
        EXPECT_TRUE(one.try_send(v));
        EXPECT_FALSE(one.try_send(v));
        EXPECT_EQ(one.try_recv(), 5);
        auto receiver = spawn([none]() mutable { return none.recv(); });
        while (!none.try_send(v)) this_g::yield();  // succeeds once the receiver waits
        EXPECT_EQ(receiver.join(), 5);
        auto sender = spawn([none]() mutable { none.send(6); });
        std::optional<int> got;
        while (!(got = none.try_recv())) this_g::yield();
        EXPECT_EQ(got, 6);
        sender.join();
      },
      how());
}

TEST_P(Chan, RecvUntilEndsByItsDeadlineOrByAValue) {
  run(
      [] {
        chan<int> c;
        const auto deadline = steady_clock::now() + 2ms;
        EXPECT_EQ(c.recv_until(deadline), std::nullopt);
        EXPECT_GE(steady_clock::now(), deadline);
        EXPECT_EQ(c.recv_until(steady_clock::now() - 1s), std::nullopt);
        EXPECT_EQ(c.recv_until(std::chrono::system_clock::now() + 1ms), std::nullopt);
        go([c]() mutable { c.send(3); });
        EXPECT_EQ(c.recv_until(steady_clock::now() + 1h), 3);
        go([c]() mutable { c.send(4); });
        EXPECT_EQ(c.recv_until(steady_clock::time_point::max()), 4);
      },
      how());
}

TEST_P(Chan, SendUntilKeepsTheValueWhenItsDeadlineComesFirst) {
  run(
      [] {
        chan<std::unique_ptr<int>> c;
        auto v = std::make_unique<int>(8);
        EXPECT_FALSE(c.send_until(v, steady_clock::now() + 1ms));
        ASSERT_TRUE(v);
        EXPECT_EQ(*v, 8);
        auto h = spawn([c]() mutable { return **c.recv(); });
        EXPECT_TRUE(c.send_until(v, steady_clock::now() + 1h));
        EXPECT_FALSE(v);
        EXPECT_EQ(h.join(), 8);
      },
      how());
}

// A deadline and a partner that come at the same time: the value is either here or there.
TEST_P(Chan, NothingIsLostBetweenADeadlineAndAPartner) {
  const int n = scaled(2000);
  run(
      [n] {
        chan<std::unique_ptr<int>> c;
        auto taker = spawn([c]() mutable {
          int taken = 0;
          for (;;) {
            const auto v = c.recv_until(steady_clock::now() + 20us);
            if (v && !*v) return taken;
            if (v) ++taken;
          }
        });
        int given = 0, kept = 0;
        for (int i = 0; i < n; ++i) {
          auto v = std::make_unique<int>(i);
          if (c.send_until(v, steady_clock::now() + 20us))
            ++given;
          else
            kept += v && *v == i;
        }
        c.send(nullptr);
        EXPECT_EQ(taker.join(), given);
        EXPECT_EQ(given + kept, n);
      },
      how());
}

TEST_P(Chan, CopiesAreTheSameChannel) {
  run(
      [] {
        chan<int> a(1), b = a, other(1);
        EXPECT_TRUE(a == b);
        EXPECT_FALSE(a == other);
        a.send(1);
        EXPECT_EQ(b.recv(), 1);
        other = a;
        EXPECT_TRUE(other == b);
        b.close();
        EXPECT_THROW(other.send(1), closed);
        a = *&a;
        EXPECT_EQ(a.recv(), std::nullopt);
      },
      how());
}

TEST_P(Chan, RangeForEndsWhenClosedAndDrained) {
  run(
      [] {
        chan<std::string> c(2);
        go([c]() mutable {
          for (int i = 0; i < 50; ++i) c.send(std::to_string(i));
          c.close();
        });
        int n = 0;
        for (auto& text : c) EXPECT_EQ(text, std::to_string(n++));
        EXPECT_EQ(n, 50);
        for (auto& text : c) ADD_FAILURE() << text;
      },
      how());
}

TEST_P(Chan, ThreadsOutsideMaySendReceiveAndCloseWithoutWaiting) {
  run(
      [] {
        chan<int> to_thread(8), from_thread(8);
        std::thread outside([=]() mutable {
          for (;;) {
            const auto v = to_thread.try_recv();
            if (!v) {
              std::this_thread::yield();
              continue;
            }
            if (*v < 0) break;
            for (int back = *v + 1; !from_thread.try_send(back);) std::this_thread::yield();
          }
          from_thread.close();
        });
        auto feeder = spawn([to_thread]() mutable {
          for (int i = 0; i < 500; ++i) to_thread.send(i);
          to_thread.send(-1);
        });
        int n = 0;
        for (const int v : from_thread) EXPECT_EQ(v, ++n);
        EXPECT_EQ(n, 500);
        feeder.join();
        outside.join();
      },
      how());
}

TEST_P(Chan, SurvivesTheRunItWasUsedIn) {
  chan<std::string> c(5);
  run([&] { c.send("kept"); }, how());
  EXPECT_EQ(c.size(), 1u);
  run([&] { EXPECT_EQ(c.recv(), "kept"); }, how());
  // Receivers that the run abandoned have left its list.
  run([&] { go([c]() mutable { c.recv(); }), this_g::yield(); }, how());
  std::string v = "next";
  EXPECT_TRUE(c.try_send(v));
  EXPECT_EQ(c.try_recv(), "next");
}

TEST_P(Chan, APrimeSieveFindsThePrimes) {
  const int wanted = 100;
  const int last = run(
      [] {
        chan<int> numbers;
        go([numbers]() mutable {
          for (int i = 2;; ++i) numbers.send(i);
        });
        int prime = 0;
        for (int k = 0; k < wanted; ++k) {
          prime = *numbers.recv();
          chan<int> filtered;
          go([numbers, filtered, prime]() mutable {
            for (const int n : numbers)
              if (n % prime != 0) filtered.send(n);
          });
          numbers = filtered;
        }
        return prime;
      },
      how());
  EXPECT_EQ(last, 541);
}

}  // namespace
}  // namespace urge::test
