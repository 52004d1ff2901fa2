// SPDX-License-Identifier: MIT
// What the tests of the command have in common: a folder of their own for files, and the command run in it.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/child.hpp"
#include "support/sanitized.hpp"

namespace urge::test {

inline const std::string tasks_dir = URGE_TASKS_DIR;                        // examples/tasks
inline const std::string test_tasks_dir = URGE_TASKS_DIR "/../test_tasks";  // tests/cli/tasks

class Command : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "urge_cli_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }
  std::string read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(path(name)).rdbuf();
    return text.str();
  }

  child_options options() const {
    child_options how;
    how.directory = dir_;
    return how;
  }
  child_result urge(const std::vector<std::string>& arguments) const {
    return run_child(URGE_COMMAND, arguments, options());
  }
  // `urge run --tasks` with these tasks.
  child_result run_tasks(const nlohmann::json& tasks, std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), {"run", "--tasks", write("tasks.json", tasks.dump())});
    return urge(arguments);
  }
  // The JSON that --json result.json has left.
  nlohmann::json result() const { return nlohmann::json::parse(read("result.json")); }
  static std::map<std::string, nlohmann::json> by_name(const nlohmann::json& result) {
    std::map<std::string, nlohmann::json> tasks;
    for (const auto& t : result.at("tasks")) tasks[t.at("name")] = t;
    return tasks;
  }

  std::string dir_;
};

}  // namespace urge::test
