// SPDX-License-Identifier: MIT
// A child of fork has one thread, and of the runtime only the memory: no M, no sysmon, no maker. So there the thread
// that forked is made a thread that urge does not know: nobody preempts it, each call of urge throws, a lock that some
// other thread held at that moment is told instead of waited for, and the signal is its owner's again. exec and _exit
// are what such a child is for; the end of the G's function is a fatal error.
// Handlers of pthread_atfork and not a definition of `fork`: forkpty, daemon and others call it inside libc. `_Fork`
// calls no handlers, so it has a definition. A child of vfork, or of a bare clone, is told by its process id
// (os::in_child), and by its thread id in the signal handler.
// In the parent nothing is to be done: fork waits for locks of malloc and stdio, which stopped Gs may hold, as any G
// waits for them; and a thread cannot be signalled while it is being copied.
// Context: the child, its only thread; after the handlers of the program, which were registered before.
#include <pthread.h>
#include <unistd.h>

#include <new>

#include "preempt/handler.hpp"
#include "preempt/identity_pool.hpp"
#include "preempt/preempt.hpp"
#include "preempt/real.hpp"
#include "sched/sanitizer.hpp"

namespace urge::preempt {

namespace {

void note_process() noexcept { os::process.store(static_cast<int>(os::syscall6(SYS_getpid)), relaxed); }

void in_child_of_fork() noexcept {
  note_process();
  // Outside a run nothing is on its way: the child may have its own.
  if (!sched.on.load(relaxed)) return;
  os::forked.store(true, relaxed);
  if (G* g = current_g()) hook.go_on_behind_libc(*g);
  urge_tls = {nullptr, nullptr};
  urge_yield_wanted = 1;  // as on every thread that is none of ours
  // What is only read under them, by snapshot, may be half written: figures, no lists.
  new (&sched.lock) raw_lock;
  new (&pool.lock) raw_lock;
  renew_task_lock();
  uninstall();
}

#if !URGE_ASAN && !URGE_TSAN
// libc has it since 2.34; nobody calls it where it is missing.
constinit real<pid_t()> bare_fork{"_Fork"};
#endif

}  // namespace

void watch_forks() noexcept {
  note_process();
  static const bool watching = pthread_atfork(nullptr, nullptr, in_child_of_fork) == 0;
  if (!watching) fatal("no memory to register with pthread_atfork");
#if !URGE_ASAN && !URGE_TSAN
  if (dlsym(RTLD_NEXT, "_Fork")) bare_fork.get();
#endif
}

}  // namespace urge::preempt

#if !URGE_ASAN && !URGE_TSAN
extern "C" __attribute__((visibility("default"))) pid_t _Fork() noexcept {
  const pid_t child = urge::preempt::bare_fork.get()();
  if (child == 0) urge::preempt::in_child_of_fork();
  return child;
}
#endif
