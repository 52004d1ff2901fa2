// SPDX-License-Identifier: MIT
// The frames of a G by unwind tables, also of one that stands still and of code built without frame pointers; and the
// question built on them: may a G that a signal has stopped be dropped?
// libunwind's local mode asks the loader for the tables, under a lock that a stopped G may hold (a backtrace from a
// handler was tried and hung). Its remote mode leaves all reading to us: tables are found by _dl_find_object, which
// takes no lock, and memory is read only where it is known to be. So a walk is possible anywhere, in handlers too.
#pragma once
#include "arch/arch.hpp"
#include "sched/g.hpp"

namespace urge {

// Loads libunwind, once per process. Context: outside a G, before any G is.
void load_unwinder() noexcept;

enum class walk_end {
  bottom,  // the first frame of the G was reached: nothing was missed
  cut,     // `visit` had seen enough
  lost     // code without tables, a broken stack, another stack than the G's; or there is no libunwind here
};
struct frame {
  std::uintptr_t pc;  // inside the instruction that is being executed there
  std::uintptr_t sp;  // when the frame goes on
  int n;              // 0: the innermost
};
// Calls visit(frame, arg) for each, innermost first, until it returns false. Context: any; one walk at a time, a second
// one meanwhile is `lost`.
walk_end walk(const arch::registers& from, const stack&, bool (*visit)(const frame&, void* arg) noexcept,
              void* arg) noexcept;

// Has the G, which a signal has stopped, no frame of libc, the loader, libstdc++ or the unwinder? Only then may it be
// dropped: inside, it may hold a lock that the process needs. Answers no when the answer is not sure.
bool outside_libc(const G&) noexcept;

// The same of where a signal has interrupted the G; yes when the answer is not sure.
bool inside_libc(const arch::registers&, const G&) noexcept;
// Is a function of libc and its like among the calling G's callers? Answers yes when the answer is not sure.
bool inside_libc_here(const G&) noexcept;

// Could the calling G, which is about to stop by itself, go on under another identity? Not if anything on its stack or
// in its registers points into the one that it has, if a frame of libc or of the C++ runtime is on the way, or if it
// has TLS that was allocated later. Answers no when the answer is not sure.
bool is_clean(const G&) noexcept;

}  // namespace urge
