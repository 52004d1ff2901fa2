// SPDX-License-Identifier: MIT
// What a program may not take from us by signals: these definitions stand before libc's in the program's symbol order.
//   sigaction, signal      the preemption signal is added to the mask of every handler: a handler that was preempted
//   could
//                          return on another M, and its signal frame would give that M this one's alternate stack. The
//                          kernel raises and lifts the mask together with the frame, so there is no moment in between.
//                          For the preemption signal itself the user's action is kept and called by our handler.
//   sigprocmask, pthread_sigmask   the preemption signal is left out of what is blocked.
// Handlers that are installed past these functions while a run is on (by a bare system call) are not known here.
// Context: any thread. Nothing is looked up at run time: `__sigaction` is libc's own second name, masks are set by
// call.
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

// The signal of this run, or the one that the next is likely to use; `install` sees to another choice.
int signal_to_hold_off() noexcept {
  const int s = shared.signal.load(relaxed);
  return s ? s : SIGURG;
}

// A sanitizer stands before libc itself: there nothing calls these two.
[[maybe_unused]] int set_action(int signal, const struct sigaction* act, struct sigaction* old) noexcept {
  if (signal <= 0 || signal >= _NSIG) return __sigaction(signal, act, old);
  // [signal.installed] acquire: the signal's number and its owner's action
  if (shared.installed.load(acquire) && signal == shared.signal.load(relaxed)) {
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
    if (!is_function(now) || sigismember(&now.sa_mask, signal_to_hold_off()) == 1) continue;
    sigaddset(&now.sa_mask, signal_to_hold_off());
    __sigaction(s, &now, nullptr);
  }
}

namespace {

[[maybe_unused]] int set_mask(int how, const sigset_t* set, sigset_t* old) noexcept {
  std::uint64_t wanted = 0;
  if (set) {
    __builtin_memcpy(&wanted, set, sizeof wanted);
    // libc keeps its own two (cancellation, setuid) open; we keep ours open on our threads.
    if (how != SIG_UNBLOCK) {
      wanted &= ~(std::uint64_t{3} << 31);
      if (current_m() && shared.installed.load(relaxed))
        wanted &= ~(std::uint64_t{1} << (shared.signal.load(relaxed) - 1));
    }
  }
  std::uint64_t was = 0;
  const long r = os::syscall6(SYS_rt_sigprocmask, how, set ? reinterpret_cast<long>(&wanted) : 0,
                              reinterpret_cast<long>(&was), sizeof was);
  if (r == 0 && set) {
    // A G's mask goes where it goes, and to nobody else: switches put the M's own back.
    if (G* g = enter_if_g()) {
      g->sigmask = os::signal_mask();
      g->has_sigmask = g->sigmask != g->m->sigmask;
      leave_without_yield(g);
    }
  }
  if (r == 0 && old) {
    sigemptyset(old);
    __builtin_memcpy(old, &was, sizeof was);
  }
  return static_cast<int>(-r);
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
}
#endif
