// SPDX-License-Identifier: MIT
// `urge stress`.
#pragma once
#include <urge/runtime.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace urge::cli {

struct stress_arguments {
  options how;
  bool list = false, all = false;
  std::chrono::nanoseconds time = std::chrono::seconds(5);  // of each scenario
  std::optional<std::uint64_t> seed;                        // none: a random one, which is printed
  std::string json;                                         // path, "-" for stdout, or empty
  std::vector<std::string> scenarios;
};

// Returns the exit code.
int stress_command(const stress_arguments&);

}  // namespace urge::cli
