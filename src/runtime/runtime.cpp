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

#include <stdexcept>
#include <system_error>

#include "preempt/preempt.hpp"
#include "runtime/backtrace.hpp"
#include "runtime/faults.hpp"
#include "runtime/maker.hpp"
#include "runtime/options.hpp"
#include "runtime/symbols.hpp"
#include "runtime/unwind.hpp"
#include "sched/sanitizer.hpp"
#include "sched/switch.hpp"
#include "sched/waitq.hpp"
#include "sysmon/sysmon.hpp"

namespace urge {

namespace {

atomic<bool> in_use{false};
atomic<std::uint64_t> n_abandoned{0}, n_abandoned_inside{0};
std::size_t page_round(std::size_t n) { return (n + 4095) & ~std::size_t{4095}; }

void m_start(M& m) noexcept { preempt::m_start(m); }
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
  if (g.locks.load(relaxed) == 1 && !inside_libc_here(g)) stand_still(&g);
  leave_without_yield(&g);
}
void settle_identity(M& m, G& g) noexcept {
  if (!g.own)
    preempt::take_along(m, g);
  else if (!g.own_identity && preempt::few_left() && g.pthread_locks.load(relaxed) == 0 && is_clean(g))
    preempt::give_back_early(m, g);
}

void prepare(const options& how) {
  arch::init();
  calibrate_clock();
  // Once: an M of an earlier run, back from its system call, may be calling one.
  if (!hook.m_start) hook = {m_start, m_stop, identity_free, may_end, settle_identity, unlocked};
  fatal_dump = dump_all;
  sched.how = how;
  sched.how.stack_size = page_round(how.stack_size);
  if (sanitizer::on && how.preempt == preempt_mode::async) sched.how.preempt = preempt_mode::cooperative;
  sched.procs = how.procs ? how.procs : usable_cpus();
  sched.quantum = ns_to_ticks(how.quantum.count());
  ++sched.run_id;
  sched.queue = {};
  sched.idle_ps = nullptr, sched.idle_ms = nullptr, sched.wants_m = nullptr;
  sched.wants_identity = {};
  sched.n_ms = 0, sched.handoffs = 0, sched.n_heavy = 0;
  sched.n_created = 0, sched.n_ended = 0;
  sched.n_queue.store(0), sched.n_idle_p.store(0), sched.n_idle_m.store(0), sched.max_weight.store(1);
  sched.n_spinning.store(0), sched.need_spinning.store(0);
  sched.next_id.store(main_id);
  sched.stopping.store(false), sched.main_left.store(false);
  sched.poller.store(nullptr), sched.poll_until.store(0), sched.sysmon_until.store(0), sched.sysmon_off.store(false);
  sched.n_kept_back.store(0), sched.kept_back_bytes.store(0);
  n_abandoned.store(0), n_abandoned_inside.store(0);
  reset_latency();
  preempt::reset_counts();
  map_modules();
  load_unwinder();
  for (unsigned i = 0; i < sched.procs; ++i) {
    P& p = all_ps[i];
    p.id = i;
    p.ids_left = 0;
    p.m.store(nullptr);
    p.random = rng(sched.run_id * max_procs + i + 1);
    auto& c = p.count;
    for (auto* n : {&c.spawned, &c.finished, &c.switches, &c.steals, &c.stolen, &c.global_gets, &c.cooperative,
                    &c.async, &c.promoted, &p.clock.fired})
      n->store(0);
    p.schedtick.store(1), p.request.store(0), p.slice_start.store(ticks()), p.slice_length.store(sched.quantum);
    put_idle_p_locked(&p);
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
  if (!sanitizer::on) {
    preempt::limit_carried(sched.how.max_identities);
    const auto have = preempt::count_identities().free;
    if (have < 4)
      require(preempt::make_identities(static_cast<unsigned>(4 - have)), "pthread_create of a thread identity");
  }
  require(preempt::install(sched.how.signal), "sigaction");
  faults::install();
  s.handler = true;
  require(sysmon::start(), "pthread_create of sysmon");
  s.sysmon = true;
  require(maker::start(), "pthread_create of the maker");
  s.maker = true;
}

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
    if (pthread_timedjoin_np(m->thread, nullptr, &until) != 0) pthread_detach(m->thread);
    maker::free_m(m);
  }
}

// Gives up Ms whose G is in a system call. Theirs are stack, descriptor and loan from here on.
void orphan_ms() noexcept {
  std::lock_guard hold(sched.lock);
  for (M** at = &sched.all_ms; *at;) {
    M* m = *at;
    // The word says whose system call it is: m->g is the M's own again as soon as it is back.
    std::uintptr_t inside = m->in_syscall.load(relaxed);
    if (inside != 0 && m->in_syscall.compare_exchange_strong(inside, inside | M::given_up, acq_rel,
                                                             relaxed)) {  // [in_syscall] one of us two has it
      reinterpret_cast<G*>(inside)->orphan.store(true, relaxed);
      *at = m->next_all;
      --sched.n_ms, ++sched.n_ended;
    } else {
      at = &m->next_all;
    }
  }
}

void wait_for_ms() noexcept {
  constexpr std::int64_t patience = 10'000'000;  // ns, for system calls to come back by themselves
  const std::int64_t from = monotonic_ns();
  while (any_m()) {
    const std::uint32_t seen = sched.ms_word.load(acquire);  // [ms.word] acquire: the M has ended
    if (!any_m()) break;
    if (monotonic_ns() - from > patience) orphan_ms();
    os::futex_wait(sched.ms_word, seen, monotonic_ns() + 1'000'000);
  }
}

bool stuck_inside(const G& g) noexcept {
  const g_status s = g.status.load(relaxed);
  return (s == g_status::runnable || s == g_status::waiting) && g.stopped_by_signal && !may_end(g);
}

// Step 3. This thread takes the place of an M for it. A G that lives in malloc is outside for a small part of its time:
// it takes many looks to find it there, by a timer of this thread; sysmon, which looks every 100 us, would be late on a
// busy machine.
void let_out() noexcept {
  bool some = false;
  for_each_g([&](G& g) { some = some || stuck_inside(g); });
  if (!some) return;
  M* m = maker::make_m();
  if (!m) return;
  m->loan = preempt::take_loan();
  if (!m->loan) return maker::free_m(m);  // making one would take the very locks
  hook.m_start(*m);
  // All Ms are gone, and one that is still being made takes no P.
  all_ps[0].m.store(nullptr, relaxed);
  acquire_p(m, &all_ps[0]);
  const std::uint64_t until = ticks() + ns_to_ticks(1'000'000'000);
  sched.let_out_until.store(until, relaxed);
  const int timer = os::start_thread_timer(sched.how.signal, 20'000);
  while (some && ticks() < until) {
    some = false;
    for_each_g([&](G& g) {
      if (!stuck_inside(g) || ticks() >= until) return;
      const std::uint64_t now = ticks();
      if (g.status.load(relaxed) == g_status::waiting)  // it was paused
        set_status(g.status, g_status::waiting, g_status::runnable);
      take_over(m, {&g, false}, now);
      switch_to(m, nullptr, &g, {});
      some = some || stuck_inside(g);
    });
  }
  if (timer >= 0) os::stop_thread_timer(timer);
  sched.let_out_until.store(0, relaxed);
  release_p(m);
  hook.m_stop(*m);
  maker::free_m(m);
}

// Step 5 for one G.
void abandon(G& g) noexcept {
  const g_status s = g.status.load(relaxed);
  const bool killed = s == g_status::dead && g.job;  // ended by its limit: kept until now
  if (s == g_status::idle || (s == g_status::dead && !killed)) return;
  if (g.orphan.load(relaxed)) {
    // Its M frees it, some day, perhaps in a later run.
    if (!g.job) return;
    ++n_abandoned;
    finish_task(&g, detail::outcome::killed);
    g.job = nullptr;
    return;
  }
  if (!killed) ++n_abandoned;
  if (wait_record* r = g.waiting_on.load(relaxed)) forget(*r);
  if (stuck_inside(g) || g.fault_inside) {
    ++n_abandoned_inside;
    if (g.own) preempt::lose_identity(std::exchange(g.own, nullptr));
    g.own_identity = false;  // lost or never made: nothing is to be given back
    g.stk = {};              // its frames may be linked into libc's structures
  }
  if (!killed && g.job) finish_task(&g, detail::outcome::killed);
  g.job = nullptr;
  g.stopped_by_signal = false;
  g.status.store(g_status::dead, release);  // [g.status]
  M nobody;
  release_g(&nobody, &g);
}

void sweep() noexcept {
  // Those that wait are woken by nobody, and join nobody, from here on: first all of them leave their lists.
  for_each_g([](G& g) {
    if (g.status.load(relaxed) == g_status::waiting)
      if (wait_record* r = g.waiting_on.exchange(nullptr, relaxed)) forget(*r);
  });
  for (unsigned i = 0; i < sched.procs; ++i) all_ps[i].clock.clear();
  for_each_g([](G& g) { abandon(g); });
  for (unsigned i = 0; i < sched.procs; ++i) {
    P& p = all_ps[i];
    while (p.queue.get()) {
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
}

}  // namespace

void detail::run_main(task& job, const options& how) {
  if (current_g()) throw std::logic_error("urge::run: called from inside a G");
  validate(how);
  if (in_use.exchange(true)) throw std::logic_error("urge::run: another thread is in it");
  struct leave_it {
    ~leave_it() { in_use.store(false); }
  } at_end;
  prepare(how);
  started parts;
  start(parts);
  const terminate_with_backtrace handler;

  G* g = new_g(&job, {.name = "main"}, nullptr);
  if (!g) throw std::bad_alloc();
  job.hold();
  P* p;
  {
    std::lock_guard hold(sched.lock);
    p = take_idle_p_locked();
  }
  put_local(p, g, true);
  start_m(p, false);
  for (;;) {
    const std::uint32_t seen = sched.ms_word.load(acquire);  // [ms.word]
    if (sched.stopping.load(acquire)) break;                 // [stopping] acquire
    os::futex_wait(sched.ms_word, seen);
  }
  wait_for_ms();
  if (!sanitizer::on) let_out();
  maker::stop();
  parts.maker = false;
  wait_for_ms();
  join_ended();
  parts.stop();
  sweep();
}

// --- counters ---

stats snapshot() {
  stats s;
  for (unsigned i = 0; i < sched.procs; ++i) {
    const p_counters& c = all_ps[i].count;
    s.spawned += c.spawned.load(relaxed), s.finished += c.finished.load(relaxed),
        s.switches += c.switches.load(relaxed);
    s.steals += c.steals.load(relaxed), s.stolen += c.stolen.load(relaxed),
        s.global_gets += c.global_gets.load(relaxed);
    s.preempts_cooperative += c.cooperative.load(relaxed), s.preempts_async += c.async.load(relaxed);
    s.promoted += c.promoted.load(relaxed);
    s.timers_fired += all_ps[i].clock.fired.load(relaxed);
  }
  if (sched.procs != 0) ++s.spawned;  // the main G
  s.live = count_live();
  G* g = enter_if_g();
  {
    std::lock_guard hold(sched.lock);
    s.handoffs = sched.handoffs;
    s.threads = sched.n_ms;
  }
  leave(g);
  s.idle_threads = sched.n_idle_m.load(relaxed);
  s.spinning = sched.n_spinning.load(relaxed);
  const auto mon = sysmon::count();
  s.preempt_requests = mon.requests, s.preempt_signals = mon.signals, s.retakes = mon.retakes;
  for (std::size_t i = 0; i < s.deferred_by_reason.size(); ++i)
    s.preempts_deferred += s.deferred_by_reason[i] = preempt::deferred(static_cast<defer_reason>(i));
  const auto ids = preempt::count_identities();
  s.identities_made = ids.made, s.identities_lost = ids.lost;
  s.identities_taken = s.promoted, s.identities_given_back = ids.given_back;
  s.kept_back = sched.n_kept_back.load(relaxed), s.kept_back_bytes = sched.kept_back_bytes.load(relaxed);
  s.abandoned = n_abandoned.load(), s.abandoned_inside = n_abandoned_inside.load();
  s.preempt_latency = read_latency();
  return s;
}

unsigned procs() {
  G* g = enter("urge::procs");
  const unsigned n = sched.procs;
  leave(g);
  return n;
}

}  // namespace urge
