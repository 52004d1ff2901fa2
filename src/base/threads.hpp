// SPDX-License-Identifier: MIT
// The threads of this process, as the kernel lists them. Allocates nothing. Context: any thread.
#pragma once

namespace urge::os {

// Calls f(tid, arg) for each thread until one is refused (false). Returns 1: all were told; 0: one was refused; -errno:
// the list cannot be read. One that begins or ends meanwhile may be in it or not.
int for_each_thread(bool (*f)(int tid, void* arg) noexcept, void* arg) noexcept;

}  // namespace urge::os
