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
#include <functional>
#include <optional>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "sched/sched.hpp"
#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Kill : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Kill, testing::ValuesIn(settings()), name_setting());

// Counts its ends: were the destructors run?
struct counts {
  std::atomic<int>& n;
  ~counts() { ++n; }
};

enum class stops { by_itself, by_signal };

// Kills a G that does `body` once it has begun; returns how many of its destructors ran. One that stops by itself is
// not stopped by a signal before that: then it would end where it is, without them.
int unwound(const std::function<void()>& body, stops how = stops::by_itself) {
  std::atomic<int> destroyed{0};
  std::atomic<bool> begun{false}, went_on{false};
  auto h = spawn([&] {
    const counts c{destroyed};
    std::optional<preempt_guard> until_it_waits;
    if (how == stops::by_itself) until_it_waits.emplace();
    begun = true;
    body();
    went_on = true;
  });
  while (!begun) this_g::yield();
  for (int i = 0; i < 3; ++i) this_g::yield();
  EXPECT_TRUE(h.kill());
  EXPECT_TRUE(h.done());
  EXPECT_THROW(h.join(), killed);
  EXPECT_FALSE(went_on.load());
  EXPECT_FALSE(h.kill()) << "it has ended";
  return destroyed;
}

// Starts a G that has begun when this returns, and that no signal stops before its body waits.
template <class F>
join_handle<void> spawn_to_wait(F body) {
  std::atomic<bool> begun{false};
  auto h = spawn([&begun, body]() mutable {
    const preempt_guard until_it_waits;
    begun = true;
    body();
  });
  while (!begun) this_g::yield();
  return h;
}

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

TEST_P(Kill, OneThatWaitsForALockIsUnwound) {
  run(
      [] {
        urge::mutex m;
        timed_mutex t;
        urge::recursive_mutex r;
        m.lock(), t.lock(), r.lock();
        EXPECT_EQ(unwound([&] { const std::lock_guard hold(m); }), 1) << "mutex";
        EXPECT_EQ(unwound([&] { (void)t.try_lock_for(1h); }), 1) << "timed_mutex";
        EXPECT_EQ(unwound([&] { const std::lock_guard hold(r); }), 1) << "recursive_mutex";
        m.unlock(), t.unlock(), r.unlock();
        EXPECT_TRUE(m.try_lock() && t.try_lock() && r.try_lock()) << "nobody is left behind in a queue";
        m.unlock(), t.unlock(), r.unlock();

        urge::once_flag once;
        binary_semaphore go_on(0);
        auto first = spawn([&] { urge::call_once(once, [&] { go_on.acquire(); }); });
        while (first.done()) this_g::yield();
        this_g::sleep_for(1ms);
        EXPECT_EQ(unwound([&] { urge::call_once(once, [] {}); }), 1) << "call_once";
        go_on.release();
        first.join();
      },
      how());
}

// Those that wait behind a writer do so only until it is gone.
TEST_P(Kill, OneThatWaitsForASharedMutexLetsTheNextPass) {
  run(
      [] {
        urge::shared_mutex s;
        std::atomic<int> in{0};
        s.lock_shared();
        auto writer = spawn_to_wait([&] { const std::lock_guard hold(s); });
        while (s.try_lock_shared()) s.unlock_shared(), this_g::yield();
        auto reader = spawn_to_wait([&] {
          const std::shared_lock hold(s);
          ++in;
        });
        EXPECT_TRUE(writer.kill());
        EXPECT_THROW(writer.join(), killed);
        reader.join();
        EXPECT_EQ(in, 1);
        s.unlock_shared();
        s.lock();
        EXPECT_EQ(unwound([&] { const std::shared_lock hold(s); }), 1) << "reader";
        EXPECT_EQ(unwound([&] { const std::lock_guard hold(s); }), 1) << "writer";
        s.unlock();
        EXPECT_TRUE(s.try_lock());
        s.unlock();
      },
      how());
}

// It has the mutex again before it is unwound; a notification that came before is not lost with it.
TEST_P(Kill, OneThatWaitsForAConditionLocksBeforeItIsUnwound) {
  run(
      [] {
        urge::mutex m;
        urge::condition_variable c;
        int inside = 0;
        bool told = false;
        struct leaves {
          int& n;
          ~leaves() { --n; }
        };
        for (const auto limit : {std::optional<std::chrono::hours>{}, std::optional{1h}}) {
          auto h = spawn_to_wait([&] {
            std::unique_lock lock(m);
            ++inside;
            const leaves at_the_end{inside};  // with the mutex held, or it would be a race with us
            for (;;) limit ? (void)c.wait_for(lock, *limit) : c.wait(lock);
          });
          for (bool waits = false; !waits; this_g::yield()) {
            const std::lock_guard hold(m);
            waits = inside == 1;
          }
          std::unique_lock hold(m);
          auto killer = spawn([&] { EXPECT_TRUE(h.kill()); });
          for (int i = 0; i < 10; ++i) this_g::sleep_for(200us);
          EXPECT_EQ(inside, 1) << "unwound without the mutex";
          EXPECT_FALSE(h.done());
          hold.unlock();
          killer.join();
          EXPECT_THROW(h.join(), killed);
          EXPECT_EQ(inside, 0);
        }
        // Moved to the mutex's queue, and killed there: it goes on, and waits no more.
        std::atomic<bool> went_on{false};
        auto h = spawn_to_wait([&] {
          std::unique_lock lock(m);
          ++inside;
          c.wait(lock, [&] { return told; });
          went_on = true;
          c.wait(lock);
        });
        for (bool waits = false; !waits; this_g::yield()) {
          const std::lock_guard hold(m);
          waits = inside == 1;
        }
        std::unique_lock hold(m);
        told = true;
        c.notify_one();
        auto killer = spawn([&] { EXPECT_TRUE(h.kill()); });
        this_g::sleep_for(1ms);
        hold.unlock();
        killer.join();
        EXPECT_TRUE(went_on);
        EXPECT_TRUE(m.try_lock());
        m.unlock();
      },
      how());
}

// Notifiers, killers and owners want the same waiters.
TEST_P(Kill, ManyInQueuesOfLocksAtTheMomentsTheyAreWoken) {
  const int rounds = scaled(100);
  run(
      [] {
        urge::mutex m;
        urge::shared_mutex s;
        urge::condition_variable c;
        int value = 0;
        for (int i = 0; i < rounds; ++i) {
          std::vector<join_handle<void>> all;
          for (int k = 0; k < 4; ++k) {
            all.push_back(spawn([&] {
              const preempt_guard stops_by_itself;  // what a signal ends keeps its locks
              std::unique_lock lock(m);
              ++value;
              (void)c.wait_for(lock, 200us);
              c.wait(lock);
            }));
            all.push_back(spawn([&, k] {
              const preempt_guard stops_by_itself;
              if (k % 2) {
                const std::lock_guard hold(s);
                this_g::yield();
              } else {
                const std::shared_lock hold(s);
                this_g::sleep_for(20us);
              }
              const std::lock_guard hold(m);
              --value;
              this_g::sleep_for(10us);
            }));
          }
          auto notifier = spawn([&] {
            for (int n = 0; n < 4; ++n) c.notify_one(), this_g::yield();
            c.notify_all();
          });
          for (auto& h : all) (void)h.kill();
          notifier.join();
          for (auto& h : all) {
            EXPECT_TRUE(h.done());
            try {
              h.join();
            } catch (const killed&) {
            }
          }
          EXPECT_TRUE(m.try_lock());
          m.unlock();
          EXPECT_TRUE(s.try_lock());
          s.unlock();
        }
      },
      how());
}

TEST_P(Kill, DestructorsHaveWhatTheyWaitFor) {
  run(
      [] {
        binary_semaphore units(0);
        bool had_it = false;
        struct takes {
          binary_semaphore& s;
          bool& had_it;
          ~takes() {
            s.acquire();
            had_it = true;
          }
        };
        auto h = spawn_to_wait([&] {
          const takes at_the_end{units, had_it};
          chan<int>().recv();
        });
        auto killer = spawn([&] { EXPECT_TRUE(h.kill()); });
        this_g::sleep_for(5ms);
        EXPECT_FALSE(had_it);
        EXPECT_FALSE(h.done());
        units.release();
        killer.join();
        EXPECT_TRUE(had_it);
        EXPECT_FALSE(units.try_acquire());
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

TEST_P(Kill, OnOneself) {
  run(
      [] {
        std::atomic<int> destroyed{0};
        join_handle<void> h;
        std::atomic<bool> known{false};
        h = spawn([&] {
          while (!known) this_g::yield();
          const counts c{destroyed};
          h.kill();
          ADD_FAILURE() << "goes on";
        });
        known = true;
        while (!h.done()) this_g::yield();
        EXPECT_THROW(h.join(), killed);
        EXPECT_EQ(destroyed, 1);
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
