// SPDX-License-Identifier: MIT
// What holds preemption off, what does not, and what is counted: guards, yield points, masks, handlers, other owners of
// the signal, a lack of identities, stacks of a task's own making.
#include <urge/preempt.hpp>

#include <pthread.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "preempt/storm.hpp"

namespace urge::test {
namespace {

class Guard : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Guard, testing::Values(setting{1, preempt_mode::async, 50us}), name_setting());
class SignalMask : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, SignalMask, testing::ValuesIn(storm_settings()), name_setting());
class Handlers : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Handlers, testing::ValuesIn(storm_settings()), name_setting());
class Control : public Plain {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
};

std::uint64_t deferred(defer_reason why) { return snapshot().deferred_by_reason[static_cast<std::size_t>(why)]; }

TEST_P(Guard, NobodyElseRunsOnThePWhileOneLives) {
  run(
      [] {
        std::atomic<std::uint64_t> other{0};
        std::atomic<bool> stop{false};
        auto hog = spawn([&] {
          while (!stop.load(std::memory_order_relaxed)) other.fetch_add(1, std::memory_order_relaxed);
        });
        while (other.load() == 0) this_g::yield();
        for (int i = 0; i < 20; ++i) {
          const auto refused = deferred(defer_reason::guarded);
          {
            const preempt_guard outer;
            const preempt_guard inner;
            const std::uint64_t before = other.load();
            // Until sysmon has asked and was refused, so the guard did have something to hold off.
            while (deferred(defer_reason::guarded) == refused)
              for (volatile int k = 0; k < 1000;) k = k + 1;
            EXPECT_EQ(other.load(), before);
          }
          this_g::yield();
        }
        // Its request was honoured at its end, or at the yield; in any case the hog goes on.
        const std::uint64_t before = other.load();
        while (other.load() == before) this_g::yield();
        stop = true;
        hog.join();
      },
      how());
}

TEST_P(Guard, ItsEndHonoursTheRequest) {
  run(
      [] {
        std::atomic<std::uint64_t> other{0};
        std::atomic<bool> stop{false};
        auto hog = spawn([&] {
          while (!stop.load(std::memory_order_relaxed)) other.fetch_add(1, std::memory_order_relaxed);
        });
        while (other.load() == 0) this_g::yield();
        const auto before = snapshot().preempts_cooperative;
        const auto refused = deferred(defer_reason::guarded);
        const std::uint64_t count = other.load();
        {
          const preempt_guard one;
          while (deferred(defer_reason::guarded) == refused)
            for (volatile int k = 0; k < 1000;) k = k + 1;
        }
        EXPECT_GT(other.load(), count);
        EXPECT_GT(snapshot().preempts_cooperative, before);
        stop = true;
        hog.join();
      },
      how());
}

TEST(GuardOutside, ThrowsOutsideAG) {
  EXPECT_THROW(preempt_guard g, std::logic_error);
  EXPECT_THROW(preempt_point(), std::logic_error);
}

TEST_P(SignalMask, AGThatBlocksAllSignalsIsPreemptedAllTheSame) {
  const auto r = storm(how(), 3, 500, [](int who, std::uint64_t n) {
    if (n == 0 && who == 0) {
      sigset_t all;
      sigfillset(&all);
      if (pthread_sigmask(SIG_SETMASK, &all, nullptr) != 0) return false;
    }
    for (volatile int i = 0; i < 20'000;) i = i + 1;
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, nullptr, &now);
    // Its mask came along, and nobody else has it. The preemption signal never is in it.
    return (sigismember(&now, SIGUSR2) == 1) == (who == 0) && sigismember(&now, SIGURG) == 0;
  });
  expect_right(r, 500);
}

std::atomic<std::uint64_t> handled{0};
std::atomic<std::uint64_t> moved{0};

void slow_handler(int) {
  const pthread_t before = pthread_self();
  for (volatile int i = 0; i < 50'000;) i = i + 1;
  if (!pthread_equal(before, pthread_self())) moved.fetch_add(1);
  handled.fetch_add(1);
}

// A G that a handler interrupted is not preempted: its return from the handler must be on the same thread.
void with_handlers(const options& how, int flags) {
  handled = moved = 0;
  struct sigaction mine {
  }, before{};
  mine.sa_handler = slow_handler;
  mine.sa_flags = flags;
  ASSERT_EQ(sigaction(SIGUSR1, &mine, &before), 0);
  struct sigaction seen {};
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &seen), 0);
  EXPECT_EQ(seen.sa_handler, slow_handler) << "a program sees its own handler";
  const auto r = storm(how, 4, 500, [](int who, std::uint64_t n) {
    if (who == 0 && n % 4 == 0) pthread_kill(pthread_self(), 0);
    if (who == 0) raise(SIGUSR1);
    for (volatile int i = 0; i < 5'000;) i = i + 1;
    return true;
  });
  expect_right(r, 500);
  EXPECT_GT(handled.load(), 0u);
  EXPECT_EQ(moved.load(), 0u);
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}
TEST_P(Handlers, OnTheGsOwnStackAreNotPreempted) { with_handlers(how(), SA_RESTART); }
TEST_P(Handlers, OnTheAlternateStackAreNotPreempted) { with_handlers(how(), SA_RESTART | SA_ONSTACK); }

std::atomic<std::uint64_t> urgent{0};
void on_urgent(int, siginfo_t*, void*) { urgent.fetch_add(1); }

TEST_F(Control, TheOwnerOfTheSignalIsStillCalledAndComesBack) {
  urgent = 0;
  struct sigaction theirs {
  }, before{};
  theirs.sa_sigaction = on_urgent;
  theirs.sa_flags = SA_SIGINFO | SA_RESTART;
  ASSERT_EQ(sigaction(SIGURG, &theirs, &before), 0);
  run(
      [] {
        const auto from = urgent.load();
        kill(getpid(), SIGURG);
        while (urgent.load() == from) this_g::yield();
      },
      options{.procs = 1});
  const auto during = urgent.load();
  raise(SIGURG);
  EXPECT_EQ(urgent.load(), during + 1) << "the action from before the run is back";
  // One that is set while the library has the signal is called too, and stays.
  ASSERT_EQ(sigaction(SIGURG, &before, nullptr), 0);
  run(
      [&] {
        EXPECT_EQ(sigaction(SIGURG, &theirs, nullptr), 0);
        const auto from = urgent.load();
        kill(getpid(), SIGURG);
        while (urgent.load() == from) this_g::yield();
      },
      options{.procs = 1});
  const auto after = urgent.load();
  raise(SIGURG);
  EXPECT_EQ(urgent.load(), after + 1);
  sigaction(SIGURG, &before, nullptr);
}

TEST_F(Control, AnotherSignalCanBeUsed) {
  for (const int signal : {SIGUSR2, SIGRTMIN + 3}) {
    options o{.procs = 1, .quantum = 100us};
    o.signal = signal;
    const auto r = storm(o, 2, 50, [](int, std::uint64_t) {
      for (volatile int i = 0; i < 5'000;) i = i + 1;
      return true;
    });
    expect_right(r, 50);
  }
}

// Hogs on one P until three preemptions were refused for want of an identity. The one that cannot be stopped keeps its
// P: so the end is called from outside.
void starve_of_identities(unsigned max_identities) {
  options o{.procs = 1, .quantum = 100us};
  o.max_identities = max_identities;
  std::atomic<bool> stop{false};
  run(
      [&] {
        std::jthread observer([&] { stop = eventually([] { return deferred(defer_reason::no_identity) >= 3; }); });
        std::vector<join_handle<void>> hogs;
        for (int i = 0; i < 8; ++i)
          hogs.push_back(spawn([&] {
            while (!stop.load(std::memory_order_relaxed)) {
            }
          }));
        for (auto& h : hogs) h.join();
      },
      o);
  EXPECT_GE(deferred(defer_reason::no_identity), 3u);
}

TEST_F(Control, WithoutIdentitiesNobodyIsStoppedBySignal) {
  starve_of_identities(0);
  EXPECT_EQ(snapshot().preempts_async, 0u);
}

TEST_F(Control, AsManyIdentitiesAsAllowedAndNoMore) {
  starve_of_identities(3);
  EXPECT_EQ(snapshot().promoted, 3u);
}

// Coroutines of a task's own, on stacks that urge knows nothing of.
TEST_F(Control, AStackOfTheTasksOwnMakingIsKept) {
  options o{.procs = 2, .quantum = 50us};
  const auto r = storm(o, 4, 500, [](int who, std::uint64_t n) {
    struct shared_with_it {
      ucontext_t main, inner;
      std::uint64_t sum = 0, seed = 0;
    } s;
    s.seed = n + static_cast<unsigned>(who);
    alignas(16) static thread_local char unused;
    (void)unused;
    std::vector<char> stack(32 * 1024);
    getcontext(&s.inner);
    s.inner.uc_stack.ss_sp = stack.data();
    s.inner.uc_stack.ss_size = stack.size();
    s.inner.uc_link = &s.main;
    const auto address = reinterpret_cast<std::uintptr_t>(&s);
    makecontext(&s.inner, reinterpret_cast<void (*)()>(+[](unsigned high, unsigned low) {
      auto& mine = *reinterpret_cast<shared_with_it*>(std::uintptr_t{high} << 32 | low);
      std::uint64_t x = mine.seed;
      for (int i = 0; i < 50'000; ++i) x = x * 6364136223846793005u + 1;
      mine.sum = x;
    }),
                2, static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
    swapcontext(&s.main, &s.inner);
    std::uint64_t x = s.seed;
    for (int i = 0; i < 50'000; ++i) x = x * 6364136223846793005u + 1;
    return s.sum == x;
  });
  expect_right(r, 500);
}

}  // namespace
}  // namespace urge::test
