// SPDX-License-Identifier: MIT
// How a mutex works inside, for mutex.cpp and condition_variable.cpp.
//
// mutex_core::word is the owner's address, 0: free, with three flags in its low bits:
//   has_waiters  the list may hold somebody. Legal to be set when it does not (a waiter's time ran out), illegal to be
//                clear when it does: an unlock that sees it clear wakes nobody.
//   woken        a waiter was taken off the list and woken, and has not tried yet: nobody else need be woken. Cleared
//                by that waiter only. Illegal to be clear while the mutex is free and the list is not empty.
//   handed       the owner was given the mutex while it waited and has not run since; cleared by the owner.
// A free mutex is taken, and one without has_waiters given up, by one compare-exchange; has_waiters is set, and woken
// and handed are set, under the list's lock only. So whoever holds that lock and sees no owner or woken knows that no
// one else will see to the queue.
//
// The end of a run: a waiter that was woken or given the mutex and then abandoned would leave `woken` or `handed` for
// ever. `run` says in which run the flags were set; the first to queue in a later one clears them.
//
// Destruction: the owner may destroy the mutex as soon as it has unlocked it, while the one before it is still in its
// unlock. So unlock touches nothing after the store that makes the mutex free, except when a waiter was taken off the
// list: that one is not runnable yet, and nobody may destroy what it waits for.
#pragma once
#include <urge/detail/sync_mutex.hpp>

#include "sched/waitq.hpp"

namespace urge {

using detail::mutex_core;

// A node of a mutex's list, or of a condition variable's.
struct mutex_waiter : waiter {
  std::uint64_t since = 0;      // tick at which it came to the mutex
  mutex_core* mutex = nullptr;  // for a condition variable, as the rest
  bool limited = false;         // it has a deadline, so a timer may claim it at any moment
  bool moved = false;           // a notification has moved it to its mutex's list
};

// Locks; false: the deadline passed. Throws as `wait` does (sched/waitq.hpp). Context: a G inside enter/leave.
bool lock_inside(G*, mutex_core&, mutex_waiter&, std::int64_t deadline_ns, wait_reason = wait_reason::mutex);
// For a condition variable: nothing ends these waits but the mutex. The second is for one that was woken from the
// mutex's list, where move_to_mutex had put it.
void relock(G*, mutex_core&) noexcept;
void lock_when_woken(G*, mutex_core&, mutex_waiter&) noexcept;
// Unlocks what the caller owns; true: handed over to the first waiter. Does not give way. Context: as above.
bool unlock_inside(mutex_core&) noexcept;
bool is_owner(const mutex_core&, const G*) noexcept;
// Puts a waiter without a deadline, which take_to_move has taken off its list, on the mutex's. Returns one to be made
// runnable, or null. Context: preemption held off.
G* move_to_mutex(mutex_waiter&) noexcept;

}  // namespace urge
