// SPDX-License-Identifier: MIT
// set_procs: the number of Ps changes while everything runs, and nothing is lost.
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
#include <random>
#include <stdexcept>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class SetProcs : public WithSetting {};
std::vector<setting> every_mode() {
  auto all = settings({1, 4});
  if (!sanitized) all.push_back({4, preempt_mode::kernel_thread, 50us});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Settings, SetProcs, testing::ValuesIn(every_mode()), name_setting());

TEST_P(SetProcs, ReturnsWhatItWasAndZeroChangesNothing) {
  run(
      [&] {
        const unsigned first = GetParam().procs;
        EXPECT_EQ(procs(), first);
        EXPECT_EQ(set_procs(0), first);
        EXPECT_EQ(set_procs(first), first);
        EXPECT_EQ(set_procs(3), first);
        EXPECT_EQ(procs(), 3u);
        EXPECT_EQ(set_procs(1), 3u);
        EXPECT_EQ(set_procs(1024), 1u);
        EXPECT_EQ(set_procs(2), 1024u);
        EXPECT_THROW(set_procs(1025), std::invalid_argument);
        EXPECT_EQ(procs(), 2u);
      },
      how());
  EXPECT_THROW(set_procs(2), std::logic_error);
  run([&] { EXPECT_EQ(procs(), GetParam().procs); }, how());
}

TEST_P(SetProcs, GrowsAndShrinksAtRandomWhileAllOfItRuns) {
  constexpr int sleepers = 1000, rounds = 60;
  std::atomic<int> slept{0}, spawned{0}, played{0}, back{0}, fired{0};
  int wanted_spawns = 0, wanted_rounds = 0, wanted_back = 0;
  run(
      [&] {
        std::atomic<bool> over{false};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < sleepers; ++i)
          all.push_back(spawn([&, i] {
            this_g::sleep_for(std::chrono::microseconds(37 * (i % 200)));
            this_g::sleep_for(std::chrono::microseconds(100 + i));
            ++slept;
          }));
        for (int i = 0; i < 2; ++i)
          all.push_back(spawn([&] {
            while (!over.load(std::memory_order_relaxed)) {
              std::free(std::malloc(50));
              if (!async()) this_g::yield();
            }
          }));
        auto ping = spawn([&] {
          chan<int> there, here;
          auto other = spawn([&] {
            while (auto n = there.recv()) here.send(*n);
          });
          int n = 0;
          for (; n < 200 || !over.load(); ++n) {
            there.send(n);
            if (*here.recv() == n) ++played;
            if (!preempts()) this_g::yield();  // two that wake each other keep all others waiting there
          }
          there.close();
          other.join();
          return n;
        });
        auto storm = spawn([&] {
          int n = 0;
          while (!over.load()) {
            wait_group done;
            for (int i = 0; i < 50; ++i, ++n) {
              done.add();
              go([&] {
                ++spawned;
                done.done();
              });
            }
            done.wait();
          }
          return n;
        });
        auto calls = spawn([&] {
          int n = 0;
          for (; !over.load(); ++n) {
            blocking([] { ::usleep(50); });
            ++back;
          }
          return n;
        });
        ticker often(300us);
        auto listens = spawn([&] {
          while (!over.load()) {
            if (often.c.recv_until(std::chrono::steady_clock::now() + 1s)) ++fired;
          }
        });
        std::mt19937 random(7);
        for (int i = 0; i < rounds; ++i) {
          const unsigned n = 1 + random() % 16, was = procs();
          EXPECT_EQ(set_procs(n), was);
          EXPECT_EQ(procs(), n);
          if (i % 3 != 0) this_g::sleep_for(std::chrono::microseconds(random() % 500));
          if (i % 5 == 0) this_g::yield();
        }
        over = true;
        wanted_rounds = ping.join();
        wanted_spawns = storm.join();
        wanted_back = calls.join();
        listens.join();
        for (auto& h : all) h.join();
        yield_until([] { return snapshot().live == 1; });  // counted a moment behind the end
      },
      how());
  EXPECT_EQ(slept, sleepers);
  EXPECT_EQ(played, wanted_rounds);
  EXPECT_EQ(spawned, wanted_spawns);
  EXPECT_EQ(back, wanted_back);
  EXPECT_GT(fired, 0);
  EXPECT_EQ(snapshot().finished + snapshot().abandoned, snapshot().spawned);
}

TEST_P(SetProcs, SeveralAtATimeTakeTurns) {
  run(
      [&] {
        std::vector<join_handle<void>> all;
        std::atomic<int> odd{0};
        for (unsigned i = 0; i < 6; ++i)
          all.push_back(spawn([&, i] {
            for (unsigned n = 0; n < 30; ++n) {
              const unsigned was = set_procs(1 + (i + n) % 7);
              if (was < 1 || was > 7) ++odd;
              if (n % 4 == 0) this_g::yield();
            }
          }));
        for (auto& h : all) h.join();
        EXPECT_EQ(odd, 0);
      },
      how());
}

TEST_P(SetProcs, AfterShrinkingToOneOnlyOneRunsAtATime) {
  run(
      [&] {
        set_procs(4);
        std::atomic<bool> over{false}, one{false};
        std::atomic<int> inside{0}, together{0};
        std::atomic<std::uint64_t> turns{0};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 8; ++i)
          all.push_back(spawn([&] {
            while (!over.load()) {
              {
                preempt_guard hold;
                if (one.load()) {
                  if (inside.fetch_add(1) != 0) ++together;
                  for (int k = 0; k < 200; ++k) asm volatile("");
                  inside.fetch_sub(1);
                  ++turns;
                }
              }
              this_g::yield();
            }
          }));
        this_g::sleep_for(1ms);
        set_procs(1);
        one = true;
        yield_until([&] { return turns.load() > 2000; });
        one = false;
        set_procs(4);
        over = true;
        for (auto& h : all) h.join();
        EXPECT_EQ(together, 0);
      },
      how());
}

TEST_P(SetProcs, TimersOfPsThatAreGoneFireAndCanBeStopped) {
  run(
      [&] {
        set_procs(8);
        wait_group done;
        std::atomic<int> fired{0};
        std::vector<join_handle<int>> all;
        for (int i = 0; i < 64; ++i)
          all.push_back(spawn([&, i] {
            timer t(i % 2 ? std::chrono::nanoseconds(1h) : std::chrono::nanoseconds(20ms));
            this_g::yield();
            if (i % 2) {
              this_g::sleep_for(10ms);
              return t.stop() ? 1 : 0;
            }
            return t.c.recv() ? 1 : 0;
          }));
        this_g::sleep_for(2ms);
        for (unsigned n : {5u, 2u, 8u, 1u}) set_procs(n);
        int good = 0;
        for (auto& h : all) good += h.join();
        EXPECT_EQ(good, 64);
      },
      how());
}

TEST_P(SetProcs, ARunMayEndInTheMiddleOfAChange) {
  for (int i = 0; i < 20; ++i)
    run(
        [&] {
          for (unsigned k = 0; k < 3; ++k)
            go([k] {
              for (unsigned n = 0;; ++n) {
                set_procs(1 + (n + k) % 5);
                this_g::yield();
              }
            });
          for (int n = 0; n < i; ++n) this_g::yield();
        },
        how());
}

TEST_P(SetProcs, WaitsForALockedGAndAGuardedOne) {
  run(
      [&] {
        std::atomic<bool> over{false};
        auto locked = spawn([&] {
          this_g::lock_os_thread();
          const pid_t here = ::gettid();
          while (!over.load()) {
            if (async())
              for (int k = 0; k < 10000; ++k) asm volatile("");
            else
              this_g::yield();
            EXPECT_EQ(::gettid(), here);
          }
        });
        auto guarded = spawn([&] {
          while (!over.load()) {
            {
              preempt_guard hold;
              for (int k = 0; k < 100000; ++k) asm volatile("");
            }
            if (preempts())
              preempt_point();
            else
              this_g::yield();
          }
        });
        for (unsigned n = 0; n < 40; ++n) set_procs(1 + n % 4);
        over = true;
        locked.join();
        guarded.join();
      },
      how());
}

}  // namespace
}  // namespace urge::test
