// SPDX-License-Identifier: MIT
// Asking for a preemption. Context: sysmon.
#include "preempt/handler.hpp"
#include "preempt/preempt.hpp"

namespace urge::preempt {

namespace {
void want_yield(M* m) noexcept {
  // Whatever block the M runs under at this moment; if it has changed when we write, some other G looks once in vain.
  if (identity* id = m->bound.load(relaxed)) __atomic_store_n(id->yield_wanted, 1u, __ATOMIC_RELAXED);
}
void signal(M* m) noexcept {
  const int tid = m->tid.load(acquire);  // [m.tid] acquire: the M is set up
  if (tid == 0 || !shared.installed.load(relaxed)) return;
  m->signal_pending.store(1, release);           // [signal.pending] release: the request, for the handler
  os::tgkill(tid, shared.signal.load(relaxed));  // ESRCH: it has just ended, and needs no preemption
}
}  // namespace

void request(P& p, std::uint32_t tick, std::int64_t slice_end_ns, bool by_signal) noexcept {
  p.slice_end_ns.store(slice_end_ns, relaxed);
  p.request.store(tick, relaxed);  // read after the yield word or in the handler; dies with the slice
  M* m = p.m.load(acquire);  // [p.m] acquire: the M. It may have lost the P since: then the handler finds no request
  if (!m) return;
  want_yield(m);
  if (by_signal) signal(m);
}

void summon(P& p) noexcept {
  M* m = p.m.load(acquire);  // [p.m]
  if (!m) return;
  want_yield(m);
  signal(m);
}

}  // namespace urge::preempt
