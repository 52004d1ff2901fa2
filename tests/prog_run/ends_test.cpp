// SPDX-License-Identifier: MIT
// The ends of a process from inside a run, its limits, and what still works after Gs were left behind.
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <sstream>
#include <string>

#include "support/child.hpp"
#include "support/sanitized.hpp"

namespace urge::test {
namespace {

child_result program(const std::string& name, const child_options& how = {}) {
  return run_child(URGE_PROGRAMS, {name}, how);
}
bool says(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

TEST(Ends, ExitInMainWaitsForTheOthers) {
  const auto r = program("exit_in_main");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "a G has ended\na G has ended\na G has ended\nend\n");
}

TEST(Ends, TheProcessMayBeEndedByAG) {
  const auto r = program("exit_of_the_process_in_a_g");
  EXPECT_EQ(r.status, 3) << r.err;
  EXPECT_EQ(r.out, "atexit\n");
  EXPECT_EQ(program("underscore_exit_in_a_g").status, 5);
}

TEST(Ends, TheProcessMayBeEndedBesideHogs) {
  URGE_TEST_NEEDS_ASYNC();
  EXPECT_EQ(program("exit_of_the_process_beside_hogs").status, 4);
}

TEST(Ends, ABadVariableIsNamedWithItsValue) {
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"URGE_PROCS", "many"}, {"URGE_QUANTUM", "1us"}}) {
    child_options how;
    how.environment = {{name, value}};
    const auto r = program("run_with_the_environment", how);
    EXPECT_TRUE(says(r.out, "refused: ") && says(r.out, name) && says(r.out, value)) << r.out;
  }
  EXPECT_EQ(program("run_with_the_environment").out, "end\n");
}

TEST(Ends, BlockedThreadsUpToTheLimitAreFine) {
  const auto r = program("blocking_within_the_thread_limit");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "OK\nend\n");
}

TEST(Ends, BeyondTheThreadLimitTheMessageNamesIt) {
  const auto r = program("thread_limit_exceeded");
  EXPECT_EQ(r.signal, SIGABRT) << r.out;
  EXPECT_TRUE(says(r.err, "max_threads") && says(r.err, "4")) << r.err;
  EXPECT_TRUE(says(r.err, "[syscall]")) << "every G is shown: " << r.err;
}

TEST(Ends, LockedGsBeyondTheThreadLimitAreThreadExhaustion) {
  const auto r = program("locked_threads_exhausted");
  EXPECT_EQ(r.signal, SIGABRT) << r.out;
  EXPECT_TRUE(says(r.err, "thread exhaustion") && says(r.err, "max_threads")) << r.err;
}

TEST(Ends, PrintfAndMallocWorkAfterGsWereLeftInsideThem) {
  URGE_TEST_NEEDS_ASYNC();  // beside hogs
  for (int i = 0; i < 3; ++i) {
    const auto r = program("usable_after_abandoning");
    if (r.status == 9) continue;  // not out of libc within a second, which is told and counted
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_FALSE(r.timed_out);
    EXPECT_TRUE(says(r.out, "round 4\nOK\nend\n")) << r.out;
  }
}

TEST(Ends, LinesOfManyGsAreNeitherTornNorLost) {
  const auto r = program("many_gs_print_lines");
  ASSERT_EQ(r.status, 0) << r.err;
  std::istringstream lines(r.out);
  std::map<std::string, int> seen;
  for (std::string line; std::getline(lines, line);) ++seen[line];
  EXPECT_EQ(seen.size(), 20u * 200 + 1);
  for (int g = 0; g < 20; ++g)
    for (int i = 0; i < 200; ++i)
      EXPECT_EQ(seen["line " + std::to_string(i) + " of G " + std::to_string(g) +
                     ": 0123456789012345678901234567890123456789"],
                1);
}

TEST(Ends, ForkAndExecFromAGWork) {
  URGE_TEST_NEEDS_ASYNC();  // beside hogs
  const auto r = program("fork_in_a_g");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "OK\nend\n");
}

TEST(Ends, ItIsNoDeadlockWhileAThreadMayWakeThem) {
  const auto r = program("asleep_but_a_thread_may_wake_them");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "OK\nend\n");
}

}  // namespace
}  // namespace urge::test
