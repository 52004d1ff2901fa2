// SPDX-License-Identifier: MIT
// exec and the maker: while a thread is in exec the kernel makes no thread that shares its working directory (EAGAIN).
// So the maker makes none then, and exec waits until it is through (exec.cpp).
//   exec:  execs += 1; fence; wait until making = 0           not both may miss: either the maker sees the exec and
//   maker: making = 1; fence; look at execs; make; making = 0                     stands back, or exec waits for it
#pragma once

namespace urge::preempt {

// Context: the maker. False: not now; it is called again when exec has failed.
bool begin_making() noexcept;
void end_making() noexcept;

}  // namespace urge::preempt
