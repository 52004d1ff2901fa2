// SPDX-License-Identifier: MIT
// Programs that replace themselves, leave the rules of a forked child, run under another signal, or are looked at by a
// debugger. All under a storm: a quantum of 50 us and more hogs than Ps.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "registry.hpp"

namespace urge::test {
namespace {

using namespace std::chrono_literals;

// URGE_SIGNAL is heeded; one or two Ps by URGE_PROCS.
options under_storm() {
  options o = options::from_env();
  o.quantum = 50us;
  return o;
}
void start_hogs() {
  for (int i = 0; i < 4; ++i)
    go([] {
      for (std::string s;; s = std::to_string(s.size())) asm volatile("" ::"r"(s.data()));
    });
}
void until_preempted(std::uint64_t times) {
  const std::uint64_t from = snapshot().preempts_async;
  while (snapshot().preempts_async < from + times) {
    for (volatile int i = 0; i < 10'000;) i = i + 1;
  }
}

// What the child does, in a child of fork that a G makes; tells how it ended.
template <class F>
int in_child_of_fork(F f) {
  run(
      [f] {
        start_hogs();
        until_preempted(20);
        std::fflush(stdout);
        pid_t child;
        {
          const preempt_guard ends_in_both;
          child = ::fork();
        }
        if (child == 0) return f();
        int status = 0;
        while (::waitpid(child, &status, 0) < 0) {
        }
        until_preempted(20);
        std::printf("exit %d signal %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                    WIFSIGNALED(status) ? WTERMSIG(status) : 0);
      },
      under_storm());
  return 0;
}
template <class F>
bool refuses(F f) {
  try {
    f();
  } catch (const std::logic_error& e) {
    std::puts(e.what());
    return std::strstr(e.what(), "child of fork") != nullptr;
  }
  return false;
}

const program child_calls("child_of_fork_calls_urge", [] {
  return in_child_of_fork([] {
    bool right = refuses([] { this_g::yield(); }) && refuses([] { this_g::sleep_for(1ms); });
    right = refuses([] { go([] {}); }) && right;
    right = refuses([] { preempt_point(); }) && right;
    right = refuses([] { chan<int>().recv(); }) && right;
    right = refuses([] { run([] {}, options{}); }) && right;
    right = snapshot().preempts_async > 0 && right;
    struct sigaction now {};
    right = sigaction(SIGURG, nullptr, &now) == 0 && now.sa_handler == SIG_DFL && right;
    std::fflush(stdout);
    ::_exit(right ? 0 : 1);
  });
});
const program child_returns("child_of_fork_returns_from_its_g", [] { return in_child_of_fork([] {}); });
const program child_signals("child_of_fork_gets_the_signal", [] {
  return in_child_of_fork([] {
    for (int i = 0; i < 100'000; ++i) ::raise(SIGURG);
    ::_exit(5);
  });
});
const program child_setuid("child_of_fork_sets_its_user", [] {
  return in_child_of_fork([] { ::_exit(::setuid(::getuid()) == 0 && ::setgid(::getgid()) == 0 ? 0 : 1); });
});

// A process that forks outside a run, after one: both may have runs.
const program fork_outside("fork_outside_a_run", [] {
  const auto busy = [] {
    run(
        [] {
          start_hogs();
          until_preempted(100);
        },
        under_storm());
  };
  busy();
  std::fflush(stdout);
  const pid_t child = ::fork();
  busy();
  if (child == 0) {
    busy();
    std::puts("child");
    return 0;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
  }
  std::puts(WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "OK" : "the child failed");
  return 0;
});

// The program is replaced from a G, by each of libc's functions in turn, while the others go on.
int exec_by(const char* how) {
  run(
      [how] {
        start_hogs();
        until_preempted(20);
        // First one that fails: the run goes on.
        if (::execl("/nonexistent", "x", nullptr) != -1) std::abort();
        until_preempted(20);
        const char* path = "/bin/sh";
        const char* command = "grep -E '^(Sig[PBI]|ShdPnd)' /proc/self/status; echo OK";
        char* const argv[] = {const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>(command), nullptr};
        const std::string which = how;
        if (which == "execve") ::execve(path, argv, environ);
        if (which == "execv") ::execv(path, argv);
        if (which == "execvp") ::execvp("sh", argv);
        if (which == "execvpe") ::execvpe("sh", argv, environ);
        if (which == "execl") ::execl(path, "sh", "-c", command, nullptr);
        if (which == "execlp") ::execlp("sh", "sh", "-c", command, nullptr);
        if (which == "execle") ::execle(path, "sh", "-c", command, nullptr, environ);
        std::puts("exec has failed");
      },
      under_storm());
  return 1;
}
#define URGE_EXEC(name) const program by_##name("exec_by_" #name, [] { return exec_by(#name); })
URGE_EXEC(execve);
URGE_EXEC(execv);
URGE_EXEC(execvp);
URGE_EXEC(execvpe);
URGE_EXEC(execl);
URGE_EXEC(execlp);
URGE_EXEC(execle);

// For URGE_SIGNAL: what a small program does, and the signal's former owner.
const program storm_by("storm_by_the_signal_of_the_environment", [] {
  static std::atomic<int> owned{0};
  const options o = under_storm();
  std::signal(o.signal, [](int) { owned.fetch_add(1); });
  std::atomic<std::uint64_t> wrong{0}, rounds{0};
  std::atomic<bool> stop{false};
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (int g = 0; g < 8; ++g)
          all.push_back(spawn([&] {
            while (!stop) {
              std::uint64_t sum = 0;
              for (int i = 0; i < 100; ++i) sum += std::stoul(std::to_string(i));
              if (sum != 4950) ++wrong;
              ++rounds;
            }
          }));
        until_preempted(200);
        const int from = owned.load();
        ::kill(::getpid(), o.signal);
        while (owned.load() == from) this_g::yield();
        stop = true;
        for (auto& h : all) h.join();
      },
      o);
  const int from = owned.load();
  ::raise(o.signal);
  if (owned.load() == from + 1 && wrong == 0 && rounds != 0) std::puts("OK");
  return 0;
});

// For a debugger: many stops by signal, then a place to break at.
extern "C" __attribute__((noinline)) void urge_test_stop_here() { asm volatile("" ::: "memory"); }
const program debugged("stopped_many_times", [] {
  run(
      [] {
        start_hogs();
        until_preempted(300);
        urge_test_stop_here();
        until_preempted(300);
        std::puts("OK");
      },
      under_storm());
  return 0;
});

}  // namespace
}  // namespace urge::test
