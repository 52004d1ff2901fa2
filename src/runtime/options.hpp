// SPDX-License-Identifier: MIT
// Reading and checking of options. Context: outside the runtime.
#pragma once
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace urge {

// "10ms", "500us", "1.5s", "2m"; nothing for anything else.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view);
// "65536", "64K", "1M", "1G"
std::optional<std::uint64_t> parse_bytes(std::string_view);
std::optional<preempt_mode> parse_preempt(std::string_view);
std::optional<sched_model> parse_model(std::string_view);
bool signal_is_allowed(int);

// CPUs that this process may use: affinity mask and cgroup quota, rounded up.
unsigned usable_cpus();

// Throw std::invalid_argument.
void validate(const go_options&);

}  // namespace urge
