// SPDX-License-Identifier: MIT
// What a terminal shows, and that nothing of it is seen where there is none.
#include <algorithm>
#include <csignal>

#include "command_fixture.hpp"

namespace urge::test {

using LiveTable = Command;

child_options on_terminal(child_options how, unsigned columns) {
  how.terminal_columns = columns;
  how.environment = {{"TERM", "xterm"}, {"NO_COLOR", ""}};
  return how;
}

TEST_F(LiveTable, WithoutATerminalThereIsNoEscapeSequence) {
  const auto r = urge({"run", "--for", "600ms", tasks_dir + "/pi.lua", tasks_dir + "/spin.so"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.err.find('\x1b'), std::string::npos);
  EXPECT_EQ(r.out, "");
}

TEST_F(LiveTable, ShowsTheTasksWhileTheyRun) {
  child command(URGE_COMMAND, {"run", tasks_dir + "/pi.lua", tasks_dir + "/spin.so", "--for", "1h"},
                on_terminal(options(), 80));
  EXPECT_TRUE(command.wait_for_errors("LEFT"));
  EXPECT_TRUE(command.wait_for_errors("\x1b[32mrunning\x1b[0m"));
  EXPECT_TRUE(command.wait_for_errors("59 m 59 s"));  // a second frame at least
  command.send(SIGINT);
  const auto r = command.finish();
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.err.find("interrupted"), std::string::npos);
}

TEST_F(LiveTable, CutsItsLinesToTheTerminal) {
  for (const unsigned columns : {50u, 20u}) {
    auto how = on_terminal(options(), columns);
    how.environment.back() = {"NO_COLOR", "1"};
    child command(URGE_COMMAND, {"run", tasks_dir + "/pi.lua", test_tasks_dir + "/odd.so:endless"}, how);
    EXPECT_TRUE(
        command.wait_for_errors("\x1b"
                                "8"));  // the end of a frame
    command.send(SIGINT);
    const std::string shown = command.finish().err;
    EXPECT_EQ(shown.find("\x1b[32m"), std::string::npos);
    const auto begin = shown.find(
                   "\x1b"
                   "7"),
               end = shown.find(
                   "\x1b"
                   "8");
    ASSERT_LT(begin, end);
    std::istringstream frame(shown.substr(begin + 2, end - begin - 2));
    unsigned lines = 0;
    for (std::string line; std::getline(frame, line); ++lines) {
      line.erase(std::remove(line.begin(), line.end(), '\r'), line.end());
      EXPECT_LE(line.size(), columns) << line;
    }
    EXPECT_EQ(lines, 5u);  // an empty one, the head, the titles, two tasks
  }
}

TEST_F(LiveTable, LeavesTheTasksLinesWhole) {
  const std::string script = write("a.lua", "for i = 1, 300 do print('line ' .. i .. ' of the task') end\n");
  auto how = on_terminal(options(), 80);
  how.stdout_to_terminal = true;
  child command(URGE_COMMAND, {"run", script, "--for", "3s", tasks_dir + "/spin.so"}, how);
  const auto r = command.finish();
  EXPECT_EQ(r.status, 0) << r.err;
  for (int i = 1; i <= 300; ++i)
    EXPECT_NE(r.err.find("line " + std::to_string(i) + " of the task\r\n"), std::string::npos) << i;
}

TEST_F(LiveTable, IsNotDrawnOnATerminalThatCannotDoIt) {
  auto how = on_terminal(options(), 80);
  how.environment.front() = {"TERM", "dumb"};
  how.environment.back() = {"NO_COLOR", "1"};
  const auto r = run_child(URGE_COMMAND, {"run", "--for", "400ms", tasks_dir + "/spin.so"}, how);
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.err.find('\x1b'), std::string::npos);
}

}  // namespace urge::test
