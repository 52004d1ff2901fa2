// SPDX-License-Identifier: MIT
// The code of libc, the loader, libstdc++ and libgcc, as address ranges: a snapshot taken when a run starts (these four
// are loaded with the program and never leave). Read by the signal handler, and by the landing, which counts.
#pragma once
#include <urge/runtime.hpp>

#include <cstddef>
#include <cstdint>

namespace urge::preempt {

struct text_range {
  std::uintptr_t low = 0, high = 0;
  stop_place place = stop_place::elsewhere;
};
inline constexpr std::size_t max_ranges = 16;
extern text_range ranges[max_ranges];  // const during a run
extern std::size_t n_ranges;

void find_text_ranges() noexcept;

inline bool in_system_text(std::uintptr_t pc) noexcept {
  for (std::size_t i = 0; i < n_ranges; ++i)
    if (pc >= ranges[i].low && pc < ranges[i].high) return true;
  return false;
}

// Whose code it is; the first range that holds it says.
inline stop_place place_of(std::uintptr_t pc) noexcept {
  for (std::size_t i = 0; i < n_ranges; ++i)
    if (pc >= ranges[i].low && pc < ranges[i].high) return ranges[i].place;
  return stop_place::elsewhere;
}

}  // namespace urge::preempt
