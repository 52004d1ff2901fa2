// SPDX-License-Identifier: MIT
// The simulation of more Ps than there are CPUs: what is asked of it, and what it says. One simulated run is one call
// of `simulate`, which uses the scheduler's global state: one at a time, outside a run of the runtime. Everything is a
// function of the setup: no clock of the machine is looked at.
#pragma once
#include <urge/runtime.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace urge::sim {

// ns. Where they come from: docs/benchmarks.md.
struct costs {
  std::int64_t switch_to = 25;     // from a G to the next
  std::int64_t spawn = 60;         // of a G, without what its lines and locks cost
  std::int64_t look = 10;          // at a victim, likewise
  std::int64_t line = 60;          // a cache line comes from another CPU, or is taken away from those that have read it
  std::int64_t lock = 40;          // sched.lock is held, but for the lines moved under it
  std::int64_t clock = 20;         // a look at the clock
  std::int64_t wake_call = 1'000;  // for who wakes a thread
  std::int64_t wake_up = 5'000;    // from there until that thread runs
};

// spread: one G starts `gs` others. tree: `gs` leaves below nodes with ten children each. churn: `gs` times a G becomes
// runnable at some P, so often that `load` percent of the Ps' time are used.
enum class workload { spread, tree, churn };
std::string_view name_of(workload) noexcept;
std::string_view name_of(sched_model) noexcept;

// A mistake to be made, so that it can be seen that it is found: one G is put on no queue, or on one once more.
enum class mistake { none, lost, twice };

struct setup {
  workload what = workload::spread;
  sched_model model = sched_model::gmp;
  unsigned ps = 8;  // 1 to 1024
  std::uint64_t gs = 1'000'000;
  std::uint64_t seed = 1;
  std::int64_t work = 1'000;  // ns of CPU time of each G; the mean of exponentially distributed ones for churn
  unsigned load = 80;         // percent
  std::int64_t quantum = 10'000'000;
  mistake plant = mistake::none;
  costs ns;
};

struct quantiles {
  std::int64_t p50 = 0, p99 = 0, max = 0;
};

// All times are simulated ns.
struct result {
  std::int64_t time = 0;   // until the last G has ended
  std::int64_t ideal = 0;  // no run can be shorter: what one P needs shared evenly, what cannot be shared, the arrivals
  std::uint64_t ran = 0;   // Gs, each once
  std::uint64_t steals = 0, stolen = 0, global_gets = 0;
  std::uint64_t searches = 0, empty_searches = 0;  // calls of steal_work as the runtime makes them, of four rounds each
  std::uint64_t rounds = 0, looks = 0;             // over all Ps; at one of them
  std::uint64_t wakes = 0;
  std::uint64_t lock_passes = 0;
  std::int64_t lock_waited = 0;  // of all Ps together
  std::uint64_t lines_moved = 0;
  std::int64_t last_first_g = 0;    // when the last P had its first G
  unsigned ps_without_g = 0;        // that never had one
  quantiles wait;                   // of a G, from the moment that it is runnable until it first runs
  double spinning = 0, asleep = 0;  // share of the Ps' time
  double jain = 0;                  // of the Ps' time with Gs: 1 all the same, 1/n one has it all
};

// Throws std::runtime_error if not each G has run exactly once, or the real code has done what was not foreseen.
result simulate(const setup&);

struct run {
  setup how;
  result got;
  double speed_up = 0;  // against one P
};
std::string table(const std::vector<run>&);      // of one workload and model
std::string json_text(const std::vector<run>&);  // an object and a line feed

}  // namespace urge::sim
