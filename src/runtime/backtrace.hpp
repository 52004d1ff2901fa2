// SPDX-License-Identifier: MIT
// Where the Gs are: backtraces by unwind tables, or by frame pointers where these are missing, over a map of modules
// taken at the start of a run. No lock, no malloc: it runs in handlers, on g0 and on the way to the end of the process.
#pragma once
#include <exception>

#include "arch/arch.hpp"
#include "base/raw_print.hpp"
#include "runtime/symbols.hpp"
#include "stack/stack.hpp"

namespace urge {

// A line for each frame, innermost first, 64 at most. Context: any; for names::source a preemptible G.
void print_backtrace(raw_print&, const arch::registers&, const stack&, names = names::linker) noexcept;

// Prints every G. Context: any.
void dump_all(int fd) noexcept;

// While one lives, std::terminate in a G says which G, which exception and from where, before it goes on as it would
// have.
class terminate_with_backtrace {
 public:
  terminate_with_backtrace();
  ~terminate_with_backtrace();
  terminate_with_backtrace(const terminate_with_backtrace&) = delete;
  terminate_with_backtrace& operator=(const terminate_with_backtrace&) = delete;
};

}  // namespace urge
