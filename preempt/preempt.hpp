// SPDX-License-Identifier: MIT
// How a G is stopped: the folder's front header. Its files in the order of the life of one request:
//   request.cpp        sysmon asks: flag in the P, yield word in the TLS block, signal to the M
//   handler.cpp        the signal arrives: refuse with a reason, or redirect the thread to the trampoline
//   (arch: async_preempt.S)  all registers are saved
//   landing.cpp        the G takes its identity along, the M the next one; the scheduler goes on
//   identity_pool.cpp  where identities come from
//   text_ranges.cpp    which code belongs to libc, the loader, the unwinder
//   lock_count.cpp     which Gs hold a lock of pthread
//   interpose.cpp      sigaction, sigprocmask, sigaltstack: what users may not take from us
//   fork.cpp           a child of fork has no runtime
//   exec.cpp           no signal of ours goes along to the next program
//   self.cpp           pthread_self() of a G: what libc would ask the kernel by an id that the kernel does not know
//   longjmp.cpp        a handler that is left by a jump leaves our signal blocked
//   setxid.cpp         setuid and its family are refused while a run is on
// A G is stopped at one of these points:
//   1. it stops by itself: waits, gives way, ends;
//   2. flag: at a yield point that sees that the slice has run out;
//   3. signal: anywhere else outside the runtime.
// Switching inside the handler was not chosen: it would need a signal frame, an alternate stack and a mask per stopped
// G, and a scheduler that is safe inside handlers. Protocol: docs/protocols/preempt_request.md.
#pragma once
#include <csignal>

#include "sched/sched.hpp"

namespace urge::preempt {

// Finds the text of libc and its like, tries the identity trick, installs the handler of `signal`.
// Returns 0 or -errno of sigaction. Context: outside a G, before the first M.
int install(int signal) noexcept;
void uninstall() noexcept;

// On the M's own thread, on g0: alternate stack, signal mask, loan. Part of hooks::m_start, m_stop.
void m_start(M&) noexcept;
void m_stop(M&) noexcept;

// Asks that slice number `tick` of P ends; with `by_signal` also by signal. Context: sched.watching held.
// `awake`: its thread was seen running a moment ago. Then a call that the signal interrupts all the same is begun anew.
void request(P&, std::uint32_t tick, std::int64_t slice_end_ns, bool by_signal, bool awake) noexcept;
// A thread whose P was taken as it slept has woken, and runs on without: it is to come to the scheduler. Context:
// sysmon.
void contain(M&) noexcept;
// Tells the P's M to come to the scheduler, whatever its slice. `awake` as above. Context: sysmon, while the run ends
// or the world stops.
void summon(P&, bool by_signal, bool awake) noexcept;

// Is this address in libc, the loader, libstdc++ or the unwinder?
bool in_libc(std::uintptr_t pc) noexcept;
// In the loader or the unwinder, whose functions need not return to where they were called?
bool leaves_by_jumps(std::uintptr_t pc) noexcept;

// sigaction as libc has it: what the users see is our own (interpose.cpp).
int kernel_action(int signal, const struct sigaction* act, struct sigaction* old) noexcept;

// From here on a child of fork has no runtime (fork.cpp). Context: the caller of `run`.
void watch_forks() noexcept;
// Preemption held off, for a G that stays in the system call it may be in. Null: no G calls.
inline G* hold_here() noexcept {
  G* g = current_g();
  if (g) add_own(g->locks, 1u);
  std::atomic_signal_fence(seq_cst);  // as in enter
  return g;
}
inline void let_go(G* g) noexcept {
  if (g) leave_without_yield(g);
}

std::uint64_t deferred(defer_reason) noexcept;
// System calls that have returned EINTR because of our signal; those that were begun anew instead.
std::uint64_t calls_interrupted() noexcept;
std::uint64_t calls_begun_anew() noexcept;
// Slices whose end an M's timer has seen: each of them a request, and a signal.
std::uint64_t slices_ended() noexcept;
void reset_counts() noexcept;

// --- identities ---
struct identity_counts {
  std::uint64_t made, free, carried, lost, retired, given_back;
};
identity_counts count_identities() noexcept;
// The bound on Gs that carry one.
void limit_carried(unsigned) noexcept;
// Makes `n` more of them; 0 or -errno. Context: the maker, or the caller of `run` before the first M.
int make_identities(unsigned n) noexcept;
// Makes as many as are wanted ahead of need. Context: the maker.
void refill_identities() noexcept;
void count_as_carried() noexcept;           // a loan that a G keeps, with nothing drawn in its place
identity* take_loan() noexcept;             // for a new M; null: none left
void give_back(G&) noexcept;                // what a G carried, or was promised, at its end
void give_back_unused(identity*) noexcept;  // drawn for a G that did not take it
// For a G's whole life: one of max_identities. False: all are carried.
bool reserve_identity() noexcept;
void unreserve_identity() noexcept;
// One that nobody has had, on no list; null: `error` is -errno of what failed. Context: the maker.
identity* make_fresh_identity(int& error) noexcept;
// Ends as threads those whose G has ended with them; does not wait for that. False: some have not ended yet, it is to
// be called again soon. Context: the maker, or the caller of `run` behind it.
bool retire_identities() noexcept;
// Waits for their ends, a second at most. Context: as above, no G runs any more.
void retire_all_identities() noexcept;
// Is that the thread of a donor that sleeps? Context: any.
bool is_parked_donor(int tid) noexcept;
// Is the bound on carried ones near?
bool few_left() noexcept;
// A G that stops by itself takes its M's identity along, for it holds a lock of pthread; or none is left, which is
// counted. A G that has `next` in exchange. A G that needs its own no more gives it back before its end.
void take_along(M&, G&) noexcept;
void promote(M&, G&, identity* next) noexcept;
void give_back_early(M&, G&) noexcept;
// In kernel_thread mode: the G, which holds a lock of pthread or has failed, keeps its thread. False: there is no other
// for the P, which is counted.
bool keep_thread(M&, G&) noexcept;
// Is this the address of something in the identity's block or on its stack?
bool points_into(const identity&, std::uintptr_t word) noexcept;
void give_back_loan(identity*) noexcept;
// An M ends. Its last G was locked to it, and so is nobody's after it: its loan ends as the identity of a thread does.
void end_loan(M&) noexcept;
// Likewise, and its G, which is locked to it, was stopped by signal: it stays the owner of what it runs under.
void leave_loan(M&, G&) noexcept;
void lose_thread() noexcept;             // likewise, in kernel_thread mode
void lose_identity(identity*) noexcept;  // its G was abandoned inside libc: nobody may use it again

}  // namespace urge::preempt
