// SPDX-License-Identifier: MIT
// From the text of an option to its value. The options of the runtime are the same for all subcommands; what is not
// given on the command line comes from the environment (options::from_env), then from the defaults.
// All functions throw usage_error. Context: the main thread, before any run.
#pragma once
#include <urge/runtime.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace urge::cli {

// As typed; nothing: not given.
struct runtime_arguments {
  std::optional<std::string> procs, quantum, preempt, model, stack;
};
options parse_runtime(const runtime_arguments&);

// A time above 0; `argument` is named in the error.
std::chrono::nanoseconds parse_time(const std::string& argument, const std::string& text);
std::uint64_t parse_size(const std::string& argument, const std::string& text);  // bytes, above 0
std::uint64_t parse_number(const std::string& argument, const std::string& text, std::uint64_t low, std::uint64_t high);

std::string_view name_of(preempt_mode) noexcept;
std::string_view name_of(sched_model) noexcept;

}  // namespace urge::cli
