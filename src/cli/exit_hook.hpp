// SPDX-License-Identifier: MIT
// Ending a task without a call of exit, and ending the process from the command itself: past the functions of
// exit_hook.cpp, which end a task where one calls.
#pragma once

namespace urge::cli {

struct task;

// Before the first task: from here on children of fork, which are no tasks, are told apart.
void remember_process() noexcept;
bool in_child() noexcept;
// Ends the task as _exit would. Nothing is unwound. Context: its G.
[[noreturn]] void abandon(task&) noexcept;
// Nothing is flushed, nothing registered is called. Context: any, signal handlers too.
[[noreturn]] void leave_process(int status) noexcept;

}  // namespace urge::cli
