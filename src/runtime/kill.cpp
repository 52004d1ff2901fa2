// SPDX-License-Identifier: MIT
// Ending and pausing a G from outside (docs/protocols/kill.md): join_handle::kill, run_for and what timed does. All of
// them find the G by its task, under the joiners' lock: while `task.g` is set the descriptor is that G's.
#include <urge/preempt.hpp>

#include <string>

#include "sched/waitq.hpp"

namespace urge::detail {

namespace {

constexpr std::int64_t patience = 1'000'000'000;  // ns that kill waits
constexpr std::int64_t first_look = 50'000;       // it looks again after this, doubling
constexpr std::int64_t longest_pause = 1'000'000;

bool live(const task& t) noexcept { return t.state.load(relaxed) == outcome::live; }

// Sees that a doomed G comes to where it can end; `from_locks`: also if it waits for one. Context: the joiners' lock
// held, and so the G not gone.
void rouse(task& t, G* g, bool from_locks) noexcept {
  if (from_locks) g->from_locks.store(true, seq_cst);  // [doomed] as that: before the look at its wait
  if (t.paused) {
    t.paused = false;
    set_pause(g, 0);
    return ready(g);
  }
  end_wait(g);
  if (g->status.load(relaxed) != g_status::running) return;
  P& p = all_ps[g->on_p.load(relaxed)];  // if it has moved on, another G gives way once for nothing
  p.stop_slice.store(p.schedtick.load(relaxed), relaxed);
  call_sysmon();
}

// The killer is killed itself: nobody will look again.
void leave_to_itself(task& t) {
  G* self = enter("urge::join_handle::kill");
  lock_of(t.joiners).lock();
  if (live(t)) rouse(t, static_cast<G*>(t.g), true);
  lock_of(t.joiners).unlock();
  leave(self);
}

}  // namespace

bool kill_task(task& t) {
  G* self = enter_if_g();
  const std::int64_t until = monotonic_ns() + patience;
  bool first = true;
  for (std::int64_t pause = first_look;; pause = std::min(2 * pause, longest_pause)) {
    lock_of(t.joiners).lock();
    G* g = static_cast<G*>(t.g);
    if (!live(t)) {
      lock_of(t.joiners).unlock();
      leave(self);
      return !first;
    }
    if (g == self) {
      if (self->doomed.load(relaxed) == doom::none) self->doomed.store(doom::wanted, relaxed);
      begin_unwinding(self);  // under the lock: another killer that has seen `none` must not say `wanted` behind it
      lock_of(t.joiners).unlock();
      leave_without_yield(self);
      unwind(self);
    }
    if (g->doomed.load(relaxed) == doom::none)
      g->doomed.store(doom::wanted, seq_cst);  // [doomed] we: doomed; look at its wait / it: its wait; look at doomed
    const std::int64_t now = monotonic_ns();
    rouse(t, g, until - now < patience / 2);
    if (now >= until) {
      lock_of(t.joiners).unlock();
      leave(self);
      return false;
    }
    if (self) {
      waiter w;
      try {
        wait(self, t.joiners, w, wait_reason::join, std::min(until, now + pause));
      } catch (const unwind_g&) {
        leave_to_itself(t);
        throw;
      }
    } else {
      lock_of(t.joiners).unlock();
      leave(nullptr);                               // the run may end meanwhile
      const atomic<std::uint32_t> nobody_wakes{0};  // the end of a G looks for Gs only
      os::futex_wait(nobody_wakes, 0, std::min(until, now + pause));
      enter_if_g();
    }
    first = false;
  }
}

void check_cpu_time(std::chrono::nanoseconds cpu, const char* who) {
  if (cpu.count() <= 0)
    throw std::invalid_argument(std::string(who) + ": cpu = " + std::to_string(cpu.count()) + "ns: must be above 0");
}

bool wait_for_pause(task& t, std::int64_t cpu_ns) {
  G* self = enter("urge::run_for");
  lock_of(t.joiners).lock();
  if (cpu_ns != 0 && t.paused) {
    G* g = static_cast<G*>(t.g);
    t.paused = false;
    set_pause(g, g->cpu.load(relaxed) + ns_to_ticks(cpu_ns));
    ready(g);
  }
  while (live(t) && !t.paused) {
    waiter w;
    wait(self, t.joiners, w, wait_reason::join);
    lock_of(t.joiners).lock();
  }
  const bool done = !live(t);
  lock_of(t.joiners).unlock();
  leave(self);
  return done;
}

}  // namespace urge::detail
