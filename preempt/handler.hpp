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
  atomic<std::uint64_t> deferred[static_cast<std::size_t>(defer_reason::count_)] = {};
};
extern shared_with_handler shared;

// Adds the signal to the mask of every handler that the program has. Context: the caller of `run`.
void hold_off_in_handlers() noexcept;

extern "C" void urge_on_preempt_signal(int, siginfo_t*, void*) noexcept;

}  // namespace urge::preempt
