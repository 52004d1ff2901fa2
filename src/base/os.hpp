// SPDX-License-Identifier: MIT
// System calls as functions that return -errno and never touch errno. They are issued by an instruction of their own
// instead of through libc: the scheduler and the signal handler run on any thread's TLS block, and a preempted G may be
// between its failing call and its look at errno.
// Context: any, the signal handler included.
#pragma once
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
int tgkill(int tid, int signal) noexcept;
void sched_yield() noexcept;
std::int64_t monotonic_ns() noexcept;

// The kernel's signal mask of the calling thread: 64 signals, bit n-1 for signal n.
std::uint64_t signal_mask() noexcept;
void set_signal_mask(std::uint64_t mask) noexcept;

// A private anonymous mapping; returns the address, or -errno in the last page of the address space.
void* map(std::size_t bytes, bool reserve_only) noexcept;
bool failed(const void* mapping) noexcept;
int unmap(void* address, std::size_t bytes) noexcept;
int advise(void* address, std::size_t bytes, int advice) noexcept;
int protect_none(void* address, std::size_t bytes) noexcept;

long write(int fd, const void* data, std::size_t n) noexcept;
int set_timer_slack_1ns() noexcept;

// Sends `signal` to the calling thread each `interval_ns`, from now on. Returns the timer, or -errno.
int start_thread_timer(int signal, std::int64_t interval_ns) noexcept;
void stop_thread_timer(int timer) noexcept;

}  // namespace urge::os
