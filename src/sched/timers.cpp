// SPDX-License-Identifier: MIT
// See timers.hpp.
#include "sched/timers.hpp"

#include <algorithm>
#include <bit>
#include <utility>

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

void timer_wheel::add(timer_node* t) noexcept {
  constexpr std::int64_t turn = std::int64_t{1} << (slot_bits * levels);
  const std::int64_t step = std::min(t->when >> step_bits, now + turn - 1);  // what is later comes by here again
  const auto distance = static_cast<std::uint64_t>(step - now);
  const unsigned l = distance == 0 ? 0 : static_cast<unsigned>(63 - std::countl_zero(distance)) / slot_bits;
  const auto slot = static_cast<unsigned>(step >> (l * slot_bits)) % slots;
  level& to = at[l];
  const bool first = (to.full >> slot & 1) == 0;
  to.full |= std::uint64_t{1} << slot;
  const std::int64_t when = std::min(t->when, (step + 1) << step_bits);
  to.earliest[slot] = first ? when : std::min(to.earliest[slot], when);
  t->level = static_cast<std::uint8_t>(l), t->slot = static_cast<std::uint8_t>(slot);
  t->child = t->prev = nullptr;
  t->sibling = std::exchange(to.first[slot], t);
  if (t->sibling) t->sibling->prev = t;
}

void timer_wheel::remove(timer_node* t) noexcept {
  level& from = at[t->level];
  (t->prev ? t->prev->sibling : from.first[t->slot]) = t->sibling;
  if (t->sibling) t->sibling->prev = t->prev;
  if (!from.first[t->slot]) from.full &= ~(std::uint64_t{1} << t->slot);
}

timer_node* timer_wheel::take(unsigned l, unsigned slot) noexcept {
  at[l].full &= ~(std::uint64_t{1} << slot);
  return std::exchange(at[l].first[slot], nullptr);
}

timer_node* timer_wheel::step(std::int64_t target) noexcept {
  if (empty()) {
    now = target;
    return nullptr;
  }
  // Up to the first that holds some, or to the end of the turn; of the longest turn in which all below is empty.
  timer_node* found = nullptr;
  if (const std::uint64_t ahead = at[0].full >> (now % slots); ahead != 0) {
    now += std::countr_zero(ahead);
    if (now >= target) {
      now = target;
      return nullptr;
    }
    found = take(0, static_cast<unsigned>(now % slots));
    ++now;
  } else {
    unsigned l = 1;
    while (l < levels - 1 && at[l - 1].full == 0 && at[l].full >> (now >> l * slot_bits) % slots <= 1) ++l;
    const std::int64_t end = ((now >> l * slot_bits) + 1) << l * slot_bits;
    if (end > target) {
      now = target;
      return nullptr;
    }
    now = end;
  }
  for (unsigned l = 1; l < levels && now % (std::int64_t{1} << l * slot_bits) == 0; ++l)
    for (timer_node* t = take(l, static_cast<unsigned>(now >> l * slot_bits) % slots); t;)
      add(std::exchange(t, t->sibling));
  return found;
}

std::int64_t timer_wheel::earliest() const noexcept {
  std::int64_t when = INT64_MAX;
  for (unsigned l = 0; l < levels; ++l) {
    if (at[l].full == 0) continue;
    // On level 0 the slot of `now` comes first. On the others it has been dealt out, and what is there comes last.
    const auto from = static_cast<unsigned>(now >> l * slot_bits) + (l != 0);
    const auto slot =
        (from + static_cast<unsigned>(std::countr_zero(std::rotr(at[l].full, static_cast<int>(from % slots))))) % slots;
    when = std::min(when, at[l].earliest[slot]);
  }
  return when;
}

void timers::put_locked(timer_node* t) noexcept {
  if (t->when >= wheel.heap_until()) {
    if (wheel.empty()) wheel.now = std::max(wheel.now, monotonic_ns() >> timer_wheel::step_bits);
    if (t->when >= wheel.heap_until()) return wheel.add(t);
  }
  t->level = timer_node::in_heap;
  t->child = t->sibling = t->prev = nullptr;
  root = meld(root, t);
}

timer_node* timers::take_any_locked() noexcept {
  if (timer_node* t = root) {
    root = meld_all(t->child);
    return t;
  }
  for (timer_wheel::level& l : wheel.at)
    if (l.full != 0) {
      timer_node* t = l.first[std::countr_zero(l.full)];
      wheel.remove(t);
      return t;
    }
  return nullptr;
}

void timers::bring_near_locked(std::int64_t now) noexcept {
  const std::int64_t target =
      std::min(now, INT64_MAX - (1 << timer_wheel::step_bits)) / (1 << timer_wheel::step_bits) + 1;
  while (wheel.now < target)
    for (timer_node* t = wheel.step(target); t;) {
      timer_node* const next = t->sibling;
      t->level = timer_node::in_heap;
      t->sibling = t->prev = nullptr;
      root = meld(root, t);
      t = next;
    }
}

void timers::set_next_locked() noexcept {
  const std::int64_t when = root ? root->when : wheel.earliest();
  if (when == INT64_MAX) {
    next_when.store(INT64_MAX, seq_cst);  // [timers.next] seq_cst: before the look at who sleeps
    next_tick.store(UINT64_MAX, relaxed);
    return;
  }
  const std::int64_t in = when - monotonic_ns();
  next_tick.store(ticks() + (in > 0 ? ns_to_ticks(in) : 0), relaxed);
  next_when.store(when, seq_cst);  // [timers.next] seq_cst: before the look at who sleeps
}

bool timers::add(timer_node* t) noexcept {
  std::unique_lock hold(lock);
  if (heir) [[unlikely]] {
    timers* const other = heir;
    hold.unlock();
    return other->add(t);
  }
  t->home.store(this, release);                     // [timer.home] release: it may be looked for here
  t->now.store(timer_node::state::armed, relaxed);  // home's lock orders it
  put_locked(t);
  if (t->when >= next_when.load(relaxed)) return false;
  set_next_locked();
  return true;
}

void timers::move_to(timers& other) noexcept {
  std::scoped_lock hold(lock);
  std::lock_guard hold_other(other.lock);  // nobody else takes two
  heir = &other;
  while (timer_node* t = take_any_locked()) {
    t->home.store(&other, release);  // [timer.home] release: as in add
    other.put_locked(t);
  }
  // In this order: whoever looks at both does not find neither.
  other.set_next_locked();
  set_next_locked();
}

// `then` at once: remove_timer looks without the lock, and one that is about to fire must not seem idle on the way.
void timers::remove_locked(timer_node* t, timer_node::state then) noexcept {
  if (t->level != timer_node::in_heap) {
    wheel.remove(t);
    // Else what is said to be next may be too early.
    if (t->when == next_when.load(relaxed) || wheel.empty()) set_next_locked();
  } else if (t == root) {
    root = meld_all(t->child);
    set_next_locked();
  } else {
    timer_node* rest = meld_all(t->child);
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
      if (now >= wheel.heap_until()) bring_near_locked(now);
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
  while (timer_node* t = take_any_locked()) {
    t->child = t->sibling = t->prev = nullptr;
    t->now.store(timer_node::state::idle, relaxed);  // home's lock orders it
  }
  set_next_locked();
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
