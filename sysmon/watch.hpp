// SPDX-License-Identifier: MIT
// What is done about a P whose slice is over, whose thread sleeps, or that shall give way to a woken G. By sysmon in
// its rounds; the last also by the thread that has woken the G (docs/protocols/wakeup.md).
// Context: sched.watching held.
#pragma once
#include <cstdint>

#include "sched/sched.hpp"
#include "sysmon/sysmon.hpp"

namespace urge::sysmon {

// Looks at one P and acts; returns when to look again.
std::int64_t watch(P&, std::int64_t now, std::uint64_t now_tick) noexcept;
// Gs have been woken, and all Ps are busy: for each of them one gives way, the nearest that may. Returns when the
// next may be asked.
std::int64_t make_way(std::int64_t now, std::uint64_t now_tick) noexcept;
// Those that have woken, and run without a P, go to the queue. Returns when to look again.
std::int64_t contain_woken(std::int64_t now) noexcept;
// The run ends: these come, too.
void summon_watched() noexcept;
// The P shall stop for the world. A sleeper is left alone, without its P.
void summon_for_world(P&) noexcept;
void forget_watched() noexcept;  // a new run

}  // namespace urge::sysmon
