// SPDX-License-Identifier: MIT
// "stdout" in the tasks file: all that a program itself prints goes there, and nothing else does.
#include "command_fixture.hpp"

namespace urge::test {

using TaskOutput = Command;
using nlohmann::json;

TEST_F(TaskOutput, OfAPluginGoesToItsFileByEveryRoad) {
  const auto alone = run_child(test_tasks_dir + "/output", {});
  ASSERT_EQ(alone.status, 0);
  const std::string plugin = test_tasks_dir + "/output.so";
  const auto r = run_tasks(
      json::array({{{"task", plugin}, {"stdout", "one"}}, {{"task", plugin}, {"stdout", "two"}}, {{"task", plugin}}}),
      {"--quantum", "20us"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(read("one"), alone.out);
  EXPECT_EQ(read("two"), alone.out);
  EXPECT_EQ(r.out, alone.out);
}

TEST_F(TaskOutput, OfAScriptGoesToItsFile) {
  const std::string script = write("a.lua",
                                   "print('print', 1, nil, true)\n"
                                   "io.write('write ', 2, '\\n')\n"
                                   "io.stdout:write('stdout\\n')\n"
                                   "print(io.output() == io.stdout, io.stdout:close())\n");
  const std::string expected = "print\t1\tnil\ttrue\nwrite 2\nstdout\ntrue\tnil\tcannot close standard file\n";
  const auto r = run_tasks(json::array({{{"task", script}, {"stdout", "one"}}, {{"task", script}, {"stdout", "two"}}}));
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "");
  EXPECT_EQ(read("one"), expected);
  EXPECT_EQ(read("two"), expected);
}

TEST_F(TaskOutput, OfOneThatIsStoppedIsWrittenOut) {
  const auto r =
      run_tasks(json::array({{{"task", test_tasks_dir + "/odd.so:endless"}, {"stdout", "one"}}}), {"--for", "1s"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(read("one"), "on its way\n");
}

TEST_F(TaskOutput, OfTwoTasksMayBeOneFile) {
  const std::string script = write("a.lua", "for i = 1, 200 do print(i) end\n");
  const auto r =
      run_tasks(json::array({{{"task", script}, {"stdout", "both"}}, {{"task", script}, {"stdout", "both"}}}),
                {"--quantum", "20us"});
  EXPECT_EQ(r.status, 0) << r.err;
  std::istringstream lines(read("both"));
  int sum = 0, n = 0;
  for (std::string line; std::getline(lines, line); ++n) sum += std::stoi(line);
  EXPECT_EQ(n, 400);
  EXPECT_EQ(sum, 2 * 20100);
}

TEST_F(TaskOutput, LinesOfTasksThatShareStdoutAreWhole) {
  const std::string script = write("a.lua", "local line = ('x'):rep(100)\nfor i = 1, 500 do print(line, i) end\n");
  const auto r = urge({"run", "--procs", "2", "--quantum", "20us", script, script, script});
  EXPECT_EQ(r.status, 0) << r.err;
  std::istringstream lines(r.out);
  std::map<std::string, int> times;
  for (std::string line; std::getline(lines, line);) ++times[line];
  EXPECT_EQ(times.size(), 500u);
  for (const auto& [line, n] : times) EXPECT_EQ(n, 3) << line;
}

}  // namespace urge::test
