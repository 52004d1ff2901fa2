// SPDX-License-Identifier: MIT
// latch and barrier, and the countdown that a wait group shares with the latch. The barrier is plain data under its
// list's lock: each arrival has to be counted against a phase, and none of them is a fast path of a program that waits
// for the slowest anyway.
#include <stdexcept>
#include <string>

#include "sync/countdown.hpp"
#include "sync/wake.hpp"

namespace urge {

bool lower(detail::countdown& c, std::ptrdiff_t n) noexcept {
  std::ptrdiff_t now = c.left.load(relaxed);
  while (n < now)
    if (c.left.compare_exchange_weak(now, now - n, acq_rel, relaxed)) return true;  // [countdown.left] release
  // By this look the last, or too much; wait groups may grow meanwhile.
  G* g = enter_if_g();
  gqueue woken;
  bool enough;
  {
    std::lock_guard hold(lock_of(c.waiters));
    now = c.left.load(relaxed);
    do {
      enough = n <= now;
    } while (enough &&
             !c.left.compare_exchange_weak(now, now - n, acq_rel, relaxed));  // [countdown.left] release: what was done
    if (enough && now == n) pop_all(c.waiters, woken);
  }
  ready_all(g, woken);
  leave(g);
  return enough;
}

void wait_for_zero(detail::countdown& c, wait_reason why, const char* who) {
  G* g = enter(who);
  lock_of(c.waiters).lock();
  if (c.left.load(acquire) == 0) {  // [countdown.left] acquire: what those who counted had done
    lock_of(c.waiters).unlock();
  } else {
    waiter w;
    wait(g, c.waiters, w, why);
  }
  leave(g);
}

namespace detail {

void latch_count_down(countdown& c, std::ptrdiff_t n) {
  check_count(n, max_count, "urge::latch::count_down: n");
  if (!lower(c, n)) throw std::logic_error("urge::latch::count_down: below 0");
  if (current_g()) yield_if_wanted();
}

bool latch_try_wait(countdown& c) {
  G* g = enter("urge::latch::try_wait");
  bool open;
  {
    // With the lock, for the caller may destroy the latch next: see countdown.hpp.
    std::lock_guard hold(lock_of(c.waiters));
    open = c.left.load(acquire) == 0;  // [countdown.left] acquire: what those who counted had done
  }
  leave(g);
  return open;
}

void latch_wait(countdown& c) { wait_for_zero(c, wait_reason::latch, "urge::latch::wait"); }

void latch_arrive_and_wait(countdown& c, std::ptrdiff_t n) {
  constexpr auto who = "urge::latch::arrive_and_wait";
  if (!current_g()) enter(who);  // throws, before anything is counted
  latch_count_down(c, n);
  wait_for_zero(c, wait_reason::latch, who);
}

bool barrier_arrive(barrier_core& b, std::ptrdiff_t n, bool drop, std::uint64_t& phase, const char* who) {
  G* g = enter(who);
  bool fits, last;
  {
    std::lock_guard hold(lock_of(b.waiters));
    fits = n >= 1 && n <= b.pending;
    if (fits) b.pending -= n;
    if (fits && drop) --b.expected;
    last = b.pending == 0;
    phase = b.phase;
  }
  leave(g);
  if (n < 1) throw std::invalid_argument(std::string(who) + ": n = " + std::to_string(n) + ": must be 1 or more");
  if (!fits) throw std::logic_error(std::string(who) + ": more than are expected in this phase");
  return last;
}

void barrier_complete(barrier_core& b) {
  G* g = enter("urge::barrier");
  gqueue woken;
  {
    std::lock_guard hold(lock_of(b.waiters));
    ++b.phase;
    b.pending = b.expected;
    pop_all(b.waiters, woken);
  }
  ready_all(g, woken);
  leave(g);
}

void barrier_wait(barrier_core& b, std::uint64_t phase) {
  G* g = enter("urge::barrier::wait");
  lock_of(b.waiters).lock();
  if (b.phase != phase) {
    lock_of(b.waiters).unlock();
  } else {
    waiter w;
    wait(g, b.waiters, w, wait_reason::barrier);
  }
  leave(g);
}

}  // namespace detail
}  // namespace urge
