// SPDX-License-Identifier: MIT
// See sysmon.hpp. The decisions are in retake.hpp; here they are fed and carried out.
#include "sysmon/sysmon.hpp"

#include <pthread.h>

#include <csignal>
#include <utility>

#include "preempt/preempt.hpp"
#include "sched/m_supply.hpp"
#include "sysmon/asleep.hpp"
#include "sysmon/deadlock.hpp"
#include "sysmon/io_watch.hpp"
#include "sysmon/retake.hpp"

namespace urge::sysmon {

namespace {

pthread_t thread;
atomic<bool> over{false};
atomic<std::uint64_t> n_requests{0}, n_signals{0}, n_retakes{0}, n_detached{0}, n_contained{0}, n_unknown{0},
    n_wakeups{0};
memory seen[max_procs];

constexpr std::int64_t summon_interval = 100'000;  // ns, while the run ends or the world stops; as Go's

view look_at(P& p, std::int64_t now, std::uint64_t now_tick) noexcept {
  view v;
  v.status = p.status.load(acquire);        // [p.status]
  v.schedtick = p.schedtick.load(acquire);  // [schedtick] acquire: start and length of this slice
  v.syscalltick = p.syscalltick.load(relaxed);
  // A slice may have begun after our two readings of the time; then it has lasted for nothing yet, not for ages.
  const auto lasted = static_cast<std::int64_t>(now_tick - p.slice_start.load(relaxed));
  v.slice_start = now - (lasted > 0 ? ticks_to_ns(static_cast<std::uint64_t>(lasted)) : 0);
  v.slice_length = ticks_to_ns(p.slice_length.load(relaxed));
  // A G that is over its limit is stopped even if nobody wants its P.
  const std::uint64_t limit = p.limit_at.load(relaxed);
  v.work_waits = work_waits_for(p) || (limit != 0 && now_tick >= limit);
  v.ends_now = p.stop_slice.load(relaxed) == v.schedtick;
  // What the M's timer sees to is ours only where that fails.
  if (sched.how.slice_end == slice_source::timer)
    if (M* on = p.m.load(acquire); on && on->slice_timer_runs.load(relaxed))  // [p.m]
      v.slice_length += ticks_to_ns(sched.quantum);
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

// Those that have woken, and run without a P, go to the queue. A look costs 1 us: at most 1 % of the time is for looks.
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

// Looks at one P and acts; returns when to look again.
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

// Not by their status: a P that was handed to an M which has not woken yet is idle by that, and it is not.
bool all_ps_idle() noexcept {
  return sched.n_idle_p.load(seq_cst) == sched.procs.load(relaxed);
}  // [idle_p] seq_cst: after sysmon_off

struct outlook {
  std::int64_t next;  // when to look again
  bool idle;          // all Ps were: no slice is in `next`
};

// Ticks until P may give way to a woken G; not above 0: it may. A G that was woken itself keeps its short slice: it
// would go behind whole ones.
std::int64_t until_way(const P& p, std::uint64_t now_tick) noexcept {
  const std::uint64_t least = p.woken_slice.load(relaxed) ? sched.woken_slice : sched.least_run;
  const std::uint64_t from = p.slice_start.load(relaxed) + least, again = p.gave_way.load(relaxed) + sched.woken_slice;
  return static_cast<std::int64_t>(std::max(from, again) - now_tick);
}

// Gs have been woken, and all Ps are busy: for each of them one gives way, which has run longest, and not less than it
// may. Returns when the next may be asked.
std::int64_t make_way(std::int64_t now, std::uint64_t now_tick) noexcept {
  sched.sysmon_looks.store(false, seq_cst);  // [sysmon.looks] seq_cst: before the look at those that were woken
  const std::uint64_t wait = sched.n_woken.load(seq_cst);  // [sysmon.looks]
  const unsigned n_ps = sched.procs.load(acquire);         // [procs]
  std::int64_t next = INT64_MAX;
  while (wait != 0 && sched.n_idle_p.load(relaxed) == 0 && sched.n_spinning.load(relaxed) == 0) {
    P* longest = nullptr;
    std::int64_t most = 0;
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
      const auto ran = static_cast<std::int64_t>(now_tick - p.slice_start.load(relaxed));
      const std::int64_t left = until_way(p, now_tick);
      if (left > 0 || !may_take_woken(p, now_tick)) {
        next =
            std::min(next, now + std::max<std::int64_t>(
                                     ticks_to_ns(static_cast<std::uint64_t>(std::max<std::int64_t>(left, 0))), 50'000));
      } else if (ran > most || !longest) {
        longest = &p, most = ran;
      }
    }
    if (asked >= wait || !longest) break;
    longest->stop_slice.store(longest->schedtick.load(relaxed), relaxed);  // if it has moved on, it ends that one
    n_wakeups.fetch_add(1, relaxed);
    next = std::min(next, watch(*longest, now, now_tick));
  }
  return next;
}

std::int64_t timers_left_until[max_procs];

// When sysmon has to look at the timers of a P, of all.
std::int64_t our_next_timer(unsigned p) noexcept {
  return std::max(all_ps[p].clock.next_when.load(seq_cst),  // [timers.next] seq_cst: after sysmon_until
                  timers_left_until[p]);
}
std::int64_t our_next_timer() noexcept {
  std::int64_t when = INT64_MAX;
  for (unsigned i = 0; i < sched.procs.load(relaxed); ++i) when = std::min(when, our_next_timer(i));
  return when;
}

// A P that switches looks at its timers itself, as often. So those of a G that has only just begun are left to it for a
// moment: fired here they would come to another queue, one by one, each with a wake-up of ours.
constexpr std::int64_t just_begun = 10'000, moment = 100'000;

// Fires what is due, and its P does not see to. Returns when to look again.
std::int64_t fire_late_timers(std::int64_t now, std::uint64_t now_tick) noexcept {
  std::int64_t next = INT64_MAX;
  for (unsigned i = 0; i < sched.procs.load(relaxed); ++i) {
    P& p = all_ps[i];
    timers_left_until[i] = 0;
    if (p.clock.next_when.load(relaxed) <= now) {
      const auto ran = static_cast<std::int64_t>(now_tick - p.run_start.load(relaxed));
      if (p.status.load(relaxed) == p_status::running && ran < static_cast<std::int64_t>(ns_to_ticks(just_begun)) &&
          p.clock.next_tick.load(relaxed) <= now_tick)  // it sees it, too
        timers_left_until[i] = now + moment;
      else
        p.clock.run(now);
    }
    next = std::min(next, our_next_timer(i));
  }
  return next;
}

outlook watch_all(std::int64_t now) noexcept {
  sched.sysmon_looks.store(true, relaxed);
  const std::uint64_t now_tick = ticks();
  std::int64_t next = INT64_MAX;
  const unsigned n_ps = sched.procs.load(acquire);  // [procs] acquire: those that are new
  for (unsigned i = 0; i < n_ps; ++i) {
    P& p = all_ps[i];
    if (sched.stopping.load(relaxed)) {
      preempt::summon(p, true, false);
      next = now + summon_interval;
      continue;
    }
    if (sched.world_stops.load(relaxed)) {
      // The one that runs the G that stops the others is `stopped` by its status.
      // A sleeper is left alone, without its P.
      if (p.status.load(acquire) == p_status::running) {                         // [p.status]
        const sleeper thread = take_from_sleeper(p, p.schedtick.load(acquire));  // [schedtick]
        if (thread != sleeper::gone)
          preempt::summon(p, by_signal() && thread != sleeper::asleep, thread == sleeper::awake);
      }
      next = now + summon_interval;
      continue;
    }
    next = std::min(next, watch(p, now, now_tick));
  }
  // A slice that begins after this look ends a quantum later at the earliest, but a light G's may be shorter.
  const bool idle = all_ps_idle();
  if (!idle) {
    const std::uint64_t top = sched.max_weight.load(relaxed);
    const std::int64_t quantum =
        ticks_to_ns(top > 4 ? std::max<std::uint64_t>(sched.quantum * 4 / top, ns_to_ticks(20'000)) : sched.quantum);
    next = std::min(next, now + quantum);
  }
  for (M* m = sched.stopping.load(relaxed) ? watched : nullptr; m; m = m->next_watched)
    if (m->detached.load(relaxed)) {
      const bool taken = m->signal_pending.load(relaxed) == 0;  // the one before, if any, by the handler
      preempt::contain(*m);
      if (taken) m->told.fetch_add(1, release);  // [told] release: the signal
    }
  if (!idle && !sched.stopping.load(relaxed)) next = std::min(next, contain_woken(now));
  // While some M sleeps for the timers they are not ours.
  if (!sched.poller.load(seq_cst))  // [poller] seq_cst: before the look at the timers
    next = std::min(next, fire_late_timers(now, now_tick));
  next = std::min(next, make_way(now, now_tick));
  return {next, idle};
}

void* loop(void*) noexcept {
  os::set_timer_slack_1ns();
  os::ask_for_short_slices();
  sched.sysmon_tid.store(os::gettid(), relaxed);
  bool idle_before = false;
  io_watch io;
  for (;;) {
    sched.sysmon_off.store(false, relaxed);
    const std::uint32_t calls = sched.sysmon_word.load(seq_cst);  // [sysmon.word] acquire: what we are called for
    if (over.load(acquire)) break;                                // [sysmon.over] acquire: no more of this run
    auto [next, idle] = watch_all(monotonic_ns());
    // We sleep as long as all Ps are idle, but for the timers. Only when two looks in a row find them so: a process
    // that works for some microseconds each millisecond would else wake us each time. Whoever takes a P from the idle
    // list after the store sees that we sleep, and calls; one that was taken before it we see. What `next` was made
    // from decides, not a second look: a P that was taken between the two would be in neither.
    if (idle && idle_before) {
      sched.sysmon_off.store(true, seq_cst);  // [sysmon.off] we: off; look at idle Ps / they: idle Ps; look at off
      if (!all_ps_idle()) continue;
      if (next == INT64_MAX) next = look_for_deadlock(monotonic_ns());
    } else if (idle) {
      next = std::min(next, monotonic_ns() + ticks_to_ns(sched.quantum));
    }
    idle_before = idle;
    if (!io.plan(monotonic_ns())) continue;
    sched.sysmon_until.store(next, seq_cst);  // [sysmon.until] we: until; look at timers / they: timer; look at until
    if (sched.poller.load(seq_cst) == nullptr && our_next_timer() < next) continue;  // [poller] seq_cst: after until
    io.sleep(calls, next);  // INT64_MAX is no deadline there, too
    sched.sysmon_until.store(0, relaxed);
  }
  close_states();
  sched.sysmon_tid.store(0, relaxed);
  return nullptr;
}

}  // namespace

int start() noexcept {
  over.store(false);
  for (auto* n : {&n_requests, &n_signals, &n_retakes, &n_detached, &n_contained, &n_unknown, &n_wakeups})
    n->store(0, relaxed);
  while (M* m = watched) watched = std::exchange(m->next_watched, nullptr), m->watched = false;
  n_watched = 0, next_round = 0, lack_seen = 0;
  for (auto& m : seen) m = {};
  forget_deadlock();
  sigset_t all, old;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&all, fault);  // else nobody would hear of ours
  pthread_sigmask(SIG_SETMASK, &all, &old);
  const int error = pthread_create(&thread, nullptr, loop, nullptr);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  return -error;
}

void stop() noexcept {
  over.store(true, release);  // [sysmon.over] release: the end of the run
  call_sysmon();
  pthread_join(thread, nullptr);
}

counts count() noexcept {
  return {n_requests.load(relaxed),  n_signals.load(relaxed), n_retakes.load(relaxed), n_detached.load(relaxed),
          n_contained.load(relaxed), n_unknown.load(relaxed), n_wakeups.load(relaxed)};
}

}  // namespace urge::sysmon
