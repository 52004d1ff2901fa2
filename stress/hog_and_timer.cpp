// SPDX-License-Identifier: MIT
// hog_and_timer: endless Gs on every P, and one that sleeps 1 ms at a time. sysmon must fire the timer, for no P comes
// to the scheduler by itself, and the sleeper must get its turn.
#include <urge/go.hpp>

#include "stress/scenario.hpp"

namespace urge::stress {

std::vector<check> hog_and_timer(const parameters& p) {
  std::atomic<bool> stop{false};
  counter wakes;
  const unsigned procs = p.how.procs ? p.how.procs : std::max(1u, std::thread::hardware_concurrency());
  const unsigned n = 2 * procs;
  std::vector<counter> done(n);
  run(
      [&] {
        std::vector<join_handle<std::uint64_t>> gs;
        for (unsigned i = 0; i < n; ++i)
          gs.push_back(spawn({.name = "hog"}, [&, i] {
            std::uint64_t x = p.seed + i;
            while (!stop.load(std::memory_order_relaxed)) x = work(x), done[i].up();
            return x;
          }));
        auto sleeper = spawn({.name = "sleeper"}, [&] {
          while (!stop.load(std::memory_order_relaxed)) {
            this_g::sleep_for(std::chrono::milliseconds(1));
            wakes.up();
          }
        });
        const alarm at_end(p.time, stop);
        for (auto& g : gs) g.join();
        sleeper.join();
      },
      p.how);
  // At worst a wake waits behind the hogs of one P; four times that is allowed.
  const auto round = std::chrono::milliseconds(1) + 3 * p.how.quantum;
  double least = 1e300;
  for (const counter& c : done) least = std::min(least, static_cast<double>(c.n.load()));
  return {{"wakes", static_cast<double>(wakes.n.load()), static_cast<double>(p.time / round) / 4},
          {"timers_fired", static_cast<double>(snapshot().timers_fired), static_cast<double>(p.time / round) / 4},
          {"least_work_of_a_hog", least, 1}};
}

}  // namespace urge::stress
