// SPDX-License-Identifier: MIT
// pthread_self() of a G names the block that it runs under, whose thread id the kernel does not know: libc's functions
// that ask the kernel by that id fail with ESRCH. Here are those that programs call on themselves.
//   raise, pthread_kill, pthread_sigqueue   to the thread that the G runs on. libc asks for its id and then sends: a G
//                           that moves to another M in between would signal whoever runs there; so it may not move.
//                           The handler is the user's, and may leave by siglongjmp: so not `locks` holds preemption
//                           off, but the mask, which that restores.
//   pthread_getaffinity_np, pthread_getschedparam, pthread_getcpuclockid   of the thread that the G runs on
//   pthread_setaffinity_np  refused: it would bind the M, and so all the others
//   pthread_getattr_np      the G's stack, for those who scan it or measure what is left
//   pthread_exit            ends the G, as this_g::exit: libc would end the M's thread
// What is said of any other thread is libc's affair. Context: any thread.
#include <urge/go.hpp>

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "preempt/handler.hpp"
#include "preempt/preempt.hpp"
#include "preempt/real.hpp"
#include "sched/sanitizer.hpp"

#if !URGE_ASAN && !URGE_TSAN

namespace urge::preempt {

namespace {

bool is_this_g(pthread_t who) noexcept { return current_g() && pthread_equal(who, pthread_self()) && !os::in_child(); }

std::uint64_t change_mask(int how, std::uint64_t set) noexcept {
  std::uint64_t was = 0;
  os::syscall6(SYS_rt_sigprocmask, how, reinterpret_cast<long>(&set), reinterpret_cast<long>(&was), sizeof was);
  return was;
}

// `send` with the G held on its thread, whose id it is given. The handler runs before this returns.
template <class F>
long to_this_thread(F send) noexcept {
  const std::uint64_t ours = std::uint64_t{1} << (shared.signal.load(relaxed) - 1);
  const std::uint64_t was = change_mask(SIG_BLOCK, ours);
  const long r = send(os::gettid());
  if (!(was & ours)) change_mask(SIG_UNBLOCK, ours);
  return r;
}
long kill_this_thread(int signal) noexcept {
  return to_this_thread([&](int tid) { return static_cast<long>(os::tgkill(tid, signal)); });
}

constinit real<int(int)> real_raise{"raise"};
constinit real<int(pthread_t, int)> real_kill{"pthread_kill"};
constinit real<int(pthread_t, int, sigval)> real_sigqueue{"pthread_sigqueue"};
constinit real<int(pthread_t, std::size_t, cpu_set_t*)> real_getaffinity{"pthread_getaffinity_np"};
constinit real<int(pthread_t, std::size_t, const cpu_set_t*)> real_setaffinity{"pthread_setaffinity_np"};
constinit real<int(pthread_t, int*, sched_param*)> real_getschedparam{"pthread_getschedparam"};
constinit real<int(pthread_t, clockid_t*)> real_getcpuclockid{"pthread_getcpuclockid"};
constinit real<int(pthread_t, pthread_attr_t*)> real_getattr{"pthread_getattr_np"};
constinit real<void(void*)> real_exit{"pthread_exit"};

// libc keeps its own two signals to itself.
bool is_libcs(int signal) noexcept { return signal == 32 || signal == 33; }

}  // namespace

void find_self_functions() noexcept {
  real_raise.get(), real_kill.get(), real_sigqueue.get(), real_getaffinity.get(), real_setaffinity.get();
  real_getschedparam.get(), real_getcpuclockid.get(), real_getattr.get(), real_exit.get();
}

}  // namespace urge::preempt

extern "C" {
using namespace urge::preempt;
using namespace urge;
#define URGE_EXPORT __attribute__((visibility("default")))

URGE_EXPORT int raise(int signal) noexcept {
  if (!is_this_g(pthread_self()) || is_libcs(signal)) return real_raise.get()(signal);
  const long r = kill_this_thread(signal);
  if (r == 0) return 0;
  errno = static_cast<int>(-r);
  return -1;
}

URGE_EXPORT int pthread_kill(pthread_t who, int signal) noexcept {
  if (!is_this_g(who) || is_libcs(signal)) return real_kill.get()(who, signal);
  return static_cast<int>(-kill_this_thread(signal));
}

URGE_EXPORT int pthread_sigqueue(pthread_t who, int signal, const sigval value) noexcept {
  if (!is_this_g(who) || is_libcs(signal)) return real_sigqueue.get()(who, signal, value);
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value = value;
  return static_cast<int>(-to_this_thread([&](int tid) {
    return os::syscall6(SYS_rt_tgsigqueueinfo, info.si_pid, tid, signal, reinterpret_cast<long>(&info));
  }));
}

URGE_EXPORT int pthread_getaffinity_np(pthread_t who, std::size_t bytes, cpu_set_t* set) noexcept {
  if (!is_this_g(who)) return real_getaffinity.get()(who, bytes, set);
  const long n = os::syscall6(SYS_sched_getaffinity, 0, static_cast<long>(bytes), reinterpret_cast<long>(set));
  if (n < 0) return static_cast<int>(-n);
  std::memset(reinterpret_cast<char*>(set) + n, 0, bytes - static_cast<std::size_t>(n));
  return 0;
}

URGE_EXPORT int pthread_setaffinity_np(pthread_t who, std::size_t bytes, const cpu_set_t* set) noexcept {
  return is_this_g(who) ? ENOTSUP : real_setaffinity.get()(who, bytes, set);
}

URGE_EXPORT int pthread_getschedparam(pthread_t who, int* policy, sched_param* param) noexcept {
  if (!is_this_g(who)) return real_getschedparam.get()(who, policy, param);
  const long p = os::syscall6(SYS_sched_getscheduler, 0);
  if (p < 0) return static_cast<int>(-p);
  *policy = static_cast<int>(p);
  return static_cast<int>(-os::syscall6(SYS_sched_getparam, 0, reinterpret_cast<long>(param)));
}

URGE_EXPORT int pthread_getcpuclockid(pthread_t who, clockid_t* clock) noexcept {
  if (!is_this_g(who)) return real_getcpuclockid.get()(who, clock);
  *clock = CLOCK_THREAD_CPUTIME_ID;
  return 0;
}

URGE_EXPORT int pthread_getattr_np(pthread_t who, pthread_attr_t* attr) noexcept {
  if (!is_this_g(who)) return real_getattr.get()(who, attr);
  const G* g = current_g();
  int error = pthread_attr_init(attr);
  if (error == 0) error = pthread_attr_setstack(attr, g->stk.low, g->stk.size);
  if (error == 0) error = pthread_attr_setguardsize(attr, guard_bytes);
  return error;
}

URGE_EXPORT void pthread_exit(void* result) {
  if (is_this_g(pthread_self())) this_g::exit();
  real_exit.get()(result);
  __builtin_unreachable();
}
}

#else
namespace urge::preempt {
void find_self_functions() noexcept {}
}  // namespace urge::preempt
#endif
