// SPDX-License-Identifier: MIT
// Where the trampoline lands: an interrupted G, its registers saved, on the stack of the identity it runs under, with
// locks held by the handler. Installing and removing the handler are here too, and what each M needs for it.
#include <urge/detail/gate.hpp>

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cxxabi.h>

#include "preempt/donor.hpp"
#include "preempt/handler.hpp"
#include "preempt/identity_pool.hpp"
#include "preempt/preempt.hpp"
#include "preempt/real.hpp"
#include "preempt/text_ranges.hpp"
#include "sched/sanitizer.hpp"

namespace urge {
namespace {

// The G has not come by the handler, but out of libc (runtime/way_out.hpp). May it stop here?
bool stops_behind_libc(G& g) noexcept {
  // A child of vfork, in our memory, goes on.
  if (os::syscall6(SYS_gettid) != g.m->tid.load(relaxed)) return false;
  g.way_out = nullptr;
  if (g.locks.load(relaxed) != 0) return false;  // a guard made by a callback has outlived it
  g.locks.store(1, relaxed);
  std::atomic_signal_fence(seq_cst);  // [detach] the lock; look at the status
  settle_suspicion(&g);
  g.sigmask = os::signal_mask();
  return true;
}

}  // namespace
}  // namespace urge

extern "C" __attribute__((visibility("hidden"))) void urge_landing() noexcept {
  using namespace urge;
  G* g = current_g();
  if (std::exchange(words_of(*g).has_returned, 0) != 0 && !stops_behind_libc(*g)) return;
  M* m = g->m;
  g->saved = (g->own ? g->own : m->loan)->stack_top;
  if (stays_on_thread(*g)) {
    g->keeps_m = true;
  } else if (!g->own) {
    // Promoted: the identity under which it was interrupted is its own from now on, and the M's other Gs get the next.
    if (identity* next = std::exchange(m->next_loan, nullptr)) {
      preempt::promote(*m, *g, next);
    } else {
      g->own = std::exchange(m->loan, nullptr);  // the run ends: the M needs no other
      preempt::count_as_carried();
    }
  }
  if (g->sigmask != m->sigmask) {
    os::set_signal_mask(m->sigmask);
    g->has_thread_state = true;  // at a stop of its own it may be needed as well
  }
  const bool at_entry = std::exchange(g->stopped_at_entry, false);
  if (g->status.load(relaxed) == g_status::syscall)
    settle_stopped(g);  // it ran without a P
  else if (at_entry)
    preempt_at_entry(g);
  else
    preempt_by_signal(g, preempt::place_of(arch::registers_of_preempted(g->saved).pc()));
  m = g->m;  // perhaps another one
  if (g->sigmask != m->sigmask) os::set_signal_mask(g->sigmask);
  std::atomic_signal_fence(seq_cst);
  g->locks.store(0, relaxed);  // the handler refuses by the stack pointer until we are off this stack
}

namespace urge::preempt {

namespace {
struct sigaction before;
}

int install(int signal) noexcept {
  find_text_ranges();
  for (auto* find :
       {find_lock_functions, find_self_functions, find_setxid_functions, find_exec_functions, find_jump_functions})
    find();
  watch_forks();
  shared.signal.store(signal, relaxed);
  if (sanitizer::on) return 0;
  hold_off_in_handlers();
  struct sigaction ours {};
  ours.sa_sigaction = urge_on_preempt_signal;
  ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  // Nothing else may interrupt the handler: it may take the pool's lock.
  sigfillset(&ours.sa_mask);
  // An action set through our sigaction is wrapped already: it stays, and is called by chain() like any other.
  if (kernel_action(signal, &ours, &before) != 0) return -errno;
  shared.previous.store(&before, release);  // [signal.previous] release: its contents
  shared.installed.store(true, release);    // [signal.installed] release: signal, previous
  return 0;
}

void uninstall() noexcept {
  if (!shared.installed.exchange(false)) return;
  // The user's own action comes back, also one that was set meanwhile.
  const struct sigaction* theirs = shared.previous.exchange(nullptr, acq_rel);  // [signal.previous]
  if (theirs == &before)
    kernel_action(shared.signal.load(relaxed), theirs, nullptr);
  else
    ::sigaction(shared.signal.load(relaxed), theirs, nullptr);  // set meanwhile: wrapped now
}

void m_start(M& m) noexcept {
  identity& base = urge_identity;
  base.base = arch::thread_base();
  base.words = &urge_tls;
  base.yield_wanted = &urge_yield_wanted;
  base.eh = reinterpret_cast<eh_state*>(abi::__cxa_get_globals());
  m.base = &base;
  m.bound.store(&base, relaxed);
  m.cpu.store(word_of_cpu(base.base), relaxed);
  urge_tls = {nullptr, &m};
  if (sanitizer::on) m.loan = m.base;  // else whoever starts the M has drawn one
  if (sched.threads_stay()) {
    m.loan = m.base;
    base.stack_top = urge_async_sp = m.save_stack + save_stack_bytes;
  }
  // A thread inherits its creator's mask; ours must be open.
  m.before_mask = os::signal_mask();
  m.sigmask = m.before_mask & ~(std::uint64_t{1} << (shared.signal.load(relaxed) - 1));
  os::set_signal_mask(m.sigmask);
  if (!sanitizer::on) {
    stack_t alt{};
    alt.ss_sp = m.alt_stack;
    alt.ss_size = alt_stack_bytes;
    ::sigaltstack(&alt, &m.before_alt);
  }
  m.signal_pending.store(0, relaxed);
  if (!sanitizer::on && sched.how.slice_end == slice_source::timer && sched.how.preempt >= preempt_mode::async)
    m.slice_timer = os::make_thread_timer(shared.signal.load(relaxed));  // where there is none, sysmon serves it
  m.tid.store(os::gettid(), release);                                    // [m.tid] release: the M
}

void m_stop(M& m) noexcept {
  m.tid.store(0, release);  // [m.tid]
  if (m.slice_timer >= 0) os::delete_thread_timer(std::exchange(m.slice_timer, -1));
  m.slice_timer_runs.store(false, relaxed);
  os::set_signal_mask(m.before_mask);
  if (!sanitizer::on) {
    ::sigaltstack(&m.before_alt, nullptr);
    if (m.loan && m.loan != m.base) give_back_loan(m.loan);
    if (m.next_loan) give_back_unused(m.next_loan);
  }
  urge_async_sp = nullptr;
  m.loan = m.next_loan = nullptr;
  {
    std::lock_guard hold(sched.watching);
    m.bound.store(nullptr, relaxed), m.cpu.store(nullptr, relaxed);
  }
  urge_tls = {nullptr, nullptr};
  sanitizer::m_stops(m);
}

std::uint64_t deferred(defer_reason why) noexcept {
  return shared.deferred[static_cast<std::size_t>(why)].load(relaxed);
}
std::uint64_t calls_interrupted() noexcept { return shared.calls_interrupted.load(relaxed); }
std::uint64_t calls_begun_anew() noexcept { return shared.calls_begun_anew.load(relaxed); }
std::uint64_t slices_ended() noexcept { return shared.slices_ended.load(relaxed); }
void reset_counts() noexcept {
  shared.slices_ended.store(0, relaxed);
  for (auto& n : shared.deferred) n.store(0, relaxed);
  shared.calls_interrupted.store(0, relaxed), shared.calls_begun_anew.store(0, relaxed);
  pool.taken.store(0, relaxed), pool.given_back.store(0, relaxed);
}

}  // namespace urge::preempt
