// SPDX-License-Identifier: MIT
// spawn_chain: each link starts the next and ends. The new G goes to `runnext` and inherits the slice, so it is always
// first in line: unless a chain of inheritances ends with the slice, nobody else of that P ever runs (golang/go#52934).
#include <urge/go.hpp>

#include "stress/scenario.hpp"

namespace urge::stress {

namespace {
struct chain {
  std::atomic<bool>& stop;
  std::atomic<std::uint64_t>& links;
  std::atomic<unsigned>& alive;
};
void link(chain c) {
  c.links.fetch_add(1, std::memory_order_relaxed);
  if (c.stop.load(std::memory_order_relaxed))
    c.alive.fetch_sub(1);
  else
    go(link, c);
}
}  // namespace

std::vector<check> spawn_chain(const parameters& p) {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> links{0};
  counter turns;
  const unsigned procs = p.how.procs ? p.how.procs : std::max(1u, std::thread::hardware_concurrency());
  std::atomic<unsigned> alive{procs};
  run(
      [&] {
        auto victim = spawn({.name = "victim"}, [&] {
          while (!stop.load(std::memory_order_relaxed)) {
            turns.up();
            this_g::yield();
          }
        });
        for (unsigned i = 0; i < procs; ++i) go({.name = "link"}, link, chain{stop, links, alive});
        const alarm at_end(p.time, stop);
        victim.join();
        while (alive.load() != 0) this_g::yield();
      },
      p.how);
  return {{"turns_of_the_victim", static_cast<double>(turns.n.load()), static_cast<double>(p.time / p.how.quantum) / 8},
          {"links", static_cast<double>(links.load()), 1000}};
}

}  // namespace urge::stress
