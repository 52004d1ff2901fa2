// SPDX-License-Identifier: MIT
// Idle Ms and Ps, and the rule by which no runnable G is left lying while a P is idle.
//
// The goal: as many Ms awake as there is work for, no thundering herd, no M asleep while work waits for it. A waker
// cannot know who will look next; Go rejected central bookkeeping, direct hand-over of each G, and waking for each G
// (threads would thrash). The rule (Go's "worker thread parking/unparking"):
//   1. Whoever makes work visible: publish the work; full fence; if an M spins, it will find it: done. Else, if a P is
//   idle,
//      take it and start one spinning M on it. If no P is idle, say so in `need_spinning`.
//   2. A spinning M that finds work stops spinning, and if it was the last, does 1 as if it had made work.
//   3. An M that finds nothing: give up its P (under sched.lock), stop spinning; full fence; look at all queues and at
//      `need_spinning` once more. Something there: take an idle P back and spin again.
// Why nobody is missed: the waker's store of work comes before its look at `n_spinning` and `n_idle_p`, ours of these
// before our look at work, a full fence between each pair: not both may miss. A waker that sees no idle P, because ours
// is not yet put down, leaves `need_spinning`, which we read after it is.
#include "sched/m_supply.hpp"
#include "sched/netpoll.hpp"
#include "sched/switch.hpp"

#include <utility>

namespace urge {

void put_global(G* g) noexcept {
  gqueue one;
  one.push_back(g);
  put_global(one);
}

void put_global(gqueue& batch) noexcept {
  std::lock_guard hold(sched.lock);
  sched.queue.append(batch);
  count_queue_locked();
}

void put_preempted(G* g) noexcept {
  std::lock_guard hold(sched.lock);
  (sched.min_slice != 0 ? sched.preempted : sched.queue).push_back(g);
  count_queue_locked();
}

bool woken_go_first() noexcept {
  return sched.how.wakeup_preempt && sched.how.preempt != preempt_mode::off && sched.how.model == sched_model::gmp &&
         sched.how.wakeup_share != 0;
}

void put_woken(gqueue& gs) noexcept {
  const bool first = woken_go_first();
  {
    std::lock_guard hold(sched.lock);
    (first ? sched.woken : sched.queue).append(gs);
    count_queue_locked();
  }
  wake_p();
  // If all Ps are busy one of them is to give way. sysmon sees to that; it may be this thread. We need not wait for it.
  if (!first || sched.n_idle_p.load(relaxed) != 0) return;
  std::atomic_thread_fence(seq_cst);  // [sysmon.looks] we: woken; fence; look at the flag / it: flag; look at woken
  if (sched.n_woken.load(relaxed) == 0 || sched.sysmon_looks.load(relaxed)) return;
  hook.make_way();
  call_sysmon();
}

// `next`: it runs as soon as the current G stops, in what is left of its slice; the one before it goes to the queue's
// end. A full queue passes its older half on to the global one. Source: Go's runqput, runqputslow. Context: p's owner.
void put_local(P* p, G* g, bool next) noexcept {
  if (sched.how.model == sched_model::gm) return put_global(g);
  if (next) {
    g = p->swap_runnext(g, sched.procs.load(relaxed) == 1);
    if (!g) return;
  }
  if (p->queue.put(g)) return;
  G* half[runq::capacity / 2];
  const std::uint32_t n = p->queue.grab(half);
  gqueue batch;
  for (std::uint32_t i = 0; i < n; ++i) batch.push_back(half[i]);
  batch.push_back(g);
  put_global(batch);
}

void put_new(P* p, G* g) noexcept {
  if (sched.how.model == sched_model::gm) return put_global(g);
  if (p->spawned.push(g)) return;
  G* half[spawnq::capacity];
  const std::uint32_t n = p->spawned.grab(half);
  gqueue batch;
  for (std::uint32_t i = 0; i < n; ++i) batch.push_back(half[i]);
  put_global(batch);
  p->spawned.push(g);
}

void acquire_p(M* m, P* p) noexcept {
  URGE_ASSERT(!m->p && p->m.load(relaxed) == nullptr, "acquire_p: already has one");
  m->p = p;
  p->debt_from.store(ticks(), relaxed);
  p->status.store(p_status::running, relaxed);
  p->m.store(m, release);  // [p.m] release: the M, for sysmon
}

P* release_p(M* m) noexcept {
  P* p = m->p;
  m->p = nullptr;
  p->m.store(nullptr, relaxed);
  leave_share(*p);
  p->status.store(p_status::idle, relaxed);
  return p;
}

void put_idle_p_locked(P* p) noexcept {
  if (sched.world_stops.load(relaxed)) return stop_p_locked(p);
  p->woken_debt.store(0, relaxed);  // nobody has a claim to the time before
  p->status.store(p_status::idle, relaxed);
  p->link = sched.idle_ps;
  sched.idle_ps = p;
  sched.n_idle_p.fetch_add(1, seq_cst);  // [idle_p] seq_cst: before the look at need_spinning
}

P* take_idle_p_locked() noexcept {
  P* p = sched.idle_ps;
  if (!p) return nullptr;
  sched.idle_ps = p->link;
  p->link = nullptr;
  sched.n_idle_p.fetch_sub(1, seq_cst);  // [idle_p]
  // The first P that goes to work must have a sysmon that looks.
  if (sched.sysmon_off.load(seq_cst)) call_sysmon();  // [sysmon.off] seq_cst: after n_idle_p
  return p;
}

void wake_p(bool for_short_one) noexcept {
  if (sched.min_slice != 0 && for_short_one) [[unlikely]] {
    // sysmon may look for one only when called: we: work; fence; look at the flag / it: flag; look at work
    std::atomic_thread_fence(seq_cst);
    if (sched.sysmon_far.load(relaxed) && sched.sysmon_far.exchange(false, relaxed)) call_sysmon();
  }
  if (sched.procs.load(relaxed) == 1 && current_m() && current_m()->p) return;  // the only P is ours
  std::atomic_thread_fence(seq_cst);  // we: work; fence; look at spinning / they: not spinning; fence; look at work
  if (sched.n_spinning.load(relaxed) != 0) return;
  if (sched.n_idle_p.load(relaxed) == 0) {
    if (sched.need_spinning.load(relaxed) == 0) sched.need_spinning.store(1, seq_cst);  // [need_spinning]
    if (sched.n_idle_p.load(seq_cst) == 0) return;  // [idle_p] seq_cst: after need_spinning
  }
  std::uint32_t none = 0;
  if (!sched.n_spinning.compare_exchange_strong(none, 1, seq_cst, relaxed)) return;  // [spinning]
  P* p;
  {
    std::lock_guard hold(sched.lock);
    p = take_idle_p_locked();
  }
  if (!p) {
    sched.n_spinning.fetch_sub(1, seq_cst);  // [spinning]
    sched.need_spinning.store(1, seq_cst);   // [need_spinning]
    return;
  }
  sched.need_spinning.store(0, relaxed);
  start_m(p, true);
}

namespace {

// Takes an M off the list of idle ones. False: somebody else has, and will wake it. Context: sched.lock held.
bool unlist_locked(M* m) noexcept {
  for (M** at = &sched.idle_ms; *at; at = &(*at)->link) {
    if (*at != m) continue;
    *at = m->link;
    sched.n_idle_m.fetch_sub(1, relaxed);
    return true;
  }
  return false;
}

void run_all_timers() noexcept {
  const std::int64_t now = monotonic_ns();
  for (unsigned i = 0; i < sched.procs.load(relaxed); ++i)
    if (all_ps[i].clock.next_when.load(relaxed) <= now) all_ps[i].clock.run(now);
}

// Once nobody sleeps for the timers, sysmon does, if it knows. An M that stops being the poller calls this, or looks at
// all timers first.
void leave_timers_to_sysmon() noexcept {
  if (earliest_timer() < sched.sysmon_until.load(seq_cst)) call_sysmon();  // [sysmon.until] after poller
}

// Sleeps on the M's note; one M at a time, the poller, only until the earliest timer, and in the epoll, if there is
// one, as long as some P is idle (otherwise sysmon keeps the time, and looks at the epoll). True: woken. False: a timer
// is due, or a descriptor has changed: then somebody may be in `out`.
bool sleep_idle(M* m, gqueue& out) noexcept {
  std::int64_t until = earliest_timer();
  M* nobody = nullptr;
  if ((until == INT64_MAX && netpoll::n_waiters.load(relaxed) == 0) || sched.n_idle_p.load(relaxed) == 0 ||
      !sched.poller.compare_exchange_strong(nobody, m, seq_cst, relaxed)) {  // [poller] one at a time
    netpoll::see_watched();
    return m->park.sleep();
  }
  sched.poll_until.store(until, seq_cst);  // [poller] we: poll_until; look at timers / they: timer; look at poll_until
  if (const std::int64_t again = earliest_timer(); again < until)
    sched.poll_until.store(until = again, seq_cst);  // [poller] as above
  const bool woken = netpoll::epoll() >= 0 ? netpoll::sleep(m->park, until, out) : m->park.sleep(until);
  sched.poll_until.store(0, seq_cst);    // [poller] before it is nobody's
  sched.poller.store(nullptr, seq_cst);  // [poller] we: no poller; look at sysmon / they: timer; look at poller
  if (woken || out.first) leave_timers_to_sysmon();
  return woken;
}

}  // namespace

// Sleeps until somebody gives this M a P, or a timer is due and a P is idle, or the run ends.
void stop_m(M* m) noexcept {
  for (;;) {
    m->park.clear();
    {
      std::lock_guard hold(sched.lock);
      if (sched.stopping.load(relaxed)) return;
      if (P* p = take_wanted_p_locked()) {
        count_as_used_locked(m);
        m->spinning = p->start_spinning;
        return acquire_p(m, p);
      }
      m->next_p = nullptr;
      m->wake_missed = false;
      put_idle_m_locked(m);
    }
    gqueue readied;
    const bool woken = sleep_idle(m, readied);
    if (woken) netpoll::inject(readied);
    if (!woken) {
      bool listed;
      P* p = nullptr;
      {
        std::lock_guard hold(sched.lock);
        listed = unlist_locked(m);
        m->wake_missed = !listed;
        if (listed && !sched.stopping.load(relaxed) && m_left_locked()) p = take_idle_p_locked();
        if (p) count_as_used_locked(m);
      }
      if (listed) {
        if (p) acquire_p(m, p);
        netpoll::inject(readied);  // with a P they come to its queue, without to the global one
        run_all_timers();          // likewise
        leave_timers_to_sysmon();
        if (p || sched.stopping.load(acquire)) return;  // [stopping] acquire
        continue;
      }
      netpoll::inject(readied);
      netpoll::see_watched();
      leave_timers_to_sysmon();
      m->park.sleep();  // whoever took us off the list is about to wake us
    }
    if (sched.stopping.load(acquire)) return;  // [stopping] acquire
    if (!m->next_p) continue;                  // woken for an earlier timer or the epoll, or not needed after all
    m->spinning = m->next_spinning;
    acquire_p(m, std::exchange(m->next_p, nullptr));
    return;
  }
}

bool fire_due_timer(P* p) noexcept {
  const std::int64_t now = monotonic_ns();
  const G* const before = p->runnext.load(relaxed);
  if (p->clock.run(now, 1) == 0) return false;
  if (G* g = p->runnext.load(relaxed); g != before) p->woken_by_timer = g;
  // Others may run what is due behind it.
  if (p->clock.next_when.load(relaxed) <= now) wake_p();
  return true;
}

std::int64_t earliest_timer() noexcept {
  std::int64_t when = INT64_MAX;
  for (unsigned i = 0; i < sched.procs.load(relaxed); ++i) {
    const std::int64_t w =
        all_ps[i].clock.next_when.load(seq_cst);  // [timers.next] seq_cst: after poll_until or sysmon_until
    if (w < when) when = w;
  }
  return when;
}

bool wake_poller() noexcept {
  M* m = sched.poller.load(seq_cst);  // [poller] seq_cst: after what it shall look at
  if (!m) return false;
  bool listed;
  {
    std::lock_guard hold(sched.lock);
    listed = unlist_locked(m);
    m->wake_missed = !listed;
  }
  if (listed) m->park.wake();
  return listed;
}

void timer_added(std::int64_t when) noexcept {
  std::atomic_thread_fence(seq_cst);  // we: timer; fence; look at sleepers / they: until; look at timers
  if (sched.poller.load(seq_cst)) {   // [poller] seq_cst: after the timer
    if (sched.poll_until.load(seq_cst) <= when) return;  // [poller] likewise
    if (wake_poller()) return;
  }
  // Our own P looks at its timers at each switch; sysmon stands in for it while its G does not stop.
  if (when < sched.sysmon_until.load(seq_cst)) call_sysmon();  // [sysmon.until] seq_cst: after the timer
}

}  // namespace urge
