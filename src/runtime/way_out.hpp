// SPDX-License-Identifier: MIT
// A G that is to end, and that a signal has stopped inside libc, may hold a lock there that the process needs. To wait
// until a signal finds it outside is a lottery, which a G that lives in libc may lose for minutes. So the return
// address with which it comes out is exchanged: it stops there, as if a signal had stopped it behind that call. An
// exception finds no handler behind the exchanged address. The runtime's own takes the exchange back before it is
// thrown; where any other one ends in std::terminate, its G, which was to end, is left there (runtime/backtrace.cpp).
// Context: the G stands still, or is the one that calls.
#pragma once
#include "sched/g.hpp"

namespace urge {

// Does nothing where the way out is not sure: without unwind tables, on another stack than the G's, in the loader or in
// the unwinder, which leave by other ways. Repeated, it does nothing either while the G is still on that way.
void stop_behind_libc(G&) noexcept;
void go_on_behind_libc(G&) noexcept;

}  // namespace urge
