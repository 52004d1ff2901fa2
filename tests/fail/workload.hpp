// SPDX-License-Identifier: MIT
// A small program that asks the runtime for all it has, and one try of it.
#pragma once

namespace urge::test {

enum class ending {
  right,   // it came to its end with the right result
  thrown,  // `run` has thrown std::system_error or std::bad_alloc
  wrong    // anything else
};
struct attempt {
  ending how = ending::wrong;
  char text[240] = {};  // what the exception said
};

// Calls `run` with Gs that compute, allocate, send, lock, sleep, block, carry identities, are killed and, with
// `leave_some`, are left behind inside libc. Context: outside a G.
attempt try_workload(bool leave_some) noexcept;

}  // namespace urge::test
