// SPDX-License-Identifier: MIT
// See sysmon.hpp: what is looked at in a round, and how long it sleeps.
#include "sysmon/sysmon.hpp"

#include <pthread.h>

#include <csignal>
#include <utility>

#include "preempt/preempt.hpp"
#include "sched/m_supply.hpp"
#include "sysmon/asleep.hpp"
#include "sysmon/deadlock.hpp"
#include "sysmon/io_watch.hpp"
#include "sysmon/watch.hpp"

namespace urge::sysmon {

namespace {

pthread_t thread;
atomic<bool> over{false};

constexpr std::int64_t summon_interval = 100'000;  // ns, while the run ends or the world stops; as Go's

// Not by their status: a P that was handed to an M which has not woken yet is idle by that, and it is not.
bool all_ps_idle() noexcept {
  return sched.n_idle_p.load(seq_cst) == sched.procs.load(relaxed);
}  // [idle_p] seq_cst: after sysmon_off

struct outlook {
  std::int64_t next;  // when to look again
  bool idle;          // all Ps were: no slice is in `next`
};

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

// A P that switches looks at its timers itself, as often. So those of a G that has only just begun are left to it until
// the G could be stopped for them: fired here they would come to another queue, one by one, each with a wake-up of
// ours. New Gs take longer than one would think: the first touch of a stack is a page fault.
bool leaves_them(const P& p, std::uint64_t now_tick, std::int64_t now, std::int64_t& until) noexcept {
  const auto ran = static_cast<std::int64_t>(now_tick - p.run_start.load(relaxed));
  const auto least = static_cast<std::int64_t>(sched.least_run);
  if (p.status.load(relaxed) != p_status::running || ran >= least) return false;
  if (p.clock.next_tick.load(relaxed) > now_tick) return false;  // it does not see it yet
  until = now + ticks_to_ns(static_cast<std::uint64_t>(std::min(least - ran, least)));
  return true;
}

// Fires what is due, and its P does not see to. Returns when to look again.
std::int64_t fire_late_timers(std::int64_t now, std::uint64_t now_tick) noexcept {
  std::int64_t next = INT64_MAX;
  for (unsigned i = 0; i < sched.procs.load(relaxed); ++i) {
    P& p = all_ps[i];
    timers_left_until[i] = 0;
    if (p.clock.next_when.load(relaxed) <= now && !leaves_them(p, now_tick, now, timers_left_until[i]))
      p.clock.run(now);
    next = std::min(next, our_next_timer(i));
  }
  return next;
}

std::int64_t short_one_seen;  // when one last waited that has not used up a slice

bool short_one_waits() noexcept {
  for (unsigned i = 0; i < sched.procs.load(relaxed); ++i)
    if (all_ps[i].status.load(relaxed) == p_status::running && short_one_waits_for(all_ps[i])) return true;
  return false;
}

// With options.min_quantum: when to look whether one waits for a slice that is to end for it. As long as they come and
// go, often; when none has come for a quantum, when whoever makes one runnable calls.
std::int64_t look_for_short_ones(std::int64_t now) noexcept {
  if (sched.min_slice == 0) return INT64_MAX;
  const bool far = now - short_one_seen > ticks_to_ns(sched.quantum);
  if (far) sched.sysmon_far.store(true, seq_cst);  // [sysmon.far] we: the flag; look at work / they: work; look at it
  if (short_one_waits()) {
    short_one_seen = now;
    sched.sysmon_far.store(false, relaxed);
  } else if (far) {
    return INT64_MAX;
  }
  return now + ticks_to_ns(sched.min_slice);
}

outlook watch_all(std::int64_t now) noexcept {
  sched.sysmon_looks.store(true, relaxed);
  const std::lock_guard hold(sched.watching);
  const std::uint64_t now_tick = ticks();
  std::int64_t next = INT64_MAX;
  const unsigned n_ps = sched.procs.load(acquire);  // [procs] acquire: those that are new
  unsigned without_m = 0;
  for (unsigned i = 0; i < n_ps; ++i) {
    P& p = all_ps[i];
    if (p.status.load(relaxed) == p_status::idle) ++without_m;
    if (sched.stopping.load(relaxed)) {
      preempt::summon(p, true, false);
      next = now + summon_interval;
      continue;
    }
    if (sched.world_stops.load(relaxed)) {
      summon_for_world(p);
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
    next = std::min(next, look_for_short_ones(now));
    // A P that is on its way to an M that has not woken yet may begin a woken G's slice.
    if (without_m > sched.n_idle_p.load(relaxed)) next = std::min(next, now + woken_slice_ns);
  }
  if (sched.stopping.load(relaxed))
    summon_watched();
  else if (!idle)
    next = std::min(next, contain_woken(now));
  // While some M sleeps for the timers they are not ours.
  if (!sched.poller.load(seq_cst))  // [poller] seq_cst: before the look at the timers
    next = std::min(next, fire_late_timers(now, now_tick));
  sched.sysmon_looks.store(false, seq_cst);  // [sysmon.looks] seq_cst: before the look at those that were woken
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
  {
    std::lock_guard hold(sched.watching);  // a waker may be looking still
    close_states();
  }
  sched.sysmon_tid.store(0, relaxed);
  return nullptr;
}

}  // namespace

int start() noexcept {
  over.store(false);
  short_one_seen = 0;
  forget_watched();
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

}  // namespace urge::sysmon
