// SPDX-License-Identifier: MIT
// System calls as functions that return -errno and never touch errno. They are issued by an instruction of their own
// instead of through libc: the scheduler and the signal handler run on any thread's TLS block, and a preempted G may be
// between its failing call and its look at errno.
// Context: any, the signal handler included.
#pragma once
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <ctime>

#include "base/atomic.hpp"

namespace urge::os {

inline long syscall6(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) noexcept {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

inline constexpr std::int64_t no_deadline = INT64_MAX;

// Sleeps while `word` holds `expected`, at most until `deadline_ns` on CLOCK_MONOTONIC.
// Returns 0, -EAGAIN (another value), -EINTR or -ETIMEDOUT.
int futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
               std::int64_t deadline_ns = no_deadline) noexcept;
void futex_wake(const atomic<std::uint32_t>& word, int n) noexcept;

int gettid() noexcept;
std::uint32_t cpu() noexcept;  // on which the calling thread runs
// This process, noted when the first run starts and in each child of fork; 0 before.
extern atomic<int> process;
// True in a child that was made past fork's handlers (by vfork or a bare clone): it may run in its parent's memory, and
// what the runtime knows is its parent's.
bool in_child() noexcept;
// This process is a child of fork that was made while a run was on: one thread, no runtime. Never unset.
extern atomic<bool> forked;
int tgkill(int tid, int signal) noexcept;
void sched_yield() noexcept;
// CPU time of a thread of this process, ns; 0: there is none of that number.
std::int64_t thread_cpu_ns(int tid) noexcept;
std::int64_t own_cpu_ns() noexcept;  // of the calling thread
// A full memory fence on every thread of the process, between two instructions of each. False, at the first call of a
// process: the kernel has it not, or does not let us.
bool allow_membarrier() noexcept;
void membarrier() noexcept;
std::int64_t monotonic_ns() noexcept;

// The kernel's signal mask of the calling thread: 64 signals, bit n-1 for signal n.
std::uint64_t signal_mask() noexcept;
void set_signal_mask(std::uint64_t mask) noexcept;

// A private anonymous mapping; returns the address, or -errno in the last page of the address space.
void* map(std::size_t bytes, bool reserve_only) noexcept;
bool failed(const void* mapping) noexcept;
int unmap(void* address, std::size_t bytes) noexcept;
int advise(void* address, std::size_t bytes, int advice) noexcept;
// Which of these pages are in memory: the lowest bit of a byte for each.
int resident(void* address, std::size_t bytes, unsigned char* pages) noexcept;
int protect_none(void* address, std::size_t bytes) noexcept;

// What glibc takes off the stack of each thread: the program's thread_locals and the least that it wants besides.
std::size_t thread_overhead_bytes() noexcept;

// A descriptor that exec closes, or -errno.
int open_to_read(const char* path) noexcept;
// Bytes read from the beginning, or -errno.
long read_at_0(int fd, char* into, std::size_t n) noexcept;
// The same for two descriptors: they are of one file. 0: of none.
std::uint64_t file_of(int fd) noexcept;
long write(int fd, const void* data, std::size_t n) noexcept;
int set_timer_slack_1ns() noexcept;
// The calling thread, which runs for moments, shall not wait for others' slices to end as it wakes: by a short slice of
// its own (Linux 6.12 and later; else nothing changes).
void ask_for_short_slices() noexcept;

// A timer that sends `signal` to the calling thread; returns it, or -errno. It goes off after so many ns, and then each
// `interval_ns` if that is not 0; 0 and 0 put it to rest.
int make_thread_timer(int signal) noexcept;
inline void set_thread_timer(int timer, std::int64_t after_ns, std::int64_t interval_ns = 0) noexcept {
  const itimerspec when{{interval_ns / 1'000'000'000, interval_ns % 1'000'000'000},
                        {after_ns / 1'000'000'000, after_ns % 1'000'000'000}};
  syscall6(SYS_timer_settime, timer, 0, reinterpret_cast<long>(&when), 0);  // cannot fail: ours, and in range
}
void delete_thread_timer(int timer) noexcept;

}  // namespace urge::os
