// SPDX-License-Identifier: MIT
// Preemption as seen by the code that is preempted. Nothing here is needed for being preemptible: a G that never calls
// urge is stopped by signal when its slice has run out.
#pragma once
#include <urge/detail/gate.hpp>

#pragma GCC visibility push(default)

namespace urge {

// While one lives, this G is not preempted, neither by flag nor by signal. Nests. A request that arrives meanwhile is
// honoured when the outermost one ends. Blocking calls are allowed under it and switch to other Gs all the same.
// Threads: a G. Blocks: no (the end may give way). Throws: std::logic_error outside a G.
class [[nodiscard]] preempt_guard {
 public:
  preempt_guard() { detail::hold_preemption(); }
  ~preempt_guard() { detail::release_preemption(); }
  preempt_guard(const preempt_guard&) = delete;
  preempt_guard& operator=(const preempt_guard&) = delete;
};

// A yield point: gives way if this G's slice has run out. One load and a branch when nothing is asked.
// Threads: a G. Throws: std::logic_error outside a G.
inline void preempt_point() {
  if (detail::yield_wanted()) [[unlikely]]
    detail::yield_point();
}

}  // namespace urge

#pragma GCC visibility pop
