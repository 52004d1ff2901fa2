// SPDX-License-Identifier: MIT
// Where a program that is linked to liburge.a keeps what the trap looks at: found by name in the program's own symbol
// table. So any program can be run under the trap as it is: nothing is compiled into it, nothing is exported for tests.
#pragma once
#include <cstdint>

namespace urge::trap {

struct program {
  bool has_urge = false;
  std::intptr_t words = 0;           // urge_tls, from the thread base
  void* (*sysmon)(void*) = nullptr;  // what sysmon's thread runs
};

// Context: the start of the process. Ends it with a message if the program has urge, and something is not found.
program find_urge() noexcept;

}  // namespace urge::trap
