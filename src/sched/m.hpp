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
struct let_out_turn;

// Which G runs next, and how.
struct picked {
  G* g = nullptr;
  bool inherit = false;  // runs in what is left of the slice of the G that made it runnable
  bool woken = false;    // comes before others, with a short slice: it was woken a moment ago
};

// What is to happen once the context that a switch leaves has been saved: done by the code that is switched to.
struct after_switch {
  G* prev = nullptr;  // null: g0
  void (*act)(M*, G* prev, void* arg) noexcept = nullptr;
  void* arg = nullptr;
};

inline constexpr std::size_t alt_stack_bytes = 64 * 1024;
inline constexpr std::size_t save_stack_bytes = 64 * 1024;

struct M {
  // --- the M itself ---
  atomic<G*> g{nullptr};  // current G; sysmon reads it
  P* p = nullptr;
  P* old_p = nullptr;  // the P it had when its G entered a system call
  bool spinning = false;
  arch::context g0 = nullptr;  // scheduler's context, while a G runs
  after_switch after;
  G* tenant = nullptr;       // stands on this M and goes on here, whoever picks it: until then the M runs nothing else
  picked to_pass;            // found by the G that has just left here, or by whoever has woken us: is next
  identity* base = nullptr;  // of the thread itself: g0's
  identity* loan = nullptr;  // of its Gs that have none of their own
  atomic<identity*> bound{nullptr};  // where the thread base points now; sysmon reads it
  std::uint64_t sigmask = 0;         // the thread's own
  char* alt_stack = nullptr;         // alt_stack_bytes, mapped
  char* save_stack = nullptr;        // save_stack_bytes, mapped; in kernel_thread mode
  char* thread_stack = nullptr;      // likewise: the thread's, by the maker
  void* fiber = nullptr;             // ThreadSanitizer's, in its build
  void* spare_fibers = nullptr;      // likewise: see sched/sanitizer.hpp
  void* fake_stack = nullptr;        // AddressSanitizer's: g0's
  const void* g0_low = nullptr;
  std::size_t g0_size = 0;

  // --- sched.lock; next_p by whoever wakes it, before the note ---
  P* next_p = nullptr;
  bool next_spinning = false;
  bool spare = false;        // counted in n_spare, not in n_used: m_supply.hpp
  bool stands_by = false;    // it waits in runtime/let_out.cpp
  bool wake_missed = false;  // while it was off the list: see put_back_idle_m
  M* link = nullptr;
  M* next_all = nullptr;
  bool orphan = false;  // the M itself: its run has ended meanwhile, it ends by itself
  bool ends = false;    // the M itself: its G has ended locked to the thread, which ends with it
  note park;
  atomic<let_out_turn*> turn{nullptr};  // runtime/let_out.cpp

  // --- system calls: its G, by the M as it enters one; swapped to null by the M as it leaves; the lowest bit is set by
  // the end of the run, which waits no longer for it ---
  atomic<std::uintptr_t> in_syscall{0};
  static constexpr std::uintptr_t given_up = 1;

  // --- its thread sleeps in a call that we were not told of, and sysmon has taken its P: set by sysmon while the G is
  // `detaching`, cleared by the M on its way back (sched/syscall.cpp) ---
  atomic<bool> detached{false};
  std::int64_t cpu_at_detach = 0;  // the thread's CPU time then, ns
  // How often sysmon has told it since then, by a signal that was taken, that the run is over: only this brings it to
  // the scheduler, so the end of the run does not give it up before.
  atomic<std::uint32_t> told{0};
  // --- sysmon's own: where it reads what the thread does ---
  int state_fd = -1;
  std::uint64_t state_file = 0;
  int state_tid = 0;  // 0: not looked at
  M* next_state = nullptr;
  M* next_watched = nullptr;
  bool watched = false;  // it is on the list of those that run, or may run, without a P

  // --- signal: shared with the handler on this thread, and with sysmon ---
  atomic<int> tid{0};                       // written by the M; 0: ended or not begun
  atomic<std::uint32_t> signal_pending{0};  // set before tgkill by the sender, taken by the handler
  static constexpr std::uint32_t sent = 1, sent_awake = 2;
  atomic<const std::uint32_t*> cpu{nullptr};  // where the kernel tells the CPU that it last ran on; null: nowhere
  std::uint32_t last_sent = sent;             // the handler's own: what it has found there last
  identity* next_loan = nullptr;              // put here by the handler, for the landing
  M* successor = nullptr;                     // likewise: gets the P when a G stays on this M;
  bool promised = false;                      // or another that there will be. Not in the handler
  std::uint32_t grace_tick = 0;               // the slice whose requests have been put off inside libc, and how often;
  std::uint32_t grace_count = 0;              // the handler's own
  int slice_timer = -1;                       // with slice_source::timer; -1: none
  atomic<bool> slice_timer_runs{false};       // the M and its handler; sysmon reads it, and clears it as it takes the P
  pthread_t thread{};
  stack_t before_alt{};  // what the thread had before
  std::uint64_t before_mask = 0;
};

}  // namespace urge
