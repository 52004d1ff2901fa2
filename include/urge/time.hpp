// SPDX-License-Identifier: MIT
// Time as channels. Sleeping is in <urge/go.hpp>.
#pragma once
#include <urge/chan.hpp>

#include <chrono>

#pragma GCC visibility push(default)

namespace urge {

// A channel that receives the time once, when `d` has passed. Dropping it disarms it.
// Threads: a G. Throws: std::logic_error outside a G. Source: Go's time.After.
template <class Rep, class Period>
chan<time_point> after(std::chrono::duration<Rep, Period> d) {
  return chan<time_point>::adopt(detail::make_timer_channel(detail::to_deadline(d)));
}

}  // namespace urge

#pragma GCC visibility pop
