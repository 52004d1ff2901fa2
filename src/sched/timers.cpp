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
  std::lock_guard hold(lock);
  t->child = t->sibling = t->prev = nullptr;
  t->home.store(this, release);  // [timer.home] release: it may be looked for here
  t->armed = true;
  root = meld(root, t);
  if (root != t) return false;
  set_next_locked();
  return true;
}

void timers::remove_locked(timer_node* t) noexcept {
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
  t->armed = false;
}

unsigned timers::run(std::int64_t now) noexcept {
  std::lock_guard hold(lock);
  unsigned n = 0;
  while (root && root->when <= now) {
    timer_node* t = root;
    // Out of the heap before it fires: the G it wakes may arm it again at once, on another M (then it waits for this
    // lock).
    remove_locked(t);
    t->fire(t);
    ++n;
  }
  if (n) add_own(fired, std::uint64_t{n});
  return n;
}

void timers::clear() noexcept {
  std::lock_guard hold(lock);
  while (root) remove_locked(root);
}

bool remove_timer(timer_node* t) noexcept {
  for (;;) {
    timers* home = t->home.load(acquire);  // [timer.home] acquire: which lock
    if (!home) return false;
    // Also for one that has fired: with the lock in hand its function is over.
    std::lock_guard hold(home->lock);
    if (t->home.load(relaxed) != home) continue;
    const bool pending = t->armed;
    if (pending) home->remove_locked(t);
    return pending;
  }
}

}  // namespace urge
