// SPDX-License-Identifier: MIT
// Two clocks. `monotonic_ns` is CLOCK_MONOTONIC (19 ns a read here); `ticks` is the time-stamp counter (8 ns), read
// once at every switch for slices and CPU time. They are tied together by a rate measured once, at the first run: good
// for differences of seconds, which is all that it is used for. Deadlines of a sleep are always CLOCK_MONOTONIC.
// Context: any.
#pragma once
#include <x86intrin.h>

#include <cstdint>

#include "base/os.hpp"

namespace urge {

using os::monotonic_ns;

inline std::uint64_t ticks() noexcept { return __rdtsc(); }

extern double ns_per_tick;  // written by calibrate_clock before the first M starts, const afterwards

// Measures `ns_per_tick` over 2 ms, once in the life of the process.
void calibrate_clock() noexcept;

inline std::int64_t ticks_to_ns(std::uint64_t t) noexcept {
  return static_cast<std::int64_t>(static_cast<double>(t) * ns_per_tick);
}
inline std::uint64_t ns_to_ticks(std::int64_t ns) noexcept {
  return static_cast<std::uint64_t>(static_cast<double>(ns) / ns_per_tick);
}

}  // namespace urge
