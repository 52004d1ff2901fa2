// SPDX-License-Identifier: MIT
// What libc says of the thread that a G believes to be, under an identity whose thread id the kernel does not know; and
// what it must refuse. Each in a storm, so that the G has been promoted and moves from M to M.
#include <urge/errors.hpp>
#include <urge/go.hpp>

#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "preempt/storm.hpp"

namespace urge::test {
namespace {

class SelfThread : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, SelfThread, testing::ValuesIn(storm_settings()), name_setting());

constexpr std::uint64_t preemptions = 500;

TEST_P(SelfThread, ItsAffinityIsThatOfTheProcess) {
  cpu_set_t expected;
  ASSERT_EQ(sched_getaffinity(0, sizeof expected, &expected), 0);
  const auto r = storm(how(), 4, preemptions, [&](int, std::uint64_t) {
    for (volatile int i = 0; i < 5'000;) i = i + 1;
    cpu_set_t now;
    std::memset(&now, 0xff, sizeof now);
    char small;
    return pthread_getaffinity_np(pthread_self(), sizeof now, &now) == 0 && CPU_EQUAL(&now, &expected) &&
           pthread_getaffinity_np(pthread_self(), sizeof small, reinterpret_cast<cpu_set_t*>(&small)) == EINVAL &&
           pthread_setaffinity_np(pthread_self(), sizeof now, &now) == ENOTSUP;
  });
  expect_right(r, preemptions);
}

TEST_P(SelfThread, ItsClockRuns) {
  const auto r = storm(how(), 4, preemptions, [](int, std::uint64_t) {
    for (volatile int i = 0; i < 5'000;) i = i + 1;
    clockid_t clock;
    timespec used{};
    return pthread_getcpuclockid(pthread_self(), &clock) == 0 && clock_gettime(clock, &used) == 0 &&
           (used.tv_sec > 0 || used.tv_nsec > 0);
  });
  expect_right(r, preemptions);
}

TEST_P(SelfThread, ItsSchedulingIsThatOfTheThread) {
  const auto r = storm(how(), 4, preemptions, [](int, std::uint64_t) {
    for (volatile int i = 0; i < 5'000;) i = i + 1;
    int policy = -1;
    sched_param param{-1};
    return pthread_getschedparam(pthread_self(), &policy, &param) == 0 && policy == sched_getscheduler(0) &&
           param.sched_priority == 0;
  });
  expect_right(r, preemptions);
}

// As stack scanners ask, and those who count what is left.
TEST_P(SelfThread, ItsStackIsTheGs) {
  const auto r = storm(how(), 4, preemptions, [](int, std::uint64_t) {
    for (volatile int i = 0; i < 5'000;) i = i + 1;
    pthread_attr_t attr;
    if (pthread_getattr_np(pthread_self(), &attr) != 0) return false;
    void* low = nullptr;
    std::size_t size = 0, guard = 0;
    const bool got = pthread_attr_getstack(&attr, &low, &size) == 0 && pthread_attr_getguardsize(&attr, &guard) == 0;
    pthread_attr_destroy(&attr);
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const auto from = reinterpret_cast<std::uintptr_t>(low);
    return got && here >= from && here < from + size && guard > 0;
  });
  expect_right(r, preemptions);
}

// One flag per G: the handler finds out whose stack it is on.
thread_local int unused_by_handlers;
struct mailbox {
  const char* low;
  const char* high;
  volatile int value;
};
std::atomic<mailbox*> boxes[32];
void deliver(int value) {
  const char here = 0;
  const char* at = &here;
  for (auto& slot : boxes)
    if (mailbox* b = slot.load(); b && at >= b->low && at < b->high) b->value = value;
}
void on_signal(int, siginfo_t* info, void*) { deliver(info->si_code == SI_QUEUE ? info->si_value.sival_int : 1); }

// The handler has run before the call returns, on the stack of the G that called, wherever that was moved to.
TEST_P(SelfThread, ASignalToItselfArrivesAtOnceAndNowhereElse) {
  struct sigaction mine {
  }, before{};
  mine.sa_sigaction = on_signal;
  mine.sa_flags = SA_SIGINFO | SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &mine, &before), 0);
  const auto r = storm(how(), 4, 2 * preemptions, [](int who, std::uint64_t n) {
    mailbox mine;
    const char* frame = static_cast<const char*>(__builtin_frame_address(0));
    mine.low = frame - 32 * 1024, mine.high = frame;
    boxes[who].store(&mine);
    bool right = true;
    for (int i = 0; i < 20 && right; ++i) {
      mine.value = 0;
      int expected = 1, error;
      if (n % 3 == 0)
        error = raise(SIGUSR1);
      else if (n % 3 == 1)
        error = pthread_kill(pthread_self(), SIGUSR1);
      else
        error = pthread_sigqueue(pthread_self(), SIGUSR1, sigval{.sival_int = expected = 100 + i});
      right = error == 0 && mine.value == expected;
    }
    boxes[who].store(nullptr);
    return right && pthread_kill(pthread_self(), 0) == 0 && pthread_kill(pthread_self(), 1000) == EINVAL &&
           raise(1000) == -1;
  });
  expect_right(r, preemptions);
  sigaction(SIGUSR1, &before, nullptr);
  unused_by_handlers = 0;
}

TEST_P(SelfThread, ATimerCanSignalTheThreadOfTheMoment) {
  static std::atomic<int> ticks_seen;
  ticks_seen = 0;
  struct sigaction mine {
  }, before{};
  mine.sa_handler = [](int) { ticks_seen.fetch_add(1); };
  mine.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR2, &mine, &before), 0);
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t) {
    for (volatile int i = 0; i < 5'000;) i = i + 1;
    if (who != 0) return true;
    sigevent to{};
    to.sigev_notify = SIGEV_THREAD_ID;
    to.sigev_signo = SIGUSR2;
    to._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &to, &timer) != 0) return false;
    const int from = ticks_seen.load();
    const itimerspec once{{}, {0, 1000}};
    bool right = timer_settime(timer, 0, &once, nullptr) == 0;
    while (right && ticks_seen.load() == from)
      for (volatile int i = 0; i < 1'000;) i = i + 1;
    return timer_delete(timer) == 0 && right;
  });
  expect_right(r, preemptions);
  EXPECT_GT(ticks_seen.load(), 0);
  sigaction(SIGUSR2, &before, nullptr);
}

TEST_P(SelfThread, UserAndGroupAreRefusedWhileARunIsOn) {
  testing::internal::CaptureStderr();
  run(
      [] {
        const auto refused = [](int result) { return result == -1 && errno == EPERM; };
        const uid_t u = getuid();
        const gid_t g = getgid();
        EXPECT_TRUE(refused(setuid(u)) && refused(seteuid(u)) && refused(setreuid(u, u)) &&
                    refused(setresuid(u, u, u)));
        EXPECT_TRUE(refused(setgid(g)) && refused(setegid(g)) && refused(setregid(g, g)) &&
                    refused(setresgid(g, g, g)));
        EXPECT_TRUE(refused(setgroups(0, nullptr)) && refused(initgroups("root", g)));
      },
      how());
  const std::string told = testing::internal::GetCapturedStderr();
  for (const char* name : {"setuid", "seteuid", "setreuid", "setresuid", "setgid", "setegid", "setregid", "setresgid",
                           "setgroups", "initgroups"})
    EXPECT_NE(told.find(std::string("urge: ") + name + ": refused while a run is on"), std::string::npos) << told;
  // The run is over, its identities are still there.
  EXPECT_EQ(setresuid(getuid(), geteuid(), geteuid()), 0);
  EXPECT_EQ(setresgid(getgid(), getegid(), getegid()), 0);
}

struct counted {
  std::atomic<int>& n;
  ~counted() { n.fetch_add(1); }
};

TEST_P(SelfThread, PthreadExitEndsTheG) {
  std::atomic<int> destroyed{0}, after{0};
  run(
      [&] {
        for (int i = 0; i < 20; ++i) {
          auto h = spawn([&] {
            const counted here{destroyed};
            for (volatile int k = 0; k < 50'000;) k = k + 1;
            pthread_exit(nullptr);
            after.fetch_add(1);
          });
          auto with_result = spawn([]() -> int { pthread_exit(nullptr); });
          h.join();
          EXPECT_THROW(with_result.join(), exited);
        }
      },
      how());
  EXPECT_EQ(destroyed.load(), 20);
  EXPECT_EQ(after.load(), 0);
}

}  // namespace
}  // namespace urge::test
