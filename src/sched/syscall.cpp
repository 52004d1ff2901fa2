// SPDX-License-Identifier: MIT
// A G that enters a system call keeps its M; its P stays behind in state `syscall`, for whoever needs it: sysmon after
// a while, or the M when it comes back. Both swap the state, so one of them gets it (docs/protocols/p_status.md). An M
// that comes back and finds its P with another M's system call takes it from there: to each of them a P is as good as
// any other. Source: Go's entersyscall, exitsyscall.
#include "sched/sched.hpp"
#include "sched/switch.hpp"

namespace urge {

namespace {
void publish(M*, G* g, void*) noexcept {
  set_status(g->status, g_status::syscall, g_status::runnable);
  put_global(g);
  wake_p();
}
// The run that it belonged to is over, and has left it alone since.
void drop_orphan(M* m, G* g, void*) noexcept {
  set_status(g->status, g_status::syscall, g_status::dead);
  release_g(m, g);
}
}  // namespace

void enter_syscall(G* g) noexcept {
  M* m = g->m;
  P* p = m->p;
  if (sched.stopping.load(relaxed)) return give_way(g, true);
  const bool others = work_waits_for(*p);
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
  if (m->in_syscall.exchange(0, acq_rel) & M::given_up) {  // [in_syscall] acquire: the run has given us up
    m->orphan = true;
    g->orphan.store(true, relaxed);
    switch_to(m, g, nullptr, {nullptr, drop_orphan, nullptr});
  }
  P* p = m->old_p;
  auto as = p_status::syscall;
  if (p->status.compare_exchange_strong(as, p_status::running, seq_cst, relaxed)) {  // [p.status] acquire
    m->p = p;
    p->m.store(m, release);  // [p.m]
    add_own(p->syscalltick, 1u);
    set_status(g->status, g_status::syscall, g_status::running);
    return;
  }
  {
    std::unique_lock hold(sched.lock);
    if (!sched.stopping.load(relaxed) && (p = take_idle_p_locked())) {
      hold.unlock();
      acquire_p(m, p);
      set_status(g->status, g_status::syscall, g_status::running);
      return;
    }
  }
  account(g, ticks());
  g->runnable_since.store(ticks(), relaxed);
  if ((g->own || g->pthread_locks.load(relaxed) != 0) && !g->stopped_by_signal) [[unlikely]]
    hook.settle_identity(*m, *g);
  switch_to(m, g, nullptr, {nullptr, publish, nullptr});
}

bool retake(P* p) noexcept {
  auto as = p_status::syscall;
  if (!p->status.compare_exchange_strong(as, p_status::idle, seq_cst, relaxed)) return false;  // [p.status] acquire
  add_own(p->syscalltick, 1u);
  hand_off(p);
  return true;
}

}  // namespace urge
