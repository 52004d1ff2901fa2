// SPDX-License-Identifier: MIT
// M: a kernel thread. Ms are never freed: they come from a table and are used again by later runs.
#pragma once
#include <pthread.h>
#include <signal.h>

#include <cstdint>

#include "arch/arch.hpp"
#include "base/note.hpp"
#include "sched/identity.hpp"

namespace urge {

struct G;
struct P;

// What is to happen once the context that a switch leaves has been saved: done by the code that is switched to.
struct after_switch {
  G* prev = nullptr;  // null: g0
  void (*act)(M*, G* prev, void* arg) noexcept = nullptr;
  void* arg = nullptr;
  bool timers = false;  // then look at the P's timers: whoever left held a lock that one of them may need
};

inline constexpr std::size_t alt_stack_bytes = 64 * 1024;

struct M {
  // --- the M itself ---
  G* g = nullptr;  // current G
  P* p = nullptr;
  P* old_p = nullptr;  // the P it had when its G entered a system call
  bool spinning = false;
  arch::context g0 = nullptr;  // scheduler's context, while a G runs
  after_switch after;
  identity* base = nullptr;          // of the thread itself: g0's
  identity* loan = nullptr;          // of its Gs that have none of their own
  atomic<identity*> bound{nullptr};  // where the thread base points now; sysmon reads it
  std::uint64_t sigmask = 0;         // the thread's own
  char* alt_stack = nullptr;         // alt_stack_bytes, mapped
  void* fiber = nullptr;             // ThreadSanitizer's, in its build
  void* spare_fibers = nullptr;      // likewise: see sched/sanitizer.hpp
  void* fake_stack = nullptr;        // AddressSanitizer's: g0's
  const void* g0_low = nullptr;
  std::size_t g0_size = 0;

  // --- sched.lock; next_p by whoever wakes it, before the note ---
  P* next_p = nullptr;
  bool next_spinning = false;
  M* link = nullptr;
  M* next_all = nullptr;
  bool orphan = false;  // the M itself: its run has ended meanwhile, it ends by itself
  note park;

  // --- system calls: its G, by the M as it enters one; swapped to null by the M as it leaves; the lowest bit is set by
  // the end of the run, which waits no longer for it ---
  atomic<std::uintptr_t> in_syscall{0};
  static constexpr std::uintptr_t given_up = 1;

  // --- signal: shared with the handler on this thread, and with sysmon ---
  atomic<int> tid{0};                       // written by the M; 0: ended or not begun
  atomic<std::uint32_t> signal_pending{0};  // set before tgkill by the sender, taken by the handler
  identity* next_loan = nullptr;            // put here by the handler, for the landing
  std::uint32_t grace_tick = 0;             // the slice whose requests have been put off inside libc, and how often;
  std::uint32_t grace_count = 0;            // the handler's own
  pthread_t thread{};
  stack_t before_alt{};  // what the thread had before
  std::uint64_t before_mask = 0;
};

}  // namespace urge
