// SPDX-License-Identifier: MIT
// The account of those that go before others because they were woken (docs/protocols/wakeup.md): they may use
// `wakeup_share` percent of a P's time, and one slice in advance. What their slices last is a debt of the P, which the
// others' slices pay off. It is reckoned in ticks, and put right by the thread's CPU time: what the kernel has given to
// other threads meanwhile was nobody's share, and those that woken Gs serve get theirs at just these moments. That
// takes a system call, so it is done only before Gs are turned away, and as they come behind others that have run for
// some time. In between, and where the P has changed hands, ticks must do.
// Context: the P's owner; debt_at and lost_in_woken_slice also sysmon, which may see it torn.
#include <algorithm>

#include "sched/sched.hpp"

namespace urge {

namespace {
// Where nobody else has anything to do, woken Gs have all the time; nobody who comes later has a claim to that.
constexpr std::uint64_t most_debt = 4;  // slices
}  // namespace

std::uint64_t debt_at(const P& p, std::uint64_t now) noexcept {
  const std::uint64_t debt = p.woken_debt.load(relaxed), from = p.debt_from.load(relaxed);
  const std::uint64_t share = sched.how.wakeup_share, ran = now > from ? now - from : 0;
  if (share >= 100) return 0;
  if (p.woken_slice.load(relaxed)) return std::min(debt + ran, most_debt * sched.woken_slice);
  return debt - std::min(debt, ran * share / (100 - share));
}

namespace {
// Ticks since the mark in which the thread, which has used `cpu` ns in all, had no CPU.
std::uint64_t lost_since_mark(const P& p, std::uint64_t now, std::int64_t cpu) noexcept {
  const std::int64_t used_ns = cpu - p.mark_cpu.load(relaxed);
  if (used_ns < 0) return 0;  // the mark is another's by now
  const std::uint64_t passed = now - p.mark_tick.load(relaxed), used = ns_to_ticks(used_ns);
  return passed > used ? passed - used : 0;
}
}  // namespace

void settle_share(P& p, const M* m, std::uint64_t now, bool by_cpu_time) noexcept {
  const std::uint64_t from = p.debt_from.load(relaxed);
  std::uint64_t until = now;
  if (by_cpu_time && !sched.threads_stay()) {  // there the P has another thread after each stop
    const std::int64_t cpu = os::own_cpu_ns();
    if (p.mark_m.load(relaxed) == m) until -= std::min(lost_since_mark(p, now, cpu), now - from);
    p.mark_m.store(m, relaxed), p.mark_cpu.store(cpu, relaxed), p.mark_tick.store(now, relaxed);
  }
  p.woken_debt.store(debt_at(p, until), relaxed);
  p.debt_from.store(now, relaxed);
}

std::uint64_t lost_in_woken_slice(const P& p, std::uint64_t now) noexcept {
  const M* m = p.m.load(acquire);  // [p.m]
  if (!m || !p.woken_slice.load(relaxed) || p.mark_m.load(relaxed) != m) return 0;
  if (p.mark_tick.load(relaxed) != p.slice_start.load(relaxed)) return 0;
  const std::int64_t cpu = os::thread_cpu_ns(m->tid.load(relaxed));
  return cpu > 0 ? lost_since_mark(p, now, cpu) : 0;
}

void leave_share(P& p) noexcept {
  p.mark_m.store(nullptr, relaxed);
  settle_share(p, nullptr, ticks(), false);
}

bool may_take_woken_here(P& p) noexcept {
  const std::uint64_t now = ticks();
  if (may_take_woken(p, now)) return true;
  if (now - p.mark_tick.load(relaxed) < sched.least_run) return false;
  settle_share(p, p.m.load(relaxed), now, true);
  return may_take_woken(p, now);
}

}  // namespace urge
