// SPDX-License-Identifier: MIT
// Which tasks there are: from TASK arguments, the tasks file, and the options that name tasks. Nothing is loaded or
// opened here but the tasks file. All functions throw usage_error. Context: the main thread, before the run.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "task.hpp"

namespace urge::cli {

struct tasks_arguments {
  std::vector<std::string> tasks;
  std::optional<std::string> file;       // --tasks
  std::vector<std::string> weights;      // --weight NAME=N
  std::optional<std::string> cpu_limit;  // --cpu-limit: of each task that has none of its own
  std::optional<std::string> mem_limit;  // --mem-limit: likewise
};

// At least one, with names that differ.
std::vector<task_spec> list_tasks(const tasks_arguments&);

}  // namespace urge::cli
