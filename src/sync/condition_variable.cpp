// SPDX-License-Identifier: MIT
// condition_variable. A waiter joins the list before it unlocks the mutex, and its context is saved before the list's
// lock is released: so a notification that comes after the unlock finds it there, and finds it fit to be woken.
//
// A notified waiter needs the mutex first. It is therefore moved to the mutex's list instead of being woken, and wakes
// once, when the mutex is its own to take: notify_all with the mutex locked wakes nobody for nothing, and the order is
// kept. Waiters with a deadline are woken directly: their timer may claim them while they would move. They move when
// the list's lock is released: a notified waiter may destroy the condition variable.
//
// A waiter that is killed locks the mutex before it is unwound: its unique_lock will unlock it. One that has been
// notified goes on first: else the notification might be lost.
#include <urge/sync.hpp>

#include "sync/mutex_core.hpp"
#include "sync/wake.hpp"

namespace urge::detail {

namespace {

// Those that are notified: taken off the list, in its order.
struct notified {
  mutex_waiter* first = nullptr;  // without a deadline, to be moved; linked by next
  mutex_waiter* last = nullptr;
  gqueue woken;  // with one, claimed

  // False: nobody is left. Context: the list's lock held.
  bool take_first(wait_list& l) noexcept {
    auto* w = static_cast<mutex_waiter*>(l.first);
    if (!w) return false;
    if (w->limited) {
      // Its timer may have been quicker: then this is the next one.
      waiter* next = pop(l);
      if (next) woken.push_back(next->record->g);
      return next != nullptr;
    }
    if (!take_to_move(*w)) return take_first(l);
    if (last)
      last->next = w;
    else
      first = w;
    last = w;
    return true;
  }
};

}  // namespace

void notify(wait_list& l, bool all) noexcept {
  G* self = enter_if_g();
  notified some;
  {
    std::lock_guard hold(lock_of(l));
    while (some.take_first(l) && all) {
    }
  }
  while (mutex_waiter* w = some.first) {
    some.first = static_cast<mutex_waiter*>(w->next);
    if (G* g = move_to_mutex(*w)) some.woken.push_back(g);
  }
  ready_all(self, some.woken);
  leave(self);
}

bool wait_notified(wait_list& l, std::unique_lock<urge::mutex>& lock, time_point deadline, const char* who) {
  G* g = enter(who);
  mutex_core* m = lock.mutex() ? &lock.mutex()->native_handle() : nullptr;
  if (!lock.owns_lock() || !is_owner(*m, g)) {
    leave(g);
    throw_not_owner(who);
  }
  const std::int64_t deadline_ns = to_ns(deadline);
  mutex_waiter w;
  w.mutex = m;
  w.limited = deadline_ns != os::no_deadline;
  lock_of(l).lock();
  unlock_inside(*m);
  bool notified = false;
  try {
    notified = wait(g, l, w, wait_reason::condition_variable, deadline_ns);
  } catch (const unwind_g&) {
    g = enter(who);
    relock(g, *m);
    leave(g);
    throw;
  }
  w.moved ? lock_when_woken(g, *m, w) : relock(g, *m);
  leave(g);
  return notified;
}

}  // namespace urge::detail
