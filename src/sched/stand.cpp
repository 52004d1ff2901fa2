// SPDX-License-Identifier: MIT
// An M whose G stays on it (it is locked to the thread; in kernel_thread mode: it was stopped by signal, or holds a
// lock of pthread) stands still with it. Whoever picks that G passes its own P on to that M, and is idle.
#include "sched/m_supply.hpp"

#include <utility>

namespace urge {

namespace {
// Passes the P of an M that will stand on: to the M of the next G, or to the successor that was reserved when its own
// was stopped. True: its own G is the next.
bool pass_on(M* m) noexcept {
  const picked next = pick_next(m);
  if (next.g == m->tenant || (next.g && next.g->home)) {
    unreserve_next_m(*m);
    if (next.g == m->tenant) return true;
    wake_with(next.g->home, release_p(m));
  } else if (M* const successor = std::exchange(m->successor, nullptr)) {
    successor->to_pass = next.g;
    wake_with(successor, release_p(m));
  } else {
    if (next.g) put_local(m->p, next.g, true);
    hand_off(release_p(m), std::exchange(m->promised, false) ? at_limit::promised : at_limit::fail);
    if (sched.n_idle_m.load(relaxed) * 2 < sched.spare_ms.load(relaxed)) call_maker();
  }
  return false;
}
}  // namespace

// Source: Go's stoplockedm.
G* stand(M* m) noexcept {
  const auto over = [] { return sched.stopping.load(acquire); };  // [stopping] acquire
  std::atomic_thread_fence(seq_cst);  // we: note cleared; fence; look at stopping / the end of the run: stopping; wake
  if (over() || !m->p) {
    unreserve_next_m(*m);
    if (over()) return nullptr;
  }
  if (!m->p || !pass_on(m)) {
    m->park.sleep();
    if (over()) return nullptr;
    acquire_p(m, std::exchange(m->next_p, nullptr));
  }
  G* g = std::exchange(m->tenant, nullptr);
  g->home = nullptr;
  g->keeps_m = g->thread_locks != 0;
  return g;
}

// Source: Go's startlockedm.
void pass_p(M* m, const G* g) noexcept {
  {
    std::lock_guard hold(sched.lock);
    count_as_spare_locked(m);
  }
  wake_with(g->home, release_p(m));
}

}  // namespace urge
