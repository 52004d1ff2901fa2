// SPDX-License-Identifier: MIT
// Who is running here. A compiler may keep the address of a thread_local across a call, and after a switch that address
// belongs to another thread: so every look is one instruction that it cannot see into.
// Context: any, the signal handler included.
#pragma once
#include "sched/identity.hpp"

namespace urge {

// The G that calls; null on g0 and on threads that urge did not make. A G that is moved to another M between this call
// and the use of its result is still the same G: this is why the runtime finds its M by `g->m`, with preemption held
// off.
inline G* current_g() noexcept {
  G* g;
  asm volatile(
      "movq urge_tls@gottpoff(%%rip), %0\n\t"
      "movq %%fs:(%0), %0"
      : "=r"(g)::"memory");
  return g;
}
// The M that calls. Context: g0, the signal handler, or a G with preemption held off.
inline M* current_m() noexcept {
  M* m;
  asm volatile(
      "movq urge_tls@gottpoff(%%rip), %0\n\t"
      "movq %%fs:8(%0), %0"
      : "=r"(m)::"memory");
  return m;
}

}  // namespace urge
