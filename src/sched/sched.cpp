// SPDX-License-Identifier: MIT
// The scheduler's data, the words in each TLS block, and the critical section of a G.
#include "sched/sched.hpp"

#include <stdexcept>
#include <string>

extern "C" {
__thread urge::tls_words urge_tls;
__thread char* urge_async_sp;
__thread urge::identity urge_identity;
__thread unsigned urge_yield_wanted = 1;
}

namespace urge {

static_assert(offsetof(tls_words, g) == 0 && offsetof(tls_words, m) == 8, "current.hpp reads them by these offsets");

scheduler sched;
P all_ps[max_procs];
constinit atomic<bool> entries_checked{false};
hooks hook;

void call_sysmon() noexcept {
  sched.sysmon_word.fetch_add(1, seq_cst);  // [sysmon.word] release: what it shall look at
  if (sched.sysmon_polls.load(seq_cst))     // [sysmon.polls] we: word; look at polls / it: polls; look at word
    return sched.sysmon_break.wake();
  os::futex_wake(sched.sysmon_word, 1);
}
void call_maker() noexcept {
  sched.maker_word.fetch_add(1, seq_cst);  // [maker.word] release: what it shall make
  os::futex_wake(sched.maker_word, 1);
}

// One that is inside may have claimed a G's wait, and be about to make it runnable: the end of a run must not take that
// G for its own meanwhile. A child of fork has no run to end.
void enter_from_outside() noexcept {
  for (;;) {
    sched.n_outsiders.fetch_add(1, seq_cst);  // [outsiders] we: inside; look at the gate / the end: gate; look inside
    if (sched.outsiders_wait.load(seq_cst) == 0 || os::forked.load(relaxed)) return;  // [outsiders]
    leave_to_outside();
    os::futex_wait(sched.outsiders_wait, 1);
  }
}
void leave_to_outside() noexcept {
  if (sched.n_outsiders.fetch_sub(1, seq_cst) == 1 && sched.outsiders_wait.load(seq_cst) != 0)  // [outsiders]
    os::futex_wake(sched.n_outsiders, INT32_MAX);
}
void keep_outsiders_out() noexcept {
  sched.outsiders_wait.store(1, seq_cst);                          // [outsiders]
  while (const std::uint32_t n = sched.n_outsiders.load(seq_cst))  // [outsiders] acquire: what they did
    os::futex_wait(sched.n_outsiders, n);
}
void let_outsiders_in() noexcept {
  sched.outsiders_wait.store(0, seq_cst);  // [outsiders] release: no G of the run is left to be woken
  os::futex_wake(sched.outsiders_wait, INT32_MAX);
}

void throw_outside(const char* function) {
  throw std::logic_error(std::string(function) + (os::forked.load(relaxed)
                                                      ? ": called in a child of fork, where only exec and _exit are "
                                                        "supported"
                                                      : ": called outside a G"));
}

void answer_yield_wanted(G* g) noexcept {
  if (g->locks.load(relaxed) != 1) return;
  clear_yield_wanted(g->m);
  if (all_shall_stop() || g->m->p->preempt_wanted()) preempt_by_flag(g);
}

}  // namespace urge
