// SPDX-License-Identifier: MIT
// Stacks of Gs: size classes by the page, each a list of large reservations cut into slots of [guard | stack]. The
// guard lies beside the stack's size, not inside it. Freed stacks are kept hottest first in a small cache of the P and
// then here; what is idle beyond a bound gives its pages back to the kernel. Context: no G may be preempted here (locks
// > 0, or g0); takes the class's lock, never malloc.
#pragma once
#include <cstddef>
#include <cstdint>

namespace urge {

struct stack_class;

struct stack {
  char* low = nullptr;  // first usable byte; the guard ends here
  std::size_t size = 0;
  stack_class* klass = nullptr;

  char* top() const noexcept { return low + size; }
  bool holds(std::uintptr_t sp) const noexcept {
    return sp >= reinterpret_cast<std::uintptr_t>(low) && sp <= reinterpret_cast<std::uintptr_t>(low) + size;
  }
  explicit operator bool() const noexcept { return low != nullptr; }
};

inline constexpr std::size_t guard_bytes = 64 * 1024;

// The class of stacks of `size` bytes (a multiple of the page size), or of some more when there are many sizes already;
// made on first use. nullptr: too many classes.
stack_class* stack_class_of(std::size_t size) noexcept;

// Takes a stack. On failure returns one without memory and sets `error` to -errno of the call that failed.
stack take_stack(stack_class*, int& error) noexcept;
void put_stack(stack) noexcept;

// Is the address in a guard? Context: the signal handler too (reads the list of reservations without a lock).
bool in_guard(std::uintptr_t address) noexcept;

struct stack_counts {
  std::size_t reservations, made, idle;
};
stack_counts count_stacks() noexcept;

}  // namespace urge
