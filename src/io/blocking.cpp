// SPDX-License-Identifier: MIT
// urge::blocking: the bracket of sched/syscall.cpp as a public call. While `f` runs, the G's status is `syscall`; it is
// not preempted, for it has no P that anybody could want back from it otherwise.
#include <urge/io.hpp>

#include <cerrno>

#include "sched/sched.hpp"

namespace urge::detail {

namespace {
// errno in a function of its own: its address must not be kept across a change of the thread.
[[gnu::noinline]] int get_errno() noexcept { return errno; }
[[gnu::noinline]] void set_errno(int e) noexcept { errno = e; }
}  // namespace

void enter_blocking() {
  G* g = enter("urge::blocking");
  enter_syscall(g);
  std::atomic_signal_fence(seq_cst);
  g->locks.store(g->locks.load(relaxed) - 1, relaxed);
}

void exit_blocking() noexcept {
  const int e = get_errno();
  G* g = enter_if_g();  // takes it out of the system call, unless a call of urge inside has done so
  leave(g);
  set_errno(e);
}

}  // namespace urge::detail
