// SPDX-License-Identifier: MIT
// See os.hpp. vDSO calls go through libc's clock_gettime, which on x86-64 takes no lock and touches no errno.
#include "base/os.hpp"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace urge::os {

namespace {
long addr(const volatile void* p) noexcept { return reinterpret_cast<long>(p); }
}  // namespace

int futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline_ns) noexcept {
  timespec until{};
  const timespec* limit = nullptr;
  if (deadline_ns != no_deadline) {
    if (deadline_ns < 0) deadline_ns = 0;
    until = {deadline_ns / 1'000'000'000, deadline_ns % 1'000'000'000};
    limit = &until;
  }
  // FUTEX_WAIT_BITSET is the form whose time is absolute.
  return static_cast<int>(syscall6(SYS_futex, addr(&word), FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                                   addr(limit), 0, static_cast<long>(FUTEX_BITSET_MATCH_ANY)));
}

void futex_wake(const atomic<std::uint32_t>& word, int n) noexcept {
  syscall6(SYS_futex, addr(&word), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n);
}

int gettid() noexcept { return static_cast<int>(syscall6(SYS_gettid)); }
int tgkill(int tid, int signal) noexcept {
  return static_cast<int>(syscall6(SYS_tgkill, syscall6(SYS_getpid), tid, signal));
}
void sched_yield() noexcept { syscall6(SYS_sched_yield); }

std::int64_t monotonic_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

std::uint64_t signal_mask() noexcept {
  std::uint64_t mask = 0;
  syscall6(SYS_rt_sigprocmask, SIG_BLOCK, 0, addr(&mask), sizeof mask);
  return mask;
}
void set_signal_mask(std::uint64_t mask) noexcept {
  syscall6(SYS_rt_sigprocmask, SIG_SETMASK, addr(&mask), 0, sizeof mask);
}

void* map(std::size_t bytes, bool reserve_only) noexcept {
  const long flags = MAP_PRIVATE | MAP_ANONYMOUS | (reserve_only ? MAP_NORESERVE : 0);
  return reinterpret_cast<void*>(syscall6(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE, flags, -1, 0));
}
bool failed(const void* mapping) noexcept {
  return reinterpret_cast<std::uintptr_t>(mapping) >= static_cast<std::uintptr_t>(-4095);
}
int unmap(void* address, std::size_t bytes) noexcept {
  return static_cast<int>(syscall6(SYS_munmap, addr(address), static_cast<long>(bytes)));
}
int advise(void* address, std::size_t bytes, int advice) noexcept {
  return static_cast<int>(syscall6(SYS_madvise, addr(address), static_cast<long>(bytes), advice));
}
int protect_none(void* address, std::size_t bytes) noexcept {
  return static_cast<int>(syscall6(SYS_mprotect, addr(address), static_cast<long>(bytes), PROT_NONE));
}

long write(int fd, const void* data, std::size_t n) noexcept {
  return syscall6(SYS_write, fd, addr(data), static_cast<long>(n));
}
int start_thread_timer(int signal, std::int64_t interval_ns) noexcept {
  sigevent how{};
  how.sigev_notify = SIGEV_THREAD_ID;
  how.sigev_signo = signal;
  how._sigev_un._tid = gettid();
  int timer = -1;
  if (const long error = syscall6(SYS_timer_create, CLOCK_MONOTONIC, addr(&how), addr(&timer)); error < 0)
    return static_cast<int>(error);
  const timespec each{interval_ns / 1'000'000'000, interval_ns % 1'000'000'000};
  const itimerspec when{each, each};
  syscall6(SYS_timer_settime, timer, 0, addr(&when), 0);  // cannot fail: the timer is ours and the time is in range
  return timer;
}
void stop_thread_timer(int timer) noexcept { syscall6(SYS_timer_delete, timer); }
int set_timer_slack_1ns() noexcept { return static_cast<int>(syscall6(SYS_prctl, PR_SET_TIMERSLACK, 1)); }

}  // namespace urge::os
