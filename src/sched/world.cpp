// SPDX-License-Identifier: MIT
// Stopping the world, and what is done while it stands: a change of the number of Ps (docs/protocols/world.md).
// All Ps but that of the caller are to be `stopped`, which is nobody's: idle ones are at once; one in a system call is
// taken from it, by the swap that sysmon uses; a running one is put down by its M as if there were no work, for the
// queues give nothing while `world_stops` is set. sysmon asks those again and again, for only sysmon sends signals.
// Source: Go's stopTheWorldWithSema, startTheWorldWithSema, procresize.
#include "sched/m_supply.hpp"

#include <algorithm>
#include <utility>

namespace urge {

namespace {

constexpr std::int64_t between_looks = 100'000;  // ns

// Those in system calls do not come by themselves. Context: sched.lock held.
void stop_those_in_calls_locked() noexcept {
  for (unsigned i = 0; i < sched.procs.load(relaxed); ++i) {
    P& p = all_ps[i];
    auto as = p_status::syscall;
    if (!p.status.compare_exchange_strong(as, p_status::stopped, seq_cst, relaxed)) continue;  // [p.status] acquire
    add_own(p.syscalltick, 1u);
    stop_p_locked(&p);
  }
}

// A P that is no more: what it had goes to others. Context: the world stands still.
void end_p(P& p) noexcept {
  p.clock.move_to(all_ps[0].clock);
  while (p.n_free_stacks != 0) put_stack(p.free_stacks[--p.n_free_stacks]);
  gqueue left = p.take_all();
  std::lock_guard hold(sched.lock);
  // In front of the others, as in Go: they have waited here.
  left.append(sched.queue);
  std::swap(sched.queue, left);
  count_queue_locked();
  while (G* g = p.free_gs) {
    p.free_gs = std::exchange(g->link, sched.free_gs);
    sched.free_gs = g, ++sched.n_free_gs;
  }
  p.n_free_gs = 0;
}

// The caller goes on with another P, in what is left of its slice. Context: the world stands still.
void change_p(G* g, P& to) noexcept {
  M* m = g->m;
  P& from = *m->p;
  to.slice_start.store(from.slice_start.load(relaxed), relaxed);
  to.slice_length.store(from.slice_length.load(relaxed), relaxed);
  to.limit_at.store(from.limit_at.exchange(0, relaxed), relaxed);
  std::uint32_t tick = to.schedtick.load(relaxed) + 1;
  if (tick == 0) tick = 1;            // 0 is "no request"
  to.schedtick.store(tick, release);  // [schedtick] release: start and length of this slice
  from.m.store(nullptr, relaxed);
  m->p = &to;
  to.m.store(m, release);  // [p.m] release: the M, for sysmon
  g->on_p.store(to.id, relaxed);
}

}  // namespace

void begin_p(unsigned id) noexcept {
  P& p = all_ps[id];
  p.m.store(nullptr, relaxed);
  {
    std::lock_guard hold(p.clock.lock);
    p.clock.heir = nullptr;
  }
  if (id < sched.procs_seen.load(relaxed)) return;
  p.id = id;
  p.ids_left = 0;
  p.random = rng(sched.run_id * max_procs + id + 1);
  auto& c = p.count;
  for (auto* n : {&c.spawned, &c.finished, &c.switches, &c.steals, &c.stolen, &c.global_gets, &c.cooperative, &c.async,
                  &c.kernel_thread, &c.promoted, &c.stops_under_lock, &c.resumed_elsewhere, &p.clock.fired})
    n->store(0, relaxed);
  for (auto& n : c.stops) n.store(0, relaxed);
  p.schedtick.store(1, relaxed), p.slice_start.store(ticks(), relaxed), p.slice_length.store(sched.quantum, relaxed);
  // Slices of an earlier run had these numbers too.
  p.request.store(0, relaxed), p.stop_slice.store(0, relaxed), p.limit_at.store(0, relaxed);
  p.woken_debt.store(0, relaxed), p.woken_slice.store(false, relaxed), p.given.store(0, relaxed),
      p.mark_m.store(nullptr, relaxed);
  p.timers_turn = true, p.woken_by_timer = nullptr;
  sched.procs_seen.store(id + 1, release);  // [procs.seen] release: its counters
}

void stop_p_locked(P* p) noexcept {
  p->status.store(p_status::stopped, relaxed);  // the lock orders it
  if (--sched.world_running == 0) sched.world_note.wake();
}

bool stop_world(G* g) noexcept {
  {
    std::lock_guard hold(sched.lock);
    if (sched.stopping.load(relaxed)) return false;
    sched.world_note.clear();
    g->m->p->status.store(p_status::stopped, relaxed);  // sysmon leaves it alone
    sched.world_running = sched.procs.load(relaxed) - 1;
    while (P* p = take_idle_p_locked()) stop_p_locked(p);
    while (P* p = take_wanted_p_locked()) {
      if (p->start_spinning) sched.n_spinning.fetch_sub(1, seq_cst);  // [spinning] there is no M that would
      stop_p_locked(p);
    }
    sched.world_stops.store(true, relaxed);  // whoever puts a P down sees it under the lock; the rest are asked again
  }
  call_sysmon();
  for (;;) {
    {
      std::lock_guard hold(sched.lock);
      stop_those_in_calls_locked();
      if (sched.world_running == 0) return true;
      if (sched.stopping.load(relaxed)) {
        // The Ps that have stopped are left so: nobody needs them.
        sched.world_stops.store(false, relaxed);
        g->m->p->status.store(p_status::running, relaxed);
        return false;
      }
    }
    sched.world_note.sleep(monotonic_ns() + between_looks);
  }
}

void change_procs(G* g, unsigned n) noexcept {
  const unsigned before = sched.procs.load(relaxed);
  for (unsigned i = before; i < n; ++i) {
    begin_p(i);
    all_ps[i].status.store(p_status::stopped, relaxed);
  }
  if (g->m->p->id >= n) change_p(g, all_ps[0]);
  for (unsigned i = n; i < before; ++i) end_p(all_ps[i]);
  std::lock_guard hold(sched.lock);
  sched.procs.store(n, release);  // [procs] release: new Ps, for sysmon
  if (sched.spare_ms.load(relaxed) != 0) sched.spare_ms.store(std::min(n + 2, sched.how.max_threads - 1), relaxed);
}

void start_world(G* g) noexcept {
  P* with_work = nullptr;
  {
    std::lock_guard hold(sched.lock);
    sched.world_stops.store(false, relaxed);
    for (unsigned i = sched.procs.load(relaxed); i-- > 0;) {
      P& p = all_ps[i];
      if (&p == g->m->p) {
        p.status.store(p_status::running, relaxed);
      } else if (p.has_work()) {
        p.status.store(p_status::idle, relaxed);
        p.link = std::exchange(with_work, &p);
      } else {
        put_idle_p_locked(&p);
      }
    }
  }
  while (P* p = with_work) {
    with_work = std::exchange(p->link, nullptr);
    // In kernel_thread mode Ms may have come to stand for this: fewer run at once.
    start_m(p, false, sched.threads_stay() ? at_limit::wait : at_limit::fail);
  }
  // Whoever made work visible meanwhile found no idle P, and whoever slept for the timers may not know the earliest.
  wake_p();
  timer_added(earliest_timer());
  call_sysmon();
}

}  // namespace urge
