// SPDX-License-Identifier: MIT
// this_g::lock_os_thread (docs/protocols/locked_thread.md). A locked G stops as those of kernel_thread mode do: its M
// stands still with it, and passes its P on. It runs under what its M lends its Gs, unless it has an identity of its
// own: no other G runs there, so that is its own for as long, and costs none of max_identities.
// Context: a G.
#include <urge/go.hpp>

#include <algorithm>
#include <stdexcept>

#include "sched/waitq.hpp"

namespace urge::this_g {

namespace {

constexpr std::int64_t between_looks = 50'000;  // ns

// The P of an M that stands still needs another M at once. The maker can only make one when nobody who was stopped
// holds a lock of malloc: so it is there before the first G is locked, and one is kept ahead from then on.
void have_spares(G* g) {
  std::uint32_t refused;
  {
    std::lock_guard hold(sched.lock);
    sched.spare_ms.store(std::min(sched.procs.load(relaxed) + 2, sched.how.max_threads - 1), relaxed);
    refused = sched.n_refused;
  }
  for (;;) {
    if (sched.n_idle_m.load(relaxed) * 2 < sched.spare_ms.load(relaxed)) call_maker();
    {
      std::lock_guard hold(sched.lock);
      if (sched.n_idle_m.load(relaxed) != 0 || sched.n_ms >= sched.how.max_threads || sched.n_refused != refused)
        return;
    }
    waiter w;
    wait_any(
        g, &w, 1, wait_reason::sleep, [](void*) noexcept {}, nullptr, monotonic_ns() + between_looks);
  }
}

}  // namespace

void lock_os_thread() {
  G* g = enter("urge::this_g::lock_os_thread");
  if (g->thread_locks == UINT32_MAX) {
    leave(g);
    throw std::logic_error("urge::this_g::lock_os_thread: nested too deeply");
  }
  if (g->thread_locks == 0) have_spares(g);
  ++g->thread_locks;
  g->keeps_m = true;
  leave(g);
}

void unlock_os_thread() {
  G* g = enter("urge::this_g::unlock_os_thread");
  if (g->thread_locks != 0 && --g->thread_locks == 0) g->keeps_m = false;
  leave(g);
}

}  // namespace urge::this_g
