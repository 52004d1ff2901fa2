// SPDX-License-Identifier: MIT
// exit() and its kin in a task: what is called, in which order, with which code, as in a process of its own; and the
// other tasks go on.
#include "command_fixture.hpp"

namespace urge::test {

using nlohmann::json;

struct way_out {
  const char* name;
  const char* argument;  // of tests/cli/tasks/ways_out
};
void PrintTo(const way_out& w, std::ostream* out) { *out << w.name; }

class Exit : public Command, public ::testing::WithParamInterface<way_out> {};

TEST_P(Exit, DoesInATaskWhatItDoesInAProcess) {
  URGE_TEST_NEEDS_OWN_EXIT();
  const char* way = GetParam().argument;
  const auto alone = run_child(test_tasks_dir + "/ways_out", {way, "5"});
  ASSERT_GE(alone.status, 5);
  ASSERT_EQ(alone.out.substr(0, 17), "constructor\nmain\n");
  const auto r = run_tasks(json::array({{{"task", test_tasks_dir + "/ways_out.so"}, {"args", {way, "5"}}}}),
                           {"--json", "result.json"});
  EXPECT_EQ(r.status, 1);
  EXPECT_EQ(r.out, alone.out);
  const auto task = result().at("tasks")[0];
  EXPECT_EQ(task.at("state"), "finished");
  EXPECT_EQ(task.at("exit_code"), alone.status);
}

INSTANTIATE_TEST_SUITE_P(All, Exit,
                         ::testing::Values(way_out{"ReturnFromMain", "return"}, way_out{"CallOfExit", "exit"},
                                           way_out{"ExitAtOnce", "_exit"}, way_out{"QuickExit", "quick_exit"},
                                           way_out{"ErrInsideLibc", "err"}, way_out{"ErrorInsideLibc", "error"},
                                           way_out{"ExitInAnExitFunction", "handler-exit"}),
                         [](const auto& info) { return info.param.name; });

using ExitOfATask = Command;

TEST_F(ExitOfATask, LeavesTheOthersAlone) {
  json tasks = json::array();
  for (const char* way : {"exit", "_exit", "quick_exit"})
    tasks.push_back({{"task", test_tasks_dir + "/ways_out.so"}, {"name", way}, {"args", {way, "5"}}});
  tasks.push_back({{"task", tasks_dir + "/checksum.lua"}, {"args", {"300000"}}});
  const auto r = run_tasks(tasks, {"--procs", "1", "--json", "result.json"});
  EXPECT_EQ(r.status, 1);
  EXPECT_NE(r.out.find("checksum size=300000"), std::string::npos) << r.out;
  const auto done = by_name(result());
  EXPECT_EQ(done.at("checksum.lua").at("exit_code"), 0);
  EXPECT_EQ(done.at("_exit").at("exit_code"), 5);
}

TEST_F(ExitOfATask, WithCodeZeroIsSuccess) {
  const auto r = run_tasks(json::array({{{"task", test_tasks_dir + "/ways_out.so"}, {"args", {"exit", "0"}}}}));
  EXPECT_EQ(r.status, 0) << r.err;
}

TEST_F(ExitOfATask, KeepsTheLowByteOfItsCode) {
  run_tasks(json::array({{{"task", test_tasks_dir + "/ways_out.so"}, {"args", {"exit", "-1"}}}}),
            {"--json", "result.json"});
  EXPECT_EQ(result().at("tasks")[0].at("exit_code"), 255);
}

TEST_F(ExitOfATask, OfLuaHasTheMeaningOfTheInterpreters) {
  URGE_TEST_NEEDS_OWN_EXIT();
  struct {
    const char* name;
    const char* call;
    int code;
    bool collects;
  } cases[] = {{"none.lua", "os.exit()", 0, false},           {"number.lua", "os.exit(7)", 7, false},
               {"no.lua", "os.exit(false)", 1, false},        {"yes.lua", "os.exit(true)", 0, false},
               {"close.lua", "os.exit(true, true)", 0, true}, {"end.lua", "", 0, true}};
  for (const auto& c : cases) {
    const std::string script = write(c.name,
                                     "work_done = 3\nsetmetatable({}, {__gc = function() print('collected') end})\n"
                                     "io.write('written ')\npcall(function() " +
                                         std::string(c.call) + " end)\n");
    const auto r = urge({"run", "--json", "result.json", script});
    EXPECT_EQ(r.status, c.code == 0 ? 0 : 1) << c.name << r.err;
    EXPECT_EQ(r.out, c.collects ? "written collected\n" : "written ") << c.name;
    EXPECT_EQ(result().at("tasks")[0].at("exit_code"), c.code) << c.name;
    EXPECT_EQ(result().at("tasks")[0].at("work"), 3) << c.name;
  }
}

}  // namespace urge::test
