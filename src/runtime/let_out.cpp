// SPDX-License-Identifier: MIT
// See let_out.hpp. A G that lives in malloc is outside for a small part of its time: it takes many looks to find it
// there, by a timer of the thread that runs it; sysmon, which looks every 100 us, would be late on a busy machine.
#include "runtime/let_out.hpp"

#include "preempt/preempt.hpp"
#include "runtime/m_memory.hpp"
#include "runtime/maker.hpp"
#include "runtime/unwind.hpp"
#include "runtime/way_out.hpp"
#include "sched/switch.hpp"

#include <algorithm>
#include <optional>

namespace urge {

// The caller of `run` gives an M that stands by one turn, and waits for its end. Handed over in M::turn; the M takes it
// from there.
struct let_out_turn {
  G* g = nullptr;             // null: the M shall end
  std::int64_t interval = 0;  // between looks, ns
  note done;
};

bool may_end(const G& g) noexcept {
  return g.pthread_locks.load(relaxed) == 0 && (!g.stopped_by_signal || outside_libc(g));
}

bool stuck_inside(const G& g) noexcept {
  const g_status s = g.status.load(relaxed);
  return (s == g_status::runnable || s == g_status::waiting) && g.stopped_by_signal && !may_end(g);
}

namespace {

// What the caller of `run` is here. Kept from the first run on: without one, Gs would be left in the middle of malloc.
M* caller_m = nullptr;

// Nobody looks for Gs in the global queue any more. Those that stop here would be put there once more, behind others
// that have ended meanwhile: their links are the free list's then.
void forget_queue() noexcept {
  std::lock_guard hold(sched.lock);
  forget_queues_locked();
}

// Runs it on the calling M until it stops again. All others are gone, and one that is still being made takes no P.
void run_on(M& m, G& g) noexcept {
  forget_queue();
  all_ps[0].m.store(nullptr, relaxed);
  acquire_p(&m, &all_ps[0]);
  if (g.status.load(relaxed) == g_status::waiting)  // it was paused
    set_status(g.status, g_status::waiting, g_status::runnable);
  stop_behind_libc(g);
  take_over(&m, {&g, false}, ticks());
  switch_to(&m, nullptr, &g, {});
  release_p(&m);
}

void give_turn(M& m, G* g, std::int64_t interval) noexcept {
  let_out_turn t;
  t.g = g, t.interval = interval;
  m.turn.store(&t, seq_cst);  // [turn] we: turn; wake / it: clear; look at turn
  m.park.wake();
  t.done.sleep();
}

// Sends the preemption signal to the calling thread again and again.
class prodding {
 public:
  explicit prodding(std::int64_t interval_ns) : timer_(os::make_thread_timer(sched.how.signal)) {
    if (timer_ >= 0) os::set_thread_timer(timer_, interval_ns, interval_ns);
  }
  ~prodding() {
    if (timer_ >= 0) os::delete_thread_timer(timer_);
  }

 private:
  const int timer_;
};

template <class F>
void for_each_stuck(F&& f) noexcept {
  for_each_g([&](G& g) {
    if (stuck_inside(g)) f(g);
  });
}

}  // namespace

namespace {
// Those that stand by need not wait any longer.
void dismiss() noexcept {
  for (;;) {
    M* waits = nullptr;
    {
      std::lock_guard hold(sched.lock);
      for (M* at = sched.all_ms; at && !waits; at = at->next_all)
        if (at->stands_by) waits = at;
    }
    if (!waits) return;
    give_turn(*waits, nullptr, 0);
  }
}
}  // namespace

void stand_by(M& m) noexcept {
  if (!m.tenant || !m.tenant->stopped_by_signal) return;
  {
    std::lock_guard hold(sched.lock);
    ++sched.n_standing_by;
    m.stands_by = true;
  }
  sched.ms_word.fetch_add(1, release);  // [ms.word] release: the M stands by
  os::futex_wake(sched.ms_word, 1);
  for (;;) {
    let_out_turn* t = m.turn.exchange(nullptr, seq_cst);  // [turn] after the clearing of the note
    if (!t) {
      m.park.sleep();
      m.park.clear();
      continue;
    }
    if (!t->g) {
      std::lock_guard hold(sched.lock);
      --sched.n_standing_by;
      m.stands_by = false;
    } else {
      const prodding signals(t->interval);
      t->g->home = nullptr, m.tenant = nullptr;
      run_on(m, *t->g);
    }
    const bool ends = !t->g;
    t->done.wake();
    if (ends) return;
  }
}

bool ready_to_let_out() noexcept { return caller_m || (caller_m = make_m()); }

void let_out() noexcept {
  bool some = false;
  for_each_stuck([&](G&) { some = true; });
  if (!some) return dismiss();
  M* const m = sched.threads_stay() ? nullptr : caller_m;
  if (m) {
    m->loan = preempt::take_loan();
    if (!m->loan) return;  // making one would take the very locks
    hook.m_start(*m);
  }
  const std::uint64_t until = ticks() + ns_to_ticks(1'000'000'000);
  // Each in turn, for it may wait for a lock that another of them holds.
  const std::uint64_t turn = ns_to_ticks(5'000'000);
  sched.let_out_until.store(until, relaxed);
  for (unsigned round = 0; some && ticks() < until; ++round) {
    // Short looks find those that sleep, or are outside now and then; long ones bring on those that are inside for
    // long. Never so short that signals are all the thread does: one has been seen to take 20 us and more.
    const std::int64_t interval = std::int64_t{200'000} << round % 5;
    std::optional<prodding> signals;
    if (m) signals.emplace(interval);
    some = false;
    for_each_stuck([&](G& g) {
      const std::uint64_t now = ticks();
      if (now >= until) return;
      sched.let_out_until.store(std::min(until, now + turn), relaxed);
      if (g.home)
        give_turn(*g.home, &g, interval);
      else if (m)
        run_on(*m, g);
      some = some || stuck_inside(g);
    });
  }
  sched.let_out_until.store(0, relaxed);
  if (m) hook.m_stop(*m);
  dismiss();
}

}  // namespace urge
