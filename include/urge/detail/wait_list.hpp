// SPDX-License-Identifier: MIT
// A first-in, first-out list of waiting Gs with the lock that guards it. The nodes lie on the waiters' stacks: to block
// allocates nothing. Every primitive of <urge/sync.hpp> and every channel is a few words guarded by such a lock.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <type_traits>

#pragma GCC visibility push(default)

namespace urge {

// The clock of all deadlines.
using time_point = std::chrono::steady_clock::time_point;

namespace detail {

struct waiter;  // src/sync/waitq.hpp

struct wait_list {
  std::atomic<std::uint32_t> lock_word{0};  // a urge::raw_lock in the runtime
  wait_list* guard = nullptr;               // the list whose lock guards this one too; null: its own
  waiter* first = nullptr;
  waiter* last = nullptr;

  wait_list() = default;
  ~wait_list();  // Gs that still wait are forgotten: they wait for ever, and are dropped when `run` ends
  wait_list(const wait_list&) = delete;
  wait_list& operator=(const wait_list&) = delete;
};

inline constexpr time_point no_deadline = time_point::max();

// A deadline of any clock as one of ours. A time that lies too far ahead to be told is no deadline.
template <class Clock, class Duration>
time_point to_deadline(const std::chrono::time_point<Clock, Duration>& t) {
  if constexpr (std::is_same_v<Clock, std::chrono::steady_clock>) {
    return std::chrono::time_point_cast<std::chrono::steady_clock::duration>(t);
  } else {
    return std::chrono::steady_clock::now() + std::chrono::ceil<std::chrono::steady_clock::duration>(t - Clock::now());
  }
}
template <class Rep, class Period>
time_point to_deadline(const std::chrono::duration<Rep, Period>& d) {
  using std::chrono::steady_clock;
  const auto now = steady_clock::now();
  if (d <= d.zero()) return now;
  // Compared in floating point: hours::max() does not fit into nanoseconds.
  if (std::chrono::duration<double>(d) >= std::chrono::duration<double>(time_point::max() - now)) return no_deadline;
  return now + std::chrono::ceil<steady_clock::duration>(d);
}

}  // namespace detail
}  // namespace urge

#pragma GCC visibility pop
