// SPDX-License-Identifier: MIT
// What tests of function entries share: the suite that is repeated for each way in which the code was compiled, and how
// to have the next entry of the calling G stop, or think that it should. The functions here are compiled without
// checks, so nothing comes between them and the code that is tested.
#pragma once
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <atomic>

#include "entry/code/all_checked.hpp"
#include "sched/sched.hpp"
#include "support/runtime_fixture.hpp"

namespace urge::test {

class Entries : public testing::TestWithParam<const checked_code*> {
 protected:
  void TearDown() override { before_.check(); }
  static const checked_code& code() { return *GetParam(); }

 private:
  warm first_;
  watchdog watching_;
  balance before_;
};

struct name_of_code {
  std::string operator()(const testing::TestParamInfo<const checked_code*>& info) const { return info.param->name; }
};

// The word as a request sets it. Without a request nothing stops: the entry looks closer and goes on.
inline void poison_entries() { arch::set_entry_limit(arch::no_entry_passes); }

// The next entry of this G stops.
inline void stop_at_next_entry() {
  G* g = enter("stop_at_next_entry");
  P* p = g->m->p;
  p->request.store(p->schedtick.load());
  poison_entries();
  leave_without_yield(g);
}

inline std::uint64_t refused(defer_reason why) { return snapshot().deferred_by_reason[static_cast<std::size_t>(why)]; }
// Entries that have stopped, or would have: a G without an identity of its own is refused while there is no spare one
// to be had at once. Where the maker stands with the pool's lock, on one CPU, that is seen.
inline std::uint64_t stops() { return snapshot().preempts_cooperative + refused(defer_reason::no_identity); }
// Those that `f` causes.
template <class F>
std::uint64_t stops_of(F&& f) {
  const std::uint64_t before = stops();
  f();
  return stops() - before;
}

// No slice runs out by itself unless a test wants that: sysmon, late, would put the number of an older slice in place
// of the one that stop_at_next_entry has written.
inline options cooperative(unsigned procs, std::chrono::nanoseconds quantum = 10s) {
  options o;
  o.procs = procs, o.preempt = preempt_mode::cooperative, o.quantum = quantum;
  return o;
}

// Each shape, and whether its result was right. `n` varies them.
inline bool all_shapes_right(const checked_code& c, int n) {
  const long k = n;
  const double d = n;
  bool right = c.fib(8 + n % 3) == (n % 3 == 0 ? 21 : n % 3 == 1 ? 34 : 55);
  right = right && c.sum(9, k, 2 * k, 3 * k, 4 * k, 5 * k, 6 * k, 7 * k, 8 * k, 9 * k) == 45 * k;
  right = right && c.sum_of_doubles(10, d, d, d, d, d, d, d, d, d, 2 * d) == 11 * d;
  right = right && c.sum_of_pairs(6, k, d, k, d, k, d, k, d, k, d, k, d) == 12 * d;
  right = right && c.all_kinds(k, k, k, k, k, k, d, d, d, d, d, d, d, d, k, d) == 136 * d;
  right = right && c.tail(n) == 24 * n + 276;
  right = right && c.wide(n) == 5 * 1024;
  right = right && c.catches(n % 5) == n % 5;
  right = right && c.even(n % 20) == (n % 2 == 0);
  right = right && c.on_stack(n % 8) == n % 8;
  right = right && (!c.nested || c.nested(n) == 6 * n * (n + 1) + (36 + n) * (n + 1));
  return right;
}

}  // namespace urge::test
