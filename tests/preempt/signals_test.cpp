// SPDX-License-Identifier: MIT
// Other signals while Gs are stopped by ours: urgent data for the previous owner, other signals as ours and their
// owners, profilers, timers, SIGCHLD.
#include <urge/go.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>

#include "preempt/storm.hpp"

namespace urge::test {
namespace {

class Signals : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Signals, testing::ValuesIn(storm_settings()), name_setting());

class OtherSignals : public Plain {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
};

constexpr std::uint64_t preemptions = 500;

void spin(int n) {
  for (volatile int i = 0; i < n;) i = i + 1;
}
bool churn(int, std::uint64_t n) {
  std::string text = std::to_string(n);
  for (int i = 0; i < 20; ++i) text += std::to_string(i);
  spin(2'000);
  return text.size() > 20;
}

// Sets an action, and puts back what was there.
struct action_for_a_while {
  action_for_a_while(int which, void (*f)(int, siginfo_t*, void*), int flags = SA_RESTART) : signal(which) {
    struct sigaction mine {};
    mine.sa_sigaction = f;
    mine.sa_flags = SA_SIGINFO | flags;
    sigaction(signal, &mine, &before);
  }
  ~action_for_a_while() { sigaction(signal, &before, nullptr); }
  int signal;
  struct sigaction before {};
};

// --- urgent data ---
int urgent_socket = -1;
std::atomic<int> urgent_bytes{0};
std::atomic<int> last_byte{-1};

void on_urgent(int, siginfo_t*, void*) {
  const int e = errno;
  unsigned char c;
  if (recv(urgent_socket, &c, 1, MSG_OOB | MSG_DONTWAIT) == 1) {
    last_byte.store(c);
    urgent_bytes.fetch_add(1);
  }
  errno = e;
}

struct connection {
  int from = -1, to = -1;
  connection() {
    const int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t n = sizeof where;
    from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(door, reinterpret_cast<sockaddr*>(&where), n) == 0 && listen(door, 1) == 0 &&
        getsockname(door, reinterpret_cast<sockaddr*>(&where), &n) == 0 &&
        connect(from, reinterpret_cast<sockaddr*>(&where), n) == 0)
      to = accept4(door, nullptr, nullptr, SOCK_CLOEXEC);
    close(door);
  }
  ~connection() { close(from), close(to); }
};

TEST_P(Signals, UrgentDataIsReportedByteForByte) {
  connection c;
  ASSERT_GE(c.to, 0);
  urgent_socket = c.to;
  urgent_bytes = 0;
  const action_for_a_while h(SIGURG, on_urgent);
  ASSERT_EQ(fcntl(c.to, F_SETOWN, getpid()), 0);
  std::atomic<int> sent{0};
  const auto r = storm(how(), 4, preemptions, [&](int who, std::uint64_t n) {
    if (who != 0) return churn(who, n);
    const unsigned char byte = static_cast<unsigned char>(n);
    if (send(c.from, &byte, 1, MSG_OOB) != 1) return false;
    const int expected = sent.fetch_add(1) + 1;
    while (urgent_bytes.load() < expected) spin(1'000);
    return last_byte.load() == byte;
  });
  expect_right(r, preemptions);
  EXPECT_GT(sent.load(), 0);
  EXPECT_EQ(urgent_bytes.load(), sent.load());
}

// --- other signals as ours ---
std::atomic<int> owned{0};

TEST_F(OtherSignals, AreChainedAsWell) {
  for (const int signal : {SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMIN + 3, SIGRTMAX}) {
    const action_for_a_while h(signal, [](int, siginfo_t* info, void*) {
      if (info->si_code == SI_QUEUE) owned.fetch_add(info->si_value.sival_int);
    });
    owned = 0;
    options o{.procs = 2, .quantum = 50us};
    o.signal = signal;
    const auto r = storm(o, 4, 300, [signal](int who, std::uint64_t n) {
      if (who != 0) return churn(who, n);
      const int from = owned.load();
      // Standard signals are merged with ours: then only that it is called is certain, not with which of the two.
      for (int tries = 0; owned.load() == from && tries < 1'000'000; ++tries) {
        if (tries % 1000 == 0) sigqueue(getpid(), signal, sigval{.sival_int = 1});
        spin(100);
      }
      return owned.load() > from;
    });
    expect_right(r, 300);
    const int from = owned.load();
    sigqueue(getpid(), signal, sigval{.sival_int = 5});
    while (owned.load() < from + 5) spin(100);
    struct sigaction now {};
    ASSERT_EQ(sigaction(signal, nullptr, &now), 0);
    EXPECT_FALSE(now.sa_handler == SIG_DFL) << "the owner's action is back";
  }
}

// Real-time signals queue: while a handler holds ours off, sysmon sends one request after the other.
TEST_F(OtherSignals, QueuedOnesAreHarmless) {
  const action_for_a_while h(SIGUSR1, [](int, siginfo_t*, void*) { spin(3'000'000); });
  options o{.procs = 2, .quantum = 50us};
  o.signal = SIGRTMIN + 1;
  const auto r = storm(o, 4, 500, [](int who, std::uint64_t n) {
    if (who == 0 && n % 50 == 0) raise(SIGUSR1);
    return churn(who, n);
  });
  expect_right(r, 500);
}

// --- a profiler ---
std::atomic<int> samples{0}, frames{0};

// Two words at an address that may be anything, without a fault.
bool read_pair(std::uintptr_t at, std::uintptr_t (&pair)[2]) {
  const iovec here{pair, sizeof pair}, there{reinterpret_cast<void*>(at), sizeof pair};
  return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == static_cast<ssize_t>(sizeof pair);
}
void on_profile(int, siginfo_t*, void* uc) {
  const int e = errno;
  const auto& regs = static_cast<ucontext_t*>(uc)->uc_mcontext.gregs;
  auto fp = static_cast<std::uintptr_t>(regs[REG_RBP]);
  int n = 0;
  for (std::uintptr_t pair[2]; n < 64 && read_pair(fp, pair) && pair[0] > fp; ++n) fp = pair[0];
  frames.fetch_add(n);
  samples.fetch_add(1);
  errno = e;
}

TEST_P(Signals, AProfilerSamplesGsThatAreStopped) {
  samples = frames = 0;
  const action_for_a_while h(SIGPROF, on_profile);
  const itimerval often{{0, 1000}, {0, 1000}}, never{};
  ASSERT_EQ(setitimer(ITIMER_PROF, &often, nullptr), 0);
  do {
    const auto r = storm(how(), 4, preemptions, churn);
    expect_right(r, preemptions);
  } while (samples.load() < 20);
  ASSERT_EQ(setitimer(ITIMER_PROF, &never, nullptr), 0);
  EXPECT_GT(frames.load(), 0);
}

// --- timers and children ---
std::atomic<int> alarms{0};

TEST_P(Signals, TimersOfTheProcessGoOn) {
  alarms = 0;
  const action_for_a_while h(
      SIGIO, [](int, siginfo_t*, void*) { alarms.fetch_add(1); }, SA_RESTART | SA_ONSTACK);
  sigevent to{};
  to.sigev_notify = SIGEV_SIGNAL;
  to.sigev_signo = SIGIO;
  timer_t timer;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &to, &timer), 0);
  const itimerspec often{{0, 300'000}, {0, 300'000}};
  ASSERT_EQ(timer_settime(timer, 0, &often, nullptr), 0);
  do {
    const auto r = storm(how(), 4, preemptions, churn);
    expect_right(r, preemptions);
  } while (alarms.load() < 20);
  timer_delete(timer);
}

std::atomic<int> reaped{0};

TEST_P(Signals, EachChildIsReapedByTheHandlerOfSigchld) {
  reaped = 0;
  std::atomic<int> started{0};
  const action_for_a_while h(SIGCHLD, [](int, siginfo_t*, void*) {
    const int e = errno;
    while (waitpid(-1, nullptr, WNOHANG) > 0) reaped.fetch_add(1);
    errno = e;
  });
  const auto r = storm(how(), 4, preemptions, [&](int who, std::uint64_t n) {
    if (who != 0) return churn(who, n);
    const pid_t child = fork();
    if (child == 0) _exit(0);
    if (child < 0) return false;
    const int expected = started.fetch_add(1) + 1;
    while (reaped.load() < expected) spin(1'000);
    return true;
  });
  expect_right(r, preemptions);
  EXPECT_EQ(reaped.load(), started.load());
}

}  // namespace
}  // namespace urge::test
