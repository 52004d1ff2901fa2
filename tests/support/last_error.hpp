// SPDX-License-Identifier: MIT
// errno of the thread that the calling G is on now. A compiler may keep the address of errno in a function from before
// a call that waits, behind which the G may be on another thread.
#pragma once
#include <cerrno>

namespace urge::test {

[[gnu::noinline]] inline int last_error() noexcept {
  asm volatile("");
  return errno;
}

}  // namespace urge::test
