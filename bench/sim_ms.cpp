// SPDX-License-Identifier: MIT
// What a simulated M does: the steps of m_loop and find_runnable (sched/loop.cpp), stop_m (sched/idle.cpp) and of a G
// that stops (sched/park.cpp), with an event where theirs take time. These functions cannot be called for a simulated
// M, since they switch to Gs and sleep; what they call is called here.
#include <stdexcept>
#include <utility>

#include "sim_state.hpp"

namespace urge::sim {

void simulation::do_step(machine& x) {
  switch (x.next) {
    case step::wake:
      asleep_ += std::max<std::int64_t>(now_ - x.slept_at, 0);
      x.m.spinning = x.m.next_spinning;
      x.spun_from = now_;
      acquire_p(&x.m, std::exchange(x.m.next_p, nullptr));
      return seek(x);
    case step::seek:
      return seek(x);
    case step::round:
      return begin_round(x);
    case step::steal:
      return steal(x);
    case step::rest:
      return rest(x);
    case step::spawn:
      return spawn(x);
    case step::end:
      return end(x);
  }
}

void simulation::spin(machine& x, std::int64_t at) {
  become_spinning(&x.m);
  x.spun_from = at;
}

std::int64_t simulation::end_spin(machine& x, unsigned me, std::int64_t at) {
  x.m.spinning = false;
  spun_ += at - x.spun_from;
  const bool was_last = sched.n_spinning.fetch_sub(1, seq_cst) == 1;  // [spinning]
  const std::int64_t cost = lines_.write(me, lines::n_spinning);
  return was_last && x.m.p ? cost + wake(me, at + cost) : cost;
}

void simulation::seek(machine& x) {
  picked next;
  std::int64_t cost = pick(x, now_, next);
  if (next.g) return found(x, next, now_ + cost);
  if (how_.model == sched_model::gm) return plan(now_ + cost, x, step::rest);
  const unsigned me = x.m.p->id;
  if (!x.m.spinning) {
    cost += lines_.read(me, lines::n_spinning) + lines_.read(me, lines::n_idle_p);
    if (2 * sched.n_spinning.load(relaxed) >= how_.ps - sched.n_idle_p.load(relaxed))
      return plan(now_ + cost, x, step::rest);
    cost += lines_.write(me, lines::n_spinning);
    spin(x, now_ + cost);
  }
  ++got_.searches;
  x.round = 0;
  plan(now_ + cost, x, step::round);
}

// It has found nothing: gives up its P, looks once more, and sleeps.
void simulation::rest(machine& x) {
  const unsigned me = x.m.p->id;
  std::int64_t cost = 0;
  if (sched.n_queue.load(relaxed) != 0) {
    picked next;
    cost += pick(x, now_, next);
    if (next.g) return found(x, next, now_ + cost);
  } else {
    cost += lock_.pass(me, now_);
  }
  if (!x.m.spinning && sched.need_spinning.load(relaxed) != 0) {
    cost += lines_.write(me, lines::n_spinning);
    spin(x, now_ + cost);
    return plan(now_ + cost, x, step::seek);
  }
  P* const p = release_p(&x.m);
  count_as_spare_locked(&x.m);
  put_idle_p_locked(p);
  cost += lines_.write(me, me, lines::status) + lines_.write(me, lines::n_idle_p);
  if (x.m.spinning) cost += end_spin(x, me, now_ + cost);

  bool work = sched.n_queue.load(relaxed) != 0 || sched.need_spinning.load(relaxed) != 0;
  for (unsigned i = 0; i < how_.ps && !work; ++i) work = all_ps[i].has_work();
  cost += lock_.pass(me, now_ + cost);
  if (work && m_left_locked()) {
    if (P* const again = take_idle_p_locked()) {
      count_as_used_locked(&x.m);
      acquire_p(&x.m, again);
      cost += lines_.write(me, lines::n_idle_p) + lines_.write(me, lines::n_spinning);
      spin(x, now_ + cost);
      return plan(now_ + cost, x, step::seek);
    }
  }
  x.m.next_p = nullptr;
  put_idle_m_locked(&x.m);
  x.slept_at = now_ + cost;
}

void simulation::found(machine& x, picked next, std::int64_t at) {
  if (x.m.spinning) at += end_spin(x, x.m.p->id, at);
  start(x, next, at + how_.ns.switch_to);
}

// As take_over.
void simulation::start(machine& x, picked next, std::int64_t at) {
  P& p = *x.m.p;
  task& t = *static_cast<task*>(next.g->tag);
  if (t.now != task::state::runnable)
    throw std::runtime_error("G " + std::to_string(t.id) + " was found on a queue and is not runnable");
  t.now = task::state::running;
  if (t.on_p != p.id) at += 2 * how_.ns.line;  // its descriptor, and its task
  t.on_p = p.id;
  next.g->runnable_since.store(0, relaxed);
  next.g->m = &x.m;
  x.running = &t;
  p.run_start.store(static_cast<std::uint64_t>(at), relaxed);
  add_own(p.count.switches, std::uint64_t{1});
  if (!next.inherit) {
    begin_slice(&p, next.g, static_cast<std::uint64_t>(at), next.woken);
    at += lines_.write(p.id, p.id, lines::slice);
  }
  x.busy_until = at;
  if (first_g_[p.id] == 0) first_g_[p.id] = at;
  if (!t.begun) {
    waits_.push_back(at - t.since);
    begun(t, p);
  }
  if (t.children != 0) return plan(at + how_.ns.spawn, x, step::spawn);
  busy_[p.id] += t.work;
  plan(at + t.work, x, step::end);
}

bool simulation::slice_is_over(const P& p) const {
  return static_cast<std::uint64_t>(now_) - p.slice_start.load(relaxed) >= p.slice_length.load(relaxed) &&
         work_waits_for(p);
}

// The G that runs there stops. What becomes of it is done once the next is picked, as behind the real switch. sysmon is
// never late here.
void simulation::leave(machine& x, left why) {
  P& p = *x.m.p;
  G* const g = x.running->g;
  if (slice_is_over(p)) p.request.store(p.schedtick.load(relaxed), relaxed);
  picked next;
  x.running = nullptr;
  std::int64_t cost = pick(x, now_, next);
  if (why == left::for_new) cost += put_local_g(x, now_ + cost, g, true);
  if (why == left::preempted) cost += put_global_g(p.id, now_ + cost, g);
  if (why == left::ended && how_.what != workload::churn) cost += put_descriptor(x, now_ + cost, g);
  cost += how_.ns.switch_to;
  next.g ? start(x, next, now_ + cost) : plan(now_ + cost, x, step::seek);
}

}  // namespace urge::sim
