// SPDX-License-Identifier: MIT
// What to do about one P: pure functions of what sysmon sees now and what it has seen before, so that they can be
// tested without a thread. Times are nanoseconds of CLOCK_MONOTONIC.
#pragma once
#include <algorithm>
#include <cstdint>

#include "sched/status.hpp"

namespace urge::sysmon {

struct view {
  p_status status = p_status::idle;
  std::uint32_t schedtick = 0;
  std::uint32_t syscalltick = 0;
  std::int64_t slice_start = 0;
  std::int64_t slice_length = 0;
  bool ends_now = false;     // somebody wants the slice to end, however long it has lasted
  bool work_waits = false;   // somebody would run on this P
  bool others_free = false;  // an idle P or a spinning M takes care of new work
};

// What sysmon remembers of a P between two looks.
struct memory {
  std::uint32_t schedtick = 0;
  std::int64_t renewed = INT64_MIN;  // the slice was let run on from here, for nobody waited
  std::int64_t next_try = 0;         // a request that was refused is repeated then
  std::int64_t pause = 0;
  std::int64_t end = 0;  // of the slice for which it was asked
  bool asked = false;
  bool looked = false;  // at the thread, in this slice: it did not sleep
  std::uint32_t syscalltick = 0;
  std::int64_t in_syscall_since = INT64_MAX;
};

// leave      nothing now
// look       at what the thread does: if it sleeps, its P is wanted elsewhere
// ask        the slice is over; ask_again: a request was refused
// take_back  the P from a system call
enum class verdict { leave, look, ask, ask_again, take_back };
struct decision {
  verdict what = verdict::leave;
  std::int64_t look_again = INT64_MAX;
  std::int64_t slice_end = 0;
};

inline constexpr std::int64_t first_repeat = 50'000;       // ns; a refused request is repeated after this, doubling
inline constexpr std::int64_t longest_repeat = 1'000'000;  // up to this
inline constexpr std::int64_t first_look = 1'000'000;  // that long into a slice, if work waits, is the thread asleep?
inline constexpr std::int64_t syscall_short = 20'000;  // a P with work is left to a system call for so long, as Go
inline constexpr std::int64_t syscall_long = 10'000'000;  // and one that nobody needs for so long

constexpr decision decide(const view& v, memory& m, std::int64_t now) noexcept {
  if (v.status == p_status::running) {
    m.in_syscall_since = INT64_MAX;
    if (v.schedtick != m.schedtick) m = {.schedtick = v.schedtick, .syscalltick = m.syscalltick};
    std::int64_t end = std::max(v.slice_start, m.renewed) + v.slice_length;
    if (v.ends_now) end = std::min(end, now);
    if (now < end) {
      const std::int64_t look = v.slice_start + first_look;
      if (m.looked || look >= end) return {verdict::leave, end, end};
      if (now < look) return {verdict::leave, look, end};
      if (!v.work_waits) return {verdict::leave, std::min(now + first_look, end), end};
      m.looked = true;
      return {verdict::look, end, end};
    }
    if (m.asked) {
      if (now < m.next_try) return {verdict::leave, m.next_try, end};
      m.pause = std::min(m.pause * 2, longest_repeat);
      m.next_try = now + m.pause;
      return {verdict::ask_again, m.next_try, m.end};
    }
    if (!v.work_waits && !v.ends_now) {
      // Preempted for nobody it would only lose its caches. A new slice begins: who comes now waits no longer than
      // behind any other G that has just started.
      m.renewed = now;
      return {verdict::leave, now + v.slice_length, end};
    }
    m.asked = true, m.end = end, m.pause = first_repeat, m.next_try = now + first_repeat;
    return {verdict::ask, m.next_try, end};
  }
  if (v.status == p_status::syscall) {
    if (m.in_syscall_since == INT64_MAX || v.syscalltick != m.syscalltick) {
      m.syscalltick = v.syscalltick, m.in_syscall_since = now;
    }
    const bool needed = v.work_waits || !v.others_free;
    const std::int64_t due = m.in_syscall_since + (needed ? syscall_short : syscall_long);
    if (now < due) return {verdict::leave, due, 0};
    m.in_syscall_since = INT64_MAX;
    return {verdict::take_back, INT64_MAX, 0};
  }
  m.in_syscall_since = INT64_MAX;
  return {};
}

}  // namespace urge::sysmon
