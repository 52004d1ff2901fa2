// SPDX-License-Identifier: MIT
// join_handle::kill: of a G in each state, from a G and from a thread; what is unwound and what is not.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>
#include <urge/time.hpp>

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "runtime/killing.hpp"
#include "sched/sched.hpp"

namespace urge::test {
namespace {

class Kill : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Kill, testing::ValuesIn(settings()), name_setting());

TEST_P(Kill, OneThatWaitsIsUnwound) {
  run(
      [] {
        EXPECT_EQ(unwound([] { this_g::sleep_for(1h); }), 1) << "sleep";
        EXPECT_EQ(unwound([] { chan<int>().recv(); }), 1) << "receive";
        EXPECT_EQ(unwound([] { chan<std::string>().send("x"); }), 1) << "send";
        EXPECT_EQ(unwound([] { chan<int>().recv_until(std::chrono::steady_clock::now() + 1h); }), 1) << "recv_until";
        EXPECT_EQ(unwound([] {
                    chan<int> a, b;
                    select(on_recv(a, [](auto) {}), on_recv(b, [](auto) {}), after(1h, [] {}));
                  }),
                  1)
            << "select";
        EXPECT_EQ(unwound([] { binary_semaphore(0).acquire(); }), 1) << "semaphore";
        EXPECT_EQ(unwound([] { latch(1).wait(); }), 1) << "latch";
        EXPECT_EQ(unwound([] {
                    wait_group w;
                    w.add();
                    w.wait();
                  }),
                  1)
            << "wait_group";
        auto other = spawn([] { this_g::sleep_for(1h); });
        EXPECT_EQ(unwound([&] { other.join(); }), 1) << "join";
        EXPECT_TRUE(other.kill());
      },
      how());
}

TEST_P(Kill, OneThatYieldsIsUnwound) {
  run(
      [this] {
        const int n = unwound(
            [] {
              for (;;) this_g::yield();
            },
            stops::by_signal);
        EXPECT_LE(n, 1);
        if (!async()) {
          EXPECT_EQ(n, 1);  // else a signal may have stopped it between two yields
        }
      },
      how());
}

TEST_P(Kill, OneThatPassesYieldPointsIsUnwoundOrLeft) {
  if (!preempts()) GTEST_SKIP() << "a yield point does nothing";
  run(
      [] {
        const int n = unwound(
            [] {
              for (;;) preempt_point();
            },
            stops::by_signal);
        EXPECT_LE(n, 1);
      },
      how());
}

TEST_P(Kill, OneThatOnlyASignalStopsIsLeftWhereItIs) {
  if (!async()) GTEST_SKIP() << "nothing else stops it";
  run(
      [] {
        const std::uint64_t before = snapshot().kept_back;
        const auto spins = [] {
          for (;;) asm volatile("");
        };
        const auto allocates = [] {
          for (;;) {
            void* p = std::malloc(100);
            asm volatile("" ::"r"(p));
            std::free(p);
          }
        };
        EXPECT_EQ(unwound(spins, stops::by_signal), 0);
        EXPECT_EQ(unwound(allocates, stops::by_signal), 0) << "in malloc most of its time";
        EXPECT_EQ(snapshot().kept_back, before + 2);
        EXPECT_GT(snapshot().kept_back_bytes, 0u);
        // It was ended outside malloc: all of its locks are free.
        for (int i = 0; i < 1000; ++i) std::free(std::malloc(static_cast<std::size_t>(i)));
      },
      how());
}

TEST_P(Kill, OneThatHasNotStartedNeverDoes) {
  run(
      [] {
        bool ran = false;
        join_handle<void> h;
        bool dead;
        {
          const preempt_guard hold;
          h = spawn([&] { ran = true; });
          dead = h.kill();  // waits: it starts, sees, and ends
        }
        EXPECT_TRUE(dead || ran);
        EXPECT_TRUE(h.done());
      },
      how());
}

TEST_P(Kill, OneThatHasEndedIsNotKilled) {
  run(
      [] {
        auto h = spawn([] { return 5; });
        while (!h.done()) this_g::yield();
        EXPECT_FALSE(h.kill());
        EXPECT_EQ(h.join(), 5);
        EXPECT_FALSE(join_handle<int>().kill());
      },
      how());
}

TEST_P(Kill, WhatSwallowsItStandsStill) {
  run(
      [] {
        std::atomic<int> destroyed{0}, swallowed{0};
        auto h = spawn_to_wait([&] {
          const counts c{destroyed};
          for (;;) {
            try {
              this_g::sleep_for(1h);
            } catch (...) {
              ++swallowed;
            }
          }
        });
        EXPECT_TRUE(h.kill());
        EXPECT_THROW(h.join(), killed);
        EXPECT_EQ(swallowed, 1);
        EXPECT_EQ(destroyed, 0);
      },
      how());
}

TEST_P(Kill, AFunctionThatIsNoexceptIsNotUnwound) {
  run(
      [] {
        std::atomic<int> destroyed{0};
        auto h = spawn_to_wait([&] {
          const counts c{destroyed};
          []() noexcept { this_g::sleep_for(1h); }();
        });
        EXPECT_TRUE(h.kill());
        EXPECT_THROW(h.join(), killed);
        EXPECT_EQ(destroyed, 0);
      },
      how());
}

TEST_P(Kill, DestructorsMayWaitWhileItIsUnwound) {
  run(
      [] {
        struct waits {
          std::atomic<int>& n;
          ~waits() {
            this_g::sleep_for(1ms);
            ++n;
          }
        };
        std::atomic<int> n{0};
        auto h = spawn_to_wait([&] {
          const waits a{n}, b{n};
          chan<int>().recv();
        });
        EXPECT_TRUE(h.kill());
        EXPECT_EQ(n, 2);
      },
      how());
}

TEST_P(Kill, TheValueThatWasOnItsWayStaysInTheChannel) {
  run(
      [] {
        chan<int> c(1);
        auto h = spawn_to_wait([c]() mutable { c.recv(); });
        EXPECT_TRUE(h.kill());
        c.send(7);
        EXPECT_EQ(c.recv(), 7);
      },
      how());
}

TEST_P(Kill, FromAThread) {
  run(
      [] {
        auto h = spawn_to_wait([] { this_g::sleep_for(1h); });
        std::atomic<int> result{-1};
        std::thread t([&] { result = h.kill(); });
        while (result == -1) this_g::yield();
        t.join();
        EXPECT_EQ(result, 1);
        EXPECT_TRUE(h.done());
      },
      how());
}

// Wakers, timers and killers want the same wait.
TEST_P(Kill, ManyAtTheMomentsTheyAreWoken) {
  const int rounds = scaled(300);
  run(
      [] {
        for (int i = 0; i < rounds; ++i) {
          chan<int> c;
          binary_semaphore s(0);
          auto a = spawn([c]() mutable { return c.recv().value_or(-1); });
          auto b = spawn([&] { (void)s.try_acquire_for(std::chrono::microseconds(i)); });
          auto k = spawn([&] { (void)a.kill(), (void)b.kill(); });
          auto w = spawn([c]() mutable {
            int v = 1;
            for (int n = 0; n < 5 && !c.try_send(v); ++n) this_g::yield();
          });
          s.release();
          k.join(), w.join();
          EXPECT_TRUE(a.done());
          try {
            EXPECT_EQ(a.join(), 1);
          } catch (const killed&) {
          }
          try {
            b.join();
          } catch (const killed&) {
          }
        }
      },
      how());
}

// Their descriptors still say what they waited for. A kill of a G that has one of them may not end that wait.
TEST_P(Kill, OfAGWhoseDescriptorWasLeftInAWait) {
  constexpr int n = 20;
  run(
      [] {
        for (int i = 0; i < n; ++i) (void)spawn_to_wait([] { this_g::sleep_for(1h); });
      },
      how());
  const bool by_signal = async();
  std::atomic<int> destroyed{0};
  run(
      [&] {
        for (int i = 0; i < n; ++i) {
          std::atomic<bool> begun{false};
          auto h = spawn([&] {
            const counts c{destroyed};
            begun = true;
            while (by_signal) asm volatile("");
            for (;;) this_g::yield();
          });
          while (!begun) this_g::yield();
          EXPECT_TRUE(h.kill());
          EXPECT_THROW(h.join(), killed);
        }
      },
      how());
  EXPECT_EQ(destroyed, by_signal ? 0 : n);
  EXPECT_EQ(snapshot().kept_back, by_signal ? n : 0u);
}

// Slices are counted from 1 in each run: the one that a kill has ended is none of the next run's.
using KillOfARunningG = Plain;
TEST_F(KillOfARunningG, EndsNoSliceOfTheNextRun) {
  URGE_TEST_NEEDS_ASYNC();
  options how;
  how.procs = 1, how.quantum = 10s;
  run(
      [] {
        std::atomic<bool> begun{false};
        auto h = spawn([&] {
          begun = true;
          for (;;) asm volatile("");
        });
        // Not by a G: that would wait for the only P.
        std::thread killer([&] {
          while (!begun) std::this_thread::yield();
          EXPECT_TRUE(h.kill());
        });
        blocking([&] { killer.join(); });
        EXPECT_THROW(h.join(), killed);
      },
      how);
  EXPECT_NE(all_ps[0].stop_slice.load(), 0u) << "it was not killed while it ran";
  run([] { EXPECT_EQ(all_ps[0].stop_slice.load(), 0u); }, how);
}

}  // namespace
}  // namespace urge::test
