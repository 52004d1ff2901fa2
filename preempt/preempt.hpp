// SPDX-License-Identifier: MIT
// How a G is stopped: the folder's front header. Its files in the order of the life of one request:
//   request.cpp        sysmon asks: flag in the P, yield word in the TLS block, signal to the M
//   handler.cpp        the signal arrives: refuse with a reason, or redirect the thread to the trampoline
//   (arch: async_preempt.S)  all registers are saved
//   landing.cpp        the G takes its identity along, the M the next one; the scheduler goes on
//   identity_pool.cpp  where identities come from
//   text_ranges.cpp    which code belongs to libc, the loader, the unwinder
//   lock_count.cpp     which Gs hold a lock of pthread
//   interpose.cpp      sigaction, sigprocmask: what users may not take from us
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

// Asks that slice number `tick` of P ends; with `by_signal` also by signal. Context: sysmon.
void request(P&, std::uint32_t tick, std::int64_t slice_end_ns, bool by_signal) noexcept;
// Tells the P's M to come to the scheduler, whatever its slice. Context: sysmon, while the run ends.
void summon(P&) noexcept;

// Is this address in libc, the loader, libstdc++ or the unwinder?
bool in_libc(std::uintptr_t pc) noexcept;

// sigaction as libc has it: what the users see is our own (interpose.cpp).
int kernel_action(int signal, const struct sigaction* act, struct sigaction* old) noexcept;

std::uint64_t deferred(defer_reason) noexcept;
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
// One that nobody has had, on no list; null: no memory or no thread. Context: the maker.
identity* make_fresh_identity() noexcept;
// Ends as threads those whose G has ended with them. Context: the maker.
void retire_identities() noexcept;
// Is the bound on carried ones near?
bool few_left() noexcept;
// A G that stops by itself takes its M's identity along, for it holds a lock of pthread; or none is left, which is
// counted. A G that has `next` in exchange. A G that needs its own no more gives it back before its end.
void take_along(M&, G&) noexcept;
void promote(M&, G&, identity* next) noexcept;
void give_back_early(M&, G&) noexcept;
// Is this the address of something in the identity's block or on its stack?
bool points_into(const identity&, std::uintptr_t word) noexcept;
// Looks up what lock_count.cpp stands before. Context: the caller of `run`.
void find_lock_functions() noexcept;
void give_back_loan(identity*) noexcept;
void lose_identity(identity*) noexcept;  // its G was abandoned inside libc: nobody may use it again

}  // namespace urge::preempt
