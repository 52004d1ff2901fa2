// SPDX-License-Identifier: MIT
// See timers.hpp.
#include "sched/timers.hpp"

#include "base/clock.hpp"

namespace urge {

namespace {
timer_node* meld(timer_node* a, timer_node* b) noexcept {
  if (!a) return b;
  if (!b) return a;
  if (b->when < a->when) {
    timer_node* t = a;
    a = b, b = t;
  }
  b->sibling = a->child;
  if (a->child) a->child->prev = b;
  b->prev = a;
  a->child = b;
  return a;
}

// Melds a list of siblings: in pairs from the left, then the pairs from the right. Iterative: a list may be long.
timer_node* meld_all(timer_node* list) noexcept {
  timer_node* pairs = nullptr;  // in reverse, linked by sibling
  while (list) {
    timer_node* a = list;
    timer_node* b = a->sibling;
    list = b ? b->sibling : nullptr;
    a->sibling = a->prev = nullptr;
    if (b) b->sibling = b->prev = nullptr;
    timer_node* m = meld(a, b);
    m->sibling = pairs;
    pairs = m;
  }
  timer_node* root = nullptr;
  while (pairs) {
    timer_node* next = pairs->sibling;
    pairs->sibling = nullptr;
    root = meld(root, pairs);
    pairs = next;
  }
  return root;
}
}  // namespace

void timers::set_next_locked() noexcept {
  if (!root) {
    next_when.store(INT64_MAX, seq_cst);  // [timers.next] seq_cst: before the look at who sleeps
    next_tick.store(UINT64_MAX, relaxed);
    return;
  }
  const std::int64_t in = root->when - monotonic_ns();
  next_tick.store(ticks() + (in > 0 ? ns_to_ticks(in) : 0), relaxed);
  next_when.store(root->when, seq_cst);  // [timers.next] seq_cst: before the look at who sleeps
}

bool timers::add(timer_node* t) noexcept {
  std::unique_lock hold(lock);
  if (heir) [[unlikely]] {
    timers* const other = heir;
    hold.unlock();
    return other->add(t);
  }
  t->child = t->sibling = t->prev = nullptr;
  t->home.store(this, release);                     // [timer.home] release: it may be looked for here
  t->now.store(timer_node::state::armed, relaxed);  // home's lock orders it
  root = meld(root, t);
  if (root != t) return false;
  set_next_locked();
  return true;
}

void timers::move_to(timers& other) noexcept {
  std::scoped_lock hold(lock);
  std::lock_guard hold_other(other.lock);  // nobody else takes two
  heir = &other;
  while (timer_node* t = root) {
    root = meld_all(t->child);
    t->child = t->sibling = t->prev = nullptr;
    t->home.store(&other, release);  // [timer.home] release: as in add
    other.root = meld(other.root, t);
  }
  // In this order: whoever looks at both does not find neither.
  other.set_next_locked();
  set_next_locked();
}

// `then` at once: remove_timer looks without the lock, and one that is about to fire must not seem idle on the way.
void timers::remove_locked(timer_node* t, timer_node::state then) noexcept {
  timer_node* rest = meld_all(t->child);
  if (t == root) {
    root = rest;
    set_next_locked();
  } else {
    (t->prev->child == t ? t->prev->child : t->prev->sibling) = t->sibling;
    if (t->sibling) t->sibling->prev = t->prev;
    root = meld(root, rest);
  }
  t->child = t->sibling = t->prev = nullptr;
  t->now.store(then, relaxed);  // home's lock orders it
}

unsigned timers::run(std::int64_t now, unsigned most) noexcept {
  unsigned n = 0;
  while (n < most) {
    timer_node* t;
    {
      std::lock_guard hold(lock);
      t = root;
      if (!t || t->when > now) {
        if (n == 0 && most != 0) set_next_locked();  // the two clocks do not agree, or another has been quicker
        break;
      }
      if (n == 0) running.fetch_add(1, seq_cst);  // [timers.running] before next_when says that there is nothing
      remove_locked(t, timer_node::state::firing);
      add_own(fired, std::uint64_t{1});
    }
    t->fire(t);
    ++n;
    if (t->period > 0) {
      // Behind the periods that were missed, as in Go. Whoever sleeps until the earliest looks again after this.
      t->when += t->period * ((now - t->when) / t->period + 1);
      add(t);
      continue;
    }
    t->now.store(timer_node::state::idle,
                 release);  // [timer.now] release: its function is over; the node is not ours now
  }
  if (n != 0) running.fetch_sub(1, seq_cst);  // [timers.running] release: what they made runnable is on a queue
  return n;
}

void timers::clear() noexcept {
  std::lock_guard hold(lock);
  while (root) remove_locked(root, timer_node::state::idle);
}

bool remove_timer(timer_node* t) noexcept {
  for (int spins = 0;; ++spins) {
    if (t->now.load(acquire) == timer_node::state::idle) return false;  // [timer.now] acquire: its function is over
    timers* home = t->home.load(acquire);                               // [timer.home] acquire: which lock
    {
      std::lock_guard hold(home->lock);
      if (t->now.load(relaxed) == timer_node::state::armed && t->home.load(relaxed) == home) {
        home->remove_locked(t, timer_node::state::idle);
        return true;
      }
    }
    // Firing: some hundred instructions on another thread, which may have lost its CPU.
    if (spins > 100) os::sched_yield();
    _mm_pause();
  }
}

}  // namespace urge
