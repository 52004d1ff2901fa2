// SPDX-License-Identifier: MIT
// A task that crashes is reported and ended; the others go on to their end.
#include "command_fixture.hpp"

namespace urge::test {

using nlohmann::json;
using Crash = Command;

TEST_F(Crash, EndsTheTaskAndNotTheOthers) {
  URGE_TEST_NEEDS_FAULTS();
  const std::string crashes = test_tasks_dir + "/crashes.so:";
  json tasks = json::array();
  for (const char* name : {"null_pointer", "division", "recursion", "aborts", "beyond_the_end", "counts"})
    tasks.push_back({{"name", name}, {"task", crashes + name}});
  tasks.push_back({{"name", "lua"}, {"task", write("a.lua", "for i = 1, 1e6 do end print('lua done')\n")}});
  const auto r = run_tasks(tasks, {"--json", "result.json", "--procs", "2"});
  EXPECT_EQ(r.status, 1) << r.err;
  EXPECT_EQ(r.signal, 0) << r.err;
  EXPECT_NE(r.out.find("counted\n"), std::string::npos) << r.out << r.err;
  EXPECT_NE(r.out.find("lua done\n"), std::string::npos) << r.out << r.err;
  const auto all = result();
  auto by = by_name(all);
  const std::map<std::string, std::string> errors = {{"null_pointer", "SIGSEGV at address 0x0"},
                                                     {"division", "SIGFPE"},
                                                     {"recursion", "stack overflow"},
                                                     {"aborts", "SIGABRT"},
                                                     {"beyond_the_end", "SIGBUS at address 0x"}};
  for (const auto& [name, error] : errors) {
    EXPECT_EQ(by[name].at("state"), "crashed") << name;
    EXPECT_EQ(by[name].at("error").get<std::string>().substr(0, error.size()), error) << name;
    // The report says which function of which file it was.
    EXPECT_NE(r.err.find(name), std::string::npos) << r.err;
  }
  EXPECT_NE(r.err.find("crashes.so"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("rip 0x"), std::string::npos) << r.err;
  for (const char* name : {"counts", "lua"}) EXPECT_EQ(by[name].at("state"), "finished") << name;
}

// It leaves an arena of malloc locked, the main thread's perhaps: then the summary is cut short, after a while.
TEST_F(Crash, InsideMallocEndsWithAFailureAndNotByASignal) {
  URGE_TEST_NEEDS_FAULTS();
  const auto r = urge({"run", "--for", "10s", test_tasks_dir + "/crashes.so:frees_twice"});
  EXPECT_EQ(r.status, 1) << r.err;
  EXPECT_NE(r.err.find("SIGABRT in G"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("frees_twice"), std::string::npos) << r.err;
}

TEST_F(Crash, IsTheTasksOwnAffairAlsoWhereItIsAlone) {
  URGE_TEST_NEEDS_FAULTS();
  const auto r = urge({"run", "--json", "result.json", test_tasks_dir + "/crashes.so:null_pointer"});
  EXPECT_EQ(r.status, 1) << r.err;
  EXPECT_EQ(result().at("tasks")[0].at("state"), "crashed");
}

}  // namespace urge::test
