// SPDX-License-Identifier: MIT
// Children of fork that break its rules, exec by a G, other signals than SIGURG, and a debugger. The programs are in
// tests/prog/processes.cpp.
#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/sanitized.hpp"

namespace urge::test {
namespace {

bool says(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

class Processes : public testing::Test {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
};

// On one P and on two, several times each: the stops fall where they fall.
template <class Check>
void repeat(const std::string& name, int times, const std::string& signal, Check check) {
  for (const char* procs : {"1", "2"})
    for (int i = 0; i < times; ++i) {
      child_options how;
      how.environment = {{"URGE_PROCS", procs}, {"URGE_SIGNAL", signal}};
      const auto r = run_child(URGE_PROGRAMS, {name}, how);
      EXPECT_FALSE(r.timed_out) << name << ' ' << r.err;
      check(r);
      if (testing::Test::HasFailure()) return;
    }
}
// The parent goes on in any case.
void child_ends(const std::string& name, int status, int signal) {
  repeat(name, 5, "SIGURG", [&](const child_result& r) {
    EXPECT_EQ(r.status, 0) << r.out << r.err;
    EXPECT_TRUE(says(r.out, "exit " + std::to_string(status) + " signal " + std::to_string(signal) + "\n")) << r.out;
  });
}

TEST_F(Processes, AChildOfForkIsToldThatThereIsNoRuntime) { child_ends("child_of_fork_calls_urge", 0, 0); }
TEST_F(Processes, AChildOfForkIsNotPreempted) { child_ends("child_of_fork_gets_the_signal", 5, 0); }
TEST_F(Processes, AChildOfForkMayChangeItsUser) { child_ends("child_of_fork_sets_its_user", 0, 0); }

TEST_F(Processes, AChildOfForkThatReturnsFromItsGIsEndedWithTheReason) {
  repeat("child_of_fork_returns_from_its_g", 3, "SIGURG", [](const child_result& r) {
    EXPECT_EQ(r.status, 0) << r.out << r.err;
    EXPECT_TRUE(says(r.out, "signal " + std::to_string(SIGABRT))) << r.out;
    EXPECT_TRUE(says(r.err, "a child of fork came to the end of the G that made it")) << r.err;
  });
}

TEST_F(Processes, BothSidesOfAForkOutsideARunMayRun) {
  repeat("fork_outside_a_run", 3, "SIGURG", [](const child_result& r) {
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_TRUE(says(r.out, "child\n") && says(r.out, "OK\n")) << r.out;
  });
}

// With any signal but SIGURG one that is still pending would end the next program.
TEST_F(Processes, ExecByAGLeavesNothingBehind) {
  const std::vector<std::string> functions{"execve", "execv", "execvp", "execvpe", "execl", "execlp", "execle"};
  for (const char* signal : {"SIGURG", "SIGUSR1", "SIGRTMIN+3"})
    for (const std::string& function : functions)
      repeat("exec_by_" + function, 2, signal, [&](const child_result& r) {
        const std::string none = "\t0000000000000000\n";
        EXPECT_EQ(r.out, "SigPnd:" + none + "ShdPnd:" + none + "SigBlk:" + none + "SigIgn:" + none + "OK\n")
            << function << " with " << signal << ": signal " << r.signal << ' ' << r.err;
      });
}

TEST_F(Processes, TheSignalOfTheEnvironmentDoesTheWork) {
  for (const char* signal : {"SIGURG", "SIGUSR1", "SIGUSR2", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMAX"})
    repeat("storm_by_the_signal_of_the_environment", 2, signal, [&](const child_result& r) {
      EXPECT_EQ(r.out, "OK\nend\n") << signal << ": signal " << r.signal << ' ' << r.err;
      EXPECT_EQ(r.status, 0);
    });
}

// A breakpoint that is used once: a G that a signal stops right on it is seen there twice.
TEST_F(Processes, ADebuggerIsNotDisturbed) {
  const std::string gdb = "/usr/bin/gdb";
  if (::access(gdb.c_str(), X_OK) != 0) GTEST_SKIP() << "there is no " << gdb;
  for (const char* procs : {"1", "2"}) {
    child_options how;
    how.environment = {{"URGE_PROCS", procs}, {"HOME", "/nonexistent"}, {"DEBUGINFOD_URLS", ""}};
    const auto r =
        run_child(gdb,
                  {"-nx", "-batch", "-ex", "set confirm off", "-ex", "tbreak urge_test_stop_here", "-ex", "run", "-ex",
                   "bt", "-ex", "info threads", "-ex", "continue", "--args", URGE_PROGRAMS, "stopped_many_times"},
                  how);
    EXPECT_FALSE(r.timed_out);
    if (says(r.err, "ptrace: Operation not permitted") || says(r.err, "Could not trace the inferior"))
      GTEST_SKIP() << "no process may be traced here: " << r.err;
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_TRUE(says(r.out, "Temporary breakpoint 1, ")) << r.out << r.err;
    EXPECT_TRUE(says(r.out, "#1 ")) << r.out;
    EXPECT_TRUE(says(r.out, "OK\nend\n")) << r.out << r.err;
    EXPECT_TRUE(says(r.out, "exited normally]")) << r.out << r.err;
    EXPECT_FALSE(says(r.out, "received signal")) << r.out;
  }
}

}  // namespace
}  // namespace urge::test
