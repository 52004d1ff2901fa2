// SPDX-License-Identifier: MIT
// What a simulated run has come to: a table for people, a JSON object for programs.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim.hpp"

namespace urge::sim {

namespace {

std::string time_text(std::int64_t ns) {
  const double x = static_cast<double>(ns);
  if (ns < 1'000) return fmt::format("{} ns", ns);
  const auto [value, unit] = ns < 999'500       ? std::pair{x / 1e3, "us"}
                             : ns < 999'500'000 ? std::pair{x / 1e6, "ms"}
                                                : std::pair{x / 1e9, "s"};
  return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, unit);
}
std::string percent(double x) { return fmt::format("{:.1f}%", 100 * x); }
double ratio(double a, double b) { return b == 0 ? 0 : a / b; }

double shared(std::uint64_t of, std::uint64_t among) {
  return ratio(static_cast<double>(of), static_cast<double>(among));
}
double efficiency(const run& r) { return r.speed_up / r.how.ps; }
double of_ideal(const run& r) { return ratio(static_cast<double>(r.got.ideal), static_cast<double>(r.got.time)); }
// Share of the Ps' time.
double lock_wait(const run& r) {
  return ratio(static_cast<double>(r.got.lock_waited), static_cast<double>(r.got.time) * r.how.ps);
}

}  // namespace

std::string table(const std::vector<run>& runs) {
  std::vector<std::vector<std::string>> rows = {{"Ps", "time", "speed-up", "per P", "of ideal", "steals", "Gs each",
                                                 "searches", "in vain", "looks", "last P's 1st G", "wait p50", "p99",
                                                 "max", "spinning", "asleep", "for lock", "Jain"}};
  for (const run& r : runs) {
    const result& g = r.got;
    rows.push_back({fmt::format("{}", r.how.ps), time_text(g.time), fmt::format("{:.1f}", r.speed_up),
                    percent(efficiency(r)), percent(of_ideal(r)), fmt::format("{}", g.steals),
                    fmt::format("{:.1f}", shared(g.stolen, g.steals)), fmt::format("{}", g.searches),
                    fmt::format("{}", g.empty_searches), fmt::format("{:.0f}", shared(g.looks, g.searches)),
                    g.ps_without_g ? fmt::format("{} had none", g.ps_without_g) : time_text(g.last_first_g),
                    time_text(g.wait.p50), time_text(g.wait.p99), time_text(g.wait.max), percent(g.spinning),
                    percent(g.asleep), percent(lock_wait(r)), fmt::format("{:.3f}", g.jain)});
  }
  std::vector<std::size_t> widths(rows[0].size());
  for (const auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string text = fmt::format("{}, {}, {} Gs\n", name_of(runs.front().how.what), name_of(runs.front().how.model),
                                 runs.front().how.gs);
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) text += fmt::format("{}{:>{}}", c == 0 ? "" : "  ", row[c], widths[c]);
    text += '\n';
  }
  return text;
}

std::string json_text(const std::vector<run>& runs) {
  nlohmann::json all = nlohmann::json::array();
  for (const run& r : runs) {
    const result& g = r.got;
    const costs& ns = r.how.ns;
    all.push_back({{"workload", name_of(r.how.what)},
                   {"model", name_of(r.how.model)},
                   {"ps", r.how.ps},
                   {"gs", r.how.gs},
                   {"seed", r.how.seed},
                   {"work_ns", r.how.work},
                   {"load", r.how.load},
                   {"quantum_ns", r.how.quantum},
                   {"costs_ns",
                    {{"switch", ns.switch_to},
                     {"spawn", ns.spawn},
                     {"look", ns.look},
                     {"line", ns.line},
                     {"lock", ns.lock},
                     {"clock", ns.clock},
                     {"wake_call", ns.wake_call},
                     {"wake_up", ns.wake_up}}},
                   {"time_ns", g.time},
                   {"ideal_ns", g.ideal},
                   {"ran", g.ran},
                   {"speed_up", r.speed_up},
                   {"efficiency", efficiency(r)},
                   {"of_ideal", of_ideal(r)},
                   {"gs_per_us", ratio(1e3 * static_cast<double>(g.ran), static_cast<double>(g.time))},
                   {"steals", g.steals},
                   {"stolen", g.stolen},
                   {"global_gets", g.global_gets},
                   {"searches", g.searches},
                   {"empty_searches", g.empty_searches},
                   {"rounds", g.rounds},
                   {"looks", g.looks},
                   {"wakes", g.wakes},
                   {"lock_passes", g.lock_passes},
                   {"lock_waited_ns", g.lock_waited},
                   {"lines_moved", g.lines_moved},
                   {"last_first_g_ns", g.last_first_g},
                   {"ps_without_g", g.ps_without_g},
                   {"wait_ns", {{"p50", g.wait.p50}, {"p99", g.wait.p99}, {"max", g.wait.max}}},
                   {"spinning", g.spinning},
                   {"asleep", g.asleep},
                   {"jain", g.jain}});
  }
  return nlohmann::json{{"program", "sim"}, {"runs", all}}.dump(2) + '\n';
}

}  // namespace urge::sim
