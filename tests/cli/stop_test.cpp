// SPDX-License-Identifier: MIT
// How a run is ended from outside: by time, by Ctrl-C, and when the scheduler does not cooperate.
#include <chrono>
#include <csignal>
#include <thread>

#include "command_fixture.hpp"

namespace urge::test {

using Stop = Command;

TEST_F(Stop, AfterTheTimeLimitEndlessTasksAreRunningAndAllIsWell) {
  const auto r =
      urge({"run", "--for", "300ms", "--json", "result.json", tasks_dir + "/pi.lua", tasks_dir + "/churn.so"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.err.find("time limit reached"), std::string::npos) << r.err;
  const auto all = result();
  for (const auto& t : all.at("tasks")) EXPECT_EQ(t.at("state"), "running");
  EXPECT_GE(result().at("wall_ns"), 300'000'000);
}

TEST_F(Stop, ATimeLimitThatIsNotReachedDoesNothing) {
  const std::string script = write("a.lua", "print('done')\n");
  const auto r = urge({"run", "--for", "1h", script});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.err.find("all tasks are over"), std::string::npos) << r.err;
}

TEST_F(Stop, OneInterruptEndsInOrderWithTheSummary) {
  URGE_TEST_NEEDS_PROMPT_SIGNALS();
  for (const int signal : {SIGINT, SIGTERM}) {
    child command(URGE_COMMAND, {"run", "--json", "result.json", test_tasks_dir + "/odd.so:endless"}, options());
    ASSERT_TRUE(command.wait_for_output("on its way\n"));
    command.send(signal);
    const auto r = command.finish();
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_NE(r.err.find("interrupted"), std::string::npos) << r.err;
    EXPECT_EQ(result().at("end"), "interrupted");
    EXPECT_EQ(result().at("tasks")[0].at("state"), "running");
  }
}

TEST_F(Stop, AStoppedProgramsExitFunctionsAreNotCalled) {
  const auto r = urge({"run", "--for", "1s", test_tasks_dir + "/odd.so:endless"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "on its way\n");
}

TEST_F(Stop, ASecondInterruptEndsAtOnce) {
  URGE_TEST_NEEDS_PROMPT_SIGNALS();
  // Without preemption the run cannot end by itself, so the command waits for it for a while.
  child command(URGE_COMMAND, {"run", "--preempt", "off", "--procs", "1", test_tasks_dir + "/odd.so:endless"},
                options());
  ASSERT_TRUE(command.wait_for_output("on its way\n"));
  // The kernel makes one of two signals that come too close together.
  for (; !command.ended(); std::this_thread::sleep_for(std::chrono::milliseconds(10))) command.send(SIGINT);
  const auto r = command.finish();
  EXPECT_EQ(r.status, 130);
  EXPECT_EQ(r.err.find("STATE"), std::string::npos) << r.err;
}

TEST_F(Stop, WithoutPreemptionAHogStarvesTheOthersAndTheRunEndsAllTheSame) {
  const auto r = urge({"run", "--preempt", "off", "--procs", "1", "--for", "1s", "--json", "result.json",
                       tasks_dir + "/spin.so", tasks_dir + "/spin.so", tasks_dir + "/pi.lua"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.err.find("time limit reached"), std::string::npos) << r.err;
  unsigned ran = 0;
  const auto all = result();
  for (const auto& t : all.at("tasks")) ran += t.at("cpu_ns") > 0;
  EXPECT_EQ(ran, 1u);
  EXPECT_EQ(result().at("stats").at("preempts_async"), 0);
}

TEST_F(Stop, WhatATaskHasPrintedBeforeIsNotLost) {
  const std::string script = write("a.lua", "io.write('no line feed') while true do end\n");
  for (const char* mode : {"async", "off"}) {
    const auto r = urge({"run", "--preempt", mode, "--procs", "1", "--for", "1s", script});
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(r.out, "no line feed");
  }
}

}  // namespace urge::test
