// SPDX-License-Identifier: MIT
// What the parts of the stepper share: the session on Gs (stepper.cpp), the trap handler (stepper_trap.cpp), and the
// referee, a thread (stepper_referee.cpp). With one P one M at a time runs user code, so the words are touched by one
// thread at a time; those that the referee reads are atomic.
#pragma once
#include <csignal>

#include "preempt/machine_state.hpp"
#include "preempt/stepper.hpp"
#include "sched/sched.hpp"

namespace urge::test::stepper {

// A G that is stopped, until the trap after it has come back.
struct stopped {
  G* g = nullptr;
  std::uintptr_t pc = 0;
  std::uint64_t runs = 0;
  unsigned nth = 0;  // time at this place; 0: the referee has stopped it, wherever it was
  bool had_identity = false;
  machine_state state;
};

struct state {
  bool on = false;
  preempt_mode mode = preempt_mode::async;
  G* other = nullptr;
  G* main = nullptr;
  plan where;
  counts n;
  std::uintptr_t others_base = 0;  // the thread base under which the other has ended its last run of the body
  bool with_other = false;         // the flag: the stepped one has stopped by itself
  bool ending = false;             // it is over, or long enough: nothing is stopped at a further place
  stopped all[8];
  // --- read by the referee ---
  std::atomic<std::uint64_t> traps{0}, runs{0};
  std::atomic<std::uint64_t> let_go{0};
  std::atomic<bool> busy{false}, over{false};

  bool at_entries() const noexcept { return mode == preempt_mode::cooperative; }
};
extern state now;

// The handler of SIGTRAP.
void on_trap(int, siginfo_t*, void* context);
// The trap flag of the calling thread; trap_off returns whether it was on.
void trap_on() noexcept;
bool trap_off() noexcept;
// A G that has stopped at a function entry is stepped again when it goes on: nothing else sees it come back. Context:
// the other G.
void step_on_behind_entries() noexcept;

// The thread that does what sysmon would when the other waits in the kernel for a lock that the stopped one holds.
void referee();

}  // namespace urge::test::stepper
