// SPDX-License-Identifier: MIT
// hogs: eight Gs that never yield. Without preemption as many run as there are Ps, to the end, and the others not at
// all.
#include <urge/go.hpp>

#include <algorithm>

#include "stress/scenario.hpp"

namespace urge::stress {

std::vector<check> hogs(const parameters& p) {
  constexpr std::size_t n = 8;
  std::atomic<bool> stop{false};
  counter done[n];
  std::vector<double> cpu(n), preempts(n);
  run(
      [&] {
        std::vector<join_handle<std::uint64_t>> gs;
        for (std::size_t i = 0; i < n; ++i)
          gs.push_back(spawn({.name = "hog"}, [&, i] {
            std::uint64_t x = p.seed + i;
            while (!stop.load(std::memory_order_relaxed)) x = work(x), done[i].up();
            return x;
          }));
        const alarm at_end(p.time, stop);
        for (std::size_t i = 0; i < n; ++i) {
          gs[i].join();
        }
      },
      p.how);
  std::vector<double> shares;
  double least = 1e300;
  for (const counter& c : done) {
    shares.push_back(static_cast<double>(c.n.load()));
    least = std::min(least, shares.back());
  }
  const stats s = snapshot();
  // Each hog should be stopped once a round of n/procs slices; a quarter of that is a failure, not noise.
  const double procs = p.how.procs ? p.how.procs : 1;
  const double rounds = static_cast<double>(p.time / p.how.quantum) * procs / n;
  return {{"jain_of_work", jain(shares), 0.95},
          {"least_work", least, 1},
          {"preemptions", static_cast<double>(s.preempts_async + s.preempts_kernel_thread + s.preempts_cooperative),
           rounds * n / 4}};
}

}  // namespace urge::stress
