// SPDX-License-Identifier: MIT
// Which G runs next: the loop of an M on its g0, and the part of it that a G does itself when it stops.
// Source: Go's schedule, findRunnable, stealWork, execute (proc.go).
#include "sched/m_supply.hpp"
#include "sched/netpoll.hpp"
#include "sched/switch.hpp"

namespace urge {

namespace {

constexpr std::uint32_t global_interval = 61;  // prime, as Go: two Gs that spawn each other cannot stay in step with it

bool gm() noexcept { return sched.how.model == sched_model::gm; }

// Context: sched.lock held, and the world does not stop.
G* get_woken_locked(P* p) noexcept {
  G* g = sched.woken.pop_front();
  if (!g) return nullptr;
  count_queue_locked();
  add_own(p->count.global_gets, std::uint64_t{1});
  return g;
}

// One only: in p's queue it would pass for one that has not used up a slice.
G* get_preempted_locked(P* p) noexcept {
  G* g = sched.preempted.pop_front();
  if (!g) return nullptr;
  count_queue_locked();
  add_own(p->count.global_gets, std::uint64_t{1});
  return g;
}

// Takes a batch of global Gs: the first is returned, the others go to p's queue. `max` 0: a fair share.
// One that was woken, and comes because nobody else does, is reckoned as if it had come before others.
// Context: sched.lock held.
picked get_global_locked(P* p, std::uint64_t max) noexcept {
  std::uint64_t n = sched.queue.n;
  if (sched.world_stops.load(relaxed)) return {};
  if (n == 0 && sched.preempted.n != 0) return {get_preempted_locked(p)};
  if (n == 0) return {get_woken_locked(p), false, true};
  std::uint64_t share = n / sched.procs.load(relaxed) + 1;
  if (share > runq::capacity / 2) share = runq::capacity / 2;
  if (max != 0 && share > max) share = max;
  if (gm()) share = 1;
  if (share > n) share = n;
  G* first = sched.queue.pop_front();
  std::uint64_t taken = 1;
  for (; taken < share; ++taken) {
    G* g = sched.queue.first;
    G* rest = g->link;  // read before a thief can have it
    if (!p->queue.put(g)) break;
    sched.queue.first = rest, --sched.queue.n;
    if (!sched.queue.first) sched.queue.last = nullptr;
  }
  add_own(p->count.global_gets, taken);
  count_queue_locked();
  return {first};
}

G* get_woken(P* p) noexcept {
  std::lock_guard hold(sched.lock);
  return sched.world_stops.load(relaxed) ? nullptr : get_woken_locked(p);
}

G* get_preempted(P* p) noexcept {
  std::lock_guard hold(sched.lock);
  return sched.world_stops.load(relaxed) ? nullptr : get_preempted_locked(p);
}

picked get_global(P* p, std::uint64_t max) noexcept {
  if (sched.n_queue.load(relaxed) == 0) return {};
  std::lock_guard hold(sched.lock);
  return get_global_locked(p, max);
}

bool any_work() noexcept {
  if (sched.n_queue.load(relaxed) != 0) return true;
  for (unsigned i = 0; i < sched.procs.load(relaxed); ++i)
    if (all_ps[i].has_work()) return true;
  return false;
}

// Blocks until there is a G for this M. A null G: the run is over.
picked find_runnable(M* m) noexcept {
  for (;;) {
    if (sched.stopping.load(acquire) || m->orphan) return {};  // [stopping] acquire
    if (!m->p) {
      stop_m(m);
      continue;
    }
    if (m->to_pass.g) [[unlikely]]
      return std::exchange(m->to_pass, {});
    P* p = m->p;
    const std::uint64_t now = ticks();
    for (bool fired = true; fired;) {
      fired = timer_is_due(*p, now) && fire_due_timer(p);
      if (const picked next = pick_next(m); next.g) return next;
    }
    if (netpoll::worth_a_look()) {
      gqueue readied;
      netpoll::poll(readied);
      netpoll::inject(readied);
      if (const picked next = pick_next(m); next.g) return next;
    }
    if (gm()) {
      // One queue: nothing to steal, so nobody spins; the timers of all Ps are everybody's.
      bool ran = false;
      const std::int64_t t = monotonic_ns();
      for (unsigned i = 0; i < sched.procs.load(relaxed); ++i)
        if (all_ps[i].clock.next_when.load(relaxed) <= t) ran = all_ps[i].clock.run(t) != 0 || ran;
      if (ran) continue;
    } else if (m->spinning ||
               2 * sched.n_spinning.load(relaxed) < sched.procs.load(relaxed) - sched.n_idle_p.load(relaxed)) {
      if (!m->spinning) become_spinning(m);
      bool timers_ran = false;
      if (G* g = steal_work(m, timers_ran)) return {g, false};
      if (timers_ran) continue;
    }
    {
      std::lock_guard hold(sched.lock);
      if (const picked next = get_global_locked(p, 0); next.g) return next;
      if (!m->spinning && sched.need_spinning.load(relaxed) != 0) {
        become_spinning(m);
        continue;
      }
      release_p(m);
      count_as_spare_locked(m);
      put_idle_p_locked(p);
    }
    // The other half of the wake-up rule (idle.cpp): from here on nobody counts on us, so look once more.
    if (m->spinning) {
      m->spinning = false;
      sched.n_spinning.fetch_sub(1, seq_cst);  // [spinning]
    }
    std::atomic_thread_fence(
        seq_cst);  // we: not spinning, P idle; fence; look at work / they: work; fence; look at spinning
    if (any_work() || sched.need_spinning.load(relaxed) != 0) {
      std::lock_guard hold(sched.lock);
      // One that is wanted goes before others: somebody counts on us for that. It may be counted as spinning already.
      P* again = take_wanted_p_locked();
      const bool counted = again && again->start_spinning;
      if (!again && m_left_locked()) again = take_idle_p_locked();
      if (again) {
        count_as_used_locked(m);
        acquire_p(m, again);
        if (counted)
          m->spinning = true;
        else
          become_spinning(m);
        continue;
      }
    }
    stop_m(m);
  }
}

// Another G comes before the one in runnext. One that a timer has put there is no heir of this slice: it goes before
// the others. An heir stays where it is, unless its slice has run out: that ends a chain of inheritances, too. Without
// this, Gs that wake each other through `runnext` would keep the rest waiting for ever (golang/go#52934). The heir
// goes behind the others, those of all Ps as after any slice: at the end of this P's queue it would come before the G
// whose slice it was, and if no G of the chain gets to its end within a slice, they would pile up in the global queue.
void put_aside(P* p, bool slice_is_over) noexcept {
  const bool woken = p->woken_by_timer && p->woken_by_timer == p->runnext.load(relaxed) && woken_go_first();
  if (!woken && !slice_is_over) return;
  p->woken_by_timer = nullptr;
  G* g = p->swap_runnext(nullptr, sched.procs.load(relaxed) == 1);
  if (!g) return;
  gqueue one;
  one.push_back(g);
  woken ? put_woken(one) : put_global(one);
  wake_p();
}

// Likewise those that were started in the slice. The one that has started them is the oldest of them, if it has let
// them go first. If they are long ones, and have used up its slice, it does not in its next.
void put_new_aside(P* p) noexcept {
  if (p->spawned.size() == 0) return;
  gqueue all = p->take_new();
  if (all.first && all.first->context && p->ran_at_once > sched.least_run) all.first->lets_new_run = false;
  put_global(all);
  wake_p();
}
// They do, for no longer than a slice: with woken ones in between it may be many slices until they are worked off.
bool new_come_first(P* p) noexcept {
  if (p->spawned.size() == 0) return false;
  const std::uint64_t now = p->run_start.load(relaxed);
  if (p->new_first_since == 0)
    p->new_first_since = now;
  else if (now - p->new_first_since > sched.quantum && p->queue.size() != 0)
    return put_new_aside(p), false;
  return true;
}
// So that those who have used up a slice do not wait for ever while others come: once in a quantum.
bool preempted_are_next(P* p) noexcept {
  const std::uint64_t now = p->run_start.load(relaxed);
  if (p->others_since == 0) return p->others_since = now, false;
  if (now - p->others_since <= sched.quantum) return false;
  return p->others_since = 0, true;
}
}  // namespace

picked pick_next(M* m) noexcept {
  P* p = m->p;
  if (!p || all_shall_stop()) return {};
  if (gm()) return get_global(p, 1);
  const bool alone = sched.procs.load(relaxed) == 1;
  if (p->preempt_wanted()) put_aside(p, true), put_new_aside(p);
  if (p->schedtick.load(relaxed) % global_interval == 0)
    if (const picked next = get_global(p, 1); next.g) return put_aside(p, false), next;
  if (sched.n_woken.load(relaxed) != 0) [[unlikely]] {
    if (may_take_woken_here(*p))
      if (G* g = get_woken(p)) return put_aside(p, false), picked{g, false, true};
  }
  if (sched.n_preempted.load(relaxed) != 0) [[unlikely]] {
    if (preempted_are_next(p))
      if (G* g = get_preempted(p)) return put_aside(p, false), picked{g};
  } else {
    p->others_since = 0;
  }
  if (p->runnext.load(relaxed)) {
    p->woken_by_timer = nullptr;
    if (G* g = p->swap_runnext(nullptr, alone))  // else a thief has been quicker
      return {g, g->slice_left == 0};            // or it has a slice of its own to go on with
  }
  if (new_come_first(p))
    if (G* g = p->spawned.pop(alone))
      return {g, !p->woken_slice.load(relaxed) && sched.min_slice == 0};  // else it is not theirs
  p->new_first_since = 0;
  if (G* g = p->queue.get(alone)) return {g, false};
  return get_global(p, 0);
}

namespace {
// A slice ends when the G has used up its CPU limit or has to pause. One that is past it, and may not be ended where it
// is, gets short slices to come out.
std::uint64_t until_look(const G* g, std::uint64_t length) noexcept {
  const std::uint64_t used = g->cpu.load(relaxed);
  return std::min(length, g->look_at > used ? g->look_at - used : ns_to_ticks(50'000));
}

}  // namespace

void begin_slice(P* p, G* g, std::uint64_t now, bool woken) noexcept {
  if (woken != p->woken_slice.load(relaxed)) [[unlikely]] {
    settle_share(*p, p->m.load(relaxed), now, woken && now - p->debt_from.load(relaxed) >= sched.least_run);
    p->woken_slice.store(woken, relaxed);
  }
  std::uint32_t tick = p->schedtick.load(relaxed) + 1;
  if (tick == 0) tick = 1;  // 0 is "no request"
  // Shares by weight with slices of at most four quanta: the heaviest gets them all, the others in proportion.
  const std::uint64_t top = sched.max_weight.load(relaxed);
  std::uint64_t length = sched.quantum * g->weight;
  if (top > 4) length = length * 4 / top;
  std::uint64_t given = 0;
  if (g->slice_left != 0) [[unlikely]] {
    length = std::exchange(g->slice_left, 0);
    const std::uint64_t since = g->runnable_since.load(relaxed);  // perhaps by another CPU's counter
    given = g->given + (now > since ? now - since : 0);
  }
  p->given.store(given, relaxed);
  if (woken) length = std::min(length, sched.woken_slice);
  if (g->look_at != 0) [[unlikely]]
    length = until_look(g, length);
  p->slice_length.store(length, relaxed);
  p->slice_start.store(now, relaxed);
  p->schedtick.store(tick, release);  // [schedtick] release: start and length of this slice
}

// It is left to run when a slice ends early, and set anew by the handler: a system call for each slice would cost more.
void start_slice_timer(M& m, std::uint64_t now) noexcept {
  const P& p = *m.p;
  if (m.slice_timer_runs.load(relaxed) || !work_waits_for(p)) return;
  m.slice_timer_runs.store(true, relaxed);
  std::atomic_signal_fence(seq_cst);  // it may go off at once
  const std::uint64_t ran = now - p.slice_start.load(relaxed), length = p.slice_length.load(relaxed);
  os::set_thread_timer(m.slice_timer, ticks_to_ns(length > ran ? length - ran : 0) + 1);
}

void set_limit(P* p, const G* g, std::uint64_t now) noexcept {
  const std::uint64_t used = g->cpu.load(relaxed);
  p->limit_at.store(g->look_at == 0 ? 0 : now + (g->look_at > used ? g->look_at - used : 0), relaxed);
  if (g->look_at != 0 && p->slice_length.load(relaxed) < sched.quantum) call_sysmon();  // sooner than it expects
}

void take_over(M* m, picked next, std::uint64_t now) noexcept {
  P* p = m->p;
  G* g = next.g;
  set_status(g->status, g_status::runnable, g_status::running);
  const std::uint64_t waited = now - g->runnable_since.load(relaxed);
  if (static_cast<std::int64_t>(waited) > 0 && waited > g->max_wait.load(relaxed)) g->max_wait.store(waited, relaxed);
  g->run_start.store(now, relaxed);
  p->run_start.store(now, relaxed);
  add_own(p->count.switches, std::uint64_t{1});
  g->on_p.store(p->id, relaxed);
  if (!next.inherit || g->look_at != 0) begin_slice(p, g, now, next.woken);
  if (m->slice_timer >= 0) [[unlikely]]
    start_slice_timer(*m, now);
  if (g->look_at != 0 || p->limit_at.load(relaxed) != 0) [[unlikely]]
    set_limit(p, g, now);
  identity* runs_under = g->own ? g->own : m->loan;
  __atomic_store_n(runs_under->yield_wanted, 0u, __ATOMIC_RELAXED);
  if (g->context) return;
  // The first time: only now it needs a stack.
  if (!g->stk) {
    int error = 0;
    stack_class* klass = stack_class_of(g->stack_size);
    if (p->n_free_stacks != 0 && p->free_stacks[p->n_free_stacks - 1].klass == klass)
      g->stk = p->free_stacks[--p->n_free_stacks];
    else if (klass)
      g->stk = take_stack(klass, error);
    if (!g->stk)
      fatal_syscall("a stack for a G (mmap; madvise or mprotect of its guard: RLIMIT_AS, vm.max_map_count)", error);
  }
  g->context = arch::make(g->stk.top() - 64, g->stk.size - 64, first_frame);
}

// When a G ends that is locked to the thread, so does the M.
void m_loop(M* m) noexcept {
  for (;;) {
    picked next;
    if (m->tenant) [[unlikely]]
      next = stand(m);
    else
      next = find_runnable(m);
    if (m->spinning) {
      m->spinning = false;
      // The last spinner that finds work looks for a successor, for there may be more.
      if (sched.n_spinning.fetch_sub(1, seq_cst) == 1 && next.g) wake_p();  // [spinning]
    }
    if (!next.g) return;
    if (next.g->home) [[unlikely]] {
      pass_p(m, next);
      continue;
    }
    netpoll::see_watched();
    take_over(m, next, ticks());
    switch_to(m, nullptr, next.g, {});
    if (m->ends) [[unlikely]]
      return;
  }
}

}  // namespace urge
