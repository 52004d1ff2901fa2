// SPDX-License-Identifier: MIT
// See sysmon.hpp. The decisions are in retake.hpp; here they are fed and carried out.
#include "sysmon/sysmon.hpp"

#include <pthread.h>

#include <csignal>

#include "preempt/preempt.hpp"
#include "sched/sched.hpp"
#include "sysmon/retake.hpp"

namespace urge::sysmon {

namespace {

pthread_t thread;
atomic<bool> over{false};
atomic<std::uint64_t> n_requests{0}, n_signals{0}, n_retakes{0};
memory seen[max_procs];

constexpr std::int64_t summon_interval = 100'000;  // ns, while the run ends, as Go's stop-the-world

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
  if (p.stop_slice.load(relaxed) == v.schedtick) v.slice_length = 0, v.work_waits = true;
  v.others_free = sched.n_idle_p.load(relaxed) + sched.n_spinning.load(relaxed) != 0;
  return v;
}

// Looks at one P and acts; returns when to look again.
std::int64_t watch(P& p, std::int64_t now, std::uint64_t now_tick) noexcept {
  memory& m = seen[p.id];
  const view v = look_at(p, now, now_tick);
  // The slice may have changed while we read its parts: a torn view would preempt a slice that has just begun.
  if (p.schedtick.load(relaxed) != v.schedtick) return now;
  decision d = decide(v, m, now);
  const bool by_signal = sched.how.preempt == preempt_mode::async;
  switch (d.what) {
    case verdict::leave:
      break;
    case verdict::ask:
      if (sched.how.preempt == preempt_mode::off) {
        m.asked = false, m.renewed = now;
        return now + v.slice_length;
      }
      n_requests.fetch_add(1, relaxed);
      [[fallthrough]];
    case verdict::ask_again:
      if (by_signal) n_signals.fetch_add(1, relaxed);
      preempt::request(p, v.schedtick, d.slice_end, by_signal);
      // A flag, once raised, stays up; only a signal gets lost in a refusal.
      if (!by_signal) return now + longest_repeat;
      break;
    case verdict::take_back:
      if (retake(&p)) n_retakes.fetch_add(1, relaxed);
      return now + syscall_short;
  }
  return d.look_again;
}

// Not by their status: a P that was handed to an M which has not woken yet is idle by that, and it is not.
bool all_ps_idle() noexcept {
  return sched.n_idle_p.load(seq_cst) == sched.procs;
}  // [idle_p] seq_cst: after sysmon_off

struct outlook {
  std::int64_t next;  // when to look again
  bool idle;          // all Ps were: no slice is in `next`
};

outlook watch_all(std::int64_t now) noexcept {
  const std::uint64_t now_tick = ticks();
  std::int64_t next = INT64_MAX;
  for (unsigned i = 0; i < sched.procs; ++i) {
    P& p = all_ps[i];
    if (sched.stopping.load(relaxed)) {
      preempt::summon(p);
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
  // While some M sleeps for the timers they are not ours.
  if (!sched.poller.load(seq_cst)) {  // [poller] seq_cst: before the look at the timers
    for (unsigned i = 0; i < sched.procs; ++i)
      if (all_ps[i].clock.next_when.load(relaxed) <= now) all_ps[i].clock.run(now);
    next = std::min(next, earliest_timer());
  }
  return {next, idle};
}

void* loop(void*) noexcept {
  os::set_timer_slack_1ns();
  bool idle_before = false;
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
    } else if (idle) {
      next = std::min(next, monotonic_ns() + ticks_to_ns(sched.quantum));
    }
    idle_before = idle;
    sched.sysmon_until.store(next, seq_cst);  // [sysmon.until] we: until; look at timers / they: timer; look at until
    if (sched.poller.load(seq_cst) == nullptr && earliest_timer() < next) continue;  // [poller] seq_cst: after until
    os::futex_wait(sched.sysmon_word, calls, next == INT64_MAX ? os::no_deadline : next);
    sched.sysmon_until.store(0, relaxed);
  }
  return nullptr;
}

}  // namespace

int start() noexcept {
  over.store(false);
  for (auto* n : {&n_requests, &n_signals, &n_retakes}) n->store(0, relaxed);
  for (auto& m : seen) m = {};
  sigset_t all, old;
  sigfillset(&all);
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

counts count() noexcept { return {n_requests.load(relaxed), n_signals.load(relaxed), n_retakes.load(relaxed)}; }

}  // namespace urge::sysmon
