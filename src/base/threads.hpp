// SPDX-License-Identifier: MIT
// The threads of this process, as the kernel lists them. Allocates nothing. Context: any thread.
#pragma once

namespace urge::os {

// Calls f(tid, arg) for each thread until one is refused (false). Returns 1: all were told that were there all the
// time, if none has begun meanwhile; 0: one was refused; -EAGAIN: the kernel may have left some out, as it does where
// one ends as it is listed; another -errno: the list cannot be read. One that begins or ends meanwhile may be in it or
// not.
int for_each_thread(bool (*f)(int tid, void* arg) noexcept, void* arg) noexcept;

}  // namespace urge::os
