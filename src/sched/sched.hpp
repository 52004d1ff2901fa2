// SPDX-License-Identifier: MIT
// The scheduler's global state, and what the layers above call: the folder's front header.
#pragma once
#include <urge/detail/gate.hpp>
#include <urge/runtime.hpp>

#include "base/clock.hpp"
#include "base/lock.hpp"
#include "sched/current.hpp"
#include "sched/g.hpp"
#include "sched/gqueue.hpp"
#include "sched/m.hpp"
#include "sched/p.hpp"

namespace urge {

inline constexpr unsigned max_procs = 1024;

struct scheduler {
  // --- const during a run ---
  options how;
  unsigned procs = 0;
  std::uint64_t quantum = 0;  // ticks
  std::uint32_t run_id = 0;

  // --- lock ---
  raw_lock lock;
  gqueue queue;  // global run queue
  P* idle_ps = nullptr;
  M* idle_ms = nullptr;
  P* wants_m = nullptr;                 // Ps for which the maker shall start an M
  gqueue wants_identity;                // new Gs for which it shall make one before they run
  unsigned n_ms = 0;                    // Ms alive or being made
  unsigned n_created = 0, n_ended = 0;  // threads of Ms in this run; a run is over when they are equal
  M* all_ms = nullptr;                  // that have started and not ended
  M* ended_ms = nullptr;                // whose threads are to be joined
  G* free_gs = nullptr;
  std::uint64_t n_free_gs = 0;
  std::uint64_t handoffs = 0;
  std::uint64_t n_heavy = 0;  // live Gs of a weight above 4
  std::uint64_t foreign_gets = 0;

  // --- written under lock, read by anyone ---
  atomic<std::uint64_t> n_queue{0};  // = queue.n
  atomic<std::uint32_t> n_idle_p{0};
  atomic<std::uint32_t> n_idle_m{0};
  atomic<std::uint32_t> max_weight{1};  // of the live Gs, while n_heavy > 0; else at most 4

  // --- anyone ---
  atomic<std::uint32_t> n_spinning{0};
  atomic<std::uint32_t> need_spinning{0};
  atomic<std::uint64_t> next_id{1};
  atomic<std::uint64_t> n_kept_back{0}, kept_back_bytes{0};  // Gs that stand still for good, and their stacks' use
  atomic<bool> stopping{false};
  // The end of the run: Gs stopped inside libc run on until they are out, at most until this tick. 0: not now
  atomic<std::uint64_t> let_out_until{0};
  atomic<bool> main_left{false};       // the main G has left by this_g::exit: the run goes on until all have ended
  atomic<std::int64_t> poll_until{0};  // the moment until which one idle M sleeps for the timers; 0: none does
  atomic<M*> poller{nullptr};          // that M

  // --- notes to threads above (data below, behaviour above) ---
  atomic<std::uint32_t> sysmon_word{0};  // counts calls; sysmon sleeps on it
  atomic<std::int64_t> sysmon_until{0};  // when sysmon will look by itself
  atomic<bool> sysmon_off{false};        // all Ps are idle: it looks at none until called
  atomic<std::uint32_t> maker_word{0};   // counts calls; the maker sleeps on it
  atomic<std::uint32_t> ms_word{0};      // counts ends of Ms; the end of a run sleeps on it
  atomic<std::uint32_t> runs_over{0};    // the last run whose Ms may end their threads; they sleep on it
};
extern scheduler sched;
extern P all_ps[max_procs];

// --- hooks: set once by the composition root, before the first M; never null; noexcept ---
struct hooks {
  // The M is about to schedule for the first time, or for the last time has; on its own thread, on g0.
  void (*m_start)(M&) noexcept;
  void (*m_stop)(M&) noexcept;
  // A G has ended: the identity that it carried is free. On its M, after the switch away from it.
  void (*identity_free)(G&) noexcept;
  // Has the G, stopped by signal, left libc and the loader, and no lock of pthread? Only such a one may be ended for
  // good.
  bool (*may_end)(const G&) noexcept;
  // The G is about to stop by itself, and holds a lock of pthread or has an identity: it may have to take the M's
  // along, or give its own back. On its M, locks > 0.
  void (*settle_identity)(M&, G&) noexcept;
  // The calling G, which is to be killed, has unlocked the last lock of pthread that it held.
  void (*unlocked)(G&) noexcept;
};
extern hooks hook;

void call_sysmon() noexcept;
void call_maker() noexcept;

// --- park.cpp: stopping and going on. Context: a G inside enter/leave ---
// Stops the calling G until `ready`; `unlock` runs once its context is saved.
void park(G*, wait_reason, void (*unlock)(M*, G*, void*) noexcept, void* arg) noexcept;
// Makes a waiting G runnable: in the caller's `runnext` if it is a G, else on the global queue.
void ready(G*) noexcept;
// Goes behind the Gs of this P (`to_global`: of all Ps). Returns at once if nobody waits.
void give_way(G*, bool to_global) noexcept;
// The same because the slice has run out: counted, and always behind the Gs of all Ps.
void preempt_by_flag(G*) noexcept;
// The yield word is set: clears it and gives way, if that is due and no more than this one section is held.
void answer_yield_wanted(G*) noexcept;
// The same in the landing of a stop by signal. The G goes on with what it was interrupted in.
void preempt_by_signal(G*) noexcept;
// For a G that is killed. Where it can be unwound: throws if it is to be. Context: after leave().
void unwind_if_doomed(G*);
// Ends the calling G where it is: it never runs again, and all that it holds is kept. Context: inside enter.
[[noreturn]] void stand_still(G*) noexcept;
// Ends the calling G for good; `how` has been told to its joiners.
[[noreturn]] void end_g(G*) noexcept;
inline void clear_yield_wanted(M* m) noexcept {
  __atomic_store_n(m->bound.load(relaxed)->yield_wanted, 0u, __ATOMIC_RELAXED);
}

// --- spawn.cpp ---
void first_frame(arch::transfer) noexcept;  // entry of a new G
[[noreturn]] void run_job(G*) noexcept;     // spawn.cpp: the rest of it

// --- loop.cpp ---
// The scheduler loop of an M, on its g0, until the run ends.
void m_loop(M*) noexcept;
struct picked {
  G* g = nullptr;
  bool inherit = false;  // runs in what is left of the slice of the G that made it runnable
};
// The next G without waiting: this P's queues, then the global one. g null: nothing here. Runs no timers.
picked pick_next(M*) noexcept;
// Runs the P's timers if the first is due. Costs one load when it is not. Context: no lock held: a timer's function
// may take a channel's.
inline void run_due_timers(P* p, std::uint64_t now) noexcept {
  if (p->clock.next_tick.load(relaxed) <= now) [[unlikely]]
    p->clock.run(monotonic_ns());
}
// Makes a picked G the M's own: status, slice, stack. Afterwards switch_to it.
void take_over(M*, picked, std::uint64_t now) noexcept;
// Would anybody run on this P if its G stopped?
bool work_waits_for(const P&) noexcept;

// --- idle.cpp ---
void put_local(P*, G*, bool next) noexcept;
void put_global(G*) noexcept;
void put_global(gqueue&) noexcept;
// Somebody has made work visible: see that an M comes for it.
void wake_p() noexcept;
void start_m(P*, bool spinning) noexcept;
void stop_m(M*) noexcept;
void acquire_p(M*, P*) noexcept;
P* release_p(M*) noexcept;
void hand_off(P*) noexcept;
P* take_idle_p_locked() noexcept;
void put_idle_p_locked(P*) noexcept;
// The earliest timer has changed: whoever sleeps until it must know.
void timer_added(std::int64_t when) noexcept;
std::int64_t earliest_timer() noexcept;
inline void become_spinning(M* m) noexcept {
  m->spinning = true;
  sched.n_spinning.fetch_add(1, seq_cst);  // [spinning] seq_cst: see the rule in idle.cpp
  sched.need_spinning.store(0, seq_cst);   // [need_spinning] seq_cst: after n_spinning
}

// --- spawn.cpp ---
G* new_g(detail::task*, const go_options&, P*) noexcept;
void set_pause(G*, std::uint64_t cpu) noexcept;  // at so many ticks of CPU time; 0: never
void release_g(M*, G*) noexcept;                 // dead: its stack, identity and descriptor become free
void finish_task(G*, detail::outcome) noexcept;
inline constexpr std::uint64_t main_id = 1;
// A G has ended: one less to wait for; perhaps that was the run. Context: an M with a P.
void count_end(M*, const G*, detail::outcome) noexcept;
// Gs that have begun and not ended. Exact when nothing changes meanwhile.
std::uint64_t count_live() noexcept;
// The run is over: every M comes to an end as soon as it is in the scheduler.
void begin_stop() noexcept;

// --- syscall.cpp ---
void enter_syscall(G*) noexcept;
void exit_syscall(G*) noexcept;
bool retake(P*) noexcept;

// --- used by preempt/ ---
void add_preempt_latency(std::int64_t ns) noexcept;
void reset_latency() noexcept;
latency_histogram read_latency() noexcept;

// --- the runtime's critical section of a G ---
[[noreturn, gnu::cold]] void throw_outside(const char* function);

// From here on the calling G is not preempted, and g->m is its M. Null outside a G. A G in a system call leaves it.
inline G* enter_if_g() noexcept {
  G* g = current_g();
  if (!g) return nullptr;
  add_own(g->locks, 1u);
  std::atomic_signal_fence(seq_cst);  // the handler on this thread sees locks before anything that follows
  if (g->status.load(relaxed) == g_status::syscall) [[unlikely]]
    exit_syscall(g);
  return g;
}
// The same where there must be a G. Throws std::logic_error outside one, naming the function.
inline G* enter(const char* function) {
  G* g = enter_if_g();
  if (!g) [[unlikely]]
    throw_outside(function);
  return g;
}
// Leaves, as a function of libc that is no yield point.
inline void leave_without_yield(G* g) noexcept {
  std::atomic_signal_fence(seq_cst);  // all of it before the handler may stop us
  g->locks.store(g->locks.load(relaxed) - 1, relaxed);
}
// Leaves; gives way if the slice has run out meanwhile.
inline void leave(G* g) noexcept {
  if (!g) return;
  if (detail::yield_wanted()) [[unlikely]]
    answer_yield_wanted(g);
  std::atomic_signal_fence(seq_cst);  // all of it before the handler may stop us
  g->locks.store(g->locks.load(relaxed) - 1, relaxed);
}

}  // namespace urge
