// SPDX-License-Identifier: MIT
// The end of a run, step 3: Gs that a signal has stopped inside libc run on until they are out, for they may hold locks
// that the process needs (docs/protocols/run.md).
#pragma once
#include "sched/sched.hpp"

namespace urge {

// May the G, which stands still, be ended for good where it is? Not inside libc, nor with a lock of pthread.
bool may_end(const G&) noexcept;
bool stuck_inside(const G&) noexcept;
// At the end of all: libc may refer to what it has.
inline bool left_inside(const G& g) noexcept { return stuck_inside(g) || g.fault_inside; }

// Sees that the caller of `run` has what it takes. False: no memory. Context: before the first M.
bool ready_to_let_out() noexcept;
// Lets them all out, one after the other, 1 s in all. Context: the caller of `run`, with no M at work.
void let_out() noexcept;
// In kernel_thread mode each of them can only run on its own thread, which waits here for its turns. Context: an M at
// its end, on g0.
void stand_by(M&) noexcept;

}  // namespace urge
