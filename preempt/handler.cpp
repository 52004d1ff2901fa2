// SPDX-License-Identifier: MIT
// The signal handler: all the code that runs in it, but for the few instructions of arch/*/interrupted.cpp.
// Rules of this file: no allocation; no lock but one try; no libc but what inlines to nothing; TLS only by the
// single-instruction accessors; no statics with guards; errno untouched (system calls are issued directly). What it
// reads and writes: G::locks, guards, status, own, stk, sigmask (the G's own, and this is
// its thread); M::signal_pending, p, next_loan, grace_*, alt_stack; P::request, schedtick; the pool under its lock;
// `shared`. It may interrupt any instruction of a G, of g0, or of a thread that is none of ours.
#include "preempt/handler.hpp"

#include "preempt/identity_pool.hpp"
#include "preempt/text_ranges.hpp"

#pragma GCC poison malloc free calloc printf fprintf abort exit

namespace urge::preempt {

shared_with_handler shared;

namespace {

void defer(defer_reason why) noexcept {
  // Several Ms may count at once; a lock-free addition is all right here.
  shared.deferred[static_cast<std::size_t>(why)].fetch_add(1, relaxed);
}

// The three checks after arrival: the sender looked a while ago.
// Is this M still at work for a P, or has it gone into a system call?
bool p_is_ours(const M* m) noexcept { return m->p != nullptr; }
// Does the slice that was to end still run? (A request dies with its slice.) At the end of a run all are to stop.
bool still_wanted(const M* m) noexcept { return m->p->preempt_wanted() || sched.stopping.load(relaxed); }
// Does the user's code of a G run here, and not the scheduler?
bool a_g_runs(const G* g) noexcept { return g != nullptr && g->status.load(relaxed) == g_status::running; }

// Inside libc, the loader or the unwinder a short lock is often held: the first two requests of a slice are put off.
bool grace(M* m, std::uintptr_t pc) noexcept {
  if (!in_system_text(pc)) return false;
  if (sched.stopping.load(relaxed)) return ticks() < sched.let_out_until.load(relaxed);
  const std::uint32_t tick = m->p->schedtick.load(relaxed);
  if (m->grace_tick != tick) m->grace_tick = tick, m->grace_count = 0;
  return m->grace_count++ < 2;
}

bool on(const char* low, std::size_t bytes, std::uintptr_t sp) noexcept {
  const auto from = reinterpret_cast<std::uintptr_t>(low);
  return sp >= from && sp < from + bytes;
}

char* async_sp() noexcept {
  char* top;
  asm volatile(
      "movq urge_async_sp@gottpoff(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(top));
  return top;
}

void preempt_here(M* m, void* uc) noexcept {
  G* g = current_g();
  if (!p_is_ours(m) || !still_wanted(m)) return;
  if (!a_g_runs(g)) return defer(defer_reason::in_runtime);
  if (const std::uint32_t locks = g->locks.load(relaxed); locks != 0)
    return defer(g->guards.load(relaxed) == locks ? defer_reason::guarded : defer_reason::in_runtime);
  const std::uintptr_t pc = arch::interrupted_pc(uc), sp = arch::interrupted_sp(uc);
  constexpr std::size_t save_stack = 48 * 1024;
  if (arch::in_trampoline(pc) || on(async_sp() - save_stack, save_stack + 1, sp))
    return defer(defer_reason::trampoline);
  if (on(m->alt_stack, alt_stack_bytes, sp)) return defer(defer_reason::in_handler);
  if (g->stk.holds(sp) && sp - reinterpret_cast<std::uintptr_t>(g->stk.low) < arch::redirect_room)
    return defer(defer_reason::no_room);
  if (grace(m, pc)) return defer(defer_reason::grace);
  if (!g->own && !sched.stopping.load(relaxed)) {
    m->next_loan = pool.try_take_to_carry();
    if (pool.low()) call_maker();
    if (!m->next_loan) return defer(defer_reason::no_identity);
  }
  g->sigmask = arch::interrupted_sigmask(uc);
  g->locks.store(1, relaxed);  // from here on it is the runtime's, until the landing gives it back
  arch::redirect_to_trampoline(uc);
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
  // While Gs are let out of libc, signals come from a timer of the one thread that runs them.
  if (m->signal_pending.exchange(0, acquire) == 0 && sched.let_out_until.load(relaxed) == 0)
    return;  // [signal.pending] acquire: the request
  preempt_here(m, uc);
}

}  // namespace urge::preempt
