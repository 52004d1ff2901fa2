// SPDX-License-Identifier: MIT
// What the sanitizers must be told at a switch. Under them no G is stopped by signal and no G has an identity of its
// own: both keep state behind the thread base.
#pragma once
#include "sched/g.hpp"
#include "sched/m.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define URGE_ASAN 1
#define URGE_TSAN 0
#elif defined(__SANITIZE_THREAD__)
#define URGE_ASAN 0
#define URGE_TSAN 1
#else
#define URGE_ASAN 0
#define URGE_TSAN 0
#endif

#if URGE_ASAN
#include <sanitizer/common_interface_defs.h>
#elif URGE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace urge::sanitizer {

inline constexpr bool on = URGE_ASAN || URGE_TSAN;

#if URGE_ASAN
inline void leaving(M* m, G* prev, G* next) noexcept {
  // A G that will never be back gives its fake stack up.
  void** keep = !prev ? &m->fake_stack : prev->status.load(relaxed) == g_status::dead ? nullptr : &prev->fake_stack;
  if (next)
    __sanitizer_start_switch_fiber(keep, next->stk.low, next->stk.size);
  else
    __sanitizer_start_switch_fiber(keep, m->g0_low, m->g0_size);
}
inline void arrived(M* m, G* prev) noexcept {
  const void* low;
  std::size_t size;
  __sanitizer_finish_switch_fiber(m->g ? m->g->fake_stack : m->fake_stack, &low, &size);
  if (!prev) m->g0_low = low, m->g0_size = size;
}
#elif URGE_TSAN
inline void leaving(M* m, G*, G* next) noexcept {
  if (!m->fiber) m->fiber = __tsan_get_current_fiber();
  if (next && !next->fiber) next->fiber = __tsan_create_fiber(0);
  // No ordering by the switch itself: what one G may see of another goes through the queues' atomics.
  __tsan_switch_to_fiber(next ? next->fiber : m->fiber, __tsan_switch_to_fiber_no_sync);
}
inline void arrived(M*, G*) noexcept {}
#else
inline void leaving(M*, G*, G*) noexcept {}
inline void arrived(M*, G*) noexcept {}
#endif

inline void ended([[maybe_unused]] G* g) noexcept {
#if URGE_TSAN
  if (g->fiber) __tsan_destroy_fiber(g->fiber);
  g->fiber = nullptr;
#endif
#if URGE_ASAN
  g->fake_stack = nullptr;
#endif
}

}  // namespace urge::sanitizer
