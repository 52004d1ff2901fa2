// SPDX-License-Identifier: MIT
// The JSON object of `urge run`: every field that is promised, with its type, and figures that agree with each other.
#include <cmath>

#include "command_fixture.hpp"

namespace urge::test {

using Json = Command;
using nlohmann::json;

TEST_F(Json, HasEveryFieldWithItsType) {
  const std::string bad = write("bad.lua", "error('on purpose')\n");
  const auto r = urge({"run", "--for", "3s", "--procs", "1", "--json", "result.json", tasks_dir + "/pi.lua",
                       tasks_dir + "/spin.so", bad});
  ASSERT_EQ(r.status, 1) << r.err;
  const json all = result();
  EXPECT_TRUE(all.at("version").is_string());
  EXPECT_EQ(all.at("options").at("procs"), 1);
  EXPECT_EQ(all.at("options").at("quantum_ns"), 10'000'000);
  EXPECT_EQ(all.at("options").at("preempt"), "async");
  EXPECT_EQ(all.at("options").at("model"), "gmp");
  EXPECT_EQ(all.at("options").at("time_limit_ns"), 3'000'000'000);
  EXPECT_GE(all.at("wall_ns"), 3'000'000'000);
  for (const json& t : all.at("tasks")) {
    EXPECT_TRUE(t.at("name").is_string());
    EXPECT_TRUE(t.at("state").is_string());
    EXPECT_TRUE(t.at("exit_code").is_null() || t.at("exit_code").is_number_integer());
    EXPECT_TRUE(t.at("error").is_null() || t.at("error").is_string());
    EXPECT_TRUE(t.at("share").is_number_float());
    for (const char* field : {"cpu_ns", "preempts", "promoted", "max_wait_ns", "weight"})
      EXPECT_TRUE(t.at(field).is_number_integer()) << field;
    const json& tiers = t.at("preempts_by_tier");
    for (const char* tier : {"cooperative", "async", "kernel_thread"})
      EXPECT_TRUE(tiers.at(tier).is_number_integer()) << tier;
    EXPECT_EQ(t.at("preempts"), tiers.at("cooperative").get<int>() + tiers.at("async").get<int>());
  }
  const json& stats = all.at("stats");
  for (const char* field : {"spawned",
                            "finished",
                            "live",
                            "switches",
                            "steals",
                            "stolen",
                            "global_gets",
                            "handoffs",
                            "retakes",
                            "preempt_requests",
                            "preempt_signals",
                            "preempts_cooperative",
                            "preempts_async",
                            "preempts_deferred",
                            "promoted",
                            "identities_taken",
                            "identities_made",
                            "identities_lost",
                            "abandoned",
                            "abandoned_inside",
                            "threads",
                            "idle_threads",
                            "spinning",
                            "wakeup_preempts",
                            "netpoll_wakeups",
                            "timers_fired"})
    EXPECT_TRUE(stats.at(field).is_number_integer()) << field;
  for (const char* reason : {"in_runtime", "guarded", "no_identity", "in_handler", "trampoline", "no_room", "grace"})
    EXPECT_TRUE(stats.at("deferred_by_reason").at(reason).is_number_integer()) << reason;
  for (const char* field : {"count", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"})
    EXPECT_TRUE(stats.at("preempt_latency").at(field).is_number_integer()) << field;
  EXPECT_EQ(stats.at("spawned"), 4);  // three and the main G
}

TEST_F(Json, SharesAddUpToOneAndTheIndexIsThatOfTheCpuTimes) {
  URGE_TEST_NEEDS_ASYNC();  // endless tasks that share a P
  const auto r = urge({"run", "--for", "2s", "--procs", "1", "--quantum", "1ms", "--json", "result.json",
                       tasks_dir + "/spin.so", tasks_dir + "/spin.so", tasks_dir + "/churn.so"});
  ASSERT_EQ(r.status, 0) << r.err;
  const json all = result();
  double shares = 0, sum = 0, squares = 0;
  for (const json& t : all.at("tasks")) {
    const double cpu = t.at("cpu_ns");
    shares += t.at("share").get<double>(), sum += cpu, squares += cpu * cpu;
    EXPECT_GT(t.at("preempts"), 0);
    EXPECT_GT(t.at("max_wait_ns"), 0);
  }
  EXPECT_NEAR(shares, 1, 1e-9);
  EXPECT_NEAR(all.at("fairness").at("jain"), sum * sum / (3 * squares), 1e-9);
  EXPECT_EQ(all.at("fairness").at("tasks"), 3);
}

TEST_F(Json, HasTheWorkOfProgramsThatCountIt) {
  URGE_TEST_NEEDS_ASYNC();  // endless tasks that share a P
  const std::string counts =
      write("counts.lua",
            "work_done = 0.0\nlocal t = setmetatable(_G, {__index = function() error('no') end})\n"
            "while true do work_done = work_done + 1.0 end\n");
  const std::string does_not = write("does_not.lua", "while true do end\n");
  const std::string ends = write("ends.lua", "work_done = 12\n");
  const auto r =
      urge({"run", "--for", "2s", "--procs", "1", "--quantum", "1ms", "--json", "result.json", counts, does_not, ends,
            tasks_dir + "/pi.lua", tasks_dir + "/churn.so", test_tasks_dir + "/odd.so:endless"});
  ASSERT_EQ(r.status, 0) << r.err;
  const auto tasks = by_name(result());
  EXPECT_GT(tasks.at("counts.lua").at("work"), 0);
  EXPECT_TRUE(tasks.at("counts.lua").at("work").is_number_integer());
  EXPECT_GT(tasks.at("pi.lua").at("work"), 0);
  EXPECT_GT(tasks.at("churn.so").at("work"), 0);
  EXPECT_EQ(tasks.at("ends.lua").at("work"), 12);
  EXPECT_FALSE(tasks.at("does_not.lua").contains("work"));
  EXPECT_FALSE(tasks.at("odd.so:endless").contains("work"));
  EXPECT_TRUE(result().at("fairness").at("jain_work").is_number());
}

TEST_F(Json, ToStdoutIsOneObjectAfterWhatTheTasksPrint) {
  const std::string script = write("a.lua", "io.write('first\\n')\n");
  const auto r = urge({"run", "--json", "-", script});
  ASSERT_EQ(r.status, 0) << r.err;
  ASSERT_EQ(r.out.substr(0, 6), "first\n");
  EXPECT_EQ(json::parse(r.out.substr(6)).at("tasks").size(), 1u);
}

TEST_F(Json, StaysValidWhateverAMessageHolds) {
  const std::string script = write("a.lua", "error('\\xff\\0\\n\"', 0)\n");
  const auto r = urge({"run", "--json", "result.json", script});
  EXPECT_EQ(r.status, 1);
  EXPECT_EQ(result().at("tasks")[0].at("state"), "error");
}

}  // namespace urge::test
