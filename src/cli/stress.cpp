// SPDX-License-Identifier: MIT
// `urge stress`: runs scenarios one after the other and says which held, with their figures. Context: the main thread,
// outside the runtime; each scenario is a run of its own.
#include "stress.hpp"

#include <fmt/core.h>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <random>

#include "json.hpp"
#include "stress/scenario.hpp"
#include "usage.hpp"

namespace urge::cli {

namespace {

const stress::scenario* find(const std::string& name) {
  for (const auto& s : stress::all())
    if (name == s.name) return &s;
  return nullptr;
}

nlohmann::json to_json(const stress::scenario& s, const std::vector<stress::check>& checks, bool pass) {
  nlohmann::json j{
      {"name", s.name}, {"pass", pass}, {"checks", nlohmann::json::array()}, {"stats", stats_json(snapshot())}};
  for (const auto& c : checks)
    j["checks"].push_back(
        {{"name", c.name}, {"value", c.value}, {"bound", c.bound}, {"at_least", c.at_least}, {"pass", c.pass()}});
  return j;
}

// Who waits for a scenario that hangs sends SIGQUIT, and is told what each G is about.
void dump_and_end(int) {
  dump(STDERR_FILENO);
  _exit(exit_failed);
}

}  // namespace

int stress_command(const stress_arguments& arguments) {
  if (arguments.list) {
    for (const auto& s : stress::all()) fmt::print("{:16} {}\n", s.name, s.claim);
    return 0;
  }
  std::vector<const stress::scenario*> chosen;
  for (const std::string& name : arguments.scenarios) {
    const stress::scenario* s = find(name);
    if (!s) {
      fmt::print(stderr, "urge stress: SCENARIO {}: there is none of that name; `urge stress --list` names them\n",
                 name);
      return 2;
    }
    chosen.push_back(s);
  }
  if (arguments.all)
    for (const auto& s : stress::all()) chosen.push_back(&s);
  if (chosen.empty()) {
    fmt::print(stderr, "urge stress: SCENARIO: none given; name some, or say --all\n");
    return 2;
  }
  json_output json(arguments.json);
  stress::parameters p;
  p.how = arguments.how;
  if (p.how.procs == 0) p.how.procs = std::max(1u, std::thread::hardware_concurrency());
  p.time = std::chrono::duration_cast<std::chrono::milliseconds>(arguments.time);
  p.seed = arguments.seed ? *arguments.seed : std::random_device{}();

  std::signal(SIGQUIT, dump_and_end);

  // With the JSON on stdout the lines for people go to stderr.
  std::FILE* people = arguments.json == "-" ? stderr : stdout;
  nlohmann::json report{{"seed", p.seed}, {"scenarios", nlohmann::json::array()}};
  bool all_pass = true;
  for (const stress::scenario* s : chosen) {
    fmt::print(people, "{}: {} (procs {}, {} ms, seed {})\n", s->name, s->claim, p.how.procs, p.time.count(), p.seed);
    std::fflush(people);
    const auto checks = s->run(p);
    const bool pass = std::all_of(checks.begin(), checks.end(), [](const auto& c) { return c.pass(); });
    for (const auto& c : checks)
      fmt::print(people, "  {:4} {:24} {:.6g} ({} {:.6g})\n", c.pass() ? "ok" : "FAIL", c.name, c.value,
                 c.at_least ? "at least" : "at most", c.bound);
    fmt::print(people, "{}: {}\n", s->name, pass ? "pass" : "FAIL");
    all_pass = all_pass && pass;
    report["scenarios"].push_back(to_json(*s, checks, pass));
  }
  return json.write(report) && all_pass ? 0 : 1;
}

}  // namespace urge::cli
