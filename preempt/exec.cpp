// SPDX-License-Identifier: MIT
// exec by a G: the next program inherits what is pending for the thread, and has no handler for it. For SIGURG that is
// nothing; any other signal of ours would end it at once. So while a G is in exec nobody sends one.
//   we:     calls += 1; fence; wait until sending = 0          not both may miss: either sysmon sees the call, or we
//   sysmon: sending = 1; fence; look at calls; send; sending = 0                            wait until it has sent
// After that one system call takes what is still pending: handlers run on its way back.
// A child of fork or vfork has nothing pending from us. posix_spawn, system and popen do their exec inside libc, in a
// child that blocks all signals.
// Context: a G, preemption held off: so it stays on this thread. Others: straight to libc.
#include "preempt/exec.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "preempt/handler.hpp"
#include "preempt/preempt.hpp"
#include "preempt/real.hpp"
#include "sched/sanitizer.hpp"

#if !URGE_ASAN && !URGE_TSAN

namespace urge::preempt {

namespace {

atomic<std::uint32_t> execs{0}, making{0};

// While the G waits for the maker it can be stopped: pthread_create may wait for a lock of malloc that a G holds which
// needs this P. It counts as holding a lock of pthread until the end, so that nobody ends it in between.
class quiet {
 public:
  quiet() noexcept {
    if (!current_g() || os::in_child() || !shared.installed.load(relaxed)) return;
    add_own(current_g()->pthread_locks, 1u);
    execs.fetch_add(1, seq_cst);  // [exec.making] seq_cst: before the look at `making`
    for (std::uint32_t now; (now = making.load(seq_cst)) != 0;) os::futex_wait(making, now);  // [exec.making]
    g_ = hold_here();
    shared.execs.fetch_add(1, seq_cst);                           // [exec] seq_cst: before the look at `sending`
    while (shared.sending.load(seq_cst) != 0) os::sched_yield();  // [exec]; sysmon is about to send one signal
    if (g_->m->slice_timer >= 0) os::set_thread_timer(g_->m->slice_timer, 0);
    g_->m->slice_timer_runs.store(false, relaxed);
    os::syscall6(SYS_gettid);
  }
  ~quiet() {
    if (!g_) return;
    shared.execs.fetch_sub(1, relaxed);  // sysmon repeats what it could not send
    execs.fetch_sub(1, release);         // [exec.making] release: the exec has failed
    call_maker();
    let_go(g_);
    add_own(g_->pthread_locks, ~std::uint32_t{0});
  }
  quiet(const quiet&) = delete;

 private:
  G* g_ = nullptr;
};

using strings = char* const*;
constinit real<int(const char*, strings, strings)> real_execve{"execve"}, real_execvpe{"execvpe"};
constinit real<int(const char*, strings)> real_execv{"execv"}, real_execvp{"execvp"};
constinit real<int(int, strings, strings)> real_fexecve{"fexecve"};
constinit real<int(int, const char*, strings, strings, int)> real_execveat{"execveat"};

template <class F, class... A>
int quietly(real<F>& f, A... a) noexcept {
  const quiet now;
  return f.get()(a...);
}

std::size_t count_strings(va_list& rest) noexcept {
  std::size_t n = 0;
  while (va_arg(rest, char*)) ++n;
  return n;
}
void copy_strings(const char* first, va_list& rest, char** to) noexcept {
  *to++ = const_cast<char*>(first);
  while ((*to++ = va_arg(rest, char*))) {
  }
}

}  // namespace

bool begin_making() noexcept {
  making.store(1, seq_cst);                   // [exec.making] seq_cst: before the look at `execs`
  if (execs.load(seq_cst) == 0) return true;  // [exec.making]
  end_making();
  return false;
}
void end_making() noexcept {
  making.store(0, seq_cst);  // [exec.making] seq_cst: its threads are made; before the look whether somebody waits
  if (execs.load(seq_cst) != 0) os::futex_wake(making, INT32_MAX);  // [exec.making]
}

void find_exec_functions() noexcept {
  real_execve.get(), real_execvpe.get(), real_execv.get(), real_execvp.get(), real_fexecve.get();
  if (dlsym(RTLD_NEXT, "execveat")) real_execveat.get();  // libc has it since 2.34
}

}  // namespace urge::preempt

extern "C" {
using namespace urge::preempt;
#define URGE_EXPORT __attribute__((visibility("default")))

URGE_EXPORT int execve(const char* path, strings argv, strings environment) noexcept {
  return quietly(real_execve, path, argv, environment);
}
URGE_EXPORT int execvpe(const char* file, strings argv, strings environment) noexcept {
  return quietly(real_execvpe, file, argv, environment);
}
URGE_EXPORT int execv(const char* path, strings argv) noexcept { return quietly(real_execv, path, argv); }
URGE_EXPORT int execvp(const char* file, strings argv) noexcept { return quietly(real_execvp, file, argv); }
URGE_EXPORT int fexecve(int fd, strings argv, strings environment) noexcept {
  return quietly(real_fexecve, fd, argv, environment);
}
URGE_EXPORT int execveat(int fd, const char* path, strings argv, strings environment, int flags) noexcept {
  return quietly(real_execveat, fd, path, argv, environment, flags);
}

// The arguments on the stack, as libc does it: exec may be called where malloc may not.
#define URGE_COLLECT(argv, first)                                                                       \
  va_list rest;                                                                                         \
  va_start(rest, first);                                                                                \
  char** const argv = static_cast<char**>(__builtin_alloca((count_strings(rest) + 2) * sizeof(char*))); \
  va_end(rest);                                                                                         \
  va_start(rest, first);                                                                                \
  copy_strings(first, rest, argv)

URGE_EXPORT int execl(const char* path, const char* first, ...) noexcept {
  URGE_COLLECT(argv, first);
  va_end(rest);
  return quietly(real_execv, path, argv);
}
URGE_EXPORT int execlp(const char* file, const char* first, ...) noexcept {
  URGE_COLLECT(argv, first);
  va_end(rest);
  return quietly(real_execvp, file, argv);
}
URGE_EXPORT int execle(const char* path, const char* first, ...) noexcept {
  URGE_COLLECT(argv, first);
  char** const environment = va_arg(rest, char**);
  va_end(rest);
  return quietly(real_execve, path, argv, environment);
}
}

#else
namespace urge::preempt {
void find_exec_functions() noexcept {}
bool begin_making() noexcept { return true; }
void end_making() noexcept {}
}  // namespace urge::preempt
#endif
