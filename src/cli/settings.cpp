// SPDX-License-Identifier: MIT
// See settings.hpp. The grammars of times, sizes and modes are the library's own (runtime/options.hpp), so that
// `--quantum` and URGE_QUANTUM cannot come to differ; the ranges are checked here to name the argument as it was typed.
#include "settings.hpp"

#include <charconv>
#include <stdexcept>

#include "runtime/options.hpp"
#include "usage.hpp"

namespace urge::cli {

using namespace std::chrono_literals;

std::chrono::nanoseconds parse_time(const std::string& argument, const std::string& text) {
  const auto d = parse_duration(text);
  if (!d || *d <= 0ns) refuse(argument, text, "a time above 0, such as 500ms, 10s or 2m");
  return *d;
}

std::uint64_t parse_size(const std::string& argument, const std::string& text) {
  const auto bytes = parse_bytes(text);
  if (!bytes || *bytes == 0) refuse(argument, text, "a size above 0, such as 65536, 64K or 8M");
  return *bytes;
}

std::uint64_t parse_number(const std::string& argument, const std::string& text, std::uint64_t low,
                           std::uint64_t high) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    refuse(argument, text, "a number from " + std::to_string(low) + " to " + std::to_string(high));
  return value;
}

options parse_runtime(const runtime_arguments& a) {
  options how;
  try {
    how = options::from_env();
  } catch (const std::invalid_argument& e) {
    std::string_view what = e.what();
    if (what.starts_with("urge: ")) what.remove_prefix(6);
    throw usage_error(std::string(what));
  }
  if (a.procs) how.procs = static_cast<unsigned>(parse_number("--procs", *a.procs, 0, 1024));
  if (a.quantum) {
    const auto d = parse_duration(*a.quantum);
    if (!d || *d < 20us || *d > 10s) refuse("--quantum", *a.quantum, "a time from 20us to 10s");
    how.quantum = *d;
  }
  if (a.preempt) {
    const auto mode = parse_preempt(*a.preempt);
    if (!mode) refuse("--preempt", *a.preempt, "off, cooperative, async or kernel_thread");
    how.preempt = *mode;
  }
  if (a.model) {
    const auto model = parse_model(*a.model);
    if (!model) refuse("--model", *a.model, "gmp or gm");
    how.model = *model;
  }
  if (a.stack) {
    const auto bytes = parse_bytes(*a.stack);
    if (!bytes || *bytes < 16 * 1024 || *bytes > 1024 * 1024 * 1024)
      refuse("--stack", *a.stack, "a size from 16K to 1G, such as 65536, 64K or 8M");
    how.stack_size = *bytes;
  }
  return how;
}

std::string_view name_of(preempt_mode mode) noexcept {
  constexpr std::string_view names[] = {"off", "cooperative", "async", "kernel_thread"};
  return names[static_cast<unsigned>(mode)];
}
std::string_view name_of(sched_model model) noexcept { return model == sched_model::gmp ? "gmp" : "gm"; }

}  // namespace urge::cli
