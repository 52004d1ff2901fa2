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
// timer's function may need: then timers that are due run on the other side.
[[gnu::always_inline]] inline void leave_for_next(G* g, std::uint64_t now, after_switch after,
                                                  bool locked = false) noexcept {
  M* m = g->m;
  account(g, now);
  if (m->p) {
    if (locked)
      after.timers = m->p->clock.next_tick.load(relaxed) <= now;
    else
      run_due_timers(m->p, now);
  }
  if ((g->own || g->pthread_locks.load(relaxed) != 0) && !g->stopped_by_signal) [[unlikely]]
    hook.settle_identity(*m, *g);
  const picked next = pick_next(m);
  if (next.g) take_over(m, next, now);
  if (g->has_sigmask) [[unlikely]]
    os::set_signal_mask(m->sigmask);
  switch_to(m, g, next.g, after);
  if (g->has_sigmask) [[unlikely]]
    os::set_signal_mask(g->sigmask);
}

// After the switch: the G may be given to others.
void publish_global(M*, G* g, void*) noexcept {
  set_status(g->status, g_status::preempted, g_status::runnable);
  put_global(g);
  wake_p();
}
void publish_local(M* m, G* g, void*) noexcept {
  set_status(g->status, g_status::preempted, g_status::runnable);
  put_local(m->p, g, false);
  wake_p();
}
void keep_back(M* m, G* g, void*) noexcept {
  // What it holds stays behind: stack, identity and whatever they refer to are kept until the run ends.
  set_status(g->status, g_status::preempted, g_status::dead);
  sched.n_kept_back.fetch_add(1, relaxed);
  // Its stack pointer, unless it stands on another stack.
  const auto* sp = static_cast<const char*>(g->context);
  const bool there = g->stk.holds(reinterpret_cast<std::uintptr_t>(sp));
  sched.kept_back_bytes.fetch_add(there ? static_cast<std::uint64_t>(g->stk.top() - sp) : g->stk.size, relaxed);
  finish_task(g, detail::outcome::killed);
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

// May the G that a signal has stopped here be left here for good, for it is to be killed? While an exception unwinds it
// it has a second to come to its end.
bool dies_here(const G* g) noexcept {
  const doom why = g->doomed.load(relaxed);
  if (why == doom::none || !g->stopped_by_signal) return false;
  if (why == doom::unwinding && g->cpu.load(relaxed) - g->doomed_at < ns_to_ticks(1'000'000'000)) return false;
  return hook.may_end(*g);
}

// Has the G used up its CPU time, and may it be ended here? Inside libc it may hold a lock: it goes on until it is out
// of there; one that is still inside a second later stands still for good where it is.
bool at_its_limit(const G* g) noexcept {
  if (g->cpu_limit == 0) return false;
  const std::uint64_t used = g->cpu.load(relaxed);
  return used >= g->cpu_limit && (hook.may_end(*g) || used - g->cpu_limit >= ns_to_ticks(1'000'000'000));
}

// A slice that has run out: always to the end of the global queue, so that Ps with many Gs share with those with few.
void preempt(G* g, std::uint64_t now) noexcept {
  account(g, now);
  set_status(g->status, g_status::running, g_status::preempted);
  g->runnable_since.store(now, relaxed);
  auto then = publish_global;
  if (dies_here(g) || at_its_limit(g))
    then = keep_back;
  else if (g->pause_at != 0 && g->cpu.load(relaxed) >= g->pause_at)
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
    put_global(g);
    return wake_p();
  }
  P* p = m->p;
  // An M that fires a timer on g0 will run the first G by itself, at once: no other need be woken for it.
  const bool ours =
      sched.how.model == sched_model::gmp && !current_g() && !p->runnext.load(relaxed) && p->queue.size() == 0;
  put_local(p, g, true);
  if (!ours) wake_p();
}

void give_way(G* g, bool to_global) noexcept {
  M* m = g->m;
  if (!sched.stopping.load(relaxed) && !work_waits_for(*m->p)) return;
  const std::uint64_t now = ticks();
  set_status(g->status, g_status::running, g_status::preempted);
  g->runnable_since.store(now, relaxed);
  leave_for_next(g, now, {nullptr, to_global ? publish_global : publish_local, nullptr});
}

void preempt_by_flag(G* g) noexcept {
  P* p = g->m->p;
  if (!sched.stopping.load(relaxed)) {
    add_own(p->count.cooperative, std::uint64_t{1});
    add_own(g->n_cooperative, std::uint64_t{1});
    add_preempt_latency(monotonic_ns() - p->slice_end_ns.load(relaxed));
  }
  preempt(g, ticks());
}

void preempt_by_signal(G* g) noexcept {
  P* p = g->m->p;
  if (!sched.stopping.load(relaxed)) {
    add_own(p->count.async, std::uint64_t{1});
    add_own(g->n_async, std::uint64_t{1});
    add_preempt_latency(monotonic_ns() - p->slice_end_ns.load(relaxed));
  }
  g->stopped_by_signal = true;
  preempt(g, ticks());
  g->stopped_by_signal = false;
}

// Only here an exception may leave the runtime for the G's own code: wherever it would pass a function of ours that is
// noexcept, or that holds a lock, the caller asks later.
void unwind_if_doomed(G* g) {
  if (!g || g->doomed.load(relaxed) != doom::wanted) [[likely]]
    return;
  g->doomed.store(doom::unwinding, relaxed);
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
