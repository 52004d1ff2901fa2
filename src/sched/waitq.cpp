// SPDX-License-Identifier: MIT
// See waitq.hpp.
#include "sched/waitq.hpp"

#include <exception>

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

constexpr std::uint64_t claimed = wait_claimed, parking = 2, to_the_end = 4, for_a_lock = 8, bits = 15;

bool is_on(std::uint64_t word, std::uint64_t number) noexcept {
  return (word | parking | to_the_end) == (number | parking | to_the_end);
}

// Gives the word of a wait that nobody has claimed other bits. False: somebody has.
template <class F>
bool change(G* g, std::uint64_t number, F to) noexcept {
  std::uint64_t now = g->wait_word.load(relaxed);
  while (is_on(now, number))
    if (g->wait_word.compare_exchange_weak(now, to(now), seq_cst, relaxed)) return true;  // [wait.word] one winner
  return false;
}
bool claim(wait_record& r) noexcept {
  return change(r.g, r.number, [](std::uint64_t word) { return word | claimed; });
}

// A lock is not given up at once: many a function that locks is noexcept, as destructors are, and would not let the
// exception pass.
constexpr bool is_lock(wait_reason why) noexcept {
  return why == wait_reason::mutex || why == wait_reason::shared_mutex || why == wait_reason::once;
}

// `word` is what it was; if it has changed, kill will look again.
void end_wait(G* g, std::uint64_t word, bool of_a_lock) noexcept {
  if (word & (claimed | parking | to_the_end | (of_a_lock ? 0 : for_a_lock))) return;
  if (g->wait_word.compare_exchange_strong(word, word | claimed, seq_cst, relaxed)) ready(g);  // [wait.word]
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
  bool refused;  // see wait_any
};
void finish_park(M* m, G* g, void* arg) noexcept {
  const after_park a = *static_cast<after_park*>(arg);
  const std::uint64_t number = a.record->number;
  g->wait_word.store(number | parking, release);  // [wait.word] release: the record
  if (a.deadline != os::no_deadline && m->p) {
    a.record->timer.when = a.deadline;
    a.record->timer.fire = timed_out;
    const bool first = m->p->clock.add(&a.record->timer);
    a.unlock(a.arg);
    if (first) timer_added(a.deadline);
  } else {
    a.unlock(a.arg);
  }
  // Only now kill may end it: the G may run, and its record be gone, as soon as it does.
  // [wait.word] we: word; look at doomed, from_locks / kill: doomed, from_locks; look at the word
  if (!change(g, number, [](std::uint64_t word) { return word & ~parking; })) return;
  const doom d = g->doomed.load(seq_cst);  // [doomed] seq_cst: after the word
  if (d == doom::wanted || a.refused) end_wait(g, number, g->from_locks.load(seq_cst));  // [doomed] as that
}

void unlock_one(void* l) noexcept { lock_of(*static_cast<wait_list*>(l)).unlock(); }
}  // namespace

waiter* pop(wait_list& l) noexcept {
  while (waiter* w = l.first) {
    if (take(*w)) return w;
  }
  return nullptr;
}

// Claimed while it is still listed: a G that lost its wait to another waker comes to take its nodes off, and may not
// find this one gone, leave, and take the record with it, before we have looked at that.
bool take(waiter& w) noexcept {
  const bool ours = claim(*w.record);
  if (ours) w.record->winner = &w;
  unlink(w);
  return ours;
}

bool take_to_move(waiter& w) noexcept {
  const bool ours = change(w.record->g, w.record->number, [](std::uint64_t word) { return word | to_the_end; });
  unlink(w);
  return ours;
}

waiter* wait_any(G* g, waiter* nodes, std::uint32_t n, wait_reason why, void (*unlock)(void*) noexcept, void* arg,
                 std::int64_t deadline_ns) {
  wait_record r;
  r.g = g, r.nodes = nodes, r.n = n;
  // While it is unwinding, its destructors wait as they would, and handlers for a lock. But if the exception of a kill
  // was caught by somebody who should not have, the G waits no more: it stands still.
  const bool unwinding = g->doomed.load(relaxed) == doom::unwinding;
  const bool killable = why != wait_reason::relock && !(unwinding && (is_lock(why) || std::uncaught_exceptions() != 0));
  const bool refused = killable && unwinding;
  r.number = ((g->wait_word.load(relaxed) | bits) + 1) | (killable ? 0 : to_the_end) | (is_lock(why) ? for_a_lock : 0);
  for (std::uint32_t i = 0; i < n; ++i) nodes[i].record = &r;
  g->waiting_on.store(&r, relaxed);
  after_park a{unlock, arg, &r, deadline_ns, refused};
  park(g, why, finish_park, &a);
  g->waiting_on.store(nullptr, relaxed);
  if (deadline_ns != os::no_deadline) remove_timer(&r.timer);
  for (std::uint32_t i = 0; i < n; ++i) {
    if (&nodes[i] != r.winner) take_off(nodes[i]);
  }
  if (killable && !r.winner && g->doomed.load(relaxed) != doom::none) {
    if (refused) stand_still(g);
    begin_unwinding(g);
    leave_without_yield(g);
    unwind(g);
  }
  return r.winner;
}

void end_wait(G* g) noexcept {
  end_wait(g, g->wait_word.load(seq_cst),
           g->from_locks.load(relaxed));  // [wait.word] seq_cst: after doomed, from_locks
}

bool wait(G* g, wait_list& l, waiter& w, wait_reason why, std::int64_t deadline_ns, bool in_front) {
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
