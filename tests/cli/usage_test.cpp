// SPDX-License-Identifier: MIT
// Bad input: status 2, and one line that names the argument, what was wrong, and what would be right.
#include <algorithm>

#include "command_fixture.hpp"

namespace urge::test {

struct bad_input {
  std::string name;
  std::vector<std::string> arguments;
  std::string message;          // is part of the line
  std::string tasks_file = {};  // the text of tasks.json
};
void PrintTo(const bad_input& b, std::ostream* out) { *out << b.name; }

class Usage : public Command, public ::testing::WithParamInterface<bad_input> {};

TEST_P(Usage, IsOneLineThatNamesTheArgument) {
  write("a.lua", "print('it ran')\n");
  write("tasks.json", GetParam().tasks_file);
  const auto r = urge(GetParam().arguments);
  EXPECT_EQ(r.status, 2);
  EXPECT_EQ(r.out, "");
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
  EXPECT_NE(r.err.find(GetParam().message), std::string::npos) << r.err;
}

bad_input tasks_file(const std::string& name, const std::string& text, const std::string& message) {
  return {name, {"run", "--tasks", "tasks.json"}, message, text};
}

INSTANTIATE_TEST_SUITE_P(
    All, Usage,
    ::testing::Values(
        bad_input{"NoCommand", {}, "COMMAND: none given: must be run or stress"},
        bad_input{"UnknownCommand", {"walk"}, "COMMAND walk: must be run or stress"},
        bad_input{"UnknownOption", {"run", "--fast", "a.lua"}, "urge run: --fast: unknown"},
        bad_input{"NoTask", {"run"}, "TASK: none given"},
        bad_input{"TaskOfAnUnknownKind", {"run", "a.py"}, "TASK a.py: must be SCRIPT.lua or PLUGIN.so[:SYMBOL]"},
        bad_input{"TaskWithoutItsSymbol", {"run", "a.so:"}, "TASK a.so:: must be SCRIPT.lua or PLUGIN.so[:SYMBOL]"},
        bad_input{"OptionWithoutItsValue", {"run", "a.lua", "--procs"}, "--procs: a value must follow"},
        bad_input{"OptionGivenTwice", {"run", "--procs", "1", "--procs", "2", "a.lua"}, "--procs: must be given once"},
        bad_input{"ProcsThatIsNoNumber", {"run", "--procs", "two", "a.lua"}, "--procs two: must be a number from 0 to"},
        bad_input{"ProcsOutOfRange", {"run", "--procs", "1025", "a.lua"}, "--procs 1025: must be a number from 0 to"},
        bad_input{"QuantumTooShort", {"run", "--quantum", "1us", "a.lua"}, "--quantum 1us: must be a time from 20us"},
        bad_input{"UnknownPreempt", {"run", "--preempt", "often", "a.lua"}, "--preempt often: must be off, coop"},
        bad_input{"UnknownModel", {"run", "--model", "m", "a.lua"}, "--model m: must be gmp or gm"},
        bad_input{"StackTooSmall", {"run", "--stack", "1K", "a.lua"}, "--stack 1K: must be a size from 16K to 1G"},
        bad_input{"TimeWithoutUnit", {"run", "--for", "10", "a.lua"}, "--for 10: must be a time above 0, such as"},
        bad_input{"TimeOfNothing", {"run", "--for", "0s", "a.lua"}, "--for 0s: must be a time above 0"},
        bad_input{"LimitBelowZero", {"run", "--cpu-limit", "-1s", "a.lua"}, "--cpu-limit -1s: must be a time above 0"},
        bad_input{"WeightWithoutName", {"run", "--weight", "3", "a.lua"}, "--weight 3: must be NAME=N"},
        bad_input{"WeightOfNobody", {"run", "--weight", "b=3", "a.lua"}, "there is no task 'b'; there are a.lua"},
        bad_input{"WeightOutOfRange", {"run", "--weight", "a.lua=1001", "a.lua"}, "N from 1 to 1000"},
        bad_input{"JsonThatCannotBeWritten", {"run", "--json", "no/where", "a.lua"}, "--json no/where: open: No such"},
        bad_input{"SandboxThatIsNot", {"run", "--sandbox", "none", "a.lua"}, "--sandbox none: open: No such file"},
        bad_input{"SandboxThatIsAFile", {"run", "--sandbox", "a.lua", "a.lua"}, "--sandbox a.lua: open: Not a dir"},
        bad_input{"SandboxWithoutAFolder", {"run", "a.lua", "--sandbox"}, "--sandbox: a value must follow"},
        bad_input{"SandboxWithAnEmptyName", {"run", "--sandbox", "", "a.lua"}, "--sandbox '': open: No such file"},
        bad_input{"ReportIsNotYet", {"run", "--report", "r.html", "a.lua"}, "--report: not in this version"},
        bad_input{"TraceIsNotYet", {"run", "--trace", "t.json", "a.lua"}, "--trace: not in this version"},
        bad_input{"TasksFileThatIsNot", {"run", "--tasks", "none.json"}, "--tasks none.json: open: No such file"},
        tasks_file("NoJson", "[", "--tasks tasks.json: parse error at line 1"),
        tasks_file("NoArray", "{}", "it is {}: must be an array of tasks"),
        tasks_file("NoTasks", "[]", "TASK: none given"), tasks_file("NoObject", "[1]", "[0]: 1: must be an object"),
        tasks_file("NoTaskKey", R"([{"task":"a.lua"},{"name":"b"}])", "[1]: \"task\" is missing"),
        tasks_file("UnknownKey", R"([{"task":"a.lua","wieght":1}])", "[0].wieght: unknown key; there are name, task"),
        tasks_file("TaskIsNoText", R"([{"task":1}])", "[0].task: 1: must be SCRIPT.lua"),
        tasks_file("NameIsEmpty", R"([{"task":"a.lua","name":""}])", "[0].name: \"\": must be a name"),
        tasks_file("ArgsIsNoArray", R"([{"task":"a.lua","args":"x"}])", "[0].args: \"x\": must be an array of strings"),
        tasks_file("ArgIsNoText", R"([{"task":"a.lua","args":["x",2]}])", "[0].args[1]: 2: must be a string"),
        tasks_file("WeightIsNoNumber", R"([{"task":"a.lua","weight":"2"}])", "[0].weight: \"2\": must be a number"),
        tasks_file("LimitIsNoTime", R"([{"task":"a.lua","cpu_limit":"2"}])", "[0].cpu_limit: 2: must be a time above"),
        tasks_file("LimitIsNoText", R"([{"task":"a.lua","cpu_limit":2}])", "[0].cpu_limit: 2: must be a time, such"),
        tasks_file("MemLimitIsNoSize", R"([{"task":"a.lua","mem_limit":"1X"}])",
                   "[0].mem_limit: 1X: must be a size above"),
        tasks_file("MemLimitIsNoText", R"([{"task":"a.lua","mem_limit":64}])",
                   "[0].mem_limit: 64: must be a size, such"),
        bad_input{"MemLimitIsNothing", {"run", "--mem-limit", "0", "a.lua"}, "--mem-limit 0: must be a size above 0"},
        tasks_file("OutputThatCannotBe", R"([{"task":"a.lua","stdout":"no/where"}])", "no/where: open: No such file")),
    [](const auto& info) { return info.param.name; });

using CommandLine = Command;

TEST_F(CommandLine, RefusesABadEnvironmentByTheNameOfTheVariable) {
  write("a.lua", "");
  auto how = options();
  how.environment = {{"URGE_PROCS", "many"}};
  const auto r = run_child(URGE_COMMAND, {"run", "a.lua"}, how);
  EXPECT_EQ(r.status, 2);
  EXPECT_EQ(r.err, "urge run: URGE_PROCS = many: must be a number from 0 to 1024\n");
}

TEST_F(CommandLine, HelpAndVersionGoToStdoutWithStatusZero) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"--version"}, {"run", "--help"}, {"stress", "--help"}}) {
    const auto r = urge(arguments);
    EXPECT_EQ(r.status, 0) << arguments[0];
    EXPECT_NE(r.out, "") << arguments[0];
    EXPECT_EQ(r.err, "") << arguments[0];
  }
}

}  // namespace urge::test
