// SPDX-License-Identifier: MIT
// A small program that asks the runtime for all it has, and one try of it.
#pragma once
#include <urge/runtime.hpp>

namespace urge::test {

enum class ending {
  right,   // it came to its end with the right result
  thrown,  // `run` has thrown std::system_error or std::bad_alloc
  wrong    // anything else
};
// How Gs are stopped.
struct way {
  preempt_mode preempt = preempt_mode::async;
  slice_source slice_end = slice_source::sysmon;
};
struct attempt {
  ending how = ending::wrong;
  char text[240] = {};  // what the exception said
};

// Calls `run` with Gs that compute, allocate, send, lock, sleep, block, carry identities, are killed and, with
// `leave_some`, are left behind inside libc. Context: outside a G.
attempt try_workload(bool leave_some, const way&) noexcept;

}  // namespace urge::test
