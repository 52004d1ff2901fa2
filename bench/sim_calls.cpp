// SPDX-License-Identifier: MIT
// Calls of the real code, and what they cost. What such a call has done is seen by what it has changed: lengths of
// queues, counters, who sleeps. What it has looked at follows from that.
#include <stdexcept>

#include "sim_state.hpp"

namespace urge::sim {

namespace {
constexpr std::uint64_t slots_per_line = 8;
}

std::int64_t simulation::pick(machine& x, std::int64_t at, picked& out) {
  P& p = *x.m.p;
  const unsigned me = p.id;
  const M* const top = sched.idle_ms;
  const std::uint64_t gets = p.count.global_gets.load(relaxed), global = sched.queue.n;
  const std::uint32_t local = p.queue.size(), fresh = p.spawned.size();
  out = pick_next(&x.m);
  const std::uint64_t taken = p.count.global_gets.load(relaxed) - gets, put = sched.queue.n + taken - global;

  std::int64_t cost =
      lines_.read(me, lines::procs) + lines_.read(me, lines::n_queue) + lines_.read(me, lines::stopping);
  cost += p.spawned.size() != fresh
              ? lines_.write(me, me, lines::spawned_tail) + lines_.write(me, me, lines::spawned_head)
              : lines_.read(me, me, lines::spawned_head);
  if (p.queue.size() < local) cost += lines_.write(me, me, lines::queue_head);
  if (p.queue.size() > local) cost += lines_.write(me, me, lines::queue_tail);
  if (put != 0) cost += lock_.pass(me, at + cost) + lines_.write(me, lines::n_queue);
  // The link to the next is in the G before, which another has written.
  if (taken != 0) cost += lock_.pass(me, at + cost, taken - 1) + lines_.write(me, lines::n_queue);
  got_.global_gets += taken;
  return cost + see_woken(top, me, at + cost);
}

std::int64_t simulation::put_new_g(machine& x, std::int64_t at, G* g) {
  P& p = *x.m.p;
  const std::uint64_t global = sched.queue.n;
  put_new(&p, g);
  std::int64_t cost = 0;
  if (how_.model == sched_model::gmp)
    cost += lines_.read(p.id, p.id, lines::spawned_head) + lines_.write(p.id, p.id, lines::spawned_tail);
  if (sched.queue.n != global) cost += lock_.pass(p.id, at + cost) + lines_.write(p.id, lines::n_queue);
  return cost + wake(p.id, at + cost);
}

std::int64_t simulation::put_local_g(machine& x, std::int64_t at, G* g, bool oldest) {
  P& p = *x.m.p;
  const std::uint64_t global = sched.queue.n;
  std::int64_t cost = 0;
  if (oldest && p.spawned.push_oldest(g)) {
    cost += lines_.write(p.id, p.id, lines::spawned_head);
  } else {
    put_local(&p, g, false);
    if (how_.model == sched_model::gmp)
      cost += lines_.read(p.id, p.id, lines::queue_head) + lines_.write(p.id, p.id, lines::queue_tail);
  }
  if (sched.queue.n != global) cost += lock_.pass(p.id, at + cost) + lines_.write(p.id, lines::n_queue);
  return cost + wake(p.id, at + cost);
}

std::int64_t simulation::put_global_g(unsigned who, std::int64_t at, G* g) {
  put_global(g);
  const std::int64_t cost = lock_.pass(who, at) + lines_.write(who, lines::n_queue);
  return cost + wake(who, at + cost);
}

std::int64_t simulation::wake(unsigned who, std::int64_t at) {
  const M* const top = sched.idle_ms;
  urge_tls.m = all_ps[who].m.load(relaxed);
  const std::int64_t cost = how_.ps == 1 ? 0 : lines_.read(who, lines::n_spinning) + lines_.read(who, lines::n_idle_p);
  wake_p();
  urge_tls.m = nullptr;
  return cost + see_woken(top, who, at + cost);
}

// Has the M that would be woken first been woken? The lock is taken for the P, and for the M.
std::int64_t simulation::see_woken(const M* top, unsigned who, std::int64_t at) {
  if (sched.idle_ms == top) return 0;
  machine& x = ms_[static_cast<std::size_t>(top->tid.load(relaxed))];
  if (!x.m.next_p) throw std::runtime_error("an M is gone from the idle ones and was not woken");
  std::int64_t cost = lines_.write(who, lines::n_spinning) + lines_.write(who, lines::n_idle_p);
  cost += lock_.pass(who, at + cost);
  cost += lock_.pass(who, at + cost) + how_.ns.wake_call;
  ++got_.wakes;
  plan(at + cost + how_.ns.wake_up, x, step::wake);
  return cost;
}

// A batch from the global free list, whose Gs others have ended; or a fresh one.
std::int64_t simulation::take_descriptor(machine& x, std::int64_t at, G*& g) {
  P& p = *x.m.p;
  const bool had = p.free_gs != nullptr;
  g = take_g(&p);
  if (!g) throw std::bad_alloc();
  const std::int64_t cost = lines_.write(p.id, p.id, lines::free_gs);
  return had ? cost : cost + lock_.pass(p.id, at + cost, p.n_free_gs);
}

std::int64_t simulation::put_descriptor(machine& x, std::int64_t at, G* g) {
  P& p = *x.m.p;
  const std::uint64_t global = sched.n_free_gs;
  g->context = nullptr;
  put_g(&p, g);
  const std::int64_t cost = lines_.write(p.id, p.id, lines::free_gs);
  return sched.n_free_gs == global ? cost : cost + lock_.pass(p.id, at + cost);
}

round_order simulation::next_order(const P& p) const {
  rng random = p.random;
  const unsigned by = random.below(how_.ps);  // in this order
  return {how_.ps, by, random.below(how_.ps)};
}

bool simulation::can_be_robbed(const P& victim, const P& by) const {
  return &victim != &by && victim.status.load(relaxed) != p_status::idle &&
         (victim.queue.size() != 0 || victim.spawned.size() != 0);
}

unsigned simulation::first_with_work(const machine& x) const {
  unsigned k = 0;
  while (k < x.order.n && !can_be_robbed(all_ps[x.order.at(k)], *x.m.p)) ++k;
  return k;
}

std::int64_t simulation::look_until(machine& x, unsigned k) {
  const unsigned me = x.m.p->id, until = std::min(k + 1, x.order.n);
  const bool last = x.round == 3;
  std::int64_t cost = 0;
  for (; x.looked < until; ++x.looked) {
    const unsigned v = x.order.at(x.looked);
    cost += lines_.read(me, lines::procs) + lines_.read(me, lines::stopping);
    if (v == me) continue;
    ++got_.looks;
    cost += how_.ns.look + lines_.read(me, v, lines::status);
    if (last) cost += how_.ns.clock + lines_.read(me, v, lines::next_when);
    if (all_ps[v].status.load(relaxed) == p_status::idle) continue;
    cost += lines_.read(me, v, lines::queue_head) + lines_.read(me, v, lines::queue_tail);
    if (all_ps[v].queue.size() != 0) continue;
    cost += lines_.read(me, v, lines::spawned_head) + lines_.read(me, v, lines::spawned_tail);
    if (last && all_ps[v].spawned.size() == 0) cost += lines_.read(me, v, lines::runnext);
  }
  return cost;
}

// The real search has four rounds in one call, and nothing happens between them here: so each round is a call, and as
// nothing changes within a call, it succeeds in its first round or not at all. A round takes time, and the call is made
// when the first P is reached that had work as the round began; or at its end, if none had.
void simulation::begin_round(machine& x) {
  x.order = next_order(*x.m.p);
  x.looked = 0;
  ++got_.rounds;
  const std::int64_t cost = look_until(x, first_with_work(x)) + lines_.write(x.m.p->id, x.m.p->id, lines::status);
  plan(now_ + cost, x, step::steal);
}

void simulation::steal(machine& x) {
  P& p = *x.m.p;
  const unsigned k = first_with_work(x);
  P* const victim = k < x.order.n ? &all_ps[x.order.at(k)] : nullptr;
  const bool from_queue = victim && victim->queue.size() != 0;
  const std::uint32_t has = !victim ? 0 : from_queue ? victim->queue.size() : victim->spawned.size();
  const std::uint64_t stolen = p.count.stolen.load(relaxed);
  bool timers_ran = false;
  G* const g = steal_work(&x.m, timers_ran);

  const std::uint64_t n = p.count.stolen.load(relaxed) - stolen;
  if (timers_ran || (g != nullptr) != (victim != nullptr) || n != std::min(has - has / 2, runq::capacity / 2))
    throw std::runtime_error("steal_work has not stolen what it was expected to");
  std::int64_t cost = look_until(x, k);
  if (!g) {
    const bool over = ++x.round == 4;
    if (over) ++got_.empty_searches;
    return plan(now_ + cost, x, over ? step::rest : step::round);
  }
  ++got_.steals, got_.stolen += n;
  cost += lines_.write(p.id, victim->id, from_queue ? lines::queue_head : lines::spawned_head);
  cost += static_cast<std::int64_t>((n + slots_per_line - 1) / slots_per_line) * how_.ns.line;
  if (n > 1) cost += lines_.write(p.id, p.id, lines::queue_tail);
  found(x, {g, false}, now_ + cost);
}

}  // namespace urge::sim
