// SPDX-License-Identifier: MIT
// A count that Gs wait for to be zero: what a latch and a wait group have in common.
// It is lowered without the lock as long as something is left; the step to 0 is made under the list's lock, and those
// who wait look at it under that lock: so a G that is let go may destroy it, for the one that let it go has left.
#pragma once
#include <urge/detail/sync_counting.hpp>

#include "sched/waitq.hpp"

namespace urge {

// Takes n off; at 0 all waiters go on. False: less than n was left, nothing has changed. n >= 0. Context: any thread,
// outside the runtime.
bool lower(detail::countdown&, std::ptrdiff_t n) noexcept;
// Waits until it is 0. Throws std::logic_error outside a G.
void wait_for_zero(detail::countdown&, wait_reason, const char* who);

}  // namespace urge
