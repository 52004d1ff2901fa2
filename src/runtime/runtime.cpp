// SPDX-License-Identifier: MIT
// The composition root: starts a run, waits for its end, and leaves nothing behind (docs/protocols/run.md).
//
// The caller of `run` is no M: it sleeps until the main G has returned. Then, in this order:
//   1. every M ends as soon as it is in the scheduler; sysmon summons those that are not, by signal
//   2. Ms in a system call are given up: they end by themselves when they are back
//   3. Gs that a signal has stopped inside libc run on, one after the other on this thread, until they are out: they
//      may hold locks that the process needs (1 s in all)
//   4. the maker ends, then the threads of the Ms: an end of a thread needs such locks
//   5. sysmon ends; what is left of Gs is counted, their stacks and identities become free
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "preempt/preempt.hpp"
#include "runtime/backtrace.hpp"
#include "runtime/faults.hpp"
#include "runtime/let_out.hpp"
#include "runtime/m_memory.hpp"
#include "runtime/maker.hpp"
#include "runtime/options.hpp"
#include "runtime/symbols.hpp"
#include "runtime/unwind.hpp"
#include "runtime/way_out.hpp"
#include "sched/m_supply.hpp"
#include "sched/netpoll.hpp"
#include "sched/sanitizer.hpp"
#include "sched/switch.hpp"
#include "sched/waitq.hpp"
#include "sysmon/sysmon.hpp"

namespace urge {

namespace {

atomic<std::uint64_t> n_abandoned{0}, n_abandoned_inside{0};
std::size_t page_round(std::size_t n) { return (n + 4095) & ~std::size_t{4095}; }

void m_start(M& m) noexcept {
  preempt::m_start(m);
  os::set_timer_slack_1ns();  // an idle M sleeps until a timer's moment
}
void m_stop(M& m) noexcept { preempt::m_stop(m); }
void identity_free(G& g) noexcept {
  if (!sanitizer::on) preempt::give_back(g);
}
bool may_end(const G& g) noexcept {
  return g.pthread_locks.load(relaxed) == 0 && (!g.stopped_by_signal || outside_libc(g));
}
void unlocked(G& g) noexcept {
  add_own(g.locks, 1u);
  std::atomic_signal_fence(seq_cst);  // as in enter
  settle_here(&g);
  if (g.locks.load(relaxed) == 1 && !inside_libc_here(g)) stand_still(&g);
  leave_without_yield(&g);
}
void settle_identity(M& m, G& g) noexcept {
  if (sched.threads_stay()) {
    if (g.pthread_locks.load(relaxed) != 0 && g.status.load(relaxed) != g_status::dead) preempt::keep_thread(m, g);
  } else if (!g.own)
    preempt::take_along(m, g);
  else if (!g.own_identity && preempt::few_left() && g.pthread_locks.load(relaxed) == 0 && is_clean(g))
    preempt::give_back_early(m, g);
}

void prepare(const options& how) {
  arch::init();
  calibrate_clock();
  // Once: an M of an earlier run, back from its system call, may be calling one.
  if (!hook.m_start)
    hook = {m_start,         m_stop,           identity_free,     may_end,
            settle_identity, stop_behind_libc, go_on_behind_libc, sysmon::make_way_at_once,
            unlocked};
  fatal_dump = dump_all, sched.how = how;
  sched.how.stack_size = page_round(how.stack_size);
  if (sanitizer::on && how.preempt > preempt_mode::cooperative) sched.how.preempt = preempt_mode::cooperative;
  sched.procs.store(how.procs ? how.procs : usable_cpus());
  sched.procs_seen.store(0), sched.world_stops.store(false);
  sched.deadlocked.store(false);
  sched.caller_tid.store(os::gettid()), sched.maker_tid.store(0), sched.sysmon_tid.store(0);
  sched.quantum = ns_to_ticks(how.quantum.count());
  sched.can_detach = !sanitizer::on && os::allow_membarrier();  // a sanitizer does not see that fence
  sched.min_slice = how.model == sched_model::gmp ? ns_to_ticks(how.min_quantum.count()) : 0;
  sched.least_run = std::min(sched.quantum, ns_to_ticks(least_run_ns));
  sched.woken_slice = std::min(sched.quantum, ns_to_ticks(woken_slice_ns));
  sched.spare_ms.store(sched.threads_stay() ? std::min(sched.procs.load(relaxed) + 2, how.max_threads - 1) : 0);
  ++sched.run_id;
  forget_queues_locked();
  sched.idle_ps = nullptr, sched.idle_ms = nullptr, sched.wants_m = nullptr, sched.n_wanted = 0;
  sched.wants_identity = {};
  sched.n_used = 0, sched.n_spare = 0, sched.n_promised = 0, sched.handoffs = 0, sched.n_heavy = 0;
  sched.n_created = 0, sched.n_begun = 0, sched.n_ended = 0, sched.n_standing_by = 0;
  sched.n_refused = 0, sched.no_first_m = 0;
  sched.n_idle_p.store(0), sched.n_idle_m.store(0), sched.max_weight.store(1);
  sched.n_spinning.store(0), sched.need_spinning.store(0), sched.n_detached.store(0), sched.n_interrupted.store(0);
  sched.next_id.store(main_id);
  sched.stopping.store(false), sched.main_left.store(false);
  sched.poller.store(nullptr), sched.poll_until.store(0), sched.sysmon_until.store(0), sched.sysmon_off.store(false);
  sched.promoted_without_p.store(0), sched.n_kept_back.store(0), sched.kept_back_bytes.store(0);
  n_abandoned.store(0), n_abandoned_inside.store(0);
  netpoll::reset();
  reset_latency();
  preempt::reset_counts();
  map_modules();
  load_unwinder();
  for (unsigned i = 0; i < sched.procs.load(relaxed); ++i) {
    begin_p(i);
    put_idle_p_locked(&all_ps[i]);
  }
}

// Ends what `start` has begun, in reverse; also when only a part of it was.
struct started {
  bool handler = false, maker = false, sysmon = false;
  void stop() noexcept {
    if (maker) maker::stop();
    if (sysmon) sysmon::stop();
    if (handler) faults::uninstall(), preempt::uninstall();
    maker = sysmon = handler = false;
  }
  ~started() { stop(); }
};

void require(int error, const char* what) {
  if (error < 0) throw std::system_error(-error, std::generic_category(), std::string("urge::run: ") + what);
}

void start(started& s) {
  if (!ready_to_let_out()) require(-ENOMEM, "mmap of an M");
  preempt::limit_carried(sched.how.max_identities);
  if (!sanitizer::on) {
    const std::uint64_t have = preempt::count_identities().free;
    const std::uint64_t wanted = sched.threads_stay() ? 1 : 4;  // the first is tried out, before any G is
    if (have < wanted)
      require(preempt::make_identities(static_cast<unsigned>(wanted - have)),
              "mmap or pthread_create of a thread identity");
  }
  require(preempt::install(sched.how.signal), "sigaction");
  faults::install();
  s.handler = true;
  require(sysmon::start(), "pthread_create of sysmon");
  s.sysmon = true;
  require(maker::start(), "pthread_create of the maker");
  s.maker = true;
}

// The maker may be in the middle of making one, and wait there for a lock that a G holds: such a one is no M at work.
bool any_at_work() noexcept {
  std::lock_guard hold(sched.lock);
  return sched.n_begun != sched.n_ended + sched.n_standing_by;
}
// The maker has ended.
bool any_m() noexcept {
  std::lock_guard hold(sched.lock);
  return sched.n_created != sched.n_ended;
}

// Step 4. A thread that cannot end, for a G is lost inside malloc, is left to itself.
void join_ended() noexcept {
  sched.runs_over.store(sched.run_id, release);  // [runs.over] release: the Gs that were let out
  os::futex_wake(sched.runs_over, INT32_MAX);
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 1;
  for (;;) {
    M* m;
    {
      std::lock_guard hold(sched.lock);
      m = sched.ended_ms;
      if (!m) return;
      sched.ended_ms = m->link;
    }
    if (sched.threads_stay() && m->tenant && left_inside(*m->tenant)) {
      // libc may refer to this thread: nobody may use its block again.
      preempt::lose_thread();
      pthread_detach(m->thread);
    } else if (pthread_timedjoin_np(m->thread, nullptr, &until) != 0) {
      pthread_detach(m->thread);
    } else {
      put_thread_stack(*m);
    }
    m->thread_stack = nullptr;
    free_m(m);
  }
}

// Can a G that sleeps in a call come to the scheduler without sysmon? One whose call was announced does so at its end.
// The other is stopped by a signal, where it sleeps or as it comes back. That may be refused, so it must have been
// taken often. Some calls of the kernel hold signals off: after a second nobody waits for it.
bool knows_of_the_end(const M& m) noexcept {
  constexpr std::uint32_t enough = 50;                                 // times; sysmon does it each 100 us
  return !m.detached.load(relaxed) || m.told.load(acquire) >= enough;  // [told] acquire: the signal
}

// Gives up Ms whose G is in a system call. Theirs are stack, descriptor and loan from here on.
void orphan_ms(bool all) noexcept {
  std::lock_guard hold(sched.lock);
  for (M** at = &sched.all_ms; *at;) {
    M* m = *at;
    // The word says whose system call it is: m->g is the M's own again as soon as it is back.
    std::uintptr_t inside = m->in_syscall.load(acquire);  // [in_syscall] acquire: how it came there
    if (inside != 0 && (all || knows_of_the_end(*m)) &&
        m->in_syscall.compare_exchange_strong(inside, inside | M::given_up, acq_rel,
                                              relaxed)) {  // [in_syscall] one of us two has it
      reinterpret_cast<G*>(inside)->orphan.store(true, relaxed);
      *at = m->next_all;
      --sched.n_used, ++sched.n_ended;
    } else {
      at = &m->next_all;
    }
  }
}

void wait_until_none(bool (*any)() noexcept) noexcept {
  // ns, for system calls to come back by themselves; for those that hold signals off
  constexpr std::int64_t patience = 10'000'000, longest = 1'000'000'000;
  const std::int64_t from = monotonic_ns();
  while (any()) {
    const std::uint32_t seen = sched.ms_word.load(acquire);  // [ms.word] acquire: the M has ended
    if (!any()) break;
    if (const std::int64_t waited = monotonic_ns() - from; waited > patience) orphan_ms(waited > longest);
    os::futex_wait(sched.ms_word, seen, monotonic_ns() + 1'000'000);
  }
}

// Step 5 for one G.
void abandon(G& g) noexcept {
  const g_status s = g.status.load(relaxed);
  const bool killed = g.kept_back;
  if (s == g_status::idle || (s == g_status::dead && !killed)) return;
  if (g.orphan.load(relaxed)) {
    // Its M frees it, some day, perhaps in a later run.
    if (!g.job) return;
    ++n_abandoned;
    finish_task(&g, detail::outcome::killed);
    g.job = nullptr;
    return;
  }
  if (!killed && g.job)
    ++n_abandoned;
  else if (!killed)
    add_own(all_ps[0].count.finished, std::uint64_t{1});  // its end was told, only its last steps are missing
  if (wait_record* r = g.waiting_on.load(relaxed)) forget(*r);
  if (left_inside(g)) {
    ++n_abandoned_inside;
    if (g.own)
      preempt::lose_identity(std::exchange(g.own, nullptr));
    else if (!sched.threads_stay())
      preempt::lose_thread();  // none was to be had as it failed: the block goes on with others, and its stack is lost
    g.own_identity = false;    // lost or never made: nothing is to be given back
    g.stk = {};                // its frames may be linked into libc's structures
    g.lent = nullptr;
  }
  if (!killed && g.job) finish_task(&g, detail::outcome::killed);
  g.job = nullptr;
  g.stopped_by_signal = g.kept_back = false;
  g.status.store(g_status::dead, release);  // [g.status]
  M nobody;
  release_g(&nobody, &g);
}

void sweep() noexcept {
  keep_outsiders_out();
  {
    std::lock_guard hold(sched.lock);
    forget_queues_locked();  // the links of those in them are about to have another use
  }
  // Those that wait are woken by nobody, and join nobody, from here on: first all of them leave their lists.
  for_each_g([](G& g) {
    if (g.status.load(relaxed) == g_status::waiting)
      if (wait_record* r = g.waiting_on.exchange(nullptr, relaxed)) forget(*r);
  });
  for (unsigned i = 0; i < sched.procs_seen.load(relaxed); ++i) all_ps[i].clock.clear();
  for_each_g([](G& g) { abandon(g); });
  for (unsigned i = 0; i < sched.procs_seen.load(relaxed); ++i) {
    P& p = all_ps[i];
    while (p.queue.get() || p.spawned.pop()) {
    }
    p.runnext.store(nullptr);
    while (p.n_free_stacks != 0) put_stack(p.free_stacks[--p.n_free_stacks]);
    std::lock_guard hold(sched.lock);
    while (G* g = p.free_gs) {
      p.free_gs = g->link;
      g->link = sched.free_gs, sched.free_gs = g, ++sched.n_free_gs;
    }
    p.n_free_gs = 0;
  }
  let_outsiders_in();
}

}  // namespace

void detail::run_main(task& job, const options& how) {
  if (current_g()) throw std::logic_error("urge::run: called from inside a G");
  validate(how);
  if (os::forked.load(relaxed))
    throw std::logic_error("urge::run: called in a child of fork that was made while a run was on");
  if (sched.on.exchange(true)) throw std::logic_error("urge::run: another thread is in it");
  struct leave_it {
    ~leave_it() { sched.on.store(false); }
  } at_end;
  prepare(how);
  started parts;
  start(parts);
  const terminate_with_backtrace handler;

  G* g = new_g(&job, {.name = "main"}, nullptr);
  if (g) {
    job.hold();
    P* p;
    {
      std::lock_guard hold(sched.lock);
      p = take_idle_p_locked();
    }
    put_local(p, g, true);
    start_m(p, false);
  } else {
    begin_stop();  // there may be spare Ms already
  }
  for (;;) {
    const std::uint32_t seen = sched.ms_word.load(acquire);  // [ms.word]
    if (sched.stopping.load(acquire)) break;                 // [stopping] acquire
    os::futex_wait(sched.ms_word, seen);
  }
  wait_until_none(any_at_work);
  if (!sanitizer::on) let_out();
  maker::stop();
  parts.maker = false;
  wait_until_none(any_m);
  join_ended();
  parts.stop();
  netpoll::close();
  sweep();
  // Of Gs that ended so late that the maker was gone.
  if (!sanitizer::on) preempt::retire_all_identities();
  if (!g) throw std::bad_alloc();
  if (sched.no_first_m != 0) {
    job.drop();  // what the main G would have dropped
    require(sched.no_first_m, sched.no_first_m_call);
  }
  if (sched.deadlocked.load(relaxed)) {
    // Nobody goes on in the main G: what it was called with may go, as behind any other call of `run`.
    if (job.state.load(relaxed) == detail::outcome::killed) job.drop();
    throw deadlock();
  }
}

// --- counters ---

stats snapshot() {
  stats s;
  for (unsigned i = 0; i < sched.procs_seen.load(acquire); ++i) {  // [procs.seen] acquire: their counters
    const p_counters& c = all_ps[i].count;
    s.spawned += c.spawned.load(relaxed), s.finished += c.finished.load(relaxed),
        s.switches += c.switches.load(relaxed);
    s.steals += c.steals.load(relaxed), s.stolen += c.stolen.load(relaxed),
        s.global_gets += c.global_gets.load(relaxed);
    s.preempts_cooperative += c.cooperative.load(relaxed), s.preempts_async += c.async.load(relaxed);
    s.preempts_kernel_thread += c.kernel_thread.load(relaxed);
    s.promoted += c.promoted.load(relaxed);
    for (std::size_t k = 0; k < s.stops_by_place.size(); ++k) s.stops_by_place[k] += c.stops[k].load(relaxed);
    s.stops_under_lock += c.stops_under_lock.load(relaxed);
    s.resumed_elsewhere += c.resumed_elsewhere.load(relaxed);
    s.timers_fired += all_ps[i].clock.fired.load(relaxed);
  }
  if (sched.procs.load(relaxed) != 0) ++s.spawned;  // the main G
  s.live = count_live();
  G* g = enter_if_g();
  {
    std::lock_guard hold(sched.lock);
    s.handoffs = sched.handoffs;
    s.threads = sched.n_used + std::max(sched.n_spare, sched.n_wanted), s.threads_refused = sched.n_refused;
  }
  leave(g);
  s.idle_threads = sched.n_idle_m.load(relaxed);
  s.spinning = sched.n_spinning.load(relaxed);
  const auto io = netpoll::count();
  s.netpoll_wakeups = io.wakeups, s.netpoll_returns = io.returns;
  const auto mon = sysmon::count();
  s.wakeup_preempts = mon.wakeups;
  s.detached = mon.detached, s.contained = mon.contained, s.looks_in_vain = mon.unknown;
  s.calls_interrupted = preempt::calls_interrupted(), s.calls_begun_anew = preempt::calls_begun_anew();
  const std::uint64_t by_timer = preempt::slices_ended();
  s.preempt_requests = mon.requests + by_timer, s.preempt_signals = mon.signals + by_timer, s.retakes = mon.retakes;
  for (std::size_t i = 0; i < s.deferred_by_reason.size(); ++i)
    s.preempts_deferred += s.deferred_by_reason[i] = preempt::deferred(static_cast<defer_reason>(i));
  const auto ids = preempt::count_identities();
  s.identities_made = ids.made, s.identities_lost = ids.lost;
  s.promoted += sched.promoted_without_p.load(relaxed);
  s.identities_taken = s.promoted, s.identities_given_back = ids.given_back;
  s.kept_back = sched.n_kept_back.load(relaxed), s.kept_back_bytes = sched.kept_back_bytes.load(relaxed);
  s.abandoned = n_abandoned.load(), s.abandoned_inside = n_abandoned_inside.load();
  s.preempt_latency = read_latency();
  return s;
}

}  // namespace urge
