// SPDX-License-Identifier: MIT
// join_handle::kill of a G that waits for a lock, a condition or a call_once: it is unwound, and those it waited with
// are none the worse.
#include <urge/chan.hpp>
#include <urge/io.hpp>
#include <urge/sync.hpp>
#include <urge/time.hpp>

#include <unistd.h>

#include <shared_mutex>
#include <vector>

#include "runtime/killing.hpp"

namespace urge::test {
namespace {

class KillOfAWaiter : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, KillOfAWaiter, testing::ValuesIn(settings()), name_setting());

TEST_P(KillOfAWaiter, OneThatWaitsForALockIsUnwound) {
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
        std::atomic<bool> inside{false};
        auto first = spawn([&] { urge::call_once(once, [&] { inside = true, go_on.acquire(); }); });
        while (!inside) this_g::yield();
        EXPECT_EQ(unwound([&] { urge::call_once(once, [] {}); }), 1) << "call_once";
        go_on.release();
        first.join();
      },
      how());
}

// When it comes to the lock nobody looks at it any more: the kill has been given up, or its G was killed itself.
TEST_P(KillOfAWaiter, OneThatComesToALockAfterTheKillIsUnwound) {
  run(
      [] {
        urge::mutex m;
        m.lock();
        std::atomic<bool> go_on{false}, begun{false};
        const auto comes_late = [&] {
          begun = true;
          blocking([&] {
            while (!go_on) ::usleep(1000);
          });
          const std::lock_guard hold(m);
        };
        auto given_up = spawn(comes_late);
        while (!begun) this_g::yield();
        EXPECT_FALSE(given_up.kill()) << "it is in a system call all the while";

        begun = false;
        auto left = spawn(comes_late);
        while (!begun) this_g::yield();
        auto killer = spawn_to_wait([&] { (void)left.kill(); });
        this_g::sleep_for(1ms);
        kill_in_the_end(killer);

        go_on = true;
        for (auto* h : {&given_up, &left}) {
          while (!h->done()) this_g::yield();
          EXPECT_THROW(h->join(), killed);
        }
        m.unlock();
      },
      how());
}

// Those that wait behind a writer do so only until it is gone.
TEST_P(KillOfAWaiter, OneThatWaitsForASharedMutexLetsTheNextPass) {
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
        kill_in_the_end(writer);
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
TEST_P(KillOfAWaiter, OneThatWaitsForAConditionLocksBeforeItIsUnwound) {
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
          auto killer = spawn([&] { kill_in_the_end(h); });
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
        auto killer = spawn([&] { kill_in_the_end(h); });
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
TEST_P(KillOfAWaiter, ManyInQueuesOfLocksAtTheMomentsTheyAreWoken) {
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
          for (auto& h : all) kill_in_the_end(h);
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

TEST_P(KillOfAWaiter, DestructorsHaveWhatTheyWaitFor) {
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
        auto killer = spawn([&] { kill_in_the_end(h); });
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

}  // namespace
}  // namespace urge::test
