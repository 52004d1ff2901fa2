// SPDX-License-Identifier: MIT
// Where the trampoline lands: an interrupted G, its registers saved, on the stack of the identity it runs under, with
// locks held by the handler. Installing and removing the handler are here too, and what each M needs for it.
#include <urge/detail/gate.hpp>

#include <sys/mman.h>

#include <cxxabi.h>

#include "preempt/handler.hpp"
#include "preempt/identity_pool.hpp"
#include "preempt/preempt.hpp"
#include "preempt/text_ranges.hpp"
#include "sched/sanitizer.hpp"

extern "C" __attribute__((visibility("hidden"))) void urge_landing() noexcept {
  using namespace urge;
  G* g = current_g();
  M* m = g->m;
  if (!g->own) {
    // Promoted: the identity under which it was interrupted is its own from now on, and the M's other Gs get the next.
    if (identity* next = std::exchange(m->next_loan, nullptr)) {
      preempt::promote(*m, *g, next);
    } else {
      g->own = std::exchange(m->loan, nullptr);  // the run ends: the M needs no other
      preempt::count_as_carried();
    }
  }
  if (g->sigmask != m->sigmask) os::set_signal_mask(m->sigmask);
  preempt_by_signal(g);
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
  find_lock_functions();
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
  urge_tls = {nullptr, &m};
  if (sanitizer::on) m.loan = m.base;  // else whoever starts the M has drawn one
  if (!m.alt_stack) {
    void* map = os::map(alt_stack_bytes, false);
    if (os::failed(map)) fatal_syscall("mmap of an alternate signal stack", reinterpret_cast<long>(map));
    m.alt_stack = static_cast<char*>(map);
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
  m.tid.store(os::gettid(), release);  // [m.tid] release: the M
}

void m_stop(M& m) noexcept {
  m.tid.store(0, release);  // [m.tid]
  os::set_signal_mask(m.before_mask);
  if (!sanitizer::on) {
    ::sigaltstack(&m.before_alt, nullptr);
    if (m.loan) give_back_loan(m.loan);
    if (m.next_loan) give_back_unused(m.next_loan);
  }
  m.loan = m.next_loan = nullptr;
  m.bound.store(nullptr, relaxed);
  urge_tls = {nullptr, nullptr};
  sanitizer::m_stops(m);
}

std::uint64_t deferred(defer_reason why) noexcept {
  return shared.deferred[static_cast<std::size_t>(why)].load(relaxed);
}
void reset_counts() noexcept {
  for (auto& n : shared.deferred) n.store(0, relaxed);
  pool.taken.store(0, relaxed), pool.given_back.store(0, relaxed);
}

}  // namespace urge::preempt
