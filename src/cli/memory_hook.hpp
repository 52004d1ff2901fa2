// SPDX-License-Identifier: MIT
// What each task has from malloc and its like, and the end of those that want more than their limit: see
// memory_hook.cpp. Not in builds with a sanitizer, which has a malloc of its own.
#pragma once

namespace urge::cli {

// Can limits be kept in this build?
bool memory_can_be_counted() noexcept;
// From here on tasks with a limit are counted. Context: the main thread, before any task.
void count_memory() noexcept;

}  // namespace urge::cli
