// SPDX-License-Identifier: MIT
// call_once and wait_group. A call_once that fails passes its turn on to the first in the queue under the lock; one
// whose G was abandoned with an earlier run has failed too, which `run` tells.
#include <urge/sync.hpp>

#include <stdexcept>
#include <string>

#include "sync/countdown.hpp"
#include "sync/wake.hpp"

namespace urge::detail {

bool begin_once(once_core& o) {
  constexpr auto who = "urge::call_once";
  if (o.state.load(acquire) == once_core::finished && current_g()) [[likely]]  // [once.state] acquire: what it has done
    return false;
  G* g = enter(who);
  bool ours = false;
  lock_of(o.waiters).lock();
  const auto state = o.state.load(relaxed);  // changes under the lock only
  if (state == once_core::running && o.run == sched.run_id) {
    waiter w;
    wait(g, o.waiters, w, wait_reason::once);
    ours = w.granted;
  } else {
    ours = state != once_core::finished;
    if (ours) o.state.store(once_core::running, relaxed), o.run = sched.run_id;
    lock_of(o.waiters).unlock();
  }
  leave(g);
  return ours;
}

void end_once(once_core& o, bool succeeded) noexcept {
  G* g = enter_if_g();
  gqueue woken;
  {
    std::lock_guard hold(lock_of(o.waiters));
    if (succeeded) {
      o.state.store(once_core::finished, release);  // [once.state] release: what the function has done
      pop_all(o.waiters, woken);
    } else if (waiter* next = pop(o.waiters)) {
      next->granted = true;
      woken.push_back(next->record->g);
    } else {
      o.state.store(once_core::idle, relaxed);
    }
  }
  ready_all(g, woken);
  leave(g);
}

void wait_group_add(countdown& c, std::ptrdiff_t n, const char* who) {
  if (n >= 0) {
    std::ptrdiff_t now = c.left.load(relaxed);
    do {
      if (n > max_count - now) throw std::logic_error(std::string(who) + ": the count would exceed PTRDIFF_MAX");
    } while (!c.left.compare_exchange_weak(now, now + n, acq_rel, relaxed));  // [countdown.left]
  } else if (n < -max_count || !lower(c, -n)) {
    throw std::logic_error(std::string(who) + ": the count would go below 0");
  }
  if (current_g()) yield_if_wanted();
}

void wait_group_wait(countdown& c) { wait_for_zero(c, wait_reason::wait_group, "urge::wait_group::wait"); }

}  // namespace urge::detail
