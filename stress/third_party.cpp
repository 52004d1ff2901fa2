// SPDX-License-Identifier: MIT
// Claim: libraries that know nothing of urge give on Gs that are stopped everywhere the answers that they give alone.
// Two Gs for each job, so that one of a library is stopped while another is in the same code, and for 16 seeds each.
// What a job gives alone is found out before the run, on the thread that calls it: no G, no signal.
#include <urge/go.hpp>

#include "stress/storm.hpp"

namespace urge::stress {

std::vector<check> third_party(const parameters& p) {
  constexpr std::size_t seeds = 16, gs_each = 2;
  const std::span<const job> all = jobs();
  std::vector<std::vector<std::uint64_t>> alone(all.size());
  std::uint64_t failed_alone = 0;
  for (std::size_t k = 0; k < all.size(); ++k)
    for (std::size_t i = 0; i < seeds; ++i) {
      alone[k].push_back(all[k].run(p.seed + i));
      failed_alone += alone[k].back() == failed;
    }

  std::vector<counter> rounds(all.size() * gs_each), wrong(all.size() * gs_each);
  run(
      [&] {
        std::atomic<bool> stop{false};
        std::vector<join_handle<void>> gs;
        for (std::size_t g = 0; g < rounds.size(); ++g)
          gs.push_back(spawn({.name = all[g % all.size()].family}, [&, g] {
            const std::size_t k = g % all.size();
            for (std::uint64_t n = g; !stop.load(std::memory_order_relaxed); ++n) {
              if (all[k].run(p.seed + n % seeds) != alone[k][n % seeds]) wrong[g].up();
              rounds[g].up();
            }
          }));
        std::jthread keeper([&] {
          wait_out(p, demand::everywhere);
          stop = true;
        });
        for (auto& g : gs) g.join();
      },
      p.how);

  std::vector<check> checks;
  double wrong_in_all = 0;
  for (std::size_t k = 0; k < all.size(); ++k) {
    double done = 0;
    for (std::size_t g = k; g < rounds.size(); g += all.size()) {
      done += static_cast<double>(rounds[g].n.load());
      wrong_in_all += static_cast<double>(wrong[g].n.load());
    }
    checks.push_back({std::string("rounds_") + all[k].family, done, 2});
  }
  checks.push_back({"failed_alone", static_cast<double>(failed_alone), 0, false});
  checks.push_back({"wrong", wrong_in_all, 0, false});
  for (check& c : stop_checks(p, snapshot(), demand::everywhere)) checks.push_back(std::move(c));
  return checks;
}

}  // namespace urge::stress
