// SPDX-License-Identifier: MIT
// sysmon: a thread without a P that decides when a slice ends and when a P is taken from a blocked M. It knows when the
// next of these is due and sleeps until then; it sleeps until called while all Ps are idle. It takes sched.lock and
// timers' locks for moments, never allocates, never runs user code, and is no G.
#pragma once
#include <cstdint>

namespace urge::sysmon {

int start() noexcept;  // 0 or -errno of pthread_create. Context: the caller of `run`
void stop() noexcept;  // returns when the thread has ended

// Gs have been woken and all Ps are busy: those give way that may at once, for sysmon may be waiting for a CPU. Does
// nothing while sysmon, or another, is at it. Context: a thread without a P.
void make_way_at_once() noexcept;

struct counts {
  std::uint64_t requests, signals, retakes;
  std::uint64_t detached, contained;  // threads asleep in unannounced calls: Ps taken from them; that had to be stopped
  std::uint64_t unknown;              // looks at a thread that told nothing
  std::uint64_t wakeups;              // requests on behalf of Gs that were woken
  std::uint64_t by_wakers;            // of these, by the threads that have woken them
};
counts count() noexcept;

}  // namespace urge::sysmon
