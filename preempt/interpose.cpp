// SPDX-License-Identifier: MIT
// What a program may not take from us by signals: these definitions stand before libc's in the program's symbol order.
//   sigaction, signal   The preemption signal is added to the mask of every handler: a handler that was preempted could
//                       return on another M, and its signal frame would give that M this one's alternate stack. The
//                       kernel raises and lifts the mask together with the frame, so there is no moment in between.
//                       For the preemption signal itself the user's action is kept and called by our handler.
//   sigprocmask, pthread_sigmask   The preemption signal is left out of what is blocked.
//   sigaltstack         A G's goes with the G. One that has no room for our handler beside the kernel's frame is only
//                       remembered, and handlers run on the M's.
// A child of vfork shares the parent's memory: what it sets is its own affair, and not noted here. Handlers that are
// installed past these functions while a run is on (by a bare system call) are not known.
// Context: any thread. Nothing is looked up at run time: `__sigaction` is libc's own second name, the others are bare
// system calls.
#include <sys/auxv.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>
#include <new>

#include "preempt/handler.hpp"
#include "preempt/preempt.hpp"
#include "sched/sanitizer.hpp"

extern "C" int __sigaction(int, const struct sigaction*, struct sigaction*) noexcept;

namespace urge::preempt {

namespace {

bool is_function(const struct sigaction& a) noexcept {
  return (a.sa_flags & SA_SIGINFO) || (a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN);
}

}  // namespace

int kernel_action(int signal, const struct sigaction* act, struct sigaction* old) noexcept {
  return __sigaction(signal, act, old);
}

namespace {

// A handler may have run in a call that has returned EINTR: see handler.cpp. Set for good.
void note_handler(int signal, const struct sigaction& a) noexcept {
  constexpr int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
  for (const int f : faults)
    if (signal == f) return;
  if (!is_function(a)) return;
  shared.users_handlers.store(true, relaxed);
  if (a.sa_flags & SA_ONSTACK) shared.users_handlers_elsewhere.store(true, relaxed);
}

// The signal of this run, or the one that the next is likely to use; `install` sees to another choice.
int signal_to_hold_off() noexcept {
  const int s = shared.signal.load(relaxed);
  return s ? s : SIGURG;
}

// A sanitizer stands before libc itself: there nothing calls these two.
[[maybe_unused]] int set_action(int signal, const struct sigaction* act, struct sigaction* old) noexcept {
  if (signal <= 0 || signal >= _NSIG) return __sigaction(signal, act, old);
  // [signal.installed] acquire: the signal's number and its owner's action
  if (shared.installed.load(acquire) && signal == shared.signal.load(relaxed) && !os::in_child()) {
    // Ours stays in place and calls theirs; SIG_DFL and SIG_IGN come back at the end of the run. One that is replaced
    // is kept for ever: a handler on another thread may be about to call it.
    const struct sigaction* copy = act ? new (std::nothrow) struct sigaction(*act) : nullptr;
    if (act && !copy) {
      errno = ENOMEM;
      return -1;
    }
    const struct sigaction* was =
        copy ? shared.previous.exchange(copy, acq_rel) : shared.previous.load(acquire);  // [signal.previous]
    if (old && was) *old = *was;
    return 0;
  }
  struct sigaction given {};
  if (act) {
    given = *act;
    if (is_function(given)) sigaddset(&given.sa_mask, signal_to_hold_off());
    if (!os::in_child()) note_handler(signal, given);
  }
  const int r = __sigaction(signal, act ? &given : nullptr, old);
  if (r == 0 && old && is_function(*old)) sigdelset(&old->sa_mask, signal_to_hold_off());
  return r;
}

}  // namespace

void hold_off_in_handlers() noexcept {
  for (int s = 1; s < _NSIG; ++s) {
    struct sigaction now {};
    if (s == shared.signal.load(relaxed) || s == SIGKILL || s == SIGSTOP || __sigaction(s, nullptr, &now) != 0)
      continue;
    note_handler(s, now);
    if (!is_function(now) || sigismember(&now.sa_mask, signal_to_hold_off()) == 1) continue;
    sigaddset(&now.sa_mask, signal_to_hold_off());
    __sigaction(s, &now, nullptr);
  }
}

namespace {

long kernel_mask(int how, const std::uint64_t* set, std::uint64_t* old) noexcept {
  return os::syscall6(SYS_rt_sigprocmask, how, reinterpret_cast<long>(set), reinterpret_cast<long>(old), sizeof *old);
}

[[maybe_unused]] int set_mask(int how, const sigset_t* set, sigset_t* old) noexcept {
  std::uint64_t wanted = 0, was = 0;
  if (set) {
    __builtin_memcpy(&wanted, set, sizeof wanted);
    // libc keeps its own two (cancellation, setuid) open.
    if (how != SIG_UNBLOCK) wanted &= ~(std::uint64_t{3} << 31);
    // Ours stays what it is on our threads: open, or blocked while a handler runs.
    if (current_m() && shared.installed.load(relaxed) && !os::in_child()) {
      const std::uint64_t ours = std::uint64_t{1} << (shared.signal.load(relaxed) - 1);
      wanted &= ~ours;
      if (how == SIG_SETMASK && kernel_mask(SIG_BLOCK, nullptr, &was) == 0) wanted |= was & ours;
    }
  }
  const long r = kernel_mask(how, set ? &wanted : nullptr, &was);
  if (r == 0 && set) {
    // A G's mask goes where it goes, and to nobody else: switches put the M's own back.
    if (G* g = current_g(); g && !os::in_child()) g->has_thread_state = g->sets_sigmask = true;
  }
  if (r == 0 && old) {
    sigemptyset(old);
    __builtin_memcpy(old, &was, sizeof was);
  }
  return static_cast<int>(-r);
}

long kernel_altstack(const stack_t* set, stack_t* old) noexcept {
  return os::syscall6(SYS_sigaltstack, reinterpret_cast<long>(set), reinterpret_cast<long>(old));
}

// Beside the kernel's frame, which holds the extended state: our handler, and the user's that it calls.
bool has_room_for_us(const stack_t& s) noexcept { return s.ss_size >= getauxval(AT_MINSIGSTKSZ) + 3 * 1024; }

// 0 or -errno. Context: a G, preemption held off.
long set_altstack_of(G& g, const stack_t* set, stack_t* old) noexcept {
  stack_t was{};
  was.ss_sp = g.alt_low, was.ss_size = g.alt_size, was.ss_flags = g.alt_low ? g.alt_flags : SS_DISABLE;
  char here;
  if (g.alt_low && &here >= g.alt_low && &here < g.alt_low + g.alt_size) was.ss_flags |= SS_ONSTACK;
  if (set && !(set->ss_flags & SS_DISABLE)) {
    const bool fits = has_room_for_us(*set);
    stack_t next = *set;
    if (!fits) {
      if (set->ss_size < 2048) return -ENOMEM;  // the kernel's own bound
      next.ss_sp = g.m->alt_stack, next.ss_size = alt_stack_bytes;
    }
    if (const long r = kernel_altstack(&next, nullptr); r != 0) return r;
    g.alt_low = static_cast<char*>(set->ss_sp), g.alt_size = set->ss_size;
    g.alt_flags = set->ss_flags & ~SS_ONSTACK, g.alt_in_use = fits;
  } else if (set) {
    stack_t ours{};
    ours.ss_sp = g.m->alt_stack, ours.ss_size = alt_stack_bytes;
    if (const long r = kernel_altstack(&ours, nullptr); r != 0) return r;
    g.alt_low = nullptr, g.alt_in_use = false;
  }
  if (g.alt_in_use) g.has_thread_state = true;
  if (old) *old = was;
  return 0;
}

[[maybe_unused]] long set_altstack(const stack_t* set, stack_t* old) noexcept {
  if (!current_g() || os::in_child()) return kernel_altstack(set, old);
  // A copy each way: what is the caller's memory may fault, and must not with preemption held off.
  stack_t in{}, out{};
  if (set) in = *set;
  G* g = hold_here();
  const long r = set_altstack_of(*g, set ? &in : nullptr, &out);
  let_go(g);
  if (r == 0 && old) *old = out;
  return r;
}
}  // namespace
}  // namespace urge::preempt

#if !URGE_ASAN && !URGE_TSAN
extern "C" {
#define URGE_EXPORT __attribute__((visibility("default")))

URGE_EXPORT int sigaction(int signal, const struct sigaction* act, struct sigaction* old) noexcept {
  return urge::preempt::set_action(signal, act, old);
}

URGE_EXPORT sighandler_t signal(int number, sighandler_t handler) noexcept {
  struct sigaction act {
  }, old{};
  act.sa_handler = handler;
  act.sa_flags = SA_RESTART;
  sigemptyset(&act.sa_mask);
  return urge::preempt::set_action(number, &act, &old) == 0 ? old.sa_handler : SIG_ERR;
}

URGE_EXPORT int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) noexcept {
  return urge::preempt::set_mask(how, set, old);
}

URGE_EXPORT int sigprocmask(int how, const sigset_t* set, sigset_t* old) noexcept {
  const int error = urge::preempt::set_mask(how, set, old);
  if (error == 0) return 0;
  errno = error;
  return -1;
}

URGE_EXPORT int sigaltstack(const stack_t* set, stack_t* old) noexcept {
  const long r = urge::preempt::set_altstack(set, old);
  if (r == 0) return 0;
  errno = static_cast<int>(-r);
  return -1;
}
}
#endif
