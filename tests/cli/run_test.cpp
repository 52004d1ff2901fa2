// SPDX-License-Identifier: MIT
// `urge run`: what tasks print, how they end, and what becomes of the others meanwhile.
#include <algorithm>

#include "command_fixture.hpp"

namespace urge::test {

using RunCommand = Command;
using nlohmann::json;

// What each of the examples prints, alone, with this argument; the scripts' lines are lua5.4's.
struct example {
  const char* program;
  const char* argument;
  const char* line;
};
constexpr example examples[] = {
    {"pi.lua", "1500", "pi rounds=1500 checksum=851f5646"},
    {"mandel.lua", "1500", "mandel rounds=1500 checksum=6458c96c"},
    {"strings.lua", "1500", "strings rounds=1500 checksum=51080286"},
    {"backtrack.lua", "60", "backtrack length=60 found=62"},
    {"checksum.lua", "400000", "checksum size=400000 crc32=82d30ad1 adler32=d66b554b"},
    {"churn", "1500", nullptr},
    {"roundtrip", "1500", nullptr},
    {"sieve", "20000000", nullptr},
    {"spin", "1500", nullptr},
};

TEST_F(RunCommand, ProgramsPrintTogetherWhatEachPrintsAlone) {
  json tasks = json::array();
  std::vector<std::string> expected;
  for (const example& e : examples) {
    const std::string program = tasks_dir + "/" + e.program;
    tasks.push_back({{"task", e.line ? program : program + ".so"}, {"args", {e.argument}}});
    expected.push_back(e.line ? std::string(e.line) + "\n" : run_child(program, {e.argument}).out);
  }
  for (const char* mode : {"async", "cooperative", "off"}) {
    const auto r = run_tasks(tasks, {"--procs", "2", "--quantum", "200us", "--preempt", mode});
    EXPECT_EQ(r.status, 0) << r.err;
    std::size_t length = 0;
    for (const std::string& line : expected) {
      EXPECT_NE(r.out.find(line), std::string::npos) << mode << ": " << line << "is not in\n" << r.out;
      length += line.size();
    }
    EXPECT_EQ(r.out.size(), length) << r.out;
  }
}

TEST_F(RunCommand, ThoseThatEndDoSoAmongEndlessOnes) {
  URGE_TEST_NEEDS_ASYNC();  // endless tasks that share a P
  const auto r = run_tasks(json::array({{{"task", tasks_dir + "/spin.so"}},
                                        {{"task", tasks_dir + "/strings.lua"}},
                                        {{"task", tasks_dir + "/checksum.lua"}, {"args", {"50000"}}},
                                        {{"task", tasks_dir + "/sieve.so"}, {"args", {"100000"}}}}),
                           {"--for", "5s", "--procs", "1", "--json", "result.json"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.out.find("checksum size=50000"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("sieve limit=100000"), std::string::npos) << r.out;
  const auto tasks = by_name(result());
  EXPECT_EQ(tasks.at("spin.so").at("state"), "running");
  EXPECT_EQ(tasks.at("strings.lua").at("state"), "running");
  EXPECT_EQ(tasks.at("checksum.lua").at("state"), "finished");
  EXPECT_EQ(tasks.at("sieve.so").at("state"), "finished");
}

TEST_F(RunCommand, ATaskWithChecksAtItsEntriesGivesWayWithoutASignal) {
  URGE_TEST_NEEDS_ASYNC();  // under a sanitizer it is compiled without
  const std::string program = test_tasks_dir + "/checked.so";
  const auto r = run_tasks(
      json::array({{{"name", "endless"}, {"task", program}, {"args", {"0"}}},
                   {{"name", "another"}, {"task", program}, {"args", {"0"}}},
                   {{"name", "short"}, {"task", program}, {"args", {"30"}}}}),
      {"--for", "2s", "--procs", "1", "--quantum", "1ms", "--preempt", "cooperative", "--json", "result.json"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.out.find("checked: 832040"), std::string::npos) << r.out;
  const auto tasks = by_name(result());
  EXPECT_EQ(tasks.at("short").at("state"), "finished");
  for (const char* name : {"endless", "another"}) {
    EXPECT_EQ(tasks.at(name).at("state"), "running");
    EXPECT_GE(tasks.at(name).at("preempts_by_tier").at("cooperative"), 1);
    EXPECT_EQ(tasks.at(name).at("preempts_by_tier").at("async"), 0);
  }
}

TEST_F(RunCommand, EachTaskHasItsArguments) {
  const std::string script = write("arguments.lua", "print(arg[0], #arg, arg[1], arg[2], ...)\n");
  const auto r = run_tasks(json::array({{{"task", script}, {"args", {"a b", ""}}},
                                        {{"task", test_tasks_dir + "/odd.so:arguments"}, {"args", {"x", "--y"}}}}));
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.out.find(script + "\t2\ta b\t\ta b\t\n"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("1: x\n2: --y\n3 end\n"), std::string::npos) << r.out;
}

TEST_F(RunCommand, NamesAreUniqueAndWithoutFolders) {
  write("a.lua", ""), write("b.lua", "");
  std::filesystem::create_directory(path("more"));
  write("more/a.lua", ""), write("taken.lua", "");
  write("tasks.json", R"([{"task":"a.lua"},{"task":"taken.lua","name":"a.lua#2"},{"task":"a.lua","name":"own"}])");
  const auto r = urge({"run", "--json", "result.json", "a.lua", "more/a.lua", "b.lua", "--tasks", "tasks.json"});
  EXPECT_EQ(r.status, 0) << r.err;
  std::vector<std::string> names;
  const auto all = result();
  for (const auto& t : all.at("tasks")) names.push_back(t.at("name"));
  EXPECT_EQ(names, (std::vector<std::string>{"a.lua", "a.lua#2", "b.lua", "a.lua#3", "a.lua#2#2", "own"}));
}

TEST_F(RunCommand, AFileNamedTwiceIsLoadedTwiceWithGlobalsOfItsOwn) {
  const auto alone = run_child(test_tasks_dir + "/statics", {});
  ASSERT_EQ(alone.out, "constructed\n1 1 1 1\ndestroyed with 1\n");
  const std::string plugin = test_tasks_dir + "/statics.so";
  const auto r = urge({"run", "--procs", "1", "--preempt", "off", plugin, plugin, plugin});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, alone.out + alone.out + alone.out);
}

TEST_F(RunCommand, WhatCannotBeLoadedIsAnErrorAndTheOthersRun) {
  const std::string good = write("good.lua", "print('ran')\n");
  const std::string bad = write("bad.lua", "this is no Lua\n");
  const auto r = urge({"run", "--json", "result.json", test_tasks_dir + "/undefined.so", "none.lua", "none.so", bad,
                       test_tasks_dir + "/odd.so:none", test_tasks_dir + "/odd.so:not_a_function", good});
  EXPECT_EQ(r.status, 1);
  EXPECT_EQ(r.out, "ran\n");
  const auto tasks = by_name(result());
  const auto error_of = [&](const std::string& name) -> std::string {
    EXPECT_EQ(tasks.at(name).at("state"), "error");
    return tasks.at(name).at("error");
  };
  EXPECT_NE(error_of("undefined.so").find("undefined symbol: missing_function"), std::string::npos);
  EXPECT_NE(error_of("none.lua").find("cannot open none.lua"), std::string::npos);
  EXPECT_NE(error_of("none.so").find("No such file"), std::string::npos);
  EXPECT_NE(error_of("bad.lua").find("syntax error"), std::string::npos);
  EXPECT_NE(error_of("odd.so:none").find("no function 'none'"), std::string::npos);
  EXPECT_NE(error_of("odd.so:not_a_function").find("no function"), std::string::npos);
  EXPECT_EQ(tasks.at("good.lua").at("state"), "finished");
  // Of each, somebody who reads along is told.
  EXPECT_NE(r.err.find("undefined symbol: missing_function"), std::string::npos) << r.err;
}

TEST_F(RunCommand, AnUncaughtLuaErrorEndsItsTaskWithATraceback) {
  const std::string bad = write("bad.lua", "local function deep() error('no way') end\nprint('first') deep()\n");
  const std::string object =
      write("object.lua", "error(setmetatable({}, {__tostring = function() return 'odd' end}))\n");
  const std::string good = write("good.lua", "print('second')\n");
  const auto r = urge({"run", "--json", "result.json", bad, object, good});
  EXPECT_EQ(r.status, 1);
  EXPECT_NE(r.out.find("first\n"), std::string::npos);
  EXPECT_NE(r.out.find("second\n"), std::string::npos);
  EXPECT_NE(r.err.find("bad.lua:1: no way\nstack traceback:\n\t[C]: in function 'error'"), std::string::npos) << r.err;
  const auto tasks = by_name(result());
  EXPECT_EQ(tasks.at("bad.lua").at("state"), "error");
  EXPECT_EQ(tasks.at("bad.lua").at("exit_code"), 1);
  EXPECT_EQ(tasks.at("bad.lua").at("error"), bad + ":1: no way");
  EXPECT_EQ(tasks.at("object.lua").at("error"), "odd");
}

TEST_F(RunCommand, AnUncaughtExceptionEndsItsTaskOnly) {
  const std::string good = write("good.lua", "print('goes on')\n");
  const auto r = urge({"run", "--json", "result.json", test_tasks_dir + "/odd.so:throws", good});
  EXPECT_EQ(r.status, 1);
  EXPECT_EQ(r.out, "goes on\n");
  EXPECT_EQ(by_name(result()).at("odd.so:throws").at("error"), "uncaught std::runtime_error: nobody catches this");
}

TEST_F(RunCommand, ATaskHasTheStackOfAProgram) {
  const auto r = urge({"run", test_tasks_dir + "/odd.so:deep"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "sum 4194304\n");
}

// --for: only so that a limit that is not kept is a failure, not a test without an end.
class CpuLimit : public Command, public ::testing::WithParamInterface<const char*> {};

TEST_P(CpuLimit, EndsATaskAndCountsAsFailure) {
  URGE_TEST_NEEDS_ASYNC();  // endless tasks
  const std::string task = tasks_dir + "/" + GetParam();
  const auto r =
      urge({"run", "--for", "10s", "--procs", "1", "--cpu-limit", "100ms", "--json", "result.json", task, task});
  EXPECT_EQ(r.status, 1) << r.err;
  const auto all = result();
  for (const auto& t : all.at("tasks")) {
    EXPECT_EQ(t.at("state"), "cpu-limit");
    EXPECT_GE(t.at("cpu_ns"), 100'000'000);
    EXPECT_EQ(t.at("exit_code"), nullptr);
    EXPECT_TRUE(t.contains("work"));
  }
  EXPECT_EQ(all.at("end"), "all over");
}

INSTANTIATE_TEST_SUITE_P(All, CpuLimit,
                         ::testing::Values("spin.so", "churn.so", "roundtrip.so", "pi.lua", "strings.lua",
                                           "backtrack.lua"),
                         [](const auto& info) {
                           std::string name = info.param;
                           return name.erase(name.find('.'), 1);
                         });

TEST_F(RunCommand, ACpuLimitEndsATaskThatNobodyWaitsBehind) {
  URGE_TEST_NEEDS_ASYNC();  // an endless task
  const auto r = urge(
      {"run", "--for", "10s", "--procs", "2", "--cpu-limit", "100ms", "--json", "result.json", tasks_dir + "/spin.so"});
  EXPECT_EQ(r.status, 1) << r.err;
  EXPECT_EQ(result().at("tasks")[0].at("state"), "cpu-limit");
}

// The weights are far apart: under another program's load, a slice is mostly as long as the kernel makes it.
TEST_F(RunCommand, MoreWeightIsMoreOfTheProcessor) {
  URGE_TEST_NEEDS_ASYNC();  // endless tasks that share a P
  const std::string plugin = tasks_dir + "/spin.so";
  write("tasks.json", json::array({{{"task", plugin}, {"name", "heavy"}, {"weight", 100}}}).dump());
  const auto r = urge({"run", "--for", "3s", "--procs", "1", "--json", "result.json", "--tasks", "tasks.json",
                       "--weight", "spin.so=1", plugin, plugin});
  EXPECT_EQ(r.status, 0) << r.err;
  const auto tasks = by_name(result());
  EXPECT_EQ(tasks.at("heavy").at("weight"), 100);
  EXPECT_GT(tasks.at("heavy").at("work"), tasks.at("spin.so").at("work"));
  EXPECT_GT(tasks.at("heavy").at("work"), tasks.at("spin.so#2").at("work"));
  EXPECT_GT(tasks.at("spin.so").at("work"), 0);
}

TEST_F(RunCommand, AWeightOnTheCommandLineIsThatOfTheTaskItNames) {
  const std::string script = write("a.lua", "");
  const auto r = urge({"run", "--json", "result.json", "--weight", "a.lua#2=7", script, script});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(result().at("tasks")[0].at("weight"), 1);
  EXPECT_EQ(result().at("tasks")[1].at("weight"), 7);
}

}  // namespace urge::test
