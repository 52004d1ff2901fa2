// SPDX-License-Identifier: MIT
// See way_out.hpp.
#include "runtime/way_out.hpp"

#include "arch/arch.hpp"
#include "preempt/preempt.hpp"
#include "runtime/unwind.hpp"
#include "sched/sched.hpp"

namespace urge {

namespace {

struct search {
  bool inside = false;  // the frame before was one of libc or the C++ runtime
  frame out{};          // the outermost that called one
};

// The last call of libc on the way to the bottom: a callback inside of it, qsort's, is not out yet.
bool visit(const frame& f, void* arg) noexcept {
  auto& s = *static_cast<search*>(arg);
  if (preempt::leaves_by_jumps(f.pc)) return false;
  const bool inside = preempt::in_libc(f.pc);
  if (s.inside && !inside) s.out = f;
  s.inside = inside;
  return true;
}

// Where the return address lies; null: not sure, or it is not inside.
std::uintptr_t* find_way_out(const G& g) noexcept {
  search s;
  if (walk(arch::registers_of_preempted(g.saved), g.stk, visit, &s) != walk_end::bottom || s.out.sp == 0)
    return nullptr;
  auto* slot = reinterpret_cast<std::uintptr_t*>(s.out.sp) - 1;
  // The trampoline wants its room there.
  if (s.out.sp - reinterpret_cast<std::uintptr_t>(g.stk.low) < arch::redirect_room) return nullptr;
  return *slot == s.out.pc + 1 ? slot : nullptr;
}

}  // namespace

void stop_behind_libc(G& g) noexcept {
  // The unlock comes first, and is where it ends (hooks::unlocked).
  if (g.pthread_locks.load(relaxed) != 0) return;
  const auto sp = reinterpret_cast<const std::uintptr_t*>(arch::registers_of_preempted(g.saved).sp());
  if (g.way_out && sp <= g.way_out && arch::returns_by_trampoline(g.way_out)) return;
  g.way_out = find_way_out(g);
  if (g.way_out) arch::return_by_trampoline(g.way_out, g.returns_to);
}

void go_on_behind_libc(G& g) noexcept {
  // A longjmp may have passed it: then what lies there is nobody's any more, or something else.
  if (g.way_out) arch::return_as_before(g.way_out, g.returns_to);
  g.way_out = nullptr;
}

}  // namespace urge
