// SPDX-License-Identifier: MIT
// longjmp out of a handler. The kernel runs handlers with the preemption signal blocked, and unblocks it when they
// return. One that is left by a jump that brings back no mask would leave it blocked on that M for good, for the Gs
// that come after. So a G that jumps has its mask looked at when it next stops by itself (sched/thread_state.cpp). To
// look at once was not chosen: it is a system call, and Lua jumps at each error and each yield of a coroutine.
// Context: any thread, also a handler.
#include <csetjmp>

#include "preempt/preempt.hpp"
#include "preempt/real.hpp"
#include "sched/sanitizer.hpp"

#if !URGE_ASAN && !URGE_TSAN

namespace urge::preempt {

namespace {

using jump = void(__jmp_buf_tag*, int);
constinit real<jump> real_longjmp{"longjmp"}, real_bare{"_longjmp"}, real_sig{"siglongjmp"},
    real_checked{"__longjmp_chk"};

[[noreturn]] void go_to(real<jump>& f, __jmp_buf_tag* env, int value) {
  if (G* g = current_g()) g->has_thread_state = true;
  f.get()(env, value);
  __builtin_unreachable();
}

}  // namespace

void find_jump_functions() noexcept {
  for (auto* f : {&real_longjmp, &real_bare, &real_sig, &real_checked}) f->get();
}

}  // namespace urge::preempt

extern "C" {
using namespace urge::preempt;
#define URGE_EXPORT __attribute__((visibility("default")))

URGE_EXPORT void longjmp(__jmp_buf_tag* env, int value) noexcept { go_to(real_longjmp, env, value); }
URGE_EXPORT void _longjmp(__jmp_buf_tag* env, int value) noexcept { go_to(real_bare, env, value); }
URGE_EXPORT void siglongjmp(__jmp_buf_tag* env, int value) noexcept { go_to(real_sig, env, value); }
// What longjmp is under _FORTIFY_SOURCE.
URGE_EXPORT void __longjmp_chk(__jmp_buf_tag* env, int value) noexcept { go_to(real_checked, env, value); }
}

#else
namespace urge::preempt {
void find_jump_functions() noexcept {}
}  // namespace urge::preempt
#endif
