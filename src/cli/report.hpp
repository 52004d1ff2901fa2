// SPDX-License-Identifier: MIT
// What is told of a run of tasks: taken by the controller at its end, then as a table for people or as JSON.
// Context: threads outside the runtime.
#pragma once
#include <urge/runtime.hpp>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "task.hpp"

namespace urge::cli {

// A task at one moment.
struct sample {
  task_state state = task_state::running;
  std::optional<int> exit_code;
  std::string error;
  std::int64_t cpu_ns = 0;
  g_info info;
  std::optional<std::uint64_t> work;
  std::optional<std::int64_t> memory_peak;  // bytes, of tasks with a limit
};
sample look_at(const task&);
// Has it ended, or could it not even start?
bool is_over(const task&);
bool is_failure(const sample&);

enum class run_end { all_over, time_limit, interrupted };

struct run_report {
  options how;  // procs: the actual number
  std::optional<std::chrono::nanoseconds> time_limit;
  run_end end = run_end::all_over;
  std::int64_t wall_ns = 0;
  std::vector<const task_spec*> specs;
  std::vector<sample> samples;                 // when the run was told to end
  std::vector<std::int64_t> cpu_at_first_end;  // when the first task ended; empty: none has
  stats counters;
};

// Jain's index, (sum x)^2 / (n sum x^2): 1 if all are equal, 1/n if one has everything. Source: Jain, Chiu, Hawe, 1984.
double jain(const std::vector<double>&);

// Of CPU time divided by weight. Over the tasks that wanted CPU from the start to the end of the run, which is to say
// that they were still running then; where these are fewer than two, over all tasks, until the first one ended, if they
// had ten slices each by then: less says nothing. Of fewer than two tasks it is 1.
struct fairness {
  double jain = 1;
  std::size_t tasks = 0;  // that it is over
  bool until_first_end = false;
  std::optional<double> jain_work;  // of `work`, likewise; of tasks that ran all the time only
};
fairness fairness_of(const run_report&);

nlohmann::json to_json(const run_report&);
std::string to_text(const run_report&, unsigned width, bool color);  // width 0: any

}  // namespace urge::cli
