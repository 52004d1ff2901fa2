// SPDX-License-Identifier: MIT
// A G that enters a system call keeps its M; its P stays behind in state `syscall`, for whoever needs it: sysmon after
// a while, or the M when it comes back. Both swap the state, so one of them gets it (docs/protocols/p_status.md). An M
// that comes back and finds its P with another M's system call takes it from there: to each of them a P is as good as
// any other. Source: Go's entersyscall, exitsyscall.
//
// A call that we are not told of: the G's thread sleeps in it, with its P, in state `running`. sysmon, which has seen
// it asleep, does on its behalf what enter_syscall would have done (`detach`). It may wake at any moment:
//   sysmon: status running -> suspect (compare-exchange); membarrier; look at `locks`; suspect -> detaching; take the P
//   the G:  locks + 1; compiler fence; look at status
// The membarrier stands for the fence that the G's side does without: either sysmon sees the lock, and takes its
// suspicion back, or the G sees that its status is not `running`. Then the G takes the suspicion back
// (compare-exchange: one of the two wins); too late for that, it waits some instructions until sysmon is done, and is
// as one that comes from a system call. The handler, which may have a signal from before, raises `locks` and looks
// likewise.
#include <algorithm>

#include "sched/m_supply.hpp"
#include "sched/switch.hpp"
#include "sched/waitq.hpp"

namespace urge {

namespace {
constexpr std::int64_t between_looks = 50'000;  // ns, at whether there is a spare M

void publish(M* m, G* g, void*) noexcept {
  set_status(g->status, g_status::syscall, g_status::runnable);
  if (!g->home) {
    std::lock_guard hold(sched.lock);
    count_as_spare_locked(m);  // if there is a P for the G it may be for us
  }
  put_global(g);
  wake_p();
}
// The run that it belonged to is over, and has left it alone since.
void drop_orphan(M* m, G* g, void*) noexcept {
  set_status(g->status, g_status::syscall, g_status::dead);
  if (g->stopped_by_signal) sched.n_interrupted.fetch_sub(1, relaxed);
  release_g(m, g);
}
}  // namespace

void want_spare_ms(std::uint32_t n) noexcept {
  {
    std::lock_guard hold(sched.lock);
    sched.spare_ms.store(std::max(sched.spare_ms.load(relaxed), std::min(n, sched.how.max_threads - 1)), relaxed);
  }
  if (sched.n_idle_m.load(relaxed) * 2 < sched.spare_ms.load(relaxed)) call_maker();
}

void wait_for_spare_m(G* g, std::uint32_t n) noexcept {
  std::uint32_t refused;
  {
    std::lock_guard hold(sched.lock);
    refused = sched.n_refused;
  }
  for (;;) {
    want_spare_ms(n);
    {
      std::lock_guard hold(sched.lock);
      if (sched.n_idle_m.load(relaxed) != 0 || !m_left_locked() || sched.n_refused != refused ||
          sched.stopping.load(relaxed))
        return;
    }
    waiter w;
    wait_any(
        g, &w, 1, wait_reason::sleep, [](void*) noexcept {}, nullptr, monotonic_ns() + between_looks);
  }
}

void enter_syscall(G* g) noexcept {
  // Our P needs an M that is there: the maker may have to wait for a lock that a stopped G holds.
  if (sched.n_interrupted.load(relaxed) > 0 && sched.n_idle_m.load(relaxed) == 0) [[unlikely]]
    wait_for_spare_m(g, spares_for_calls);
  M* m = g->m;
  P* p = m->p;
  if (sched.stopping.load(relaxed)) return give_way(g, true);
  const bool others = work_waits_for(*p);
  account(g, ticks());
  set_status(g->status, g_status::running, g_status::syscall);
  m->old_p = p;
  m->in_syscall.store(reinterpret_cast<std::uintptr_t>(g), release);  // [in_syscall] release: the G's state
  m->p = nullptr;
  p->m.store(nullptr, relaxed);
  p->status.store(p_status::syscall, seq_cst);  // [p.status] release: all that the P's next owner needs
  // sysmon need not hurry for a P that nobody wants.
  if (others && sched.sysmon_until.load(seq_cst) > monotonic_ns() + 50'000)  // [sysmon.until] seq_cst: after the status
    call_sysmon();
}

void exit_syscall(G* g) noexcept {
  M* m = g->m;
  std::uint64_t now = ticks();
  g->run_start.store(now, relaxed);  // time in the kernel is not counted
  // Before `detached`: the end of a run gives up who is not.
  const bool given_up = m->in_syscall.exchange(0, acq_rel) & M::given_up;  // [in_syscall] acquire: the run has done so
  if (m->detached.load(relaxed)) [[unlikely]] {
    m->detached.store(false, relaxed);
    if (!given_up) sched.n_detached.fetch_sub(1, relaxed);  // else it is another run's
    // What it has used without a P is its own all the same.
    if (const std::int64_t used = os::thread_cpu_ns(m->tid.load(relaxed)) - m->cpu_at_detach; used > 0)
      add_own(g->cpu, ns_to_ticks(used));
  }
  if (given_up) {
    m->orphan = true;
    g->orphan.store(true, relaxed);
    if (g->has_thread_state) put_back_thread_state(m, g);
    switch_to(m, g, nullptr, {nullptr, drop_orphan, nullptr});
  }
  P* p = m->old_p;
  auto as = p_status::syscall;
  if (p->status.compare_exchange_strong(as, p_status::running, seq_cst, relaxed)) {  // [p.status] acquire
    m->p = p;
    p->m.store(m, release);  // [p.m]
    g->on_p.store(p->id, relaxed);
    add_own(p->syscalltick, 1u);
    set_status(g->status, g_status::syscall, g_status::running);
    return;
  }
  {
    std::unique_lock hold(sched.lock);
    if (!sched.stopping.load(relaxed) && (p = take_idle_p_locked())) {
      hold.unlock();
      acquire_p(m, p);
      g->on_p.store(p->id, relaxed);
      begin_slice(p, g, now);
      if (m->slice_timer >= 0) [[unlikely]]
        start_slice_timer(*m, now);
      set_limit(p, g, now);
      set_status(g->status, g_status::syscall, g_status::running);
      return;
    }
  }
  g->runnable_since.store(now, relaxed);
  if ((g->own || g->pthread_locks.load(relaxed) != 0) && !g->stopped_by_signal && g->thread_locks == 0) [[unlikely]]
    hook.settle_identity(*m, *g);
  if (g->keeps_m) [[unlikely]]
    stay_on_m(m, g);
  if (g->has_thread_state) [[unlikely]]
    put_back_thread_state(m, g);
  switch_to(m, g, nullptr, {nullptr, publish, nullptr});
  if (g->has_thread_state) [[unlikely]]
    take_thread_state(g);
}

void settle_suspicion(G* g) noexcept {
  for (;;) {
    auto as = g->status.load(acquire);  // [g.status] acquire: what sysmon did to our M
    if (as == g_status::suspect && g->status.compare_exchange_strong(as, g_status::running, relaxed, relaxed)) return;
    if (as == g_status::detaching)
      os::sched_yield();  // sysmon may have lost its CPU
    else if (as != g_status::suspect)
      return;
  }
}

void settle(G* g) noexcept {
  settle_suspicion(g);
  if (g->status.load(relaxed) == g_status::syscall) exit_syscall(g);
}

void settle_stopped(G* g) noexcept {
  begin_interruption(g);
  exit_syscall(g);
  end_interruption(g);
  g->keeps_m = g->thread_locks != 0;
}

bool detach(P& p, std::uint32_t tick) noexcept {
  M* m = p.m.load(acquire);  // [p.m] acquire: the M
  G* g = m ? m->g.load(relaxed) : nullptr;
  if (!g || g->locks.load(relaxed) != 0) return false;
  auto as = g_status::running;
  if (!g->status.compare_exchange_strong(as, g_status::suspect, seq_cst, relaxed)) return false;  // [detach]
  os::membarrier();  // [detach] as a full fence on the G's side too
  // Whatever it was a moment ago: as long as it stays `suspect` from here on, it stays on this M, and in its own code.
  as = g_status::suspect;
  if (p.m.load(relaxed) != m || m->g.load(relaxed) != g || p.schedtick.load(relaxed) != tick ||
      p.status.load(relaxed) != p_status::running || g->locks.load(relaxed) != 0) {
    g->status.compare_exchange_strong(as, g_status::running, relaxed, relaxed);
    return false;
  }
  if (!g->status.compare_exchange_strong(as, g_status::detaching, acq_rel, relaxed)) return false;  // [g.status]
  account(g, ticks());
  m->cpu_at_detach = os::thread_cpu_ns(m->tid.load(relaxed));
  m->old_p = &p;
  m->p = nullptr;
  m->told.store(0, relaxed);
  m->detached.store(true, relaxed);
  sched.n_detached.fetch_add(1, relaxed);
  m->in_syscall.store(reinterpret_cast<std::uintptr_t>(g), release);  // [in_syscall] release: the G's state
  p.m.store(nullptr, relaxed);
  p.status.store(p_status::idle, relaxed);
  add_own(p.syscalltick, 1u);
  if (m->slice_timer_runs.load(relaxed)) {  // it would interrupt the call
    m->slice_timer_runs.store(false, relaxed);
    os::set_thread_timer(m->slice_timer, 0);
  }
  set_status(g->status, g_status::detaching, g_status::syscall);
  hand_off(&p, at_limit::wait);
  return true;
}

bool retake(P* p) noexcept {
  auto as = p_status::syscall;
  if (!p->status.compare_exchange_strong(as, p_status::idle, seq_cst, relaxed)) return false;  // [p.status] acquire
  add_own(p->syscalltick, 1u);
  hand_off(p);
  return true;
}

}  // namespace urge
