// SPDX-License-Identifier: MIT
// Bad input: what the command says before it ends with status 2. The text is one line: which argument, what was wrong,
// what would be right; main.cpp puts the command's name before it.
#pragma once
#include <stdexcept>
#include <string>

namespace urge::cli {

inline constexpr int exit_ok = 0, exit_failed = 1, exit_usage = 2;

struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "--procs 0x: must be a number from 0 to 1024"
[[noreturn]] inline void refuse(const std::string& argument, const std::string& value, const std::string& allowed) {
  throw usage_error(argument + (value.empty() ? " ''" : " " + value) + ": must be " + allowed);
}
// "--report: not in this version"
[[noreturn]] inline void refuse_for_now(const std::string& argument) {
  throw usage_error(argument + ": not in this version");
}

}  // namespace urge::cli
