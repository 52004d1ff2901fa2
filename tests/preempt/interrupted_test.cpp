// SPDX-License-Identifier: MIT
// System calls that never restart behind a signal do not return EINTR because of ours.
#include <urge/preempt.hpp>

#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <mutex>

#include "preempt/handler.hpp"
#include "preempt/storm.hpp"

namespace urge::test {
namespace {

// The watchdog's handler runs on an alternate stack: beside such a one EINTR is left as it is. `run` finds it anew.
// Context: a run.
void forget_handlers() {
  preempt::shared.users_handlers = false;
  preempt::shared.users_handlers_elsewhere = false;
}

class Interrupted : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Interrupted, testing::ValuesIn(storm_settings()), name_setting());

void spin_for(std::uint64_t rounds) {
  for (std::uint64_t i = 0; i < rounds; ++i) asm volatile("" ::: "memory");
}

timespec soon(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  t.tv_nsec += 300'000;
  if (t.tv_nsec >= 1'000'000'000) ++t.tv_sec, t.tv_nsec -= 1'000'000'000;
  return t;
}

const int no_files = ::epoll_create1(EPOLL_CLOEXEC);

// What each returns when its time is over.
bool call_number(unsigned k) {
  switch (k) {
    case 0:
      return ::poll(nullptr, 0, 1) == 0;
    case 1: {
      const timespec t{0, 200'000};
      return ::clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr) == 0;
    }
    case 2: {
      epoll_event e;
      return ::epoll_wait(no_files, &e, 1, 1) == 0;
    }
    case 3: {
      timeval t{0, 200};
      return ::select(0, nullptr, nullptr, nullptr, &t) == 0;
    }
    default: {
      sem_t s;
      ::sem_init(&s, 0, 0);
      const timespec t = soon(CLOCK_REALTIME);
      return ::sem_timedwait(&s, &t) == -1 && errno == ETIMEDOUT;
    }
  }
}

TEST_P(Interrupted, NoCallIsByUs) {
  constexpr std::uint64_t preemptions = 3000;
  std::once_flag begun;
  const auto r = storm(how(), 12, preemptions, [&](int who, std::uint64_t n) {
    std::call_once(begun, forget_handlers);
    // Short work between calls, so that signals come just as one begins; and some that only work.
    spin_for(1000 + n * 7919 % 60'000);
    return who % 3 == 0 || call_number(static_cast<unsigned>(n % 5));
  });
  const stats s = snapshot();
  // Some hundreds are hit. One is for a look at a thread that told nothing.
  const std::uint64_t at_most = 1 + s.preempt_signals / 10'000;
  EXPECT_LE(r.wrong, at_most) << "of " << r.rounds << " rounds";
  EXPECT_GE(r.preemptions, preemptions);
  EXPECT_LE(s.calls_interrupted, at_most)
      << "begun anew: " << s.calls_begun_anew << ", looks in vain: " << s.looks_in_vain;
  RecordProperty("calls_begun_anew", static_cast<int>(s.calls_begun_anew));
}

}  // namespace
}  // namespace urge::test
