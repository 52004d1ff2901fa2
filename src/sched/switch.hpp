// SPDX-License-Identifier: MIT
// The switch from one context to another: a G to the next G directly, a G to g0, g0 to a G.
//
// What one side does and the other finishes. A context may be given to others only once it is saved, and it is saved by
// leaving it. So whoever leaves puts into `m->after` what is to be done then (put the G on a queue, unlock a channel,
// free a dead G's stack), and the code that arrives does it, on the same M, before anything else. It holds `locks` all
// along: the next G's count is 1 or more since it stopped.
//
// What moves with a G: callee-saved registers, MXCSR and x87 control word (by jump_fcontext), its exceptions in flight,
// and its identity, if it carries one. All other Gs of an M share the M's loan.
//
// In a header, to be inlined: after a jump the processor's stack of return addresses is that of the other context, and
// each return on the way out is mispredicted. The fewer there are the better.
#pragma once
#include "sched/sanitizer.hpp"
#include "sched/sched.hpp"

namespace urge {

inline void bind(M* m, identity* to, G* g) noexcept {
  to->words->g = g;
  to->words->m = m;
  if (g && !sanitizer::on && entries_checked.load(relaxed)) [[unlikely]]
    arch::set_entry_limit(to->base, lowest_entry(*g));
  if (m->bound.load(relaxed) == to) return;
  m->bound.store(to, relaxed);  // a hint for sysmon
  // A signal on either side of this instruction finds words that agree with the block it runs under.
  arch::set_thread_base(to->base);
}

// Of the timers that are due one fires at a time, the earliest, and its G runs next. All at once they would come behind
// whatever is in the queues. False: none was due after all. Context: the P's owner.
bool fire_due_timer(P*) noexcept;
inline bool timer_is_due(const P& p, std::uint64_t now) noexcept { return p.clock.next_tick.load(relaxed) <= now; }
// As a G stops: is it the timers' turn? Each second time that some are due, so that the queues have theirs too.
inline bool timers_are_next(P* p, std::uint64_t now) noexcept {
  if (!timer_is_due(*p, now)) [[likely]]
    return false;
  return std::exchange(p->timers_turn, !p->timers_turn);
}

// First thing on the other side. Context: the new G with locks > 0, or g0.
inline void arrive(arch::transfer t) noexcept {
  M* m = static_cast<M*>(t.data);
  const after_switch a = m->after;
  (a.prev ? a.prev->context : m->g0) = t.from;
  sanitizer::arrived(m, a.prev);
  if (a.act) a.act(m, a.prev, a.arg);
}

// Puts G's CPU time up to now.
inline void account(G* g, std::uint64_t now) noexcept {
  const std::uint64_t from = g->run_start.load(relaxed);
  g->run_start.store(now, relaxed);
  // Counters of two CPUs may differ by some ticks: never count backwards.
  if (now > from) add_own(g->cpu, now - from);
}

// Switches from `prev` (null: g0) to `next` (null: g0). Returns when somebody switches back, perhaps on another M.
[[gnu::always_inline]] inline void switch_to(M* m, G* prev, G* next, after_switch after) noexcept {
  after.prev = prev;
  m->after = after;
  if (prev && !prev->own) prev->eh = *m->loan->eh;
  if (next) {
    m->g.store(next, relaxed);  // a hint for sysmon
    next->m = m;
    if (next->own) {
      bind(m, next->own, next);
    } else {
      bind(m, m->loan, next);
      *m->loan->eh = next->eh;
    }
  } else {
    m->g.store(nullptr, relaxed);
    bind(m, m->base, nullptr);
  }
  sanitizer::leaving(m, prev, next);
  arrive(arch::jump(next ? next->context : m->g0, m));
}

}  // namespace urge
