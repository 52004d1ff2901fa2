// SPDX-License-Identifier: MIT
// Children that Gs start while they and others are stopped at any instruction: by fork, vfork, posix_spawn, system and
// popen. Others live in malloc and stdio all the while: fork takes the locks of both, so with one P the G that forks
// has to wait for a G that was stopped with such a lock in its hand. What comes of a deadlock is the watchdog's
// business.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "preempt/storm.hpp"

namespace urge::test {
namespace {

class Process : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Process, testing::ValuesIn(storm_settings()), name_setting());

constexpr std::uint64_t preemptions = 300;

// What a child tells of its life; -1: it was ended by a signal.
int status_of(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -2;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Holds the locks of malloc and of a FILE for much of its time.
bool live_in_libc() {
  FILE* null = std::fopen("/dev/null", "w");
  if (!null) return false;
  bool right = true;
  for (int i = 0; i < 50; ++i) {
    void* p = std::malloc(static_cast<std::size_t>(100 + 700 * i));
    right = right && p && std::fprintf(null, "%d %p\n", i, p) > 0;
    std::free(p);
  }
  return std::fclose(null) == 0 && right;
}

char* const shell_exit[] = {const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>("exit $CODE"), nullptr};

pid_t fork_and_exec(char* const* argv, char* const* environment) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::execve("/bin/sh", argv, environment);
    ::_exit(99);
  }
  return child;
}
// vfork returns twice into a frame of the parent's stack: it must be one that is still there.
pid_t vfork_and_exec(char* const* argv, char* const* environment) {
  const pid_t child = ::vfork();
  if (child == 0) {
    ::execve("/bin/sh", argv, environment);
    ::_exit(99);
  }
  return child;
}
pid_t spawn_child(char* const* argv, char* const* environment) {
  pid_t child = -1;
  return ::posix_spawn(&child, "/bin/sh", nullptr, nullptr, argv, environment) == 0 ? child : -1;
}

template <class Start>
void start_many(const options& how, Start start) {
  const auto r = storm(how, 4, preemptions, [&](int who, std::uint64_t n) {
    if (who % 2) return live_in_libc();
    const int code = static_cast<int>(n % 90);
    const std::string variable = "CODE=" + std::to_string(code);
    char* const environment[] = {const_cast<char*>(variable.c_str()), nullptr};
    const pid_t child = start(shell_exit, environment);
    return child > 0 && status_of(child) == code;
  });
  expect_right(r, preemptions);
}

TEST_P(Process, ForkAndExecBesideMalloc) { start_many(how(), fork_and_exec); }
TEST_P(Process, VforkAndExecBesideMalloc) { start_many(how(), vfork_and_exec); }
TEST_P(Process, PosixSpawnBesideMalloc) { start_many(how(), spawn_child); }

// The child uses what fork has to leave in order, and ends without exec.
TEST_P(Process, AChildOfForkMayAllocateAndPrint) {
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t n) {
    if (who % 2) return live_in_libc();
    const int code = static_cast<int>(n % 90);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(live_in_libc() ? code : 98);
    return child > 0 && status_of(child) == code;
  });
  expect_right(r, preemptions);
}

TEST_P(Process, BareForkAndVforkWithoutExec) {
  // Half of the time of each is its own: else nearly all sleep, in vfork or for a child, and few are preempted.
  const std::uint64_t enough = how().procs > 2 ? preemptions / 3 : preemptions;
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    const int code = static_cast<int>(n % 90);
    for (volatile int i = 0; i < 500'000;) i = i + 1;
    if (who % 2) {
      // The child runs in our memory: what it writes is here afterwards.
      volatile int seen = -1;
      const pid_t child = ::vfork();
      if (child == 0) {
        for (volatile int i = 0; i < 20'000;) i = i + 1;
        seen = code;
        ::_exit(code);
      }
      return child > 0 && seen == code && status_of(child) == code;
    }
    const pid_t child = ::_Fork();
    if (child == 0) ::_exit(code);
    return child > 0 && status_of(child) == code;
  });
  expect_right(r, enough);
}

TEST_P(Process, SystemAndPopenBesideMalloc) {
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t n) {
    if (who % 4 == 1) return live_in_libc();
    const int code = static_cast<int>(n % 90);
    if (who % 2) {
      const int status = std::system(("exit " + std::to_string(code)).c_str());
      return WIFEXITED(status) && WEXITSTATUS(status) == code;
    }
    FILE* pipe = ::popen(("echo " + std::to_string(code)).c_str(), "r");
    if (!pipe) return false;
    int told = -1;
    const bool read = std::fscanf(pipe, "%d", &told) == 1;
    return ::pclose(pipe) == 0 && read && told == code;
  });
  expect_right(r, preemptions);
}

// Masks, pending and ignored signals of a child, as the kernel tells them.
std::string signals_of_child(pid_t (*start)(char* const*, char* const*)) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "pipe";
  const std::string command =
      "while read -r line; do case $line in Sig[PBIC]*|ShdPnd*) echo \"$line\";; esac; done </proc/self/status "
      ">/proc/self/fd/" +
      std::to_string(ends[1]);
  ::fcntl(ends[1], F_SETFD, 0);
  char* const argv[] = {const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>(command.c_str()), nullptr};
  char* const environment[] = {nullptr};
  const pid_t child = start(argv, environment);
  ::close(ends[1]);
  std::string text;
  char piece[512];
  for (ssize_t n; (n = ::read(ends[0], piece, sizeof piece)) != 0;) {
    if (n > 0) text.append(piece, static_cast<std::size_t>(n));
    if (n < 0 && errno != EINTR) break;
  }
  ::close(ends[0]);
  return status_of(child) == 0 ? text : "status";
}

// One child at a time: another would inherit the writing end of the pipe.
TEST_P(Process, AChildOfAGHasTheSignalsOfAChildOfAThread) {
  // libc's posix_spawn has the child ignore the two signals that libc uses itself.
  pid_t (*const ways[])(char* const*, char* const*) = {fork_and_exec, vfork_and_exec, spawn_child};
  std::string expected[3];
  for (int i = 0; i < 3; ++i) {
    expected[i] = signals_of_child(ways[i]);
    ASSERT_NE(expected[i].find("SigBlk"), std::string::npos) << expected[i];
  }
  const auto r = storm(how(), 4, preemptions, [&](int who, std::uint64_t n) {
    if (who != 0) return live_in_libc();
    const std::string seen = signals_of_child(ways[n % 3]);
    EXPECT_EQ(seen, expected[n % 3]);
    return seen == expected[n % 3];
  });
  expect_right(r, preemptions);
}

// A child of vfork has our handler and our memory, and may get the signal from elsewhere: of its process group, or for
// urgent data. Meanwhile its parent is asked to stop, so there is a request in the words that the two share.
TEST_P(Process, ASignalForAChildOfVforkStopsNobody) {
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t) {
    if (who % 2) return live_in_libc();
    const pid_t parent = ::getpid();
    volatile bool alone = true;
    const pid_t child = ::vfork();
    if (child == 0) {
      const pid_t mine = ::getpid();
      for (int i = 0; i < 200; ++i) {
        ::kill(mine, SIGURG);
        for (volatile int k = 0; k < 500;) k = k + 1;
      }
      alone = mine != parent && ::getpid() == mine;
      ::_exit(7);
    }
    return child > 0 && ::getpid() == parent && alone && status_of(child) == 7;
  });
  expect_right(r, preemptions);
}

// What a child of vfork does to signals is its own affair.
TEST_P(Process, AChildOfVforkLeavesItsParentsSignalsAlone) {
  static std::atomic<int> urgent;
  urgent = 0;
  struct sigaction mine {
  }, before{};
  mine.sa_handler = [](int) { urgent.fetch_add(1); };
  mine.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGURG, &mine, &before), 0);
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t) {
    if (who % 2) return live_in_libc();
    const pid_t child = ::vfork();
    if (child == 0) {
      std::signal(SIGURG, SIG_DFL);
      sigset_t all;
      sigfillset(&all);
      sigprocmask(SIG_SETMASK, &all, nullptr);
      ::_exit(0);
    }
    if (child < 0 || status_of(child) != 0) return false;
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, nullptr, &now);
    return sigismember(&now, SIGUSR1) == 0;
  });
  expect_right(r, preemptions);
  const int from = urgent.load();
  raise(SIGURG);
  EXPECT_EQ(urgent.load(), from + 1) << "still the owner";
  sigaction(SIGURG, &before, nullptr);
}

}  // namespace
}  // namespace urge::test
