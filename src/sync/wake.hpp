// SPDX-License-Identifier: MIT
// What the primitives do after they have given something up: wake those it went to, and give way if the slice is over.
// Context: wherever the primitives' functions run; none of it under a lock.
#pragma once
#include <urge/detail/gate.hpp>

#include "sched/waitq.hpp"

namespace urge {

// Makes several Gs runnable in the order of the queue. `ready` puts a G in front (runnext) and moves the one before it
// to the queue's end, so the first comes last. `self`: the calling G, null on a thread that is none: there `ready`
// appends to the global queue. Context: preemption held off.
inline void ready_all(const G* self, gqueue& woken) noexcept {
  G* first = self ? woken.pop_front() : nullptr;
  while (G* g = woken.pop_front()) ready(g);
  if (first) ready(first);
}

// Takes all waiters off the list, whose lock is held.
inline void pop_all(wait_list& l, gqueue& woken) noexcept {
  while (waiter* w = pop(l)) woken.push_back(w->record->g);
}

// For paths that do not enter the runtime: without it a G that never waits would run on for ever in cooperative mode.
// Context: a G, outside enter/leave.
inline void yield_if_wanted() {
  if (detail::yield_wanted()) [[unlikely]]
    detail::yield_point();
}

}  // namespace urge
