// SPDX-License-Identifier: MIT
// What the signal handler shares with the rest of preempt/.
#pragma once
#include <csignal>

#include "sched/sched.hpp"

namespace urge::preempt {

// Written before the handler is installed, or as said; read by the handler.
struct shared_with_handler {
  atomic<int> signal{0};
  atomic<bool> installed{false};
  // The user's own action for the signal, from before `run` or set meanwhile; called after us. Only its address is
  // taken in the handler, so it never goes away: an old one is left in place (interpose.cpp).
  atomic<const struct sigaction*> previous{nullptr};
  // Not the handler's, but exec.cpp's and request.cpp's: Gs in exec, and whether sysmon is about to send.
  atomic<std::uint32_t> execs{0}, sending{0};
  // The program has handlers of its own, those of faults left out; such as run on an alternate stack: interpose.cpp.
  atomic<bool> users_handlers{false}, users_handlers_elsewhere{false};
  // Calls that have returned EINTR because of our signal; those that were begun anew instead.
  atomic<std::uint64_t> calls_interrupted{0}, calls_begun_anew{0};
  atomic<std::uint64_t> slices_ended{0};  // by an M's timer: requests as those of sysmon
  atomic<std::uint64_t> deferred[static_cast<std::size_t>(defer_reason::count_)] = {};

  // Several Ms may count at once; a lock-free addition is all right in the handler.
  void defer(defer_reason why) noexcept { deferred[static_cast<std::size_t>(why)].fetch_add(1, relaxed); }
};
extern shared_with_handler shared;

// Does sp lie in so many bytes from there on? The end belongs to it: an empty stack's pointer is there.
inline bool on_stack(const char* low, std::size_t bytes, std::uintptr_t sp) noexcept {
  const auto from = reinterpret_cast<std::uintptr_t>(low);
  return sp >= from && sp <= from + bytes;
}
// On the stack where the trampoline saves? By one instruction: see current.hpp.
inline bool on_save_stack(std::uintptr_t sp) noexcept {
  constexpr std::size_t bytes = 48 * 1024;
  char* top;
  asm volatile(
      "movq urge_async_sp@gottpoff(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(top));
  return on_stack(top - bytes, bytes, sp);
}

// Adds the signal to the mask of every handler that the program has. Context: the caller of `run`.
void hold_off_in_handlers() noexcept;

extern "C" void urge_on_preempt_signal(int, siginfo_t*, void*) noexcept;

}  // namespace urge::preempt
