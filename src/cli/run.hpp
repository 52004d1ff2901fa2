// SPDX-License-Identifier: MIT
// `urge run`.
#pragma once
#include <optional>
#include <string>

#include "settings.hpp"
#include "tasks.hpp"

namespace urge::cli {

struct run_arguments {
  runtime_arguments runtime;
  tasks_arguments tasks;
  std::optional<std::string> time;  // --for
  std::string json;                 // path, "-" for stdout, or empty
  std::optional<std::string> sandbox;
};

// Returns the exit code. Throws usage_error.
int run_command(const run_arguments&);

}  // namespace urge::cli
