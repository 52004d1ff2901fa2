// SPDX-License-Identifier: MIT
// kernel_thread mode: a G that a signal has stopped keeps its kernel thread, with all that the kernel knows of it. What
// every mode must do is tested in the other files, with this one among their settings.
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class KernelThread : public Plain {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
  static options how(unsigned procs, std::chrono::nanoseconds quantum = 50us) {
    options o;
    o.procs = procs, o.quantum = quantum, o.preempt = preempt_mode::kernel_thread;
    return o;
  }
};

TEST_F(KernelThread, ARunningGStaysOnOneThreadThroughAllItsPreemptions) {
  for (const unsigned procs : {1u, 2u, 8u}) {
    std::atomic<int> moved{0};
    constexpr std::uint64_t enough = 500;
    run(
        [&] {
          std::vector<join_handle<void>> all;
          for (unsigned i = 0; i < 4 + 2 * procs; ++i)
            all.push_back(spawn([&] {
              // No call of urge in a batch: it would be a yield point, where a G may change to another thread.
              while (snapshot().preempts_kernel_thread < enough) {
                const pid_t tid = ::gettid();
                const pthread_t self = pthread_self();
                for (int n = 0; n < 2000; ++n) {
                  for (int k = 0; k < 200; ++k) asm volatile("");
                  if (::gettid() != tid || pthread_self() != self) ++moved;
                }
              }
            }));
          for (auto& h : all) h.join();
        },
        how(procs));
    EXPECT_EQ(moved, 0);
    EXPECT_GE(snapshot().preempts_kernel_thread, enough);
  }
}

// The kernel compares the caller's thread id with the one in the lock.
TEST_F(KernelThread, MutexesThatTheKernelKnowsWork) {
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
  pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t mutex;
  ASSERT_EQ(pthread_mutex_init(&mutex, &attr), 0);
  std::uint64_t counted = 0;
  std::atomic<int> errors{0};
  constexpr int gs = 6, rounds = 300;
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (int i = 0; i < gs; ++i)
          all.push_back(spawn([&] {
            for (int n = 0; n < rounds; ++n) {
              if (pthread_mutex_lock(&mutex) != 0) ++errors;
              const std::uint64_t was = counted;
              for (int k = 0; k < 2000; ++k) asm volatile("");
              if (n % 16 == 0) this_g::yield();  // holding it: the thread stays with the G
              counted = was + 1;
              if (pthread_mutex_unlock(&mutex) != 0) ++errors;
            }
          }));
        for (auto& h : all) h.join();
      },
      how(2));
  EXPECT_EQ(counted, std::uint64_t{gs} * rounds);
  EXPECT_EQ(errors, 0);
  pthread_mutex_destroy(&mutex);
  pthread_mutexattr_destroy(&attr);
}

TEST_F(KernelThread, AGThatWaitsWithALockOfPthreadGoesOnOnItsThread) {
  std::atomic<int> wrong{0};
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 8; ++i)
          all.push_back(spawn([&] {
            std::recursive_mutex mine;
            for (int n = 0; n < 100; ++n) {
              const std::lock_guard outer(mine);
              const pid_t tid = ::gettid();
              this_g::yield();
              if (::gettid() != tid || !mine.try_lock()) {
                ++wrong;
                continue;
              }
              mine.unlock();
            }
          }));
        for (auto& h : all) h.join();
      },
      how(2));
  EXPECT_EQ(wrong, 0);
}

TEST_F(KernelThread, WithoutASpareThreadNobodyIsStoppedAndAllEndAllTheSame) {
  options o = how(2, 100us);
  o.max_threads = 8;
  constexpr int gs = 32;
  std::atomic<int> ended{0};
  const auto refused = [] {
    return snapshot().deferred_by_reason[static_cast<std::size_t>(defer_reason::no_identity)];
  };
  run(
      [&] {
        std::atomic<bool> seen{false};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < gs; ++i)
          all.push_back(spawn([&] {
            while (!seen) {
              for (int k = 0; k < 1'000'000; ++k) asm volatile("");
              if (refused() > 0) seen = true;
            }
            ++ended;
          }));
        for (auto& h : all) h.join();
        EXPECT_LE(snapshot().threads, 8u);
      },
      o);
  EXPECT_EQ(ended, gs);
  EXPECT_GT(refused(), 0u);
}

TEST_F(KernelThread, AKilledGKeepsItsThreadUntilTheEndOfTheRun) {
  run(
      [] {
        for (int i = 0; i < 5; ++i) {
          std::atomic<bool> begun{false};
          auto hog = spawn([&] {
            begun = true;
            for (;;) asm volatile("");
          });
          while (!begun) this_g::yield();
          EXPECT_TRUE(hog.kill());
          EXPECT_THROW(hog.join(), killed);
        }
      },
      how(1));
  EXPECT_EQ(snapshot().kept_back, 5u);
}

TEST_F(KernelThread, WhoIsInsideLibcWhenTheRunEndsIsLetOut) {
  for (int round = 0; round < 10; ++round) {
    run(
        [] {
          std::atomic<int> begun{0};
          for (int i = 0; i < 20; ++i)
            go([&] {
              ++begun;
              for (char text[64];;) {
                std::snprintf(text, sizeof text, "%f %d", 3.25, 7);
                std::free(std::malloc(200));
                for (int k = 0; k < 3000; ++k) asm volatile("");  // outside for half of its time
              }
            });
          while (begun < 20 || snapshot().preempts_kernel_thread < 100) this_g::yield();
        },
        how(2));
    EXPECT_EQ(snapshot().abandoned_inside, 0u);
    std::free(std::malloc(100'000));
    std::printf("%s", "");
  }
}

TEST_F(KernelThread, ManyRunsWithStandingGsLeaveNothingBehind) {
  run([] {}, how(2));
  const std::size_t mappings = count_mappings(), threads = count_threads();
  for (int round = 0; round < 100; ++round)
    run(
        [] {
          for (int i = 0; i < 6; ++i)
            go([] {
              for (;;) asm volatile("");
            });
          while (snapshot().preempts_kernel_thread < 10) this_g::yield();
        },
        how(2, 100us));
  EXPECT_TRUE(eventually([&] { return count_threads() <= threads; }));
  // Arenas of malloc and reservations of stacks, not one for each run.
  EXPECT_LE(count_mappings(), mappings + 60);
}

// As many threads as max_threads allows, and no more; whoever finds none keeps its P instead of its thread.
class CloseToMaxThreads : public KernelThread, public ::testing::WithParamInterface<std::pair<unsigned, unsigned>> {
 protected:
  static options few() {
    options o = how(GetParam().first);
    o.max_threads = GetParam().second;
    return o;
  }
};

TEST_P(CloseToMaxThreads, GsThatYieldWithALockNeverExhaustThem) {
  options o = few();
  o.quantum = 10ms;  // they stop by themselves, as the first spare threads are on their way
  for (int i = 0; i < 300; ++i)
    run(
        [] {
          std::vector<join_handle<void>> others;
          for (unsigned k = 0; k < GetParam().first; ++k)
            others.push_back(spawn([] {
              std::mutex mine;
              const std::lock_guard hold(mine);
              for (int n = 0; n < 20; ++n) this_g::yield();
            }));
          std::mutex mine;
          for (int n = 0; n < 20; ++n) {
            const std::lock_guard hold(mine);
            this_g::yield();
          }
          for (auto& g : others) g.join();
        },
        o);
}

TEST_P(CloseToMaxThreads, ThereAreNeverMore) {
  const options o = few();
  // The run's own: the maker and sysmon.
  const std::size_t before = count_threads(), most = before + o.max_threads + 2;
  for (int i = 0; i < 20; ++i) {
    std::atomic<std::size_t> seen{0};
    std::atomic<std::uint64_t> counted{0};
    const auto look = [&] {
      const std::size_t n = count_threads();
      if (n > seen) seen = n;
      const std::uint64_t c = snapshot().threads;
      if (c > counted) counted = c;
    };
    run(
        [&] {
          std::vector<join_handle<void>> all;
          for (unsigned k = 0; k < 2 * o.max_threads; ++k)
            all.push_back(spawn([&, k] {
              std::mutex mine;
              for (unsigned n = 0; n < 40; ++n) {
                const std::lock_guard hold(mine);
                for (int spin = 0; spin < 100'000; ++spin) asm volatile("");  // stopped here, mostly
                if (n % 3 == 0) this_g::yield();
                if (n % 8 == 0) this_g::sleep_for(50us);
                if (n % 4 == 0 && k < 2) look();
              }
            }));
          for (auto& g : all) g.join();
        },
        o);
    EXPECT_LE(seen, most);
    EXPECT_LE(counted, o.max_threads);
    EXPECT_TRUE(eventually([&] { return count_threads() <= before; }));  // the kernel lists them a moment longer
  }
}

INSTANTIATE_TEST_SUITE_P(Limits, CloseToMaxThreads,
                         ::testing::Values(std::pair{1u, 2u}, std::pair{2u, 3u}, std::pair{4u, 5u}, std::pair{2u, 2u},
                                           std::pair{3u, 6u}),
                         [](const auto& info) {
                           return std::to_string(info.param.first) + "Of" + std::to_string(info.param.second);
                         });

}  // namespace
}  // namespace urge::test
