// SPDX-License-Identifier: MIT
// Locks of pthread that a G holds when it stops by itself or is to be killed; and identities that are given back early.
#include <urge/chan.hpp>
#include <urge/errors.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <pthread.h>
#include <threads.h>

#include <cstdio>
#include <mutex>
#include <shared_mutex>

#include "sched/current.hpp"
#include "sched/g.hpp"
#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class PthreadLocks : public WithSetting {
 protected:
  void SetUp() override {
    if (sanitized) GTEST_SKIP() << "a sanitizer stands before these functions itself";
  }
};
INSTANTIATE_TEST_SUITE_P(Settings, PthreadLocks, testing::ValuesIn(settings()), name_setting());

std::uint32_t held() { return current_g()->pthread_locks.load(); }

TEST_P(PthreadLocks, AreCounted) {
  run(
      [] {
        EXPECT_EQ(held(), 0u);
        std::mutex m;
        std::recursive_timed_mutex r;
        std::shared_timed_mutex s;
        m.lock();
        EXPECT_EQ(held(), 1u);
        EXPECT_FALSE(std::unique_lock(m, std::try_to_lock).owns_lock());
        EXPECT_EQ(held(), 1u);
        r.lock();
        EXPECT_TRUE(r.try_lock_for(1ms));
        EXPECT_EQ(held(), 3u);
        s.lock_shared();
        EXPECT_TRUE(s.try_lock_shared());
        EXPECT_FALSE(s.try_lock_for(1us));
        EXPECT_EQ(held(), 5u);
        s.unlock_shared(), s.unlock_shared(), r.unlock(), r.unlock(), m.unlock();
        EXPECT_EQ(held(), 0u);
        s.lock();
        EXPECT_FALSE(s.try_lock_shared_for(1us));
        s.unlock();
        flockfile(stdout);
        EXPECT_EQ(ftrylockfile(stdout), 0);
        EXPECT_EQ(held(), 2u);
        funlockfile(stdout), funlockfile(stdout);
        EXPECT_EQ(held(), 0u);
        mtx_t c;
        timespec now{};
        ASSERT_EQ(mtx_init(&c, mtx_timed | mtx_recursive), thrd_success);
        timespec_get(&now, TIME_UTC);
        EXPECT_TRUE(mtx_lock(&c) == thrd_success && mtx_trylock(&c) == thrd_success);
        EXPECT_EQ(mtx_timedlock(&c, &now), thrd_success);
        EXPECT_EQ(held(), 3u);
        for (int i = 0; i < 3; ++i) EXPECT_EQ(mtx_unlock(&c), thrd_success);
        EXPECT_EQ(held(), 0u);
        mtx_destroy(&c);
        m.lock();
        auto h = spawn([&] {
          EXPECT_EQ(held(), 0u) << "counted per G";
          m.unlock();  // as programs do that use a mutex as a semaphore
          EXPECT_EQ(held(), 0u);
        });
        h.join();
      },
      how());
}

// A G that waits in urge inside a section of a recursive or shared mutex is its owner afterwards as well.
TEST_P(PthreadLocks, TheOwnerIsTheSameBehindAWait) {
  run(
      [] {
        std::recursive_mutex m;
        std::shared_mutex s;
        pthread_mutex_t checked;
        pthread_mutexattr_t kind;
        pthread_mutexattr_init(&kind);
        pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
        pthread_mutex_init(&checked, &kind);
        std::atomic<int> inside{0};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 4; ++i)
          all.push_back(spawn([&] {
            for (int k = 0; k < 30; ++k) {
              while (!m.try_lock()) this_g::yield();
              EXPECT_EQ(++inside, 1);
              EXPECT_EQ(pthread_mutex_lock(&checked), 0);
              s.lock();
              this_g::yield();
              if (k % 5 == 0) this_g::sleep_for(50us);
              s.unlock();
              EXPECT_EQ(pthread_mutex_unlock(&checked), 0) << "an error-checking mutex knows its owner";
              EXPECT_TRUE(m.try_lock()) << "it is the owner";
              m.unlock();
              EXPECT_EQ(--inside, 0);
              m.unlock();
              EXPECT_EQ(held(), 0u);
            }
          }));
        for (auto& h : all) h.join();
        pthread_mutex_destroy(&checked);
      },
      how());
  // In kernel_thread mode it keeps its thread instead.
  EXPECT_EQ(snapshot().promoted == 0, GetParam().preempt == preempt_mode::kernel_thread);
}

// One that holds a lock and is outside libc is let out of its section before it is ended.
TEST_P(PthreadLocks, AKillComesBehindTheSection) {
  if (!async()) GTEST_SKIP() << "needs a G that only a signal stops";
  run(
      [] {
        for (int i = 0; i < 10; ++i) {
          std::mutex m;
          std::atomic<bool> begun{false};
          std::atomic<std::uint64_t> rounds{0};
          auto h = spawn([&] {
            begun = true;
            for (;;) {
              const std::lock_guard hold(m);
              for (volatile int n = 0; n < 20'000;) n = n + 1;
              ++rounds;
            }
          });
          while (!begun) this_g::yield();
          while (!h.kill()) {
          }
          EXPECT_THROW(h.join(), killed);
          EXPECT_TRUE(m.try_lock()) << "left locked by the one that was killed";
          m.unlock();
        }
      },
      how());
}

class GivingBack : public Plain {};

// More Gs than identities: those that stop by themselves make room for those that need one.
TEST_F(GivingBack, APromotedGGivesItsIdentityBackWhereItStopsByItself) {
  URGE_TEST_NEEDS_ASYNC();
  options o;
  o.procs = 2, o.quantum = 50us, o.max_identities = 8;
  run(
      [] {
        std::atomic<bool> over{false};
        std::vector<join_handle<std::uint64_t>> all;
        for (int i = 0; i < 40; ++i)
          all.push_back(spawn([&] {
            std::uint64_t rounds = 0;
            for (; !over; ++rounds) {
              for (volatile int n = 0; n < 400'000;) n = n + 1;
              this_g::yield();
            }
            return rounds;
          }));
        this_g::sleep_for(300ms);
        while (snapshot().identities_given_back < 100) this_g::sleep_for(10ms);
        over = true;
        for (auto& h : all) EXPECT_GT(h.join(), 0u);
      },
      o);
  EXPECT_GE(snapshot().promoted, 100u);
  EXPECT_LE(preempt::count_identities().carried, 8u);
}

// What may not change under its feet keeps it.
thread_local int word = 1;
TEST_F(GivingBack, NotWhileSomethingPointsIntoIt) {
  URGE_TEST_NEEDS_ASYNC();
  options o;
  o.procs = 1, o.quantum = 50us, o.max_identities = 2;
  run(
      [] {
        std::atomic<bool> over{false};
        std::atomic<int> looks{0};  // stops of its own at which it would have to, but for the pointer
        auto keeper = spawn([&] {
          int* volatile where = &word;  // found again after each stop by signal
          while (!over) {
            where = &word;
            *where = 5;
            const std::uint64_t before = this_g::id();
            for (volatile int n = 0; n < 400'000;) n = n + 1;
            const bool promoted = current_g()->own != nullptr;
            int* const cached = where;
            if (promoted && cached == &word) {
              const identity* id = current_g()->own;
              looks += preempt::few_left();
              this_g::yield();
              EXPECT_EQ(current_g()->own, id) << "given back although a pointer into it lies on the stack";
              EXPECT_EQ(*cached, 5);
            }
            EXPECT_EQ(before, this_g::id());
          }
        });
        auto other = spawn([&] {
          while (!over) {
            for (volatile int n = 0; n < 400'000;) n = n + 1;
            this_g::yield();
          }
        });
        while (looks < 20) this_g::sleep_for(10ms);
        over = true;
        keeper.join(), other.join();
      },
      o);
}

}  // namespace
}  // namespace urge::test
