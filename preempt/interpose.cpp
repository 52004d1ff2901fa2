// SPDX-License-Identifier: MIT
// What a program may not take from us by signals: these definitions stand before libc's in the program's symbol order.
//   sigaction, signal      a user's handler runs with a count in its G, under which the G is not preempted: the return
//   from a
//                          signal frame on another M would give that M this one's alternate stack. For the preemption
//                          signal the user's action is kept and called by our handler.
//   sigprocmask, pthread_sigmask   the preemption signal is left out of what is blocked.
// Handlers that were installed past these functions (by a bare system call, or by libc itself) are not known here.
// Context: any thread. Nothing is looked up at run time: `__sigaction` is libc's own second name, masks are set by
// system call.
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

// The user's actions. A replaced one is kept for ever: a handler on another thread may be about to call it.
atomic<const struct sigaction*> actions[_NSIG];

// Context: signal handler.
void run_users_handler(int signal, siginfo_t* info, void* uc) noexcept {
  const struct sigaction* a = actions[signal].load(acquire);  // [user.action] acquire: its contents
  if (!a) return;
  G* g = current_g();
  const std::uint32_t depth = g ? g->user_handlers.load(relaxed) : 0;
  if (g) {
    if (depth == 0) g->handler_sp.store(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)), relaxed);
    g->user_handlers.store(depth + 1, relaxed);
    std::atomic_signal_fence(seq_cst);  // before any instruction of the handler
  }
  if (a->sa_flags & SA_SIGINFO)
    a->sa_sigaction(signal, info, uc);
  else
    a->sa_handler(signal);
  if (g) {
    std::atomic_signal_fence(seq_cst);  // after the last one
    g->user_handlers.store(depth, relaxed);
  }
}

bool is_function(const struct sigaction& a) noexcept {
  return (a.sa_flags & SA_SIGINFO) || (a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN);
}

}  // namespace

int kernel_action(int signal, const struct sigaction* act, struct sigaction* old) noexcept {
  return __sigaction(signal, act, old);
}

namespace {

int set_action(int signal, const struct sigaction* act, struct sigaction* old) noexcept {
  if (signal <= 0 || signal >= _NSIG) return __sigaction(signal, act, old);
  const struct sigaction* copy = nullptr;
  if (act && is_function(*act)) copy = new (std::nothrow) struct sigaction(*act);
  if (act && is_function(*act) && !copy) {
    errno = ENOMEM;
    return -1;
  }
  if (shared.installed.load(acquire) && signal == shared.signal.load(relaxed)) {
    // Ours stays in place and calls theirs; SIG_DFL and SIG_IGN come back at the end of the run.
    if (act && !copy) copy = new (std::nothrow) struct sigaction(*act);
    const struct sigaction* was =
        copy ? shared.previous.exchange(copy, acq_rel) : shared.previous.load(acquire);  // [signal.previous]
    if (old && was) *old = *was;
    return 0;
  }
  const struct sigaction* was = actions[signal].load(acquire);  // [user.action] acquire
  struct sigaction given {};
  const struct sigaction* to_kernel = act;
  if (copy) {
    actions[signal].store(copy, release);  // [user.action] release: its contents
    given = *copy;
    given.sa_sigaction = run_users_handler;
    given.sa_flags |= SA_SIGINFO;
    to_kernel = &given;
  }
  struct sigaction before {};
  if (const int r = __sigaction(signal, to_kernel, &before); r != 0) {
    if (copy) actions[signal].store(was, release);  // [user.action]
    return r;
  }
  if (old) {
    *old = before;
    if (before.sa_sigaction == run_users_handler && was) *old = *was;
  }
  return 0;
}

int set_mask(int how, const sigset_t* set, sigset_t* old) noexcept {
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
