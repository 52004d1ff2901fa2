// SPDX-License-Identifier: MIT
// this_g::lock_os_thread (docs/protocols/locked_thread.md). A locked G stops as those of kernel_thread mode do: its M
// stands still with it, and passes its P on. It runs under what its M lends its Gs, unless it has an identity of its
// own: no other G runs there, so that is its own for as long, and costs none of max_identities.
// Context: a G.
#include <urge/go.hpp>

#include <stdexcept>

#include "sched/m_supply.hpp"

namespace urge::this_g {

void lock_os_thread() {
  G* g = enter("urge::this_g::lock_os_thread");
  if (g->thread_locks == UINT32_MAX) {
    leave(g);
    throw std::logic_error("urge::this_g::lock_os_thread: nested too deeply");
  }
  // The P of an M that stands still needs another M at once: it is there before the first G is locked.
  if (g->thread_locks == 0) wait_for_spare_m(g, sched.procs.load(relaxed) + 2);
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
