// SPDX-License-Identifier: MIT
// The scheduler's global state, and what the layers above call: the folder's front header.
#pragma once
#include <urge/detail/gate.hpp>
#include <urge/runtime.hpp>

#include "base/clock.hpp"
#include "base/lock.hpp"
#include "base/poll.hpp"
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
  std::uint64_t quantum = 0;      // ticks
  std::uint64_t least_run = 0;    // ticks: least_run_ns, or the quantum if that is less
  std::uint64_t min_slice = 0;    // ticks: options.min_quantum; 0: whoever has used up a slice waits like others
  std::uint64_t woken_slice = 0;  // ticks: woken_slice_ns, likewise
  std::uint32_t run_id = 0;
  bool can_detach = false;  // the kernel has membarrier: P's are taken from threads that sleep unannounced
  bool threads_stay() const noexcept { return how.preempt == preempt_mode::kernel_thread; }

  atomic<bool> on{false};  // a thread is in `run`; written by that thread

  // Whoever looks at Ps and at their Ms' threads, and asks them to stop, holds it; it comes before all locks below. Who
  // has woken a G may hold any of these, and only tries. An M that ends takes it, so that nobody looks at its thread.
  raw_lock watching;

  // --- lock ---
  raw_lock lock;
  gqueue queue;  // global run queue
  // The part of it that goes first: Gs that a timer, I/O or another thread has woken as no P was idle
  // (docs/protocols/wakeup.md).
  gqueue woken;
  gqueue preempted;  // the part that goes last, with min_slice: those that have used up a slice
  P* idle_ps = nullptr;
  M* idle_ms = nullptr;
  // Ps for which the maker shall start Ms. None of these is made for a certain P: an M that would go idle takes the P
  // before, for the maker may be waiting for a lock of malloc, whose holder waits for an M.
  P* wants_m = nullptr;
  unsigned n_wanted = 0;       // Ps there
  unsigned n_used = 0;         // Ms with a P or a G, or drawn for one: m_supply.hpp
  unsigned n_spare = 0;        // all others, and threads that are being made
  unsigned n_promised = 0;     // Ms that must be there when they are needed
  unsigned n_standing_by = 0;  // of those used, Ms that wait to let their G out: runtime/let_out.cpp
  gqueue wants_identity;       // new Gs for which the maker shall make one before they run
  // Threads of Ms in this run: that the maker has made, that have begun (which may come first), that have ended. Those
  // that have begun may have a P; the run is over when all that were made have ended.
  unsigned n_created = 0, n_begun = 0, n_ended = 0;
  unsigned n_refused = 0;            // of those wanted, for which there was no thread
  int no_first_m = 0;                // -errno: the run has not begun, for not even its first M could be made
  const char* no_first_m_call = "";  // what has failed then
  M* all_ms = nullptr;               // that have started and not ended
  M* ended_ms = nullptr;             // whose threads are to be joined
  G* free_gs = nullptr;
  std::uint64_t n_free_gs = 0;
  std::uint64_t handoffs = 0;
  std::uint64_t n_heavy = 0;  // live Gs of a weight above 4
  std::uint64_t foreign_gets = 0;

  unsigned world_running = 0;  // Ps that have still to stop: world.cpp

  // --- written under lock, read by anyone ---
  // The number of Ps, and the largest that it has been in this run: counters of Ps that are gone count on. Changed
  // while the world stands still: to whoever has a P, `procs` is a constant.
  atomic<unsigned> procs{0}, procs_seen{0};
  atomic<bool> world_stops{false};       // all Ps but one are to stop, or have
  atomic<std::uint64_t> n_queue{0};      // = queue.n + woken.n + preempted.n
  atomic<std::uint64_t> n_woken{0};      // = woken.n
  atomic<std::uint64_t> n_preempted{0};  // = preempted.n
  atomic<std::uint32_t> n_idle_p{0};
  atomic<std::uint32_t> n_idle_m{0};
  atomic<std::uint32_t> max_weight{1};  // of the live Gs, while n_heavy > 0; else at most 4

  // Ms to keep ahead of need: for the Ps of Gs that stay on their threads, or sleep in system calls while others stand
  // where a signal has stopped them. 0: none was needed yet.
  atomic<std::uint32_t> spare_ms{0};

  atomic<bool> deadlocked{false};  // the run ends because no G can ever go on: sysmon/deadlock.cpp
  atomic<int> caller_tid{0}, maker_tid{0}, sysmon_tid{0};  // threads of the run that are no Ms
  note world_note;                                         // of the G that stops the world

  // --- anyone ---
  atomic<std::uint32_t> n_spinning{0};
  atomic<std::uint32_t> need_spinning{0};
  atomic<std::int32_t> n_interrupted{0};  // Gs that a signal has stopped: any of them may hold a lock
  atomic<std::uint32_t> n_detached{0};    // Ms whose P was taken as they slept, and which have not come back
  atomic<std::uint64_t> next_id{1};
  atomic<std::uint64_t> promoted_without_p{0};
  atomic<std::uint64_t> n_kept_back{0}, kept_back_bytes{0};  // Gs that stand still for good, and their stacks' use
  atomic<bool> stopping{false};
  // The end of the run: Gs stopped inside libc run on until they are out, at most until this tick. 0: not now
  atomic<std::uint64_t> let_out_until{0};
  atomic<bool> main_left{false};       // the main G has left by this_g::exit: the run goes on until all have ended
  atomic<std::int64_t> poll_until{0};  // the moment until which one idle M sleeps for the timers; 0: none does
  atomic<M*> poller{nullptr};          // that M

  // Threads that urge did not make, inside calls that may wake a G; and whether they are kept out for the moment.
  atomic<std::uint32_t> n_outsiders{0}, outsiders_wait{0};

  // --- notes to threads above (data below, behaviour above) ---
  atomic<std::uint32_t> sysmon_word{0};  // counts calls; sysmon sleeps on it
  atomic<std::int64_t> sysmon_until{0};  // when sysmon will look by itself
  atomic<bool> sysmon_looks{false};      // sysmon will look at `woken` before it sleeps: no call is needed
  atomic<bool> sysmon_far{false};        // it looks for slices that are to end early only when called
  atomic<bool> sysmon_off{false};        // all Ps are idle: it looks at none until called
  atomic<bool> sysmon_polls{false};      // it sleeps in ppoll, not on the word: sysmon/io_watch.cpp
  os::wake_fd sysmon_break;              // then this ends its sleep
  atomic<std::uint32_t> maker_word{0};   // counts calls; the maker sleeps on it
  atomic<std::uint32_t> ms_word{0};      // counts ends of Ms; the end of a run sleeps on it
  atomic<std::uint32_t> runs_over{0};    // the last run whose Ms may end their threads; they sleep on it
};
extern scheduler sched;
extern P all_ps[max_procs];

// Some code of the process is compiled with checks at function entries. Set as that is loaded, perhaps before `sched`
// is constructed; never cleared.
extern atomic<bool> entries_checked;

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
  // The G, stopped by signal inside libc, is to end as soon as it is out; the calling G is to leave by an exception.
  void (*stop_behind_libc)(G&) noexcept;
  void (*go_on_behind_libc)(G&) noexcept;
  // The calling thread, which has no P, has woken Gs, and all Ps are busy: some give way, if that can be seen to at
  // once. sysmon is called besides.
  void (*make_way)() noexcept;
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
// It has started `many`: now these run, in what is left of its slice.
void let_new_run(G*) noexcept;
inline constexpr std::uint32_t many_new = 64;
// Gives way because the slice has run out: counted, and always behind the Gs of all Ps.
void preempt_by_flag(G*) noexcept;
// The yield word is set: clears it and gives way, if that is due and no more than this one section is held.
void answer_yield_wanted(G*) noexcept;
// The same in the landing of a stop by signal, or at a function entry. The G goes on with what it was interrupted in,
// which is counted.
void preempt_by_signal(G*, stop_place) noexcept;
void preempt_at_entry(G*) noexcept;
// For a G that is killed. Where it can be unwound: throws if it is to be. Context: after leave().
void unwind_if_doomed(G*);
// The same in two steps, where the first can be taken inside enter: a signal between leave and the throw would find a
// G that is only wanted, and leave it where it stands. True: it is to be unwound, and its second begins. Then: leave.
bool begin_unwinding(G*) noexcept;
[[noreturn]] void unwind(G*);
// Ends the calling G where it is: it never runs again, and all that it holds is kept. Context: inside enter.
[[noreturn]] void stand_still(G*) noexcept;
// Ends the calling G for good; `how` has been told to its joiners.
[[noreturn]] void end_g(G*) noexcept;
// Below this no function may begin: 256 bytes, which small frames take unasked, and what a stop at an entry needs.
inline std::uintptr_t lowest_entry(const G& g) noexcept { return reinterpret_cast<std::uintptr_t>(g.stk.low) + 1024; }
inline void clear_yield_wanted(M* m) noexcept {
  __atomic_store_n(m->bound.load(relaxed)->yield_wanted, 0u, __ATOMIC_RELAXED);
}

// --- spawn.cpp ---
void first_frame(arch::transfer) noexcept;  // entry of a new G
[[noreturn]] void run_job(G*) noexcept;     // spawn.cpp: the rest of it

// --- loop.cpp ---
// The scheduler loop of an M, on its g0, until the run ends.
void m_loop(M*) noexcept;
// The next G without waiting: this P's queues, then the global one. g null: nothing here. Runs no timers.
picked pick_next(M*) noexcept;
// The M stands still with its G from the switch to g0 on, until another M passes it a P: see m_loop.
inline void stay_on_m(M* m, G* g) noexcept {
  g->home = m;
  m->tenant = g;
  m->park.clear();  // before the G can be picked
}
// Does the G go on on no other thread than this, wherever a signal stops it?
inline bool stays_on_thread(const G& g) noexcept { return sched.threads_stay() || g.thread_locks != 0; }
// Of the identity that it runs under, or was stopped under by a signal.
inline tls_words& words_of(const G& g) noexcept { return *(g.own ? g.own : g.m->loan)->words; }
// The P's next slice begins, and is this G's.
void begin_slice(P*, G*, std::uint64_t now, bool woken = false) noexcept;
// When the G that runs there is to be looked at, for its limit of CPU time.
void set_limit(P*, const G*, std::uint64_t now) noexcept;
// Makes a picked G the M's own: status, slice, stack. Afterwards switch_to it.
void take_over(M*, picked, std::uint64_t now) noexcept;
// Would anybody run on this P if its G stopped?
inline bool work_waits_for(const P& p) noexcept {
  if (sched.n_queue.load(relaxed) != 0 || p.has_work()) return true;
  const std::uint64_t timer = p.clock.next_tick.load(relaxed);
  return timer != UINT64_MAX && timer <= ticks();
}
// Is there one among them that has not used up a slice?
inline bool short_one_waits_for(const P& p) noexcept {
  return p.has_work() || sched.n_queue.load(relaxed) > sched.n_preempted.load(relaxed);
}
// The M's timer for the end of the slice that has begun, or goes on, if it is wanted and does not run.
void start_slice_timer(M&, std::uint64_t now) noexcept;

// --- steal.cpp ---
// One G of another P, and more into our queue. Null: none has any; or timers of another were due (`timers_ran`), and
// there may be something in our own queue now. Context: the M, with a P that has nothing.
G* steal_work(M*, bool& timers_ran) noexcept;

// --- idle.cpp ---
void put_local(P*, G*, bool next) noexcept;
void put_new(P*, G*) noexcept;  // one that has not run yet
void put_global(G*) noexcept;
void put_global(gqueue&) noexcept;
void put_preempted(G*) noexcept;  // one that has used up a slice; behind the others, if options.min_quantum is set
// Those that were woken by somebody who has no P: before the others, if options.wakeup_preempt says so. Sees that an M
// comes for them.
void put_woken(gqueue&) noexcept;
bool woken_go_first() noexcept;  // false: the options put them behind the others
// After the queues have changed. Context: sched.lock held.
inline void count_queue_locked() noexcept {
  sched.n_woken.store(sched.woken.n, relaxed);          // hints, all three; the lock orders the queues
  sched.n_preempted.store(sched.preempted.n, relaxed);  // as above
  sched.n_queue.store(sched.queue.n + sched.woken.n + sched.preempted.n, relaxed);
}
inline void forget_queues_locked() noexcept {
  sched.queue = {}, sched.woken = {}, sched.preempted = {};
  count_queue_locked();
}
// A signal, or a check at a function's entry, stops the G where it stands; it runs again.
inline void begin_interruption(G* g) noexcept {
  g->stopped_by_signal = true;
  sched.n_interrupted.fetch_add(1, relaxed);
}
inline void end_interruption(G* g) noexcept {
  g->stopped_by_signal = false;
  sched.n_interrupted.fetch_sub(1, relaxed);
}
// For so long a G runs before it gives way to one that was woken: some times what that costs. And so long runs that one
// before it is as others.
inline constexpr std::int64_t least_run_ns = 100'000, woken_slice_ns = 1'000'000;
// share.cpp: how much more than their share of the P's time woken Gs have had.
std::uint64_t debt_at(const P&, std::uint64_t now) noexcept;
void settle_share(P&, const M*, std::uint64_t now, bool by_cpu_time) noexcept;
void leave_share(P&) noexcept;  // the P changes hands: until somebody runs there it is nobody's time
// Ticks of the slice in which its thread had no CPU, where its G goes before others that have whole slices. Else 0.
std::uint64_t lost_in_woken_slice(const P&, std::uint64_t now) noexcept;
// They may run one slice in advance.
inline bool may_take_woken(const P& p, std::uint64_t now) noexcept { return debt_at(p, now) <= sched.woken_slice; }
bool may_take_woken_here(P&) noexcept;  // the same by the owner, who can put the account right
// Somebody has made work visible: see that an M comes for it; and, unless it has used up a slice, that a slice ends for
// it with options.min_quantum.
void wake_p(bool for_short_one = true) noexcept;
void acquire_p(M*, P*) noexcept;
P* release_p(M*) noexcept;
P* take_idle_p_locked() noexcept;
void put_idle_p_locked(P*) noexcept;
// The earliest timer has changed: whoever sleeps until it must know.
void timer_added(std::int64_t when) noexcept;
// If some M is the poller it looks again. False: none is, or it is awake already.
bool wake_poller() noexcept;
std::int64_t earliest_timer() noexcept;
inline void become_spinning(M* m) noexcept {
  m->spinning = true;
  sched.n_spinning.fetch_add(1, seq_cst);  // [spinning] seq_cst: see the rule in idle.cpp
  sched.need_spinning.store(0, seq_cst);   // [need_spinning] seq_cst: after n_spinning
}

// --- thread_state.cpp: the kernel's state of the thread that belongs to a G, on either side of a switch ---
void put_back_thread_state(M*, G*) noexcept;  // the M's own again. Context: before the switch away
void take_thread_state(G*) noexcept;          // Context: back again, perhaps on another M
void drop_thread_state(M*, G*) noexcept;      // Context: the G's end; before its joiners are told, who own its memory

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

// The P gets a number, and, if it had none in this run, counters of 0. Context: nobody else knows it.
void begin_p(unsigned id) noexcept;  // world.cpp

// --- world.cpp: context: a G inside enter, one at a time ---
// Stops all Ps but the caller's. False: the run ends instead.
bool stop_world(G*) noexcept;
void start_world(G*) noexcept;
// Context: the world stands still.
void change_procs(G*, unsigned n) noexcept;
// A P comes to a stop. Context: sched.lock held, world_stops set, the P nobody's.
void stop_p_locked(P*) noexcept;
// All Gs shall come to the scheduler, whatever their slice.
inline bool all_shall_stop() noexcept { return sched.stopping.load(relaxed) || sched.world_stops.load(relaxed); }

// --- syscall.cpp ---
void enter_syscall(G*) noexcept;
void exit_syscall(G*) noexcept;
bool retake(P*) noexcept;
// Its thread was seen asleep in the kernel in slice `tick`: takes the P from it, and hands it on. False: it has come
// back. Context: `watching` held.
bool detach(P&, std::uint32_t tick) noexcept;
// The G, whose P may have been taken or be about to be, enters the runtime: afterwards it has one. Context: locks > 0.
void settle(G*) noexcept;
// The same for one that a signal has stopped as it ran without a P.
void settle_stopped(G*) noexcept;

// --- used by preempt/ ---
void add_preempt_latency(std::int64_t ns) noexcept;
void reset_latency() noexcept;
latency_histogram read_latency() noexcept;

// --- the runtime's critical section of a G ---
[[noreturn, gnu::cold]] void throw_outside(const char* function);

// The same for a thread that is none of ours: no run is over, and swept up, while one is inside. Not to be nested.
// Context: outside a G. The pair in sched.cpp.
void enter_from_outside() noexcept;
void leave_to_outside() noexcept;
void keep_outsiders_out() noexcept;  // returns when none is inside
void let_outsiders_in() noexcept;

// The same, but for its way back to a P: afterwards its status is `running` or `syscall`.
void settle_suspicion(G*) noexcept;
// After `locks` has been raised: it does not run without a P in here.
inline void settle_here(G* g) noexcept {
  if (g->status.load(relaxed) != g_status::running) [[unlikely]]
    settle(g);
}
// Context: the G.
inline void begin_section(G* g) noexcept {
  add_own(g->locks, 1u);
  std::atomic_signal_fence(seq_cst);  // the handler on this thread sees locks before anything that follows
  settle_here(g);
}
// From here on the calling G is not preempted, and g->m is its M. Null outside a G;
// the caller calls leave all the same. A G in a system call leaves it.
inline G* enter_if_g() noexcept {
  G* g = current_g();
  if (!g) [[unlikely]] {
    enter_from_outside();
    return nullptr;
  }
  begin_section(g);
  return g;
}
// The same where there must be a G. Throws std::logic_error outside one, naming the function.
inline G* enter(const char* function) {
  G* g = current_g();
  if (!g) [[unlikely]]
    throw_outside(function);
  begin_section(g);
  return g;
}
// Leaves, as a function of libc that is no yield point.
inline void leave_without_yield(G* g) noexcept {
  std::atomic_signal_fence(seq_cst);  // all of it before the handler may stop us
  g->locks.store(g->locks.load(relaxed) - 1, relaxed);
}
// Leaves; gives way if the slice has run out meanwhile.
inline void leave(G* g) noexcept {
  if (!g) [[unlikely]]
    return leave_to_outside();
  if (detail::yield_wanted()) [[unlikely]]
    answer_yield_wanted(g);
  std::atomic_signal_fence(seq_cst);  // all of it before the handler may stop us
  g->locks.store(g->locks.load(relaxed) - 1, relaxed);
}

}  // namespace urge
