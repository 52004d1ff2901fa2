// SPDX-License-Identifier: MIT
// Where the Gs are: backtraces by frame pointers over a map of modules taken at the start of a run. No lock, no malloc:
// it runs in handlers, on g0 and on the way to the end of the process.
#pragma once
#include <exception>

namespace urge {

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
