// SPDX-License-Identifier: MIT
// What the kernel keeps per thread and a G may set for itself: signal mask and alternate signal stack. Both go with the
// G, and the next G on the M finds the M's own. Few Gs set either, so a switch asks one byte; for those that do it
// costs three or four system calls per stop.
// The mask is read from the kernel at each stop, not remembered from the call that set it: siglongjmp, swapcontext and
// returns from handlers change it too, and are not interposed. The preemption signal is left out of what is put back
// for the G: a handler runs with it blocked, and one that is left by longjmp leaves it so.
// Context: locks > 0, on the M that is left or has been reached.
#include <sys/syscall.h>

#include <csignal>

#include "sched/sched.hpp"

namespace urge {

namespace {
void set_alternate_stack(char* low, std::size_t size, int flags) noexcept {
  stack_t to{};
  to.ss_sp = low, to.ss_size = size, to.ss_flags = flags;
  os::syscall6(SYS_sigaltstack, reinterpret_cast<long>(&to), 0);
}
}  // namespace

void put_back_thread_state(M* m, G* g) noexcept {
  // A stop by signal has the mask from the signal's frame, and has put back the M's.
  if (!g->stopped_by_signal) {
    const std::uint64_t now = os::signal_mask();
    if (now != m->sigmask) os::set_signal_mask(m->sigmask);
    g->sigmask = now & ~(std::uint64_t{1} << (sched.how.signal - 1));
  }
  if (g->alt_in_use) set_alternate_stack(m->alt_stack, alt_stack_bytes, 0);
  g->has_thread_state = g->sets_sigmask || g->alt_in_use || g->sigmask != m->sigmask;
}

void take_thread_state(G* g) noexcept {
  if (g->alt_in_use) set_alternate_stack(g->alt_low, g->alt_size, g->alt_flags);
  if (g->sigmask != g->m->sigmask) os::set_signal_mask(g->sigmask);
}

void drop_thread_state(M* m, G* g) noexcept {
  put_back_thread_state(m, g);
  g->alt_low = nullptr;
  g->alt_in_use = g->sets_sigmask = g->has_thread_state = false;
}

}  // namespace urge
