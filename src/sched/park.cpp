// SPDX-License-Identifier: MIT
// Stopping and going on: a G that waits, gives way, is preempted or ends; and making a waiting one runnable.
// All run on the G's own stack with locks > 0, pick the next G themselves and switch straight to it; g0 is only visited
// when this P has nothing to run.
#include "sched/sched.hpp"
#include "sched/switch.hpp"
#include "sched/waitq.hpp"

namespace urge {

namespace {

// Leaves `g` for whatever comes next on this M. A G that parks still holds the lock of what it waits on, which a
// timer's function may need: then g0 fires the timer that is due, and goes on with its G.
[[gnu::always_inline]] inline void leave_for_next(G* g, std::uint64_t now, after_switch after,
                                                  bool locked = false) noexcept {
  M* m = g->m;
  account(g, now);
  const bool timer = m->p && timers_are_next(m->p, now);
  if (timer && !locked) fire_due_timer(m->p);
  if ((g->own || g->pthread_locks.load(relaxed) != 0) && !g->stopped_by_signal && g->thread_locks == 0) [[unlikely]]
    hook.settle_identity(*m, *g);
  picked next;
  if (g->keeps_m) [[unlikely]] {
    if (g->status.load(relaxed) == g_status::dead)
      m->ends = true;  // m_loop
    else
      stay_on_m(m, g);
  } else {
    if (!timer || !locked) next = pick_next(m);
    if (next.g && next.g->home) [[unlikely]]
      m->to_pass = std::exchange(next, {});
    if (next.g) take_over(m, next, now);
  }
  if (g->has_thread_state) [[unlikely]]
    put_back_thread_state(m, g);
  switch_to(m, g, next.g, after);
  if (g->has_thread_state) [[unlikely]]
    take_thread_state(g);
}

// After the switch: the G may be given to others.
void publish_global(M*, G* g, void*) noexcept {
  set_status(g->status, g_status::preempted, g_status::runnable);
  put_global(g);
  wake_p();
}
void publish_preempted(M*, G* g, void*) noexcept {
  set_status(g->status, g_status::preempted, g_status::runnable);
  put_preempted(g);
  wake_p(false);
}
// It was asked to give way for a woken one, and goes on with the rest of its slice when that has run.
void publish_next(M* m, G* g, void*) noexcept {
  set_status(g->status, g_status::preempted, g_status::runnable);
  m->p ? put_local(m->p, g, true) : put_global(g);
  wake_p();
}
void publish_local(M* m, G* g, void*) noexcept {
  set_status(g->status, g_status::preempted, g_status::runnable);
  put_local(m->p, g, false);
  wake_p();
}
void publish_behind_new(M* m, G* g, void*) noexcept {
  set_status(g->status, g_status::preempted, g_status::runnable);
  if (!m->p->spawned.push_oldest(g)) put_local(m->p, g, false);
  wake_p();
}
void keep_back(M* m, G* g, void*) noexcept {
  // What it holds stays behind: stack, identity and whatever they refer to are kept until the run ends.
  set_status(g->status, g_status::preempted, g_status::dead);
  sched.n_kept_back.fetch_add(1, relaxed);
  // Its stack pointer, unless it stands on another stack, or is lost with a fault.
  const std::uintptr_t sp = g->stopped_by_signal && g->saved ? arch::registers_of_preempted(g->saved).sp()
                                                             : reinterpret_cast<std::uintptr_t>(g->context);
  const auto top = reinterpret_cast<std::uintptr_t>(g->stk.top());
  sched.kept_back_bytes.fetch_add(g->stk.holds(sp) ? top - sp : g->stk.size, relaxed);
  g->kept_back = true;
  if (g->stopped_by_signal) sched.n_interrupted.fetch_sub(1, relaxed);
  if (g->job) finish_task(g, detail::outcome::killed);
  count_end(m, g, detail::outcome::killed);
}

// Its call of run_for, or of resume, comes back.
void pause(M* m, G* g, void*) noexcept {
  g->reason.store(wait_reason::paused, relaxed);
  g->waiting_since.store(ticks(), relaxed);
  set_status(g->status, g_status::preempted, g_status::waiting);
  detail::task& t = *g->job;
  gqueue woken;
  bool killed;
  {
    std::lock_guard hold(lock_of(t.joiners));
    killed = g->doomed.load(relaxed) != doom::none;
    t.paused = !killed;
    while (waiter* w = killed ? nullptr : pop(t.joiners)) woken.push_back(w->record->g);
  }
  if (killed) {
    set_pause(g, 0);
    g->reason.store(wait_reason::none, relaxed);
    set_status(g->status, g_status::waiting, g_status::runnable);
    put_global(g);
    if (m->p) wake_p();
  }
  while (G* j = woken.pop_front()) ready(j);
}

// Is the G that a signal has stopped here to be killed? While an exception unwinds it it has a second to come to its
// end.
bool is_to_be_killed(const G* g) noexcept {
  const doom why = g->doomed.load(relaxed);
  if (why == doom::none || !g->stopped_by_signal) return false;
  return why != doom::unwinding || g->cpu.load(relaxed) - g->doomed_at >= ns_to_ticks(1'000'000'000);
}
bool at_its_limit(const G* g, std::uint64_t patience) noexcept {
  return g->cpu_limit != 0 && g->cpu.load(relaxed) >= g->cpu_limit + patience;
}

// Does it end here, for it is to be killed or has used up its CPU time? Inside libc it may hold a lock: it goes on
// until it is out of there. One that is at its limit and still inside a second later stands still for good where it is.
bool ends_here(G* g) noexcept {
  if (!g->job) return false;  // its end is told already: see run_job
  if (!is_to_be_killed(g) && !at_its_limit(g, 0)) return false;
  if (hook.may_end(*g) || at_its_limit(g, ns_to_ticks(1'000'000'000))) return true;
  if (g->stopped_by_signal) hook.stop_behind_libc(*g);
  return false;
}

// A slice that has run out: always to the end of the global queue, so that Ps with many Gs share with those with few.
void preempt(G* g, std::uint64_t now) noexcept {
  // In a slice that it has inherited it may have run for a moment only.
  const std::uint64_t ran_at_once = now - g->run_start.load(relaxed);
  g->m->p->ran_at_once = ran_at_once;
  const bool used_up = ran_at_once >= sched.min_slice;
  account(g, now);
  set_status(g->status, g_status::running, g_status::preempted);
  g->runnable_since.store(now, relaxed);
  g->lets_new_run = true;
  auto then = used_up ? publish_preempted : publish_global;
  P* const p = g->m->p;
  if (const std::uint64_t ran = now - p->slice_start.load(relaxed), length = p->slice_length.load(relaxed);
      ran < length && p->stop_slice.load(relaxed) == p->schedtick.load(relaxed) && !p->woken_slice.load(relaxed)) {
    p->gave_way.store(now, relaxed);
    g->slice_left = std::max(length - ran, ns_to_ticks(20'000));
    g->given = p->given.load(relaxed);
    then = publish_next;
  }
  if (ends_here(g))
    then = keep_back;
  else if (g->job && g->pause_at != 0 && g->cpu.load(relaxed) >= g->pause_at)
    then = pause;
  leave_for_next(g, now, {nullptr, then, nullptr});
}

}  // namespace

void park(G* g, wait_reason why, void (*unlock)(M*, G*, void*) noexcept, void* arg) noexcept {
  const std::uint64_t now = ticks();
  g->reason.store(why, relaxed);
  g->waiting_since.store(now, relaxed);
  set_status(g->status, g_status::running, g_status::waiting);
  leave_for_next(g, now, {nullptr, unlock, arg}, true);
}

void ready(G* g) noexcept {
  g->reason.store(wait_reason::none, relaxed);
  g->runnable_since.store(ticks(), relaxed);
  set_status(g->status, g_status::waiting, g_status::runnable);
  M* m = current_m();
  if (!m || !m->p) {
    gqueue one;
    one.push_back(g);
    return put_woken(one);
  }
  P* p = m->p;
  // An M that fires a timer on g0 will run the first G by itself, at once: no other need be woken for it.
  const bool ours = sched.how.model == sched_model::gmp && !current_g() && !p->has_work();
  put_local(p, g, true);
  if (!ours) wake_p();
}

void give_way(G* g, bool to_global) noexcept {
  M* m = g->m;
  if (!all_shall_stop() && !work_waits_for(*m->p)) return;
  const std::uint64_t now = ticks();
  set_status(g->status, g_status::running, g_status::preempted);
  g->runnable_since.store(now, relaxed);
  leave_for_next(g, now, {nullptr, to_global ? publish_global : publish_local, nullptr});
}

// Without preemption nobody else gets a P between two waits of its G. One that holds a lock, or an identity of its own,
// would be in others' way.
void let_new_run(G* g) noexcept {
  g->n_started = 0;
  if (!g->lets_new_run || g->m->p->spawned.size() < many_new || sched.how.preempt == preempt_mode::off ||
      g->locks.load(relaxed) != 1 || g->pthread_locks.load(relaxed) != 0 || g->own || g->thread_locks != 0)
    return;
  const std::uint64_t now = ticks();
  set_status(g->status, g_status::running, g_status::preempted);
  g->runnable_since.store(now, relaxed);
  leave_for_next(g, now, {nullptr, publish_behind_new, nullptr});
}

namespace {
// And not a stop for the end of the run, or for the world.
bool is_preemption(const P& p) noexcept { return !sched.stopping.load(relaxed) && p.preempt_wanted(); }
void count_cooperative(G* g) noexcept {
  P* p = g->m->p;
  if (!is_preemption(*p)) return;
  add_own(p->count.cooperative, std::uint64_t{1});
  add_own(g->n_cooperative, std::uint64_t{1});
  add_preempt_latency(monotonic_ns() - p->slice_end_ns.load(relaxed));
}
void leave_interrupted(G* g) noexcept {
  begin_interruption(g);
  preempt(g, ticks());
  end_interruption(g);
}
}  // namespace

void preempt_by_flag(G* g) noexcept {
  count_cooperative(g);
  preempt(g, ticks());
}

void preempt_at_entry(G* g) noexcept {
  count_cooperative(g);
  leave_interrupted(g);
}

void preempt_by_signal(G* g, stop_place where) noexcept {
  M* const m = g->m;
  P* p = m->p;
  const bool counted = is_preemption(*p);
  if (counted) {
    const bool parks = sched.threads_stay();
    add_own(parks ? p->count.kernel_thread : p->count.async, std::uint64_t{1});
    add_own(parks ? g->n_kernel_thread : g->n_async, std::uint64_t{1});
    add_own(p->count.stops[static_cast<std::size_t>(where)], std::uint64_t{1});
    if (g->pthread_locks.load(relaxed) != 0) add_own(p->count.stops_under_lock, std::uint64_t{1});
    add_preempt_latency(monotonic_ns() - p->slice_end_ns.load(relaxed));
  }
  leave_interrupted(g);
  if (counted && g->m != m) add_own(g->m->p->count.resumed_elsewhere, std::uint64_t{1});
}

// Only here an exception may leave the runtime for the G's own code: wherever it would pass a function of ours that is
// noexcept, or that holds a lock, the caller asks later.
void unwind_if_doomed(G* g) {
  if (!g || g->doomed.load(relaxed) != doom::wanted) [[likely]]
    return;
  add_own(g->locks, 1u);
  std::atomic_signal_fence(seq_cst);  // as in enter
  settle_here(g);
  begin_unwinding(g);
  leave_without_yield(g);
  unwind(g);
}

bool begin_unwinding(G* g) noexcept {
  if (!g || g->doomed.load(relaxed) != doom::wanted) [[likely]]
    return false;
  account(g, ticks());
  g->doomed_at = g->cpu.load(relaxed);
  g->doomed.store(doom::unwinding, relaxed);
  return true;
}

void unwind(G* g) {
  hook.go_on_behind_libc(*g);
  throw detail::unwind_g{true};
}

void stand_still(G* g) noexcept {
  const std::uint64_t now = ticks();
  account(g, now);
  set_status(g->status, g_status::running, g_status::preempted);
  leave_for_next(g, now, {nullptr, keep_back, nullptr});
  __builtin_unreachable();
}

namespace {
void free_after_switch(M* m, G* g, void*) noexcept { release_g(m, g); }
}  // namespace

void end_g(G* g) noexcept {
  set_status(g->status, g_status::running, g_status::dead);
  sanitizer::ending(g);
  leave_for_next(g, ticks(), {nullptr, free_after_switch, nullptr});
  __builtin_unreachable();
}

}  // namespace urge
