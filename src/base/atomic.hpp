// SPDX-License-Identifier: MIT
// The atomics of the runtime. One place names std::atomic, so that a checker's own atomics can be put in its place.
#pragma once
#include <atomic>
#include <cstdint>

namespace urge {

template <class T>
using atomic = std::atomic<T>;

inline constexpr auto relaxed = std::memory_order_relaxed;
inline constexpr auto acquire = std::memory_order_acquire;
inline constexpr auto release = std::memory_order_release;
inline constexpr auto acq_rel = std::memory_order_acq_rel;
inline constexpr auto seq_cst = std::memory_order_seq_cst;

// Adds to a word that only the calling thread writes: a plain load and store, no locked instruction.
template <class T>
inline void add_own(atomic<T>& word, T n) noexcept {
  word.store(static_cast<T>(word.load(relaxed) + n), relaxed);
}

}  // namespace urge
