// SPDX-License-Identifier: MIT
// See os.hpp. vDSO calls go through libc's clock_gettime, which on x86-64 takes no lock and touches no errno.
#include "base/os.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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
std::uint32_t cpu() noexcept { return static_cast<std::uint32_t>(sched_getcpu()); }  // no system call
atomic<int> process{0};
atomic<bool> forked{false};
bool in_child() noexcept {
  const int known = process.load(relaxed);  // written before there are Gs, or by the only thread
  return known != 0 && known != static_cast<int>(syscall6(SYS_getpid));
}
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
int resident(void* address, std::size_t bytes, unsigned char* pages) noexcept {
  return static_cast<int>(syscall6(SYS_mincore, addr(address), static_cast<long>(bytes), addr(pages)));
}
int advise(void* address, std::size_t bytes, int advice) noexcept {
  return static_cast<int>(syscall6(SYS_madvise, addr(address), static_cast<long>(bytes), advice));
}
int protect_none(void* address, std::size_t bytes) noexcept {
  return static_cast<int>(syscall6(SYS_mprotect, addr(address), static_cast<long>(bytes), PROT_NONE));
}

std::size_t thread_overhead_bytes() noexcept {
  // Not in any header, and known to be there since glibc 2.15.
  static const auto least =
      reinterpret_cast<std::size_t (*)(const pthread_attr_t*)>(dlsym(RTLD_DEFAULT, "__pthread_get_minstack"));
  pthread_attr_t attr;
  if (!least || pthread_attr_init(&attr) != 0) return 0;
  const std::size_t bytes = least(&attr);
  pthread_attr_destroy(&attr);
  return bytes;
}

long write(int fd, const void* data, std::size_t n) noexcept {
  return syscall6(SYS_write, fd, addr(data), static_cast<long>(n));
}
int open_to_read(const char* path) noexcept {
  const long low = syscall6(SYS_openat, AT_FDCWD, addr(path), O_RDONLY | O_CLOEXEC);
  if (low < 0) return static_cast<int>(low);
  // Out of the way of programs that expect the lowest numbers to be theirs.
  const long high = syscall6(SYS_fcntl, low, F_DUPFD_CLOEXEC, 512);
  if (high < 0) return static_cast<int>(low);
  syscall6(SYS_close, low);
  return static_cast<int>(high);
}
long read_at_0(int fd, char* into, std::size_t n) noexcept {
  return syscall6(SYS_pread64, fd, addr(into), static_cast<long>(n), 0);
}
std::uint64_t file_of(int fd) noexcept {
  struct stat s {};
  if (syscall6(SYS_fstat, fd, addr(&s)) != 0) return 0;
  return s.st_dev * 0x9e3779b97f4a7c15 + s.st_ino + 1;
}

namespace {
std::int64_t read_clock(long clock) noexcept {
  timespec t{};
  if (syscall6(SYS_clock_gettime, clock, addr(&t)) != 0) return 0;
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}
}  // namespace
std::int64_t own_cpu_ns() noexcept { return read_clock(CLOCK_THREAD_CPUTIME_ID); }
std::int64_t thread_cpu_ns(int tid) noexcept {
  // The number of a thread's clock, as the kernel forms it: per thread (4), the scheduler's (2).
  return read_clock(static_cast<long>(~static_cast<unsigned>(tid) << 3 | 6));
}
bool allow_membarrier() noexcept { return syscall6(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0; }
void membarrier() noexcept { syscall6(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED); }

int make_thread_timer(int signal) noexcept {
  sigevent how{};
  how.sigev_notify = SIGEV_THREAD_ID;
  how.sigev_signo = signal;
  how._sigev_un._tid = gettid();
  int timer = -1;
  if (const long error = syscall6(SYS_timer_create, CLOCK_MONOTONIC, addr(&how), addr(&timer)); error < 0)
    return static_cast<int>(error);
  return timer;
}
void delete_thread_timer(int timer) noexcept { syscall6(SYS_timer_delete, timer); }
void ask_for_short_slices() noexcept {
  struct {  // the kernel's sched_attr, first version
    std::uint32_t size;
    std::uint32_t policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
  } a{};
  static_assert(sizeof a == 48);
  if (syscall6(SYS_sched_getattr, 0, addr(&a), sizeof a, 0) != 0 || a.policy != 0) return;
  a.size = sizeof a;
  a.runtime = 100'000;  // ns, the least
  syscall6(SYS_sched_setattr, 0, addr(&a), 0);
}
int set_timer_slack_1ns() noexcept { return static_cast<int>(syscall6(SYS_prctl, PR_SET_TIMERSLACK, 1)); }

}  // namespace urge::os
