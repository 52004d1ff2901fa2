// SPDX-License-Identifier: MIT
// Can any G ever go on? A false yes would cost a hang, a false no a run: so there is no deadlock unless all of these
// are seen under sched.lock, twice, with no switch to a G in between, and the list of threads in between shows none but
// ours:
//   all Ps idle, none of their queues nor the global one holds a G; no M in a system call; no timer armed or firing
//   every live G waits, in a wait that nobody has claimed, and not for a time or for I/O
// Twice, for a thread that is none of ours may wake a G and end between a first look and the list; and the list may
// have been read before a G started such a thread. Source: Go's checkdead (proc.go), which counts Ms and knows its
// threads.
#include "sysmon/deadlock.hpp"

#include <cerrno>

#include "base/raw_print.hpp"
#include "base/threads.hpp"
#include "preempt/preempt.hpp"
#include "sched/netpoll.hpp"
#include "sched/sched.hpp"

namespace urge::sysmon {

namespace {

// A program that idles for moments is not looked at each time; and one that waits for threads that are not ours wakes
// us once a second.
constexpr std::int64_t patience = 20'000'000, between_looks = 1'000'000'000;  // ns

std::int64_t quiet_since = 0;
std::uint64_t quiet_switches = 0;

std::uint64_t count_switches() noexcept {
  std::uint64_t n = 0;
  for (unsigned i = 0; i < sched.procs_seen.load(acquire); ++i)  // [procs.seen] acquire: their counters
    n += all_ps[i].count.switches.load(relaxed);
  return n;
}

bool has_nothing(const P& p) noexcept {
  // In this order: whoever takes the last timer out says before that it is at work, and is until its G is on a queue.
  return p.clock.next_when.load(seq_cst) == INT64_MAX &&  // [timers.next]
         p.clock.running.load(seq_cst) == 0 &&            // [timers.running] acquire: after next_when
         !p.has_work();
}

// No G runs, or is about to. Context: sched.lock held: no P can be taken from the idle ones.
bool all_asleep_locked() noexcept {
  if (sched.stopping.load(relaxed) || sched.world_stops.load(relaxed)) return false;
  if (sched.n_idle_p.load(relaxed) != sched.procs.load(relaxed) || sched.n_spinning.load(relaxed) != 0) return false;
  if (sched.wants_identity.n != 0 || netpoll::n_waiters.load(relaxed) != 0) return false;
  for (const M* m = sched.all_ms; m; m = m->next_all)
    if (m->in_syscall.load(relaxed) != 0) return false;
  for (unsigned i = 0; i < sched.procs_seen.load(relaxed); ++i)
    if (!has_nothing(all_ps[i])) return false;
  if (sched.n_queue.load(relaxed) != 0) return false;  // behind the timers, whose Gs come there
  bool some = false, all = true;
  for_each_g([&](const G& g) {
    const g_status s = g.status.load(acquire);  // [g.status]
    if (s == g_status::idle || s == g_status::dead || g.orphan.load(relaxed)) return;
    some = true;
    const wait_reason why = g.reason.load(relaxed);
    const bool claimed = why != wait_reason::paused && (g.wait_word.load(seq_cst) & wait_claimed);  // [wait.word]
    if (s != g_status::waiting || why == wait_reason::sleep || claimed) all = false;
  });
  return some && all;
}

bool all_asleep(std::uint64_t& switches) noexcept {
  std::lock_guard hold(sched.lock);
  switches = count_switches();
  return all_asleep_locked();
}

bool is_ours(int tid, void*) noexcept {
  for (const auto* ours : {&sched.sysmon_tid, &sched.caller_tid, &sched.maker_tid})
    if (tid == ours->load(relaxed)) return true;
  {
    std::lock_guard hold(sched.lock);
    for (const M* m = sched.all_ms; m; m = m->next_all)
      if (m->tid.load(relaxed) == tid) return true;
  }
  return preempt::is_parked_donor(tid);
}

}  // namespace

void forget_deadlock() noexcept { quiet_since = 0; }

std::int64_t look_for_deadlock(std::int64_t now) noexcept {
  if (const std::uint64_t n = count_switches(); quiet_since == 0 || n != quiet_switches) {
    quiet_since = now, quiet_switches = n;
    return now + patience;
  }
  if (now < quiet_since + patience) return quiet_since + patience;
  std::uint64_t before, after;
  if (!all_asleep(before)) return INT64_MAX;  // whoever wakes takes a P, and calls us
  const int none_else = os::for_each_thread(is_ours, nullptr);
  if (none_else == -EAGAIN) return now + patience;
  if (none_else < 0) return INT64_MAX;
  if (none_else == 0) return now + between_looks;
  if (!all_asleep(after) || before != after) return now + patience;
  // From here on nothing can change it.
  sched.deadlocked.store(true, relaxed);  // read behind the end of all threads of the run
  raw_print(2) << "urge: all goroutines are asleep - deadlock!\n";
  fatal_dump(2);
  begin_stop();
  return now;
}

}  // namespace urge::sysmon
