// SPDX-License-Identifier: MIT
// System calls that never restart behind a signal do not return EINTR because of ours.
#include <urge/preempt.hpp>

#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <mutex>
#include <thread>

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

// A queue of messages of System V, whose receivers know no time limit: a thread sends to who waits. And a semaphore of
// it that nobody raises.
class system_v {
 public:
  system_v() : queue_(::msgget(IPC_PRIVATE, 0600)), semaphore_(::semget(IPC_PRIVATE, 1, 0600)) {
    EXPECT_GE(queue_, 0) << "msgget";
    EXPECT_GE(semaphore_, 0) << "semget";
    sender_ = std::thread([this] {
      while (!over_) {
        for (std::size_t i = 0; i < waits_.size(); ++i) {
          const message m{static_cast<long>(i) + 1, 'm'};
          if (!waits_[i].exchange(false)) continue;
          EXPECT_EQ(::msgsnd(queue_, &m, 1, IPC_NOWAIT), 0);
        }
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    });
  }
  ~system_v() {
    over_ = true;
    sender_.join();
    ::msgctl(queue_, IPC_RMID, nullptr);
    ::semctl(semaphore_, 0, IPC_RMID);
  }
  bool receive(int who) {
    message m{};
    waits_.at(static_cast<std::size_t>(who)) = true;
    return ::msgrcv(queue_, &m, 1, who + 1, 0) == 1 && m.text == 'm';
  }
  bool decrement_in_vain() const {
    sembuf down{0, -1, 0};
    const timespec t{0, 200'000};
    return ::semtimedop(semaphore_, &down, 1, &t) == -1 && errno == EAGAIN;
  }

 private:
  struct message {
    long type;
    char text;
  };
  int queue_, semaphore_;
  std::array<std::atomic<bool>, 64> waits_{};  // more than there are Gs
  std::atomic<bool> over_{false};
  std::thread sender_;
};

// With a time limit of its own, which is why the kernel does not restart it.
bool receive_in_vain(int socket) {
  char c;
  return ::recv(socket, &c, 1, 0) == -1 && errno == EAGAIN;
}

// Does it return what it shall when its time is over, or its message has come?
bool call_number(unsigned k, int who, system_v& v, int socket) {
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
    case 4: {
      sigset_t set;
      sigemptyset(&set);
      sigaddset(&set, SIGRTMIN + 7);
      const timespec t{0, 200'000};
      return ::sigtimedwait(&set, nullptr, &t) == -1 && errno == EAGAIN;
    }
    case 5:
      return v.receive(who);
    case 6:
      return v.decrement_in_vain();
    case 7:
      return receive_in_vain(socket);
    case 8: {
      char c;
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      return ::recvfrom(socket, &c, 1, 0, reinterpret_cast<sockaddr*>(&from), &size) == -1 && errno == EAGAIN;
    }
    case 9: {
      const timespec t{0, 200'000};
      return ::pselect(0, nullptr, nullptr, nullptr, &t, nullptr) == 0;
    }
    case 10: {
      epoll_event e;
      return ::epoll_pwait(no_files, &e, 1, 1, nullptr) == 0;
    }
    default: {
      sem_t s;
      ::sem_init(&s, 0, 0);
      const timespec t = soon(CLOCK_REALTIME);
      return ::sem_timedwait(&s, &t) == -1 && errno == ETIMEDOUT;
    }
  }
}
constexpr unsigned n_calls = 12;

TEST_P(Interrupted, NoCallIsByUs) {
  constexpr std::uint64_t preemptions = 3000;
  std::once_flag begun;
  system_v v;
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const timeval limit{0, 200};
  ASSERT_EQ(::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  const auto r = storm(how(), 12, preemptions, [&](int who, std::uint64_t n) {
    std::call_once(begun, forget_handlers);
    // Short work between calls, so that signals come just as one begins; and some that only work.
    spin_for(1000 + n * 7919 % 60'000);
    return who % 3 == 0 || call_number(static_cast<unsigned>(n % n_calls), who, v, ends[0]);
  });
  ::close(ends[0]), ::close(ends[1]);
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
