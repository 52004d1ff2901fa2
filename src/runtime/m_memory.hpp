// SPDX-License-Identifier: MIT
// Descriptors of Ms, and the stacks of their threads in kernel_thread mode. Descriptors are kept for ever: a late
// signal or sysmon may look at one. Context: the maker, or the caller of `run`; threads of Ms at their end.
#pragma once
#include "sched/sched.hpp"

namespace urge {

M* make_m() noexcept;  // null: no memory
void free_m(M*) noexcept;

// With a guard page below. Null: `error` is -errno.
char* take_thread_stack(int& error) noexcept;
std::size_t thread_stack_bytes() noexcept;
void put_thread_stack(M&) noexcept;  // its thread has been joined

}  // namespace urge
