// SPDX-License-Identifier: MIT
// See host.hpp.
#include "runtime/host.hpp"

#include "preempt/preempt.hpp"
#include "runtime/unwind.hpp"
#include "sched/sched.hpp"

namespace urge {

void* tag() noexcept {
  const G* g = current_g();
  return g ? g->tag : nullptr;
}

void set_tag(void* t) noexcept {
  if (G* g = current_g()) g->tag = t;
}

bool may_leave_here() noexcept {
  G* g = preempt::hold_here();  // the walk is one at a time: whoever does it is not stopped in it
  if (!g) return false;
  const bool inside = g->pthread_locks.load(relaxed) != 0 || inside_libc_here(*g);
  preempt::let_go(g);
  return !inside;
}

}  // namespace urge
