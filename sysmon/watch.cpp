// SPDX-License-Identifier: MIT
// See watch.hpp. The decisions are in retake.hpp; here they are fed and carried out.
#include "sysmon/watch.hpp"

#include <utility>

#include "preempt/preempt.hpp"
#include "sched/m_supply.hpp"
#include "sysmon/asleep.hpp"
#include "sysmon/retake.hpp"

namespace urge::sysmon {

namespace {

atomic<std::uint64_t> n_requests{0}, n_signals{0}, n_retakes{0}, n_detached{0}, n_contained{0}, n_unknown{0},
    n_wakeups{0}, n_by_wakers{0};
memory seen[max_procs];

view look_at(P& p, std::int64_t now, std::uint64_t now_tick) noexcept {
  view v;
  v.status = p.status.load(acquire);        // [p.status]
  v.schedtick = p.schedtick.load(acquire);  // [schedtick] acquire: start and length of this slice
  v.syscalltick = p.syscalltick.load(relaxed);
  // A slice may have begun after our two readings of the time; then it has lasted for nothing yet, not for ages.
  const auto lasted = static_cast<std::int64_t>(now_tick - p.slice_start.load(relaxed));
  v.slice_start = now - (lasted > 0 ? ticks_to_ns(static_cast<std::uint64_t>(lasted)) : 0);
  v.slice_length = ticks_to_ns(p.slice_length.load(relaxed));
  // Who goes before others has short slices, and behind them waits for whole ones.
  if (lasted > 0 && static_cast<std::uint64_t>(lasted) >= p.slice_length.load(relaxed)) [[unlikely]]
    v.slice_length += ticks_to_ns(lost_in_woken_slice(p, now_tick));
  // A G that is over its limit is stopped even if nobody wants its P.
  const std::uint64_t limit = p.limit_at.load(relaxed);
  v.work_waits = work_waits_for(p) || (limit != 0 && now_tick >= limit);
  v.ends_now = p.stop_slice.load(relaxed) == v.schedtick;
  // What the M's timer sees to is ours only where that fails.
  if (sched.how.slice_end == slice_source::timer)
    if (M* on = p.m.load(acquire); on && on->slice_timer_runs.load(relaxed))  // [p.m]
      v.slice_length += ticks_to_ns(sched.quantum);
  if (sched.min_slice != 0 && short_one_waits_for(p))
    v.slice_length = std::min(v.slice_length, ticks_to_ns(sched.min_slice));
  v.others_free = sched.n_idle_p.load(relaxed) + sched.n_spinning.load(relaxed) != 0;
  return v;
}

// --- threads that sleep in a call that we were not told of (src/sched/syscall.cpp) ---

M* watched = nullptr;  // they run without a P, or may soon; by M::next_watched
unsigned n_watched = 0;
std::int64_t next_round = 0;  // when to look at them

// Ps might have been taken, but no M was idle: the first and the last time in a row of looks.
std::int64_t lack_since = 0, lack_seen = 0;
constexpr std::int64_t lack_gap = 100'000'000;  // ns; after so long another row begins
// ns, with the maker. On a very busy machine it takes tens of ms to make one, and the signal may cost the sleeper an
// EINTR.
constexpr std::int64_t patience = 1'000'000'000;

bool by_signal() noexcept { return sched.how.preempt == preempt_mode::async || sched.threads_stay(); }

// gone     its P was taken
// awake    it runs, or would go on from where it sleeps as if there had been no signal
// asleep   it sleeps and keeps its P, for it is inside the runtime, or comes back just now: no signal
// other    it may be signalled, awake or not
enum class sleeper { gone, awake, asleep, other };

// Has it not made the M that Ps would need for too long? Called when one lacks.
bool maker_is_late(std::int64_t now) noexcept {
  if (lack_seen == 0 || now - lack_seen > lack_gap) lack_since = now;
  lack_seen = now;
  return now - lack_since > patience;
}

// Looks at the thread that has P, and takes slice `tick` from it if it sleeps.
sleeper take_from_sleeper(P& p, std::uint32_t tick) noexcept {
  M* m = p.m.load(acquire);        // [p.m] acquire: the M
  if (!m) return sleeper::asleep;  // it changes hands: nobody has been looked at yet
  if (!sched.can_detach) return sleeper::other;
  switch (look_at_thread(*m)) {
    case doing::runs:  // what it may sleep in when the signal comes has only just begun
      return sleeper::awake;
    case doing::on_lock:
      if (by_signal()) return sleeper::awake;
      break;
    case doing::unknown:
      n_unknown.fetch_add(1, relaxed);
      return sleeper::other;
    case doing::asleep:
      break;
  }
  // The maker may have to wait for a lock that a stopped G holds, which needs this P.
  switch (m_to_be_had()) {
    case m_supply::idle:
      lack_seen = 0;
      break;
    case m_supply::to_be_made:
      // While the world stops nobody needs one.
      if (sched.n_interrupted.load(relaxed) <= 0 || sched.world_stops.load(relaxed)) break;
      want_spare_ms(spares_for_calls);
      if (maker_is_late(monotonic_ns())) return sleeper::other;
      return sleeper::asleep;
    case m_supply::none:
      return sleeper::other;  // its G gives way to others, and sleeps again in its turn
  }
  if (!detach(p, tick)) return sleeper::asleep;
  n_detached.fetch_add(1, relaxed);
  if (!std::exchange(m->watched, true)) m->next_watched = std::exchange(watched, m), ++n_watched;
  return sleeper::gone;
}

}  // namespace

// A look costs 1 us: at most 1 % of the time is for looks.
std::int64_t contain_woken(std::int64_t now) noexcept {
  if (!watched) return INT64_MAX;
  if (now < next_round) return next_round;
  for (M** at = &watched; *at;) {
    M* m = *at;
    if (!m->detached.load(relaxed)) {
      *at = std::exchange(m->next_watched, nullptr);
      m->watched = false, --n_watched;
      continue;
    }
    at = &m->next_watched;
    if (look_at_thread(*m) != doing::runs) continue;
    n_contained.fetch_add(1, relaxed);
    preempt::contain(*m);
  }
  next_round = now + std::max<std::int64_t>(ticks_to_ns(sched.quantum), n_watched * std::int64_t{100'000});
  return watched ? next_round : INT64_MAX;
}

std::int64_t watch(P& p, std::int64_t now, std::uint64_t now_tick) noexcept {
  memory& m = seen[p.id];
  const view v = look_at(p, now, now_tick);
  // The slice may have changed while we read its parts: a torn view would preempt a slice that has just begun.
  if (p.schedtick.load(relaxed) != v.schedtick) return now;
  decision d = decide(v, m, now);
  switch (d.what) {
    case verdict::leave:
      break;
    case verdict::look:
      if (take_from_sleeper(p, v.schedtick) == sleeper::gone) return now + first_repeat;
      break;
    case verdict::ask:
    case verdict::ask_again: {
      const sleeper thread = take_from_sleeper(p, v.schedtick);
      if (thread == sleeper::gone) return now + first_repeat;
      if (sched.how.preempt == preempt_mode::off) {
        m.asked = false, m.renewed = now;
        return now + v.slice_length;
      }
      if (d.what == verdict::ask) n_requests.fetch_add(1, relaxed);
      const bool signals = by_signal() && thread != sleeper::asleep;
      if (signals) n_signals.fetch_add(1, relaxed);
      preempt::request(p, v.schedtick, d.slice_end, signals, thread == sleeper::awake);
      // A flag, once raised, stays up; only a signal gets lost in a refusal.
      if (!by_signal()) return now + longest_repeat;
      break;
    }
    case verdict::take_back:
      if (retake(&p)) n_retakes.fetch_add(1, relaxed);
      return now + syscall_short;
  }
  return d.look_again;
}

namespace {

// Ticks until P may give way to a woken G; not above 0: it may. A G that was woken itself keeps its short slice: it
// would go behind whole ones.
std::int64_t until_way(const P& p, std::uint64_t now_tick) noexcept {
  const std::uint64_t least = p.woken_slice.load(relaxed) ? sched.woken_slice : sched.least_run;
  const std::uint64_t from = p.slice_start.load(relaxed) + least, again = p.gave_way.load(relaxed) + sched.woken_slice;
  return static_cast<std::int64_t>(std::max(from, again) - now_tick);
}

// So much more than others a G may stand aside for woken ones, in a slice, because its P happens to be the nearest.
constexpr std::int64_t longest_lead = 10'000'000;  // ns

// Does its thread have the CPU that we run on? Then it goes on there as soon as we sleep: the stop waits for no other
// CPU, which may be busy with another process, or not be there at all (a virtual machine's).
bool is_next_here(const P& p, std::uint32_t cpu) noexcept {
  const M* m = p.m.load(acquire);  // [p.m]
  const std::uint32_t* its = m ? m->cpu.load(relaxed) : nullptr;
  return its && __atomic_load_n(its, __ATOMIC_RELAXED) == cpu;
}

// Of those that may give way: the one that has run longest, and the nearest of which the same is true.
class candidates {
 public:
  explicit candidates(std::uint32_t here) noexcept : here_(here) {}
  void add(P& p, std::uint64_t now_tick) noexcept {
    const auto ran = static_cast<std::int64_t>(now_tick - p.slice_start.load(relaxed));
    if (ran > longest_ran_ || !longest_) longest_ = &p, longest_ran_ = ran;
    if ((ran > nearest_ran_ || !nearest_) && is_next_here(p, here_)) nearest_ = &p, nearest_ran_ = ran;
  }
  P* best() const noexcept {
    if (!nearest_) return longest_;
    const std::uint64_t given = longest_->given.load(relaxed) + ns_to_ticks(longest_lead);
    return nearest_->given.load(relaxed) <= given ? nearest_ : longest_;
  }

 private:
  P* longest_ = nullptr;
  P* nearest_ = nullptr;
  std::int64_t longest_ran_ = 0, nearest_ran_ = 0;
  const std::uint32_t here_;
};

}  // namespace

std::int64_t make_way(std::int64_t now, std::uint64_t now_tick) noexcept {
  const std::uint64_t wait = sched.n_woken.load(seq_cst);  // [sysmon.looks]
  if (wait == 0) return INT64_MAX;
  const unsigned n_ps = sched.procs.load(acquire);  // [procs]
  const std::uint32_t here = os::cpu();
  std::int64_t next = INT64_MAX;
  while (sched.n_idle_p.load(relaxed) == 0 && sched.n_spinning.load(relaxed) == 0) {
    candidates ready(here);
    std::uint64_t asked = 0;
    for (unsigned i = 0; i < n_ps; ++i) {
      P& p = all_ps[i];
      const std::uint32_t tick = p.schedtick.load(acquire);  // [schedtick]
      if (p.stop_slice.load(relaxed) == tick || p.request.load(relaxed) == tick) {
        // Whoever does not come at once may have lost the CPU to another process.
        if (seen[i].pause <= first_repeat) ++asked;
        continue;
      }
      if (p.status.load(relaxed) != p_status::running) continue;
      const std::int64_t left = until_way(p, now_tick);
      if (left > 0)
        next = std::min(next, now + ticks_to_ns(static_cast<std::uint64_t>(left)) + 1'000);
      else if (!may_take_woken(p, now_tick))
        next = std::min(next, now + 50'000);
      else
        ready.add(p, now_tick);
    }
    P* const best = ready.best();
    if (asked >= wait || !best) break;
    best->stop_slice.store(best->schedtick.load(relaxed), relaxed);  // if it has moved on, it ends that one
    n_wakeups.fetch_add(1, relaxed);
    next = std::min(next, watch(*best, now, now_tick));
  }
  return next;
}

void make_way_at_once() noexcept {
  if (!by_signal() || !sched.watching.try_lock()) return;
  const std::uint64_t before = n_wakeups.load(relaxed);
  if (!all_shall_stop()) make_way(monotonic_ns(), ticks());
  n_by_wakers.store(n_by_wakers.load(relaxed) + n_wakeups.load(relaxed) - before, relaxed);
  sched.watching.unlock();
}

void summon_watched() noexcept {
  for (M* m = watched; m; m = m->next_watched) {
    if (!m->detached.load(relaxed)) continue;
    const bool taken = m->signal_pending.load(relaxed) == 0;  // the one before, if any, by the handler
    preempt::contain(*m);
    if (taken) m->told.fetch_add(1, release);  // [told] release: the signal
  }
}

void summon_for_world(P& p) noexcept {
  // The one that runs the G that stops the others is `stopped` by its status.
  if (p.status.load(acquire) != p_status::running) return;                 // [p.status]
  const sleeper thread = take_from_sleeper(p, p.schedtick.load(acquire));  // [schedtick]
  if (thread != sleeper::gone) preempt::summon(p, by_signal() && thread != sleeper::asleep, thread == sleeper::awake);
}

void forget_watched() noexcept {
  for (auto* n : {&n_requests, &n_signals, &n_retakes, &n_detached, &n_contained, &n_unknown, &n_wakeups, &n_by_wakers})
    n->store(0, relaxed);
  while (M* m = watched) watched = std::exchange(m->next_watched, nullptr), m->watched = false;
  n_watched = 0, next_round = 0, lack_seen = 0;
  for (auto& m : seen) m = {};
}

counts count() noexcept {
  return {n_requests.load(relaxed),  n_signals.load(relaxed), n_retakes.load(relaxed), n_detached.load(relaxed),
          n_contained.load(relaxed), n_unknown.load(relaxed), n_wakeups.load(relaxed), n_by_wakers.load(relaxed)};
}

}  // namespace urge::sysmon
