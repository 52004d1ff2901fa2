// SPDX-License-Identifier: MIT
// Work for an M whose P has none: from the other Ps. Source: Go's stealWork, runqsteal (proc.go).
#include <x86intrin.h>

#include <numeric>

#include "sched/sched.hpp"

namespace urge {

namespace {

constexpr unsigned timers_at_once = 16;  // of another P, for its own may stand ready to run them

// Takes half of another P's queue into ours; returns one of them. On the last round also its runnext.
G* steal_from(P* p, P* victim, bool runnext_too) noexcept {
  G* batch[runq::capacity / 2];
  std::uint32_t n = victim->queue.grab(batch, runq::capacity / 2);
  if (n == 0) n = victim->spawned.grab(batch, runq::capacity / 2);
  if (n == 0) {
    if (!runnext_too) return nullptr;
    G* g = victim->runnext.load(relaxed);
    if (!g) return nullptr;
    if (victim->status.load(relaxed) == p_status::running) {
      // Its owner is likely to run it at once: a hand-over by channel takes some 50 ns. Leave it that chance.
      const std::uint64_t until = ticks() + ns_to_ticks(3000);
      while (ticks() < until) _mm_pause();
    }
    if (!victim->runnext.compare_exchange_strong(g, nullptr, acq_rel, relaxed))
      return nullptr;  // [runnext] acquire: the G
    batch[0] = g, n = 1;
  }
  // Ours is empty and only its owner puts, so there is room for all.
  for (std::uint32_t i = 0; i + 1 < n; ++i) p->queue.put(batch[i]);
  add_own(p->count.steals, std::uint64_t{1});
  add_own(p->count.stolen, std::uint64_t{n});
  return batch[n - 1];
}

}  // namespace

// Four rounds over all Ps in a random order that visits each once: start + k * step with step coprime to their number.
// Source: Go's randomOrder. `timers_ran`: timers of others were due, so there may be work in our own queue now.
G* steal_work(M* m, bool& timers_ran) noexcept {
  P* p = m->p;
  const unsigned n = sched.procs.load(relaxed);
  for (int round = 0; round < 4; ++round) {
    const bool last = round == 3;
    unsigned step = 1 + p->random.below(n);
    while (std::gcd(step, n) != 1) step = step % n + 1;
    unsigned at = p->random.below(n);
    for (unsigned k = 0; k < n; ++k, at = (at + step) % n) {
      P* victim = &all_ps[at];
      if (all_shall_stop()) return nullptr;
      if (victim == p) continue;
      if (last) {
        const std::int64_t now = monotonic_ns();
        if (victim->clock.next_when.load(relaxed) <= now && victim->clock.run(now, timers_at_once) != 0) {
          timers_ran = true;
          if (G* g = p->swap_runnext(nullptr, sched.procs.load(relaxed) == 1)) return g;
        }
      }
      if (victim->status.load(relaxed) == p_status::idle) continue;
      if (G* g = steal_from(p, victim, last)) return g;
    }
  }
  return nullptr;
}

}  // namespace urge
