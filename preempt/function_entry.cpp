// SPDX-License-Identifier: MIT
// A function entry has found its stack pointer below the word in the TLS block (docs/protocols/prologue_checks.md): for
// a request to preempt, for want of stack, or for the stack is not the G's. Called from morestack.S, before the
// function has done anything, in any context that such code may run in: a G, a signal handler of the user, g0 or our
// own handler (where the linker has taken the user's copy of an inline function for ours), a thread that urge did not
// make, the child of a fork. Rules of this file: those of handler.cpp, and no vector register: they may hold arguments.
// tests/self/function_entry.sh looks at the code.
#include <linux/futex.h>
#include <sys/syscall.h>

#include "preempt/handler.hpp"
#include "preempt/identity_pool.hpp"
#include "sched/alloca_blocks.hpp"

#pragma GCC poison malloc free calloc printf fprintf abort exit

namespace urge::preempt {

namespace {

bool refuse(defer_reason why) noexcept {
  shared.defer(why);
  return false;
}

// Ends as running onto the guard does, report and all: by running onto it.
void overflow(const G& g) noexcept { *static_cast<volatile char*>(g.stk.low - 1) = 0; }

// Shall, and may, the G stop here? Context: its own locks held, none else.
bool stop_here(G* g, std::uintptr_t sp) noexcept {
  M* m = g->m;
  // A handler that has interrupted the G: on an alternate stack, or the way back from the scheduler.
  if (on_stack(m->alt_stack, alt_stack_bytes, sp)) return refuse(defer_reason::in_handler);
  if (on_save_stack(sp)) return refuse(defer_reason::trampoline);
  // In a system call it has no P: left alone, unless that was taken as it slept in one that it has not announced. A
  // request dies with its slice.
  const g_status s = g->status.load(relaxed);
  const bool without_p = s == g_status::syscall && m->detached.load(relaxed);
  if (!without_p) {
    if (s != g_status::running) return false;
    if (!m->p->preempt_wanted() && !all_shall_stop()) return false;
  }
  // On the G's own stack handlers are known by the mask that all of them have (interpose.cpp).
  std::uint64_t mask = 0;
  os::syscall6(SYS_rt_sigprocmask, 0, 0, reinterpret_cast<long>(&mask), sizeof mask);
  if (mask >> (shared.signal.load(relaxed) - 1) & 1) return refuse(defer_reason::in_handler);
  // In the child of a fork there is nobody else to run.
  if (os::syscall6(SYS_gettid) != m->tid.load(relaxed)) return false;
  if (!sched.stopping.load(relaxed) && !draw_what_it_takes(*m, *g)) return refuse(defer_reason::no_identity);
  g->sigmask = mask;
  g->stopped_at_entry = true;
  return true;
}

// The G's limit again: sysmon repeats a request that was refused, and the end of a preempt_guard looks at the yield
// word. On another stack the limit says nothing; a lower one would find itself below it at every entry.
void back_to_limit(const G& g, std::uintptr_t sp) noexcept {
  arch::set_entry_limit(g.stk.holds(sp) ? lowest_entry(g) : 0);
}

}  // namespace

}  // namespace urge::preempt

extern "C" {
using namespace urge;
using namespace urge::preempt;

// Notes where the function goes on. True: not at once; the locks of the G stay held until the landing.
__attribute__((visibility("hidden"))) int urge_at_function_entry(arch::function_entry* f) noexcept {
  arch::go_on_behind(*f);
  G* g = current_g();
  if (!g) {
    arch::set_entry_limit(0);
    return 0;
  }
  const std::uint32_t locks = g->locks.load(relaxed);
  const bool users_code = locks == g->guards.load(relaxed);
  if (users_code && g->stk.holds(f->sp()) && f->compared() < lowest_entry(*g)) overflow(*g);
  const bool asked = arch::entry_limit() == arch::no_entry_passes;
  if (locks != 0) {
    back_to_limit(*g, f->sp());
    if (asked && users_code) refuse(defer_reason::guarded);
    return 0;
  }
  // From here on the M stays the same. A request by signal is refused, and comes again.
  g->locks.store(1, relaxed);
  std::atomic_signal_fence(seq_cst);  // [detach] the lock; look at the status
  if (asked && stop_here(g, f->sp())) return 1;
  back_to_limit(*g, f->sp());
  std::atomic_signal_fence(seq_cst);
  g->locks.store(0, relaxed);
  return 0;
}

// alloca of so many bytes by a function with that stack pointer has found no room.
__attribute__((visibility("hidden"))) void* urge_memory_for_alloca(std::size_t bytes, std::uintptr_t sp) noexcept {
  G* g = current_g();
  if (!g) __builtin_trap();  // where no G runs the word is 0: nothing is below that
  const bool own_stack = g->stk.holds(sp);
  if (own_stack && (bytes > sp || sp - bytes < lowest_entry(*g))) overflow(*g);
  const std::uint32_t locks = g->locks.load(relaxed);
  g->locks.store(locks + 1, relaxed);
  std::atomic_signal_fence(seq_cst);
  back_to_limit(*g, sp);
  // A handler that has interrupted this leaves the list alone.
  const bool first = !std::exchange(g->lending, true);
  if (own_stack && first) take_back_blocks(*g, sp);
  void* block = lend_block(*g, bytes, own_stack ? sp : 0);
  if (first) g->lending = false;
  std::atomic_signal_fence(seq_cst);
  g->locks.store(locks, relaxed);
  if (!block) overflow(*g);
  return block;
}

// Called as a module with checks is loaded, perhaps before this library is set up.
__attribute__((visibility("default"))) void urge_has_prologue_checks() noexcept {
  entries_checked.store(true, relaxed);
}
}
