// SPDX-License-Identifier: MIT
// sim: the run queues and the stealing on more Ps than there are CPUs. The queues, pick_next, steal_work, wake_p and
// what puts Gs on queues are the runtime's own functions; Gs, threads and time are made up, with costs that are
// options. One thread does it all, in the order of simulated time (sim_state.hpp); the same seed gives the same
// figures. Exit status: 1 a check has failed (each G runs once), 2 usage.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <fmt/core.h>

#include <charconv>
#include <cstdio>
#include <map>
#include <stdexcept>

#include "sim.hpp"

namespace urge::sim {

namespace {

struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] void refuse(const std::string& option, const std::string& value, const std::string& allowed) {
  throw usage_error(option + (value.empty() ? " ''" : " " + value) + ": must be " + allowed);
}

std::uint64_t number(const std::string& option, const std::string& text, std::uint64_t low, std::uint64_t high) {
  std::uint64_t n = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, n);
  if (error != std::errc{} || stop != end || n < low || n > high)
    refuse(option, text, fmt::format("a number from {} to {}", low, high));
  return n;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t from = 0, comma; from <= text.size(); from = comma + 1) {
    comma = std::min(text.find(',', from), text.size());
    parts.push_back(text.substr(from, comma - from));
  }
  return parts;
}

template <class T>
std::vector<T> some_of(const std::string& option, const std::string& text, const std::map<std::string, T>& all) {
  std::vector<T> chosen;
  std::string names;
  for (const auto& [name, value] : all) names += (names.empty() ? "" : ", ") + name;
  for (const std::string& part : split(text)) {
    const auto found = all.find(part);
    if (found == all.end()) refuse(option, text, "some of " + names + ", with commas between");
    chosen.push_back(found->second);
  }
  return chosen;
}

constexpr std::int64_t longest = 1'000'000'000;  // ns, of a cost

// Options as typed.
struct arguments {
  std::string ps = "1,2,4,8,16,32,64,128,256", what = "spread,tree,churn", model = "gmp,gm", gs = "1000000", seed = "1",
              load = "80", quantum = "10000", work, plant = "none", json;
  std::map<std::string, std::string> costs;
};

struct cost_option {
  const char* name;
  std::int64_t costs::*to;
  const char* what;
};
constexpr cost_option cost_options[] = {
    {"--switch-ns", &costs::switch_to, "A switch from a G to the next"},
    {"--spawn-ns", &costs::spawn, "To start a G"},
    {"--look-ns", &costs::look, "A look at another P's queues"},
    {"--line-ns", &costs::line, "A cache line comes from another CPU"},
    {"--lock-ns", &costs::lock, "sched.lock is held"},
    {"--clock-ns", &costs::clock, "A look at the clock"},
    {"--wake-call-ns", &costs::wake_call, "To wake a thread"},
    {"--wake-up-ns", &costs::wake_up, "Until it runs"},
};

std::vector<run> understood(const arguments& a) {
  std::vector<unsigned> ps;
  for (const std::string& part : split(a.ps)) ps.push_back(static_cast<unsigned>(number("--ps", part, 1, 1024)));
  setup base;
  base.gs = number("--gs", a.gs, 1, 10'000'000);
  base.seed = number("--seed", a.seed, 0, UINT32_MAX);
  base.load = static_cast<unsigned>(number("--load", a.load, 1, 1000));
  base.quantum = static_cast<std::int64_t>(1000 * number("--quantum-us", a.quantum, 20, 10'000'000));
  for (const cost_option& c : cost_options)
    if (const std::string& text = a.costs.at(c.name); !text.empty())
      base.ns.*c.to = static_cast<std::int64_t>(number(c.name, text, 0, longest));
  base.plant = some_of<mistake>("--plant", a.plant,
                                {{"none", mistake::none}, {"lost", mistake::lost}, {"twice", mistake::twice}})[0];
  std::vector<run> all;
  for (const workload what : some_of<workload>(
           "--workload", a.what, {{"spread", workload::spread}, {"tree", workload::tree}, {"churn", workload::churn}}))
    for (const sched_model model :
         some_of<sched_model>("--model", a.model, {{"gmp", sched_model::gmp}, {"gm", sched_model::gm}}))
      for (const unsigned n : ps) {
        setup s = base;
        s.what = what, s.model = model, s.ps = n;
        s.work = what == workload::churn ? 20'000 : 1'000;
        if (!a.work.empty()) s.work = static_cast<std::int64_t>(number("--work-ns", a.work, 0, longest));
        all.push_back({s, {}, 0});
      }
  return all;
}

int simulate_all(const arguments& a) {
  std::vector<run> all = understood(a);
  std::FILE* const json = a.json.empty() ? nullptr : a.json == "-" ? stdout : std::fopen(a.json.c_str(), "w");
  if (!a.json.empty() && !json) refuse("--json", a.json, "a file that can be written, or - for stdout");
  std::vector<run> block;
  result one;
  for (std::size_t i = 0; i < all.size(); ++i) {
    run& r = all[i];
    if (block.empty()) {
      setup alone = r.how;
      alone.ps = 1;
      one = simulate(alone);
    }
    r.got = r.how.ps == 1 ? one : simulate(r.how);
    r.speed_up = static_cast<double>(one.time) / static_cast<double>(std::max<std::int64_t>(r.got.time, 1));
    block.push_back(r);
    const bool last = i + 1 == all.size() || all[i + 1].how.what != r.how.what || all[i + 1].how.model != r.how.model;
    if (!last) continue;
    if (json != stdout) fmt::print("{}\n", table(block));
    std::fflush(stdout);
    block.clear();
  }
  if (!json) return 0;
  const std::string text = json_text(all);
  const bool written = std::fwrite(text.data(), 1, text.size(), json) == text.size() && std::fflush(json) == 0;
  if (json != stdout) std::fclose(json);
  if (!written) throw std::runtime_error("--json " + a.json + ": could not be written");
  return 0;
}

int main_with(int argc, char** argv) {
  CLI::App app("The scheduler's queues and its stealing on as many Ps as you like, in simulated time", "sim");
  arguments a;
  app.add_option("--ps", a.ps, "Numbers of Ps, 1 to 1024, with commas between")->type_name("LIST");
  app.add_option("--workload", a.what, "Some of spread, tree, churn")->type_name("LIST");
  app.add_option("--model", a.model, "Some of gmp, gm")->type_name("LIST");
  app.add_option("--gs", a.gs, "Gs; of a tree its leaves; 1000000 if not given")->type_name("N");
  app.add_option("--seed", a.seed, "Seed of what is random")->type_name("N");
  app.add_option("--work-ns", a.work, "What a G computes; 1000 if not given, 20000 in the mean for churn")
      ->type_name("N");
  app.add_option("--load", a.load, "Of churn, percent of the Ps' time; 80 if not given")->type_name("N");
  app.add_option("--quantum-us", a.quantum, "Slice of a G; 10000 if not given")->type_name("N");
  app.add_option("--json", a.json, "Write a JSON object there; - is stdout")->type_name("FILE");
  app.add_option("--plant", a.plant)->group("");
  for (const cost_option& c : cost_options)
    app.add_option(c.name, a.costs[c.name], fmt::format("{}; {} if not given", c.what, costs{}.*c.to))
        ->type_name("N")
        ->group("Costs");
  try {
    app.parse(argc, argv);
    return simulate_all(a);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    fmt::print(stderr, "sim: {}\n", e.what());
  } catch (const usage_error& e) {
    fmt::print(stderr, "sim: {}\n", e.what());
  }
  return 2;
}

}  // namespace

}  // namespace urge::sim

int main(int argc, char** argv) {
  try {
    return urge::sim::main_with(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "sim: %s\n", e.what());
    return 1;
  }
}
