// SPDX-License-Identifier: MIT
// The signal handler: all the code that runs in it, but for the few instructions of arch/*/interrupted.cpp.
// Rules of this file: no allocation; no lock but one try; no libc but what inlines to nothing; TLS only by the
// single-instruction accessors; no statics with guards; errno untouched (system calls are issued directly). What it
// reads and writes: G::locks, guards, status, own, stk, sigmask, alt_* (the G's own, and this is its thread); M::tid,
// signal_pending, p, next_loan, successor, grace_*, alt_stack, slice_timer*, bound; P::request, schedtick, slice_*, and
// what waits for it; the pool and the idle Ms under their locks; `shared`. It may interrupt any instruction of a G, of
// g0, or of a thread that is none of ours.
#include "preempt/handler.hpp"

#include <sys/syscall.h>

#include "preempt/identity_pool.hpp"
#include "preempt/text_ranges.hpp"

#pragma GCC poison malloc free calloc printf fprintf abort exit

namespace urge::preempt {

shared_with_handler shared;

namespace {

void defer(defer_reason why) noexcept { shared.defer(why); }
bool refuse(defer_reason why) noexcept {
  defer(why);
  return false;
}

// The three checks after arrival: the sender looked a while ago.
// Does the slice that was to end still run? (A request dies with its slice.) At the end of a run, and for the world,
// all are to stop.
bool still_wanted(const M* m) noexcept { return m->p->preempt_wanted() || all_shall_stop(); }

// Inside libc, the loader or the unwinder a short lock is often held: the first two requests of a slice are put off.
bool grace(M* m, const void* uc, bool without_p) noexcept {
  if (!in_system_text(arch::interrupted_pc(uc))) return false;
  // The one that is let out runs until its turn is over, but for one that sleeps: it waits for another one's turn.
  if (sched.stopping.load(relaxed))
    return ticks() < sched.let_out_until.load(relaxed) && !arch::interrupted_system_call(uc);
  if (without_p) return false;
  const std::uint32_t tick = m->p->schedtick.load(relaxed);
  if (m->grace_tick != tick) m->grace_tick = tick, m->grace_count = 0;
  return m->grace_count++ < 2;
}

// Shall the G, whose locks we hold, stop here, and may it? From here on it has its P, or runs without one.
bool stop_here(M* m, G* g, void* uc) noexcept {
  const g_status s = g->status.load(relaxed);
  const bool without_p = s == g_status::syscall && m->detached.load(relaxed);
  // Announced system calls are left alone; of one that is `suspect` sysmon will think again.
  if (s != g_status::running && !without_p) return false;
  if (!without_p && !still_wanted(m)) return false;
  const std::uintptr_t pc = arch::interrupted_pc(uc), sp = arch::interrupted_sp(uc);
  if (arch::in_trampoline(pc) || on_save_stack(sp)) return refuse(defer_reason::trampoline);
  if (on_stack(m->alt_stack, alt_stack_bytes, sp) || (g->alt_low && on_stack(g->alt_low, g->alt_size, sp)))
    return refuse(defer_reason::in_handler);
  if (g->stk.holds(sp) && sp - reinterpret_cast<std::uintptr_t>(g->stk.low) < arch::redirect_room)
    return refuse(defer_reason::no_room);
  if (grace(m, uc, without_p)) return refuse(defer_reason::grace);
  if (sched.stopping.load(relaxed) || (without_p && stays_on_thread(*g))) return true;
  return draw_what_it_takes(*m, *g) || refuse(defer_reason::no_identity);
}

void preempt_here(M* m, void* uc) noexcept {
  G* g = current_g();
  if (!g) {
    if (m->p && still_wanted(m)) defer(defer_reason::in_runtime);
    return;
  }
  if (const std::uint32_t locks = g->locks.load(relaxed); locks != 0) {
    if (g->guards.load(relaxed) != locks) return defer(defer_reason::in_runtime);
    // A signal that comes late, for a slice before, puts off nothing.
    if (!m->p || still_wanted(m)) defer(defer_reason::guarded);
    return;
  }
  g->locks.store(1, relaxed);         // from here on it is the runtime's, until the landing gives it back
  std::atomic_signal_fence(seq_cst);  // [detach] the lock; look at the status
  if (!stop_here(m, g, uc)) {
    g->locks.store(0, relaxed);
    return;
  }
  g->sigmask = arch::interrupted_sigmask(uc);
  arch::redirect_to_trampoline(uc);
}

void set_slice_timer(M* m, std::int64_t after_ns) noexcept {
  m->slice_timer_runs.store(true, relaxed);
  os::set_thread_timer(m->slice_timer, after_ns);
}

// The timer of this thread has gone off. Has its slice come to its end, and does somebody wait? Then it is asked for,
// as sysmon does it. Else the timer is set for the end of this slice, or waits for the next: sysmon sees to who comes
// late.
bool slice_is_over(M* m) noexcept {
  P* const p = m->p;
  if (!p || !work_waits_for(*p)) return false;
  const std::uint64_t ran = ticks() - p->slice_start.load(relaxed), length = p->slice_length.load(relaxed);
  if (ran < length) {
    set_slice_timer(m, ticks_to_ns(length - ran));
    return false;
  }
  const std::uint32_t tick = p->schedtick.load(relaxed);
  if (p->request.load(relaxed) != tick) {
    timespec now;
    os::syscall6(SYS_clock_gettime, CLOCK_MONOTONIC, reinterpret_cast<long>(&now));
    p->slice_end_ns.store(now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec - ticks_to_ns(ran - length), relaxed);
    p->request.store(tick, relaxed);
    shared.slices_ended.fetch_add(1, relaxed);
  }
  if (identity* id = m->bound.load(relaxed)) __atomic_store_n(id->yield_wanted, 1u, __ATOMIC_RELAXED);
  return true;
}

// A call that never restarts has come back with EINTR because of our signal. Its thread ran when the signal was sent,
// some microseconds ago: so the call had only just begun, and is begun anew, as those that do restart. Not where the
// EINTR may be another signal's: that signal's handler would have held ours off until its return, which brings us to
// the same instruction. What it has left on the stack shows that; on an alternate stack our own frame has taken its
// place.
bool is_ours_alone(const M* m, const void* uc) noexcept {
  if (!shared.users_handlers.load(relaxed)) return true;
  const G* g = current_g();
  if (!g || shared.users_handlers_elsewhere.load(relaxed) || g->m != m) return false;
  return g->stk.holds(arch::interrupted_sp(uc)) &&
         !arch::handler_has_returned(uc, reinterpret_cast<std::uintptr_t>(g->stk.low));
}
void spare_the_call(const M* m, std::uint32_t why, void* uc) noexcept {
  const bool again = why == M::sent_awake && is_ours_alone(m, uc) && arch::begin_call_anew(uc);
  if (!current_g()) return;  // an M's own, which sleeps on
  (again ? shared.calls_begun_anew : shared.calls_interrupted).fetch_add(1, relaxed);
}

// OOB data on a socket and other senders use the signal too, and the kernel merges two of them into one: so its owner
// is always told. It comes first: it may look at the context, and may even leave by siglongjmp.
void chain(int signal, siginfo_t* info, void* uc) noexcept {
  const struct sigaction* other = shared.previous.load(acquire);  // [signal.previous] acquire: its contents
  if (!other) return;
  if (other->sa_flags & SA_SIGINFO)
    other->sa_sigaction(signal, info, uc);
  else if (other->sa_handler != SIG_DFL && other->sa_handler != SIG_IGN)
    other->sa_handler(signal);
}

}  // namespace

void urge_on_preempt_signal(int signal, siginfo_t* info, void* uc) noexcept {
  chain(signal, info, uc);
  M* m = current_m();
  if (!m) return;
  // A child of vfork runs in our memory, under our TLS: its signals are none of ours.
  if (os::syscall6(SYS_gettid) != m->tid.load(relaxed)) return;      // written by this thread
  const std::uint32_t why = m->signal_pending.exchange(0, acquire);  // [signal.pending] acquire: the request
  if (why != 0) m->last_sent = why;
  // A signal may come behind the handler of the one before, which has taken its word.
  if (info->si_code == SI_TKILL && arch::system_call_was_interrupted(uc)) spare_the_call(m, m->last_sent, uc);
  const bool by_timer = info->si_code == SI_TIMER && m->slice_timer >= 0;
  m->slice_timer_runs.store(false, relaxed);  // its signal may have been merged into this one
  if (by_timer && arch::system_call_was_interrupted(uc)) shared.calls_interrupted.fetch_add(1, relaxed);
  // While Gs are let out of libc, signals come from a timer of the one thread that runs them.
  if (why == 0 && !(by_timer && slice_is_over(m)) && sched.let_out_until.load(relaxed) == 0) return;
  preempt_here(m, uc);
  // A refused request is repeated. In the runtime the flag is seen.
  if (by_timer && !m->slice_timer_runs.load(relaxed) && current_g() && current_g()->locks.load(relaxed) == 0)
    set_slice_timer(m, 50'000);
}

}  // namespace urge::preempt
