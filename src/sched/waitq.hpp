// SPDX-License-Identifier: MIT
// Waiting: what mutexes, channels, joins and all other primitives are made of (docs/protocols/parking.md).
//
// A waiting G lies in one or more wait lists by nodes on its own stack, and perhaps in a timer heap by its record.
// Whoever wants to wake it claims the record of a node under that node's list's lock and takes the node off: one
// compare-exchange, for there may be several lists, and a timer. Who wins sets `winner` and makes the G runnable; who
// loses goes to the next node. The G itself takes its other nodes off their lists when it runs again.
//   G.wait_word      the number of its current wait; + 1 by the winner. In the G, which is never freed, not in the
//                    record: so kill may claim too, without a list's lock and not knowing whether the wait is still on.
//                    Written by the G's M once its context is saved; even numbers go up, so none comes back
//   waiter.list      under that list's lock; null: not on it. The G looks at its own without: null is the last word.
//   wait_word & 2    kill keeps off: the code after the switch is not through with the record
//   wait_word & 4    kill keeps off to the end: the G may not leave without what it waits for
//   wait_word & 8    kill keeps off at first: for a lock, which it will mostly get soon
// Order of locks: list, then timers. A timer's function takes no list's lock.
#pragma once
#include <urge/detail/wait_list.hpp>

#include "sched/sched.hpp"

namespace urge {

struct wait_record;

namespace detail {
struct waiter {
  waiter* next = nullptr;
  waiter* prev = nullptr;
  atomic<wait_list*> list{nullptr};
  wait_record* record = nullptr;
  void* data = nullptr;     // what the primitive needs: the value to hand over, the mode that is waited for
  std::uint32_t index = 0;  // of the case in a select
  bool granted = false;     // set by the waker: what was waited for has been handed over
};
}  // namespace detail
using detail::wait_list;
using detail::waiter;

struct wait_record {
  G* g = nullptr;
  std::uint64_t number = 0;  // what its G's wait_word is while nobody has claimed this wait
  waiter* winner = nullptr;  // written by who claims; null: the timer
  waiter* nodes = nullptr;
  std::uint32_t n = 0;
  timer_node timer;
};

inline raw_lock& lock_of(wait_list& l) noexcept {
  static_assert(sizeof(raw_lock) == sizeof l.lock_word);
  return reinterpret_cast<raw_lock&>(l.guard ? l.guard->lock_word : l.lock_word);
}

// lock of `l` is held:
void push_back(wait_list& l, waiter& w) noexcept;
void push_front(wait_list& l, waiter& w) noexcept;
void unlink(waiter& w) noexcept;
// Takes the first waiter that can still be claimed off the list, and claims it; null: none. It is the caller's duty to
// make its G runnable, best after unlocking; until then the waiter stays where it is.
waiter* pop(wait_list& l) noexcept;
// The same of one waiter; false: somebody else has claimed it, it is off the list.
bool take(waiter& w) noexcept;
// Takes a waiter off the list to put it on another one: from here on kill keeps off. False: it has been quicker.
bool take_to_move(waiter& w) noexcept;
inline bool empty(const wait_list& l) noexcept { return l.first == nullptr; }

inline void wake(waiter* w) noexcept { ready(w->record->g); }

inline std::int64_t to_ns(time_point t) noexcept {
  return t == detail::no_deadline ? os::no_deadline
                                  : std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count();
}

// Waits on `l`, whose lock is held and gets released. True: `w` was claimed by a waker; false: the deadline passed.
// Throws detail::unwind_g, having left the runtime, if the G is killed meanwhile; not for wait_reason::relock, and
// not while it is being unwound.
// Context: a G inside enter/leave.
bool wait(G* g, wait_list& l, waiter& w, wait_reason why, std::int64_t deadline_ns = os::no_deadline,
          bool in_front = false);

// Waits on several lists: the nodes have been put on their lists, whose locks `unlock` releases. Returns the node that
// was claimed, or null when the deadline passed; the others are off their lists then. Throws as above.
waiter* wait_any(G* g, waiter* nodes, std::uint32_t n, wait_reason why, void (*unlock)(void*) noexcept, void* arg,
                 std::int64_t deadline_ns);

// For a G that is doomed: ends its wait, if it is in one that may be ended; for a lock only with from_locks.
// Context: any M or thread.
void end_wait(G*) noexcept;

// The G will never run again: takes its nodes off their lists. Context: the end of a run, everything else stopped.
void forget(wait_record&) noexcept;

}  // namespace urge
