// SPDX-License-Identifier: MIT
// What the storms share: the list of jobs, their texts, what they demand of the counters.
#include "stress/storm.hpp"

#include <algorithm>

#include "stress/jobs/jobs.hpp"

namespace urge::stress {

std::span<const job> jobs() {
  static constexpr job list[] = {
      {"lua", lua_job},       {"pcre2", pcre2_job},         {"pcre2_jit", pcre2_jit_job},
      {"zlib", zlib_job},     {"zstd", zstd_job},           {"sqlite", sqlite_job},
      {"regex", regex_job},   {"iostreams", iostreams_job}, {"exceptions", exceptions_job},
      {"malloc", malloc_job}, {"libc", libc_job},
  };
  return list;
}

std::string text_of(std::uint64_t seed, std::size_t n) {
  static constexpr std::string_view words[] = {"lorem", "ipsum", "dolor", "sit",  "amet",  "consectetur",
                                               "Anet",  "ELIT",  "sed",   "noon", "level", "abba"};
  std::string text;
  while (text.size() < n) {
    const std::uint64_t r = next_random(seed);
    text += words[r % std::size(words)];
    if (r / 16 % 4 == 0) text += ' ' + std::to_string(r / 64 % 5000);
    text += r / 4096 % 9 == 0 ? '\n' : ' ';
  }
  text.resize(n);
  return text;
}

std::vector<check> stop_checks(const parameters& p, const stats& s, demand what) {
  // Each second: some hundredths of what was counted on two CPUs that others used too; nobody is stopped by chance.
  const double seconds = std::chrono::duration<double>(p.time).count();
  std::vector<check> checks;
  const auto want = [&](const char* name, std::uint64_t value, double each_second) {
    checks.push_back({name, static_cast<double>(value), std::max(1.0, each_second * seconds)});
  };
  const auto at = [&](stop_place place) { return s.stops_by_place[static_cast<std::size_t>(place)]; };
  want("preemptions", s.preempts_by_signal(), 20);
  want("under_lock", s.stops_under_lock, 0.5);
  // A G that keeps its thread goes on where it was stopped, and nowhere else.
  if (p.how.preempt == preempt_mode::kernel_thread)
    checks.push_back({"resumed_elsewhere", static_cast<double>(s.resumed_elsewhere), 0, false});
  else if (p.how.procs > 1)
    want("resumed_elsewhere", s.resumed_elsewhere, 0.5);
  if (what == demand::under_locks) return checks;
  want("in_malloc", at(stop_place::malloc), 0.5);
  want("in_libc", at(stop_place::libc), 0.5);
  want("in_libstdcxx", at(stop_place::libstdcxx), 0.5);
  want("in_unwinder", at(stop_place::unwinder), 0.5);
  return checks;
}

void wait_out(const parameters& p, demand what) {
  const auto from = std::chrono::steady_clock::now();
  for (;;) {
    std::this_thread::sleep_for(std::min(p.time, std::chrono::milliseconds(50)));
    const auto lasted = std::chrono::steady_clock::now() - from;
    if (lasted >= 10 * p.time) return;
    if (lasted < p.time) continue;
    const auto checks = stop_checks(p, snapshot(), what);
    if (std::all_of(checks.begin(), checks.end(), [](const check& c) { return c.pass(); })) return;
  }
}

}  // namespace urge::stress
