// SPDX-License-Identifier: MIT
// What the sanitizers must be told at a switch. Under them no G is stopped by signal and no G has an identity of its
// own: both keep state behind the thread base. All of it is inlined into the switch: ThreadSanitizer counts entries and
// returns of functions per fiber, and a function that changes the fiber would be entered on one and left on another.
#pragma once
#include <new>
#include <utility>

#include "base/os.hpp"
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
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif URGE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace urge::sanitizer {

inline constexpr bool on = URGE_ASAN || URGE_TSAN;

#if URGE_ASAN
[[gnu::always_inline]] inline void leaving(M* m, G* prev, G* next) noexcept {
  // A G that will never be back gives its fake stack up.
  void** keep = !prev ? &m->fake_stack : prev->status.load(relaxed) == g_status::dead ? nullptr : &prev->fake_stack;
  if (next)
    __sanitizer_start_switch_fiber(keep, next->stk.low, next->stk.size);
  else
    __sanitizer_start_switch_fiber(keep, m->g0_low, m->g0_size);
}
[[gnu::always_inline]] inline void arrived(M* m, G* prev) noexcept {
  const void* low;
  std::size_t size;
  __sanitizer_finish_switch_fiber(m->g.load(relaxed) ? m->g.load(relaxed)->fake_stack : m->fake_stack, &low, &size);
  if (!prev) m->g0_low = low, m->g0_size = size;
}
#elif URGE_TSAN
// To make a fiber is to clear 800 KB. So an M keeps those of Gs that have ended on it for Gs that start on it: what
// these see of each other by that is true, it is the order in which one thread did them.
struct spare_fibers {
  static constexpr unsigned max = 64;
  unsigned n = 0;
  struct {
    void* fiber;
    unsigned ends;
  } kept[max];
};
// An end leaves the frames that it is in counted as entered, on a stack of 64 K entries: so not for ever.
inline constexpr unsigned max_ends = 1000;

inline void give_fiber(M* m, G* g) noexcept {
  auto* spare = static_cast<spare_fibers*>(m->spare_fibers);
  if (spare && spare->n != 0) {
    const auto [fiber, ends] = spare->kept[--spare->n];
    g->fiber = fiber, g->fiber_ends = ends;
  } else {
    g->fiber = __tsan_create_fiber(0), g->fiber_ends = 0;
  }
}

[[gnu::always_inline]] inline void leaving(M* m, G*, G* next) noexcept {
  if (!m->fiber) m->fiber = __tsan_get_current_fiber();
  if (next && !next->fiber) give_fiber(m, next);
  // Ordered (flag 0): both sides of a switch are one kernel thread, and what is the M's goes from one to the other.
  __tsan_switch_to_fiber(next ? next->fiber : m->fiber, 0);
}
[[gnu::always_inline]] inline void arrived(M*, G*) noexcept {}
#else
[[gnu::always_inline]] inline void leaving(M*, G*, G*) noexcept {}
[[gnu::always_inline]] inline void arrived(M*, G*) noexcept {}
#endif

// A G ends by itself, and its switch away is next. Context: that G.
inline void ending([[maybe_unused]] G* g) noexcept {
#if URGE_TSAN
  g->ends_by_itself = true;
#endif
}

// It is gone, however it ended. Context: whoever frees it, with its M.
inline void ended([[maybe_unused]] M* m, [[maybe_unused]] G* g) noexcept {
#if URGE_TSAN
  void* const fiber = std::exchange(g->fiber, nullptr);
  // Left anywhere else, it may be deep in calls.
  const bool clean = std::exchange(g->ends_by_itself, false) && g->fiber_ends + 1 < max_ends;
  if (!fiber) return;
  if (clean && !m->spare_fibers) {
    void* map = os::map(sizeof(spare_fibers), false);
    if (!os::failed(map)) m->spare_fibers = new (map) spare_fibers;
  }
  auto* spare = static_cast<spare_fibers*>(m->spare_fibers);
  if (clean && spare && spare->n < spare_fibers::max)
    spare->kept[spare->n++] = {fiber, g->fiber_ends + 1};
  else
    __tsan_destroy_fiber(fiber);
#endif
#if URGE_ASAN
  g->fake_stack = nullptr;
  // The frames that it is left in never return: their red zones would lie on under the stack's next G.
  if (const char* sp = static_cast<const char*>(g->context))
    __asan_unpoison_memory_region(sp, static_cast<std::size_t>(g->stk.top() - sp));
#endif
}

// The M's thread ends. Context: that thread.
inline void m_stops([[maybe_unused]] M& m) noexcept {
#if URGE_TSAN
  m.fiber = nullptr;
  if (auto* spare = static_cast<spare_fibers*>(m.spare_fibers))
    while (spare->n != 0) __tsan_destroy_fiber(spare->kept[--spare->n].fiber);
#endif
}

}  // namespace urge::sanitizer
