// SPDX-License-Identifier: MIT
// --mem-limit: a task that wants more than that from malloc is ended, wherever it is; the others go on.
#include "command_fixture.hpp"

namespace urge::test {

using nlohmann::json;

class MemoryLimit : public Command {
 protected:
  void SetUp() override {
    Command::SetUp();
    if (sanitized) GTEST_SKIP() << "a sanitizer has a malloc of its own";
  }
  static json task(const std::string& name, std::vector<std::string> args = {}) {
    return {{"name", name}, {"task", test_tasks_dir + "/memory.so:" + name}, {"args", std::move(args)}};
  }
  json only(const child_result& r) {
    EXPECT_EQ(r.signal, 0) << r.err;
    return result().at("tasks")[0];
  }
};

class MemoryLimitOf : public MemoryLimit, public testing::WithParamInterface<const char*> {};

TEST_P(MemoryLimitOf, EndsAHoard) {
  const json hoard = json::array({task("hoard", {GetParam(), "300"})});  // 30 MB
  const json ended = only(run_tasks(hoard, {"--mem-limit", "8M", "--json", "result.json"}));
  EXPECT_EQ(ended.at("state"), "killed");
  EXPECT_NE(std::string(ended.at("error")).find("memory limit of 8388608 bytes"), std::string::npos) << ended;
  EXPECT_GT(ended.at("mem_peak_bytes"), 7'000'000);
  EXPECT_LE(ended.at("mem_peak_bytes"), 8'500'000);
  const auto r = run_tasks(hoard, {"--mem-limit", "64M", "--json", "result.json"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, std::string(GetParam()) + " hoarded\n");
  EXPECT_GE(only(r).at("mem_peak_bytes"), 30'000'000);
}

INSTANTIATE_TEST_SUITE_P(Functions, MemoryLimitOf,
                         testing::Values("malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc",
                                         "posix_memalign", "valloc", "pvalloc", "new", "new_aligned", "strdup"),
                         [](const auto& about) {
                           std::string name = about.param;
                           std::erase(name, '_');
                           return name;
                         });

TEST_F(MemoryLimit, DoesNotMindWhatIsGivenBack) {
  const auto r = run_tasks(json::array({task("churn")}), {"--mem-limit", "1M"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "churned\n");
}

TEST_F(MemoryLimit, IsEachTasksOwn) {
  json small = task("hoard", {"malloc", "300"}), large = small, none = small;
  small["name"] = "small", small["mem_limit"] = "1M";
  large["name"] = "large";
  const auto r = run_tasks(json::array({small, large, task("churn")}), {"--mem-limit", "64M", "--json", "result.json"});
  EXPECT_EQ(r.status, 1) << r.err;
  auto by = by_name(result());
  EXPECT_EQ(by["small"].at("state"), "killed");
  EXPECT_EQ(by["large"].at("state"), "finished");
  EXPECT_EQ(by["churn"].at("state"), "finished");
}

// It is refused again and again, inside operator new, until it is stopped outside.
TEST_F(MemoryLimit, EndsATaskThatTakesNoForAnAnswer) {
  const auto r =
      run_tasks(json::array({task("stubborn"), task("churn")}), {"--mem-limit", "4M", "--json", "result.json"});
  EXPECT_EQ(r.out, "churned\n");
  EXPECT_EQ(by_name(result())["stubborn"].at("state"), "killed");
}

TEST_F(MemoryLimit, LetsATaskGiveUpItsLockFirst) {
  const auto r = run_tasks(json::array({task("locked")}), {"--mem-limit", "4M", "--json", "result.json"});
  EXPECT_EQ(r.out, "refused\n");
  EXPECT_EQ(only(r).at("state"), "killed");
}

TEST_F(MemoryLimit, IsKeptInsideLibcToo) {
  const json ended = only(run_tasks(json::array({task("stream")}), {"--mem-limit", "4M", "--json", "result.json"}));
  EXPECT_EQ(ended.at("state"), "killed");
  EXPECT_LE(ended.at("mem_peak_bytes"), 4'500'000);
}

TEST_F(MemoryLimit, DoesNotCountAChildOfFork) {
  const auto r = run_tasks(json::array({task("forks")}), {"--mem-limit", "4M"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "child 7\n");
}

TEST_F(MemoryLimit, HoldsForLua) {
  const std::string script = write("grows.lua", "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end\n");
  const auto r = urge({"run", "--mem-limit", "16M", "--json", "result.json", script});
  EXPECT_EQ(r.status, 1) << r.err;
  const json ended = result().at("tasks")[0];
  EXPECT_EQ(ended.at("state"), "killed");
  EXPECT_GT(ended.at("mem_peak_bytes"), 8'000'000);
}

}  // namespace urge::test
