// SPDX-License-Identifier: MIT
// Options: their ranges, and the environment variables that set them. Context: outside the runtime.
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <sched.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "runtime/options.hpp"

namespace urge {

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

[[noreturn]] void refuse(std::string_view name, std::string_view value, std::string_view allowed) {
  throw std::invalid_argument("urge: " + std::string(name) + " = " + std::string(value) + ": must be " +
                              std::string(allowed));
}

void range(std::string_view name, std::uint64_t value, std::uint64_t low, std::uint64_t high,
           std::string_view allowed) {
  if (value < low || value > high) refuse(name, std::to_string(value), allowed);
}

constexpr std::string_view procs_allowed = "a number from 0 to 1024";
constexpr std::string_view quantum_allowed = "a time from 20us to 10s";
constexpr std::string_view min_quantum_allowed = "0, or a time from 20us to the quantum";
constexpr std::string_view stack_allowed = "bytes from 16 KiB to 1 GiB (K, M, G may follow)";
constexpr std::string_view preempt_allowed = "off, cooperative, async or kernel_thread";
constexpr std::string_view model_allowed = "gmp or gm";
constexpr std::string_view slice_end_allowed = "sysmon or timer";
constexpr std::string_view signal_allowed = "SIGURG, SIGUSR1, SIGUSR2 or SIGRTMIN to SIGRTMAX";

template <class T>
bool parse_number(std::string_view text, T& value, std::string_view& rest) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  rest = text.substr(static_cast<std::size_t>(end - text.data()));
  return error == std::errc{} && end != text.data();
}

}  // namespace

std::optional<nanoseconds> parse_duration(std::string_view text) {
  double value = 0;
  std::string_view unit;
  if (!parse_number(text, value, unit) || !(value >= 0)) return std::nullopt;
  const double scale = unit == "ns"   ? 1
                       : unit == "us" ? 1e3
                       : unit == "ms" ? 1e6
                       : unit == "s"  ? 1e9
                       : unit == "m"  ? 60e9
                       : unit == "h"  ? 3600e9
                                      : 0;
  if (scale == 0 || value * scale > 9e18) return std::nullopt;
  return nanoseconds(static_cast<std::int64_t>(value * scale + 0.5));
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  std::uint64_t value = 0;
  std::string_view unit;
  if (!parse_number(text, value, unit)) return std::nullopt;
  const unsigned shift = unit.empty() ? 0 : unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : 99;
  if (shift == 99 || (value << shift) >> shift != value) return std::nullopt;
  return value << shift;
}

std::optional<preempt_mode> parse_preempt(std::string_view text) {
  if (text == "off") return preempt_mode::off;
  if (text == "cooperative") return preempt_mode::cooperative;
  if (text == "async") return preempt_mode::async;
  if (text == "kernel_thread") return preempt_mode::kernel_thread;
  return std::nullopt;
}

std::optional<sched_model> parse_model(std::string_view text) {
  if (text == "gmp") return sched_model::gmp;
  if (text == "gm") return sched_model::gm;
  return std::nullopt;
}

namespace {

std::optional<int> parse_signal(std::string_view text) {
  if (text == "SIGURG") return SIGURG;
  if (text == "SIGUSR1") return SIGUSR1;
  if (text == "SIGUSR2") return SIGUSR2;
  int base = 0;
  if (text.starts_with("SIGRTMIN"))
    base = SIGRTMIN, text.remove_prefix(8);
  else if (text.starts_with("SIGRTMAX"))
    base = SIGRTMAX, text.remove_prefix(8);
  if (text.empty()) return base == 0 ? std::nullopt : std::optional(base);
  if (base != 0 && text[0] == '+') text.remove_prefix(1);
  int n = 0;
  std::string_view rest;
  if (!parse_number(text, n, rest) || !rest.empty()) return std::nullopt;
  return base + n;
}

template <class T, class Parse>
void from_variable(const char* name, std::string_view allowed, T& into, Parse&& parse) {
  const char* text = std::getenv(name);
  if (!text || !*text) return;
  const auto value = parse(std::string_view(text));
  if (!value) refuse(name, text, allowed);
  into = static_cast<T>(*value);
}

}  // namespace

options options::from_env() {
  options o;
  from_variable("URGE_PROCS", procs_allowed, o.procs, [](std::string_view t) -> std::optional<unsigned> {
    unsigned n = 0;
    std::string_view rest;
    if (!parse_number(t, n, rest) || !rest.empty() || n > 1024) return std::nullopt;
    return n;
  });
  from_variable("URGE_WAKEUP_SHARE", "from 0 to 100", o.wakeup_share,
                [](std::string_view t) -> std::optional<unsigned> {
                  unsigned n = 0;
                  std::string_view rest;
                  if (!parse_number(t, n, rest) || !rest.empty() || n > 100) return std::nullopt;
                  return n;
                });
  from_variable("URGE_SLICE_END", slice_end_allowed, o.slice_end,
                [](std::string_view t) -> std::optional<slice_source> {
                  if (t == "sysmon") return slice_source::sysmon;
                  if (t == "timer") return slice_source::timer;
                  return std::nullopt;
                });
  from_variable("URGE_QUANTUM", quantum_allowed, o.quantum, [](std::string_view t) -> std::optional<nanoseconds> {
    const auto d = parse_duration(t);
    return d && *d >= 20us && *d <= 10s ? d : std::nullopt;
  });
  from_variable("URGE_MIN_QUANTUM", min_quantum_allowed, o.min_quantum,
                [](std::string_view t) -> std::optional<nanoseconds> {
                  if (t == "0") return nanoseconds(0);
                  const auto d = parse_duration(t);
                  return d && (d->count() == 0 || *d >= 20us) ? d : std::nullopt;
                });
  from_variable("URGE_PREEMPT", preempt_allowed, o.preempt, parse_preempt);
  from_variable("URGE_MODEL", model_allowed, o.model, parse_model);
  from_variable("URGE_STACK", stack_allowed, o.stack_size, [](std::string_view t) -> std::optional<std::uint64_t> {
    const auto n = parse_bytes(t);
    return n && *n >= 16 * 1024 && *n <= 1024 * 1024 * 1024 ? n : std::nullopt;
  });
  from_variable("URGE_SIGNAL", signal_allowed, o.signal, [](std::string_view t) {
    auto s = parse_signal(t);
    return s && signal_is_allowed(*s) ? s : std::nullopt;
  });
  return o;
}

bool signal_is_allowed(int s) {
  return s == SIGURG || s == SIGUSR1 || s == SIGUSR2 || (s >= SIGRTMIN && s <= SIGRTMAX);
}

void detail::validate(const options& o) {
  range("options.procs", o.procs, 0, 1024, procs_allowed);
  if (o.quantum < 20us || o.quantum > 10s)
    refuse("options.quantum", std::to_string(o.quantum.count()) + "ns", quantum_allowed);
  if (o.min_quantum.count() != 0 && (o.min_quantum < 20us || o.min_quantum > o.quantum))
    refuse("options.min_quantum", std::to_string(o.min_quantum.count()) + "ns", min_quantum_allowed);
  if (o.preempt > preempt_mode::kernel_thread)
    refuse("options.preempt", std::to_string(static_cast<int>(o.preempt)), preempt_allowed);
  if (o.slice_end > slice_source::timer)
    refuse("options.slice_end", std::to_string(static_cast<int>(o.slice_end)), slice_end_allowed);
  if (o.model > sched_model::gm) refuse("options.model", std::to_string(static_cast<int>(o.model)), model_allowed);
  range("options.stack_size", o.stack_size, 16 * 1024, 1024 * 1024 * 1024, stack_allowed);
  range("options.wakeup_share", o.wakeup_share, 0, 100, "from 0 to 100");
  range("options.max_threads", o.max_threads, 2, 100'000, "from 2 to 100000");
  range("options.max_identities", o.max_identities, 0, 1'000'000, "from 0 to 1000000");
  if (!signal_is_allowed(o.signal)) refuse("options.signal", std::to_string(o.signal), signal_allowed);
}

void validate(const go_options& o) {
  if (o.stack_size != 0) range("go_options.stack_size", o.stack_size, 16 * 1024, 1024 * 1024 * 1024, stack_allowed);
  range("go_options.weight", o.weight, 1, 1000, "from 1 to 1000");
  if (o.cpu_limit.count() < 0) refuse("go_options.cpu_limit", std::to_string(o.cpu_limit.count()) + "ns", "0 or more");
}

unsigned usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  unsigned n = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = static_cast<unsigned>(CPU_COUNT(&set));
  // cgroup v2: "max 100000" or "150000 100000", in microseconds of CPU time per microseconds of wall time.
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (file >> quota >> period && quota != "max" && period > 0) {
    const double cpus = std::strtod(quota.c_str(), nullptr) / period;
    if (cpus > 0 && cpus < n) n = std::max(1u, static_cast<unsigned>(cpus + 0.999));
  }
  return std::min(n, 1024u);
}

}  // namespace urge
