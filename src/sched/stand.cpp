// SPDX-License-Identifier: MIT
// An M whose G stays on it (it is locked to the thread; in kernel_thread mode: it was stopped by signal, or holds a
// lock of pthread) stands still with it. Whoever picks that G passes its own P on to that M, and is idle.
#include "sched/m_supply.hpp"

#include <utility>

namespace urge {

namespace {
// Whoever gets the P shall pick it.
void put_back(P* p, const picked& next) noexcept {
  if (!next.woken) return put_local(p, next.g, true);
  std::lock_guard hold(sched.lock);
  sched.woken.push_back(next.g);
  count_queue_locked();
}
// The G goes on on the M where it stands, as it was picked.
void wake_home(M* m, const picked& next) noexcept {
  next.g->home->to_pass = next;
  wake_with(next.g->home, release_p(m));
}

// Passes the P of an M that will stand on: to the M of the next G, or to the successor that was reserved when its own
// was stopped. True: its own G is the next.
bool pass_on(M* m) noexcept {
  const picked next = pick_next(m);
  if (next.g == m->tenant || (next.g && next.g->home)) {
    unreserve_next_m(*m);
    if (next.g == m->tenant) return m->to_pass = next, true;
    wake_home(m, next);
  } else if (M* const successor = std::exchange(m->successor, nullptr)) {
    successor->to_pass = next;
    wake_with(successor, release_p(m));
  } else {
    if (next.g) put_back(m->p, next);
    hand_off(release_p(m), std::exchange(m->promised, false) ? at_limit::promised : at_limit::fail);
    if (sched.n_idle_m.load(relaxed) * 2 < sched.spare_ms.load(relaxed)) call_maker();
  }
  return false;
}
}  // namespace

// Source: Go's stoplockedm.
picked stand(M* m) noexcept {
  const auto over = [] { return sched.stopping.load(acquire); };  // [stopping] acquire
  std::atomic_thread_fence(seq_cst);  // we: note cleared; fence; look at stopping / the end of the run: stopping; wake
  if (over() || !m->p) {
    unreserve_next_m(*m);
    if (over()) return {};
  }
  if (!m->p || !pass_on(m)) {
    m->park.sleep();
    if (over()) return {};
    acquire_p(m, std::exchange(m->next_p, nullptr));
  }
  G* g = std::exchange(m->tenant, nullptr);
  g->home = nullptr;
  g->keeps_m = g->thread_locks != 0;
  picked as = std::exchange(m->to_pass, {});
  as.g = g;
  return as;
}

// Source: Go's startlockedm.
void pass_p(M* m, const picked& next) noexcept {
  {
    std::lock_guard hold(sched.lock);
    count_as_spare_locked(m);
  }
  wake_home(m, next);
}

}  // namespace urge
