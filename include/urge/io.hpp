// SPDX-License-Identifier: MIT
// Calls that wait in the kernel.
#pragma once
#include <type_traits>
#include <utility>

#pragma GCC visibility push(default)

namespace urge {

namespace detail {
void enter_blocking();
void exit_blocking() noexcept;
}  // namespace detail

// Runs `f`, which may wait in the kernel, and returns its value. If it takes long, this G's P goes to another M
// meanwhile, and the others run on. A call of urge inside `f` ends the hand-over: from there on `f` runs as ordinary
// code. `f` is not preempted. errno is as `f` leaves it, unless the G had to queue for a P afterwards. Threads: a G.
// Blocks: the G. Throws: std::logic_error outside a G; what `f` throws. Source: Go's entersyscall.
template <class F>
auto blocking(F&& f) -> std::invoke_result_t<F> {
  struct back {
    ~back() { detail::exit_blocking(); }
  };
  detail::enter_blocking();
  back at_end;
  return std::forward<F>(f)();
}

}  // namespace urge

#pragma GCC visibility pop
