// SPDX-License-Identifier: MIT
// See waitq.hpp.
#include "sched/waitq.hpp"

namespace urge {

void push_back(wait_list& l, waiter& w) noexcept {
  w.list.store(&l, relaxed);  // its lock orders it
  w.next = nullptr, w.prev = l.last;
  (l.last ? l.last->next : l.first) = &w;
  l.last = &w;
}
void push_front(wait_list& l, waiter& w) noexcept {
  w.list.store(&l, relaxed);  // as above
  w.prev = nullptr, w.next = l.first;
  (l.first ? l.first->prev : l.last) = &w;
  l.first = &w;
}
void unlink(waiter& w) noexcept {
  wait_list& l = *w.list.load(relaxed);  // its lock is held
  (w.prev ? w.prev->next : l.first) = w.next;
  (w.next ? w.next->prev : l.last) = w.prev;
  w.next = w.prev = nullptr;
  w.list.store(nullptr, release);  // [waiter.list] release: the last touch: its G may be on its way out, see take_off
}

namespace {
// Takes a node off the list that it is on, if any; afterwards nobody knows it. It may be moved to another list, or be
// taken off by a waker, as we look.
void take_off(waiter& w) noexcept {
  while (wait_list* l = w.list.load(acquire)) {  // [waiter.list] acquire: whoever took it off is through with it
    std::lock_guard hold(lock_of(*l));
    if (w.list.load(relaxed) == l) return unlink(w);
  }
}

bool claim(wait_record& r) noexcept {
  std::uint32_t free = 0;
  return r.claimed.compare_exchange_strong(free, 1, acq_rel, relaxed);  // [wait.claimed] one winner
}

void timed_out(timer_node* t) noexcept {
  auto* r = reinterpret_cast<wait_record*>(reinterpret_cast<char*>(t) - offsetof(wait_record, timer));
  if (claim(*r)) ready(r->g);
}

// Runs when the waiter's context has been saved. The timer is armed before the unlock: once it is unlocked, the G may
// be woken, and its record with the timer in it be gone.
struct after_park {
  void (*unlock)(void*) noexcept;
  void* arg;
  wait_record* record;
  std::int64_t deadline;
};
void finish_park(M* m, G*, void* arg) noexcept {
  const after_park a = *static_cast<after_park*>(arg);
  if (a.deadline != os::no_deadline && m->p) {
    a.record->timer.when = a.deadline;
    a.record->timer.fire = timed_out;
    const bool first = m->p->clock.add(&a.record->timer);
    a.unlock(a.arg);
    if (first) timer_added(a.deadline);
  } else {
    a.unlock(a.arg);
  }
}

void unlock_one(void* l) noexcept { lock_of(*static_cast<wait_list*>(l)).unlock(); }
}  // namespace

waiter* pop(wait_list& l) noexcept {
  while (waiter* w = l.first) {
    // Claimed while it is still listed: a G that lost its wait to another waker comes to take its nodes off, and may
    // not find this one gone, leave, and take the record with it, before we have looked at that.
    const bool ours = claim(*w->record);
    if (ours) w->record->winner = w;
    unlink(*w);
    if (ours) return w;
  }
  return nullptr;
}

waiter* wait_any(G* g, waiter* nodes, std::uint32_t n, wait_reason why, void (*unlock)(void*) noexcept, void* arg,
                 std::int64_t deadline_ns) noexcept {
  wait_record r;
  r.g = g, r.nodes = nodes, r.n = n;
  for (std::uint32_t i = 0; i < n; ++i) nodes[i].record = &r;
  g->waiting_on.store(&r, relaxed);
  after_park a{unlock, arg, &r, deadline_ns};
  park(g, why, finish_park, &a);
  g->waiting_on.store(nullptr, relaxed);
  if (deadline_ns != os::no_deadline) remove_timer(&r.timer);
  for (std::uint32_t i = 0; i < n; ++i) {
    if (&nodes[i] != r.winner) take_off(nodes[i]);
  }
  return r.winner;
}

bool wait(G* g, wait_list& l, waiter& w, wait_reason why, std::int64_t deadline_ns, bool in_front) noexcept {
  in_front ? push_front(l, w) : push_back(l, w);
  return wait_any(g, &w, 1, why, unlock_one, &l, deadline_ns) != nullptr;
}

void forget(wait_record& r) noexcept {
  for (std::uint32_t i = 0; i < r.n; ++i) {
    take_off(r.nodes[i]);
  }
}

namespace detail {

wait_list::~wait_list() {
  if (!first) return;
  G* g = enter_if_g();
  {
    std::lock_guard hold(lock_of(*this));
    while (first) unlink(*first);
  }
  leave(g);
}

}  // namespace detail
}  // namespace urge
