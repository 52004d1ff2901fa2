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
hooks hook;

void call_sysmon() noexcept {
  sched.sysmon_word.fetch_add(1, seq_cst);  // [sysmon.word] release: what it shall look at
  os::futex_wake(sched.sysmon_word, 1);
}
void call_maker() noexcept {
  sched.maker_word.fetch_add(1, seq_cst);  // [maker.word] release: what it shall make
  os::futex_wake(sched.maker_word, 1);
}

void throw_outside(const char* function) { throw std::logic_error(std::string(function) + ": called outside a G"); }

void answer_yield_wanted(G* g) noexcept {
  if (g->locks.load(relaxed) != 1) return;
  clear_yield_wanted(g->m);
  if (sched.stopping.load(relaxed) || g->m->p->preempt_wanted()) preempt_by_flag(g);
}

}  // namespace urge
