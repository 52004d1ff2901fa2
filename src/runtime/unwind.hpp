// SPDX-License-Identifier: MIT
// Backtraces by unwind tables, through code built without frame pointers: by libunwind, where the system has it.
// Only for a G that may be preempted: libunwind takes the loader's lock, which a stopped G may hold (a backtrace from
// a handler or from g0 was tried and hung). Everybody else walks frame pointers (backtrace.hpp).
#pragma once
#include "base/raw_print.hpp"

namespace urge {

// Loads libunwind, once per process. Context: outside a G, in the first run, before any G is.
void load_unwinder() noexcept;

// Prints the calling G's frames from its caller on, a line each, with demangled names. False: nothing was printed (no
// libunwind here, or no way out of the first frame); then frame pointers are what is left. Context: G, preemptible.
bool print_unwound(raw_print&) noexcept;

}  // namespace urge
