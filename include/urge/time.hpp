// SPDX-License-Identifier: MIT
// Time as channels. Sleeping is in <urge/go.hpp>.
#pragma once
#include <urge/chan.hpp>
#include <urge/go.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#pragma GCC visibility push(default)

namespace urge {

namespace detail {
[[noreturn]] void throw_bad_period(const char* function);
// In ns; 70 years are for ever.
template <class Rep, class Period>
std::int64_t to_period(std::chrono::duration<Rep, Period> d, const char* function) {
  constexpr std::chrono::nanoseconds longest = std::chrono::hours(24 * 365 * 70);
  if (d <= d.zero()) throw_bad_period(function);
  if (std::chrono::duration<double>(d) >= std::chrono::duration<double>(longest)) return longest.count();
  return std::chrono::ceil<std::chrono::nanoseconds>(d).count();
}
}  // namespace detail

// A channel that receives the time once, when `d` has passed. Dropping it disarms it.
// Threads: a G. Throws: std::logic_error outside a G. Source: Go's time.After.
template <class Rep, class Period>
chan<time_point> after(std::chrono::duration<Rep, Period> d) {
  return chan<time_point>::adopt(detail::make_timer_channel(detail::to_deadline(d), 0, "urge::after"));
}

// Sends the time on `c` once, when the duration has passed; it can be stopped and set again. The end of the object does
// not stop it: who still has its channel gets the time.
// Threads: a G. Throws: std::logic_error outside a G; std::bad_alloc. Source: Go's time.Timer, as of Go 1.23.
class timer {
 public:
  template <class Rep, class Period>
  explicit timer(std::chrono::duration<Rep, Period> d)
      : c(chan<time_point>::adopt(detail::make_timer_channel(detail::to_deadline(d), 0, "urge::timer"))) {}

  // From now on anew, with this duration. True: it was pending. What it has sent before is not received any more.
  template <class Rep, class Period>
  bool reset(std::chrono::duration<Rep, Period> d) {
    if (!start_) return detail::reset_timer(*c.core(), detail::to_deadline(d), 0, "urge::timer::reset");
    const bool was_pending = stop();
    arm(detail::to_deadline(d));
    return was_pending;
  }
  // True: it was pending, and will not fire. What it has sent before is not received any more.
  bool stop() {
    if (!start_) return detail::stop_timer(*c.core(), false, "urge::timer::stop");
    // If it has fired, the function's G may not have seen that yet.
    const bool was_pending = detail::stop_timer(*fires_.core(), true, "urge::timer::stop");
    if (was_pending) fires_.close();
    return was_pending;
  }

  chan<time_point> c;  // of after_func: nothing comes

 private:
  template <class Rep, class Period, class F>
  friend timer after_func(std::chrono::duration<Rep, Period>, F);

  timer(std::function<void(chan<time_point>)> start, time_point when) : c(0), fires_(0), start_(std::move(start)) {
    arm(when);
  }
  void arm(time_point when) {
    fires_ = chan<time_point>::adopt(detail::make_timer_channel(when, 0, "urge::after_func"));
    start_(fires_);
  }

  // after_func's: a G waits on the channel, and calls the function.
  chan<time_point> fires_{0};
  std::function<void(chan<time_point>)> start_;
};

// Calls f() on a G of its own when `d` has passed, unless the timer is stopped before; each reset is for one more call.
// Threads: a G. Throws: as timer and go. Source: Go's time.AfterFunc.
template <class Rep, class Period, class F>
timer after_func(std::chrono::duration<Rep, Period> d, F f) {
  auto call = std::make_shared<F>(std::move(f));
  return timer(
      [call = std::move(call)](chan<time_point> fires) {
        go([call, fires = std::move(fires)]() mutable {
          if (fires.recv()) (*call)();
        });
      },
      detail::to_deadline(d));
}

// Sends the time on `c` each time the duration has passed, until it is stopped or its last handle is dropped. A
// receiver that is late misses ticks: `c` holds one.
// Threads: a G. Throws: std::logic_error outside a G; std::invalid_argument for a duration not above 0; std::bad_alloc.
// Source: Go's time.Ticker.
class ticker {
 public:
  template <class Rep, class Period>
  explicit ticker(std::chrono::duration<Rep, Period> d)
      : c(chan<time_point>::adopt(detail::make_timer_channel(detail::to_deadline(d),
                                                             detail::to_period(d, "urge::ticker"), "urge::ticker"))) {}

  // From now on with this period. What was sent before is not received any more.
  template <class Rep, class Period>
  void reset(std::chrono::duration<Rep, Period> d) {
    const auto period = detail::to_period(d, "urge::ticker::reset");
    detail::reset_timer(*c.core(), detail::to_deadline(d), period, "urge::ticker::reset");
  }
  // No more ticks, not even one that was sent before. The channel stays open, as in Go.
  void stop() { detail::stop_timer(*c.core(), false, "urge::ticker::stop"); }

  chan<time_point> c;
};

}  // namespace urge

#pragma GCC visibility pop
