// SPDX-License-Identifier: MIT
// Asking for a preemption. Context: sched.watching held: one at a time, by sysmon or a thread that has woken a G.
#include "preempt/handler.hpp"
#include "preempt/preempt.hpp"
#include "sched/sanitizer.hpp"

extern "C" void urge_morestack();

namespace urge::preempt {

namespace {
// Nothing here calls it. A module that is loaded later may, and shall find it in a program with the static library.
[[gnu::used]] void (*const kept_for_modules)() = urge_morestack;

void want_yield(M* m) noexcept {
  // Whatever block the M runs under at this moment; if it has changed when we write, some other G looks once in vain.
  identity* id = m->bound.load(relaxed);
  if (!id) return;
  __atomic_store_n(id->yield_wanted, 1u, __ATOMIC_RELAXED);
  // g0 passes all entries. In kernel_thread mode the signal alone stops.
  if (!sanitizer::on && entries_checked.load(relaxed) && id != m->base && !sched.threads_stay())
    arch::set_entry_limit(id->base, arch::no_entry_passes);
}
void signal(M* m, std::uint32_t why) noexcept {
  const int tid = m->tid.load(acquire);  // [m.tid] acquire: the M is set up
  if (tid == 0 || !shared.installed.load(relaxed)) return;
  shared.sending.store(1, seq_cst);                // [exec] seq_cst: before the look at `execs`, see exec.cpp
  if (shared.execs.load(seq_cst) == 0) {           // [exec]
    m->signal_pending.store(why, release);         // [signal.pending] release: the request, for the handler
    os::tgkill(tid, shared.signal.load(relaxed));  // ESRCH: it has just ended, and needs no preemption
  }
  shared.sending.store(0, release);  // [exec] release: it is sent
}
}  // namespace

void request(P& p, std::uint32_t tick, std::int64_t slice_end_ns, bool by_signal, bool awake) noexcept {
  p.slice_end_ns.store(slice_end_ns, relaxed);
  p.request.store(tick, relaxed);  // read after the yield word or in the handler; dies with the slice
  summon(p, by_signal, awake);
}

void summon(P& p, bool by_signal, bool awake) noexcept {
  M* m = p.m.load(acquire);  // [p.m] acquire: the M. It may have lost the P since: then the handler finds no request
  if (!m) return;
  want_yield(m);
  if (by_signal) signal(m, awake ? M::sent_awake : M::sent);
}

void contain(M& m) noexcept {
  want_yield(&m);
  if (sched.stopping.load(relaxed) || sched.how.preempt == preempt_mode::async || sched.threads_stay())
    signal(&m, sched.stopping.load(relaxed) ? M::sent : M::sent_awake);
}

}  // namespace urge::preempt
