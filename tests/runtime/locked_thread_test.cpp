// SPDX-License-Identifier: MIT
// this_g::lock_os_thread: the G stays on its kernel thread, the P does not.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <set>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

std::vector<setting> every_mode() {
  auto all = settings();
  if (!sanitized)
    for (const unsigned n : {1u, 4u}) all.push_back({n, preempt_mode::kernel_thread, 50us});
  return all;
}

class LockedThread : public WithSetting {
 protected:
  // Gs that call nothing, until the flag is set. None where nothing would stop them.
  std::vector<join_handle<void>> hogs(std::atomic<bool>& over, int n) const {
    std::vector<join_handle<void>> all;
    for (int i = 0; async() && i < n; ++i)
      all.push_back(spawn([&over] {
        while (!over.load(std::memory_order_relaxed)) std::free(std::malloc(64));
      }));
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Settings, LockedThread, testing::ValuesIn(every_mode()), name_setting());

thread_local int mine = 0;
[[gnu::noinline]] int* address_of_mine() {
  asm volatile("");
  return &mine;
}
[[gnu::noinline]] void set_errno(int e) {
  asm volatile("");
  errno = e;
}
[[gnu::noinline]] int get_errno() {
  asm volatile("");
  return errno;
}

// What must not change while the calling G is locked.
struct place {
  pid_t tid = ::gettid();
  pthread_t self = pthread_self();
  int* local = address_of_mine();
  bool operator==(const place&) const = default;
};

TEST_P(LockedThread, TwoPlayPingPongAndEachStaysWhereItIs) {
  constexpr int rounds = 1000;
  int sum = 0;
  run(
      [&] {
        chan<int> there, back;
        auto other = spawn([&] {
          this_g::lock_os_thread();
          const place here;
          while (auto n = there.recv()) {
            EXPECT_EQ(place(), here);
            back.send(*n + 1);
          }
          this_g::unlock_os_thread();
        });
        this_g::lock_os_thread();
        const place here;
        for (int i = 0; i < rounds; ++i) {
          there.send(i);
          sum += *back.recv() - i;
          EXPECT_EQ(place(), here);
        }
        there.close();
        other.join();
        EXPECT_EQ(place(), here);
        this_g::unlock_os_thread();
      },
      how());
  EXPECT_EQ(sum, rounds);
}

TEST_P(LockedThread, BesideHogsAllItDoesHappensOnOneThread) {
  run(
      [&] {
        std::atomic<bool> over{false};
        auto busy = hogs(over, 3);
        chan<int> ticks_chan(4);
        auto other = spawn([&] {
          for (int i = 0; i < 60; ++i) ticks_chan.send(i);
        });
        auto locked = spawn([&] {
          this_g::lock_os_thread();
          const place here;
          *address_of_mine() = 77;
          for (int i = 0; i < 60; ++i) {
            set_errno(1000 + i);
            for (int k = 0; k < 5000; ++k) std::free(std::malloc(100));
            EXPECT_EQ(place(), here);
            ticks_chan.recv();
            EXPECT_EQ(place(), here);
            this_g::yield();
            EXPECT_EQ(place(), here);
            if (i % 8 == 0) this_g::sleep_for(100us);
            if (i % 16 == 0) blocking([] { ::usleep(100); });
            preempt_point();
            EXPECT_EQ(place(), here);
            EXPECT_EQ(*address_of_mine(), 77);
            EXPECT_EQ(get_errno(), 1000 + i);
          }
          *address_of_mine() = 0;
          this_g::unlock_os_thread();
        });
        locked.join();
        other.join();
        over = true;
        for (auto& h : busy) h.join();
      },
      how());
}

TEST_P(LockedThread, NobodyElseRunsOnItsThread) {
  run(
      [&] {
        std::atomic<pid_t> its{0};
        std::atomic<int> seen{0};
        std::atomic<bool> over{false};
        auto locked = spawn([&] {
          this_g::lock_os_thread();
          its = ::gettid();
          while (!over.load()) this_g::sleep_for(50us);
          its = 0;
          this_g::unlock_os_thread();
        });
        std::vector<join_handle<void>> others;
        for (int i = 0; i < 8; ++i)
          others.push_back(spawn([&] {
            for (int n = 0; n < 300; ++n) {
              // Looked at on either side: this G may be moved in between.
              const pid_t before = its.load();
              {
                preempt_guard stay;
                if (const pid_t t = ::gettid(); t == before && t == its.load()) ++seen;
              }
              this_g::yield();
            }
          }));
        for (auto& h : others) h.join();
        over = true;
        locked.join();
        EXPECT_EQ(seen, 0);
      },
      how());
}

struct counted {
  std::atomic<int>* ends = nullptr;
  ~counted() {
    if (ends) ++*ends;
  }
};
thread_local counted at_end;

TEST_P(LockedThread, HundredsThatEndLockedTakeTheirThreadsAlong) {
  if (sanitized && preempts()) GTEST_SKIP() << "a hand-over between threads takes longer there than a slice of 50 us";
  std::atomic<int> ends{0};
  constexpr int rounds = 12, each = 20;
  std::mutex guard;
  run(
      [&] {
        for (int r = 0; r < rounds; ++r) {
          std::set<pid_t> tids;
          std::vector<join_handle<void>> all;
          for (int i = 0; i < each; ++i)
            all.push_back(spawn([&] {
              this_g::lock_os_thread();
              at_end.ends = &ends;
              const pid_t t = ::gettid();
              this_g::yield();
              std::lock_guard hold(guard);
              EXPECT_TRUE(tids.insert(t).second);
              if (tids.size() % 3 == 0) this_g::exit();
            }));
          for (auto& h : all) h.join();
          for (const pid_t t : tids) {
            const std::string task = "/proc/self/task/" + std::to_string(t);
            yield_until([&] { return ::access(task.c_str(), F_OK) != 0; });
          }
        }
        // What is left are those that the Ps use, and spares.
        EXPECT_LT(count_threads(), static_cast<std::size_t>(rounds * each / 2));
        EXPECT_LT(snapshot().threads, static_cast<std::uint64_t>(rounds * each / 2));
      },
      how());
  EXPECT_EQ(ends, rounds * each);
}

TEST_P(LockedThread, LocksNestAndUnlockWithoutLockDoesNothing) {
  run(
      [&] {
        this_g::unlock_os_thread();
        const pid_t first = ::gettid();
        (void)first;
        this_g::lock_os_thread();
        this_g::lock_os_thread();
        const place here;
        this_g::unlock_os_thread();
        for (int i = 0; i < 50; ++i) {
          auto other = spawn([] { this_g::yield(); });
          other.join();
          EXPECT_EQ(place(), here);
        }
        this_g::unlock_os_thread();
        this_g::unlock_os_thread();
        // Unlocked, its end leaves the thread alone: threads of urge are still there.
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 20; ++i)
          all.push_back(spawn([] {
            this_g::lock_os_thread();
            this_g::yield();
            this_g::unlock_os_thread();
          }));
        for (auto& h : all) h.join();
      },
      how());
}

TEST_P(LockedThread, TheMainGMayEndLocked) {
  EXPECT_EQ(run(
                [] {
                  this_g::lock_os_thread();
                  this_g::sleep_for(1ms);
                  return 7;
                },
                how()),
            7);
  std::atomic<int> others{0};
  run(
      [&] {
        this_g::lock_os_thread();
        for (int i = 0; i < 5; ++i)
          go([&] {
            this_g::sleep_for(2ms);
            ++others;
          });
        this_g::exit();
      },
      how());
  EXPECT_EQ(others, 5);
}

TEST_P(LockedThread, ThoseThatStandDoNotKeepARunFromItsEnd) {
  for (int n = 0; n < 5; ++n)
    run(
        [&] {
          std::atomic<int> locked{0};
          chan<int> never;
          for (int i = 0; i < 10; ++i)
            go([&locked, never, i, stopped = async()]() mutable {
              this_g::lock_os_thread();
              ++locked;
              if (i % 3 == 0 && stopped)
                for (;;) std::free(std::malloc(64));
              if (i % 3 == 1) this_g::sleep_for(1h);
              never.recv();
            });
          yield_until([&] { return locked == 10; });
        },
        how());
}

TEST_P(LockedThread, IsKilledLikeAnyOther) {
  run(
      [&] {
        chan<int> never;
        auto waits = spawn_waiting([&] {
          this_g::lock_os_thread();
          never.recv();
        });
        EXPECT_TRUE(waits.kill());
        EXPECT_THROW(waits.join(), killed);
        if (!async()) return;
        std::atomic<bool> runs{false};
        auto hog = spawn([&] {
          this_g::lock_os_thread();
          runs = true;
          for (;;) asm volatile("");
        });
        yield_until([&] { return runs.load(); });
        EXPECT_TRUE(hog.kill());
        EXPECT_THROW(hog.join(), killed);
      },
      how());
}

TEST_P(LockedThread, IsPausedAndResumedOnItsThread) {
  if (!async()) return;
  run(
      [&] {
        std::atomic<int> moved{0};
        auto call = run_for(1ms, [&] {
          this_g::lock_os_thread();
          const place here;
          const auto until = this_g::cpu_time() + 20ms;
          while (this_g::cpu_time() < until)
            if (!(place() == here)) ++moved;
          this_g::unlock_os_thread();
          return 5;
        });
        while (!call.resume(1ms)) this_g::yield();
        EXPECT_EQ(call.get(), 5);
        EXPECT_EQ(moved, 0);
      },
      how());
}

TEST_P(LockedThread, YieldingOnesMakeProgress) {
  run(
      [&] {
        std::atomic<bool> stop{false};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 3; ++i)
          all.push_back(spawn([&] {
            this_g::lock_os_thread();
            while (!stop.load()) this_g::yield();
          }));
        this_g::sleep_for(3ms);
        stop = true;
        for (auto& h : all) h.join();
      },
      how());
}

TEST_P(LockedThread, ARunAfterwardsIsLikeAnyOther) {
  for (int n = 0; n < 3; ++n) {
    run(
        [&] {
          auto locked = spawn([] {
            this_g::lock_os_thread();
            this_g::sleep_for(200us);
          });
          locked.join();
        },
        how());
    EXPECT_EQ(run([] { return spawn([] { return 3; }).join(); }, how()), 3);
  }
}

TEST_P(LockedThread, HoldsMutexesAndAnOwnIdentity) {
  run(
      [&] {
        std::recursive_mutex m;
        std::vector<join_handle<void>> all;
        int n = 0;
        for (int i = 0; i < 6; ++i)
          all.push_back(spawn({.own_identity = i % 2 == 0}, [&] {
            this_g::lock_os_thread();
            const place here;
            for (int k = 0; k < 50; ++k) {
              // A wait for it would block the thread, and with it the P: in modes that stop nobody, for ever.
              while (!m.try_lock()) this_g::yield();
              m.lock();
              const int was = n;
              this_g::yield();
              n = was + 1;
              m.unlock();
              m.unlock();
              EXPECT_EQ(place(), here);
            }
          }));
        for (auto& h : all) h.join();
        EXPECT_EQ(n, 300);
      },
      how());
}

}  // namespace
}  // namespace urge::test
