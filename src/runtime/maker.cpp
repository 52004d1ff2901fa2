// SPDX-License-Identifier: MIT
// See maker.hpp.
#include "runtime/maker.hpp"

#include <pthread.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "preempt/exec.hpp"
#include "preempt/preempt.hpp"
#include "runtime/let_out.hpp"
#include "runtime/m_memory.hpp"
#include "sched/m_supply.hpp"
#include "sched/sanitizer.hpp"

namespace urge::maker {

namespace {

pthread_t thread;
atomic<bool> over{false};

void leave_for_good() noexcept {
  os::set_signal_mask(~std::uint64_t{0});
  for (;;) os::syscall6(SYS_exit, 0);
}

void* m_main(void* arg) noexcept {
  M* m = static_cast<M*>(arg);
  hook.m_start(*m);
  {
    std::lock_guard hold(sched.lock);
    m->next_all = sched.all_ms;
    sched.all_ms = m;
    ++sched.n_begun;  // before the look at `stopping`: whom the end of the run does not count here takes no P
  }
  m_loop(m);  // as one that goes idle: so it takes a P that is wanted
  P* const left = m->p ? release_p(m) : nullptr;
  if (left && !m->ends) {
    std::lock_guard hold(sched.lock);
    put_idle_p_locked(left);
  }
  stand_by(*m);
  const bool interrupted = m->tenant && m->tenant->stopped_by_signal;
  const bool for_good = interrupted && sched.threads_stay();
  if (m->ends)
    preempt::end_loan(*m);
  else if (interrupted)
    preempt::leave_loan(*m, *m->tenant);
  hook.m_stop(*m);
  if (m->orphan) {
    // Nobody waits for it any more, and its descriptor was taken off the lists.
    m->orphan = false;
    if (m->thread_stack) {  // some later run joins it
      std::lock_guard hold(sched.lock);
      m->link = sched.ended_ms;
      sched.ended_ms = m;
    } else {
      pthread_detach(pthread_self());
      free_m(m);
    }
    return nullptr;
  }
  const std::uint32_t run = sched.run_id;
  const bool ends = m->ends;
  {
    std::lock_guard hold(sched.lock);
    for (M** at = &sched.all_ms; *at; at = &(*at)->next_all) {
      if (*at != m) continue;
      *at = m->next_all;
      break;
    }
    m->link = sched.ended_ms;
    sched.ended_ms = m;
    count_as_used_locked(m);
    --sched.n_used, ++sched.n_ended;
  }
  sched.ms_word.fetch_add(1, release);  // [ms.word] release: the M has ended
  os::futex_wake(sched.ms_word, 1);
  // The run goes on without this thread, and with its P: not before it is off the count, for it may be one of the last
  // that max_threads allows. If its end has to wait for a lock of malloc, nobody waits for it.
  if (ends) {
    if (left && !sched.stopping.load(relaxed)) hand_off(left);
    call_maker();
    return nullptr;
  }
  // The end of a thread takes locks of malloc, which a G may hold that a signal has stopped there.
  for (std::uint32_t seen; (seen = sched.runs_over.load(acquire)) < run;)  // [runs.over] acquire: they are out
    os::futex_wait(sched.runs_over, seen);
  // The G that stays on this thread may have left any of its thread_locals half changed: none of their destructors may
  // run. Whoever joins us gets the thread's memory back all the same, for its stack is ours (start_thread).
  if (for_good) leave_for_good();
  return nullptr;
}

// -errno or 0. In kernel_thread mode the stack is ours, for two reasons: glibc clears the block of a thread on such a
// stack before it uses it again, and its own are as large as RLIMIT_STACK says.
int start_thread(M* m) noexcept {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  int error = 0;
  if (sched.threads_stay()) {
    m->thread_stack = take_thread_stack(error);
    if (m->thread_stack) error = -pthread_attr_setstack(&attr, m->thread_stack, thread_stack_bytes());
  }
  if (error == 0) error = -pthread_create(&m->thread, &attr, m_main, m);
  pthread_attr_destroy(&attr);
  if (error != 0) {
    put_thread_stack(*m);
    return error;
  }
  // Counted by us, not by the thread: at its very end the run must not overlook one that has not begun.
  std::lock_guard hold(sched.lock);
  ++sched.n_created;
  return 0;
}

// What the kernel has refused when an M was last wanted; and since when nobody has done any work although there is
// some. The maker's own.
struct refusal {
  const char* call = nullptr;
  int error = 0;
  std::int64_t since = 0;
  std::uint64_t switches = 0;
};
refusal no_m;
constexpr std::int64_t patience = 200'000'000;      // ns, as Go's: what lacks for longer is not lacking for a moment
constexpr std::int64_t between_looks = 10'000'000;  // ns
constexpr std::int64_t between_ends = 200'000;      // ns, at threads that are ending

// The loan of a new M is drawn here, where one can be made: the handlers of other Ms may take the last at any moment.
int draw_loan_for(M& m) noexcept {
  while (!sanitizer::on && !sched.threads_stay() && !(m.loan = preempt::take_loan()))
    if (const int error = preempt::make_identities(1); error < 0) return error;
  return 0;
}

// 0, or -errno of what failed, which is named in `call`.
int make_spare_m(const char*& call) noexcept {
  M* m = make_m();
  call = "mmap of an M";
  if (!m) return -ENOMEM;
  m->spare = true;
  call = "mmap or pthread_create of a thread identity";
  int error = draw_loan_for(*m);
  if (error == 0) {
    call = "pthread_create of an M, or mmap or mprotect of its stack";
    error = start_thread(m);
  }
  if (error == 0) return 0;
  if (m->loan) preempt::give_back_loan(std::exchange(m->loan, nullptr));
  free_m(m);
  return error;
}

// No thread for a P: it goes back to the idle ones, where an M that comes from a system call may find it. (Its Gs are
// in the global queue already.) The first M of a run has nobody to leave its work to: `run` fails.
void do_without_m() noexcept {
  bool first;
  {
    std::lock_guard hold(sched.lock);
    if (sched.n_wanted <= --sched.n_spare) return;  // an M that was about to go idle has taken it, or will
    P* p = take_wanted_p_locked();
    ++sched.n_refused;
    if (p->start_spinning) sched.n_spinning.fetch_sub(1, seq_cst);  // [spinning] it will not look for work
    put_idle_p_locked(p);
    first = sched.n_created == 0;
    if (first) sched.no_first_m = no_m.error, sched.no_first_m_call = no_m.call;
  }
  sched.need_spinning.store(1, seq_cst);  // [need_spinning] whoever is about to go idle shall look once more
  if (first) begin_stop();
}

// Ms for the Ps that are wanted; then for those of Gs that will be stopped and stay on their threads. Of the latter as
// many as can be had: without one a preemption is put off, and counted.
void make_ms() noexcept {
  for (bool ahead = true;;) {
    bool wanted;
    {
      std::lock_guard hold(sched.lock);
      if (sched.stopping.load(relaxed)) return;  // it would end at once, and its P be wanted again
      wanted = sched.n_wanted > sched.n_spare;   // then there is room: m_supply.hpp
      if (!wanted && (!ahead || sched.n_spare - sched.n_wanted >= sched.spare_ms.load(relaxed) ||
                      sched.n_used + sched.n_spare >= sched.how.max_threads))
        return;
      ++sched.n_spare;
    }
    const char* call;
    const int error = make_spare_m(call);
    if (wanted && error == 0) no_m = {};
    if (error == 0) continue;
    if (wanted) {
      no_m.call = call, no_m.error = error;
      do_without_m();
      continue;
    }
    ahead = false;
    std::lock_guard hold(sched.lock);
    --sched.n_spare, ++sched.n_refused;  // a P that counts on it is wanted again
  }
}

// Threads that have left the run with their Gs, and end. They may have to wait for a lock of malloc, whose holder may
// need the maker. False: some have not ended yet.
M* leaving = nullptr;  // the maker's
bool join_leaving() noexcept {
  {
    std::lock_guard hold(sched.lock);
    for (M** at = &sched.ended_ms; *at;) {
      M* const m = *at;
      if (!m->ends) {
        at = &m->link;
        continue;
      }
      *at = m->link;
      m->link = std::exchange(leaving, m);
    }
  }
  for (M** at = &leaving; *at;) {
    M* const m = *at;
    if (pthread_tryjoin_np(m->thread, nullptr) != 0) {
      at = &m->link;
      continue;
    }
    *at = m->link;
    put_thread_stack(*m);
    free_m(m);
  }
  return !leaving;
}
// What is left of them is joined with all others, at the end of the run.
void leave_leaving() noexcept {
  std::lock_guard hold(sched.lock);
  while (M* m = leaving) {
    leaving = m->link;
    m->link = std::exchange(sched.ended_ms, m);
  }
}

std::uint64_t count_switches() noexcept {
  std::uint64_t n = 0;
  for (unsigned i = 0; i < sched.procs_seen.load(acquire); ++i)  // [procs.seen] acquire: their counters
    n += all_ps[i].count.switches.load(relaxed);
  return n;
}

// After a refusal, at each look: is there work, and a P for it, that nobody but us would bring together? Ms that come
// back from their system calls do; if none has for so long, none will. Source: Go's retryOnEAGAIN.
bool work_lacks_an_m(bool time_is_up) noexcept {
  if (no_m.error == 0) return false;
  bool idle_m;
  {
    std::lock_guard hold(sched.lock);
    if (sched.stopping.load(relaxed) || sched.n_queue.load(relaxed) == 0 || !sched.idle_ps) {
      no_m = {};
      return false;
    }
    idle_m = sched.idle_ms != nullptr;
  }
  const std::int64_t now = monotonic_ns();
  if (const std::uint64_t n = count_switches();
      idle_m || n != no_m.switches || sched.n_idle_p.load(relaxed) != sched.procs.load(relaxed) || no_m.since == 0)
    no_m.switches = n, no_m.since = now;
  else if (now - no_m.since > patience)
    fatal_syscall(no_m.call, no_m.error);
  if (time_is_up) wake_p();
  return true;
}

// A G that was promised one waits until there is one: without memory or a thread for it, it is tried again. A lack that
// lasts is the end, as in Go for a goroutine that is bound to a thread: whoever joins that G would wait for ever.
std::int64_t lacking_since = 0;  // when the first try after the last good one has failed
bool give_wanted_identities() noexcept {
  for (;;) {
    G* g;
    {
      std::lock_guard hold(sched.lock);
      g = sched.wants_identity.pop_front();
    }
    if (!g) {
      lacking_since = 0;
      return true;
    }
    int error = 0;
    if (!(g->own = preempt::make_fresh_identity(error))) {
      const std::int64_t now = monotonic_ns();
      if (lacking_since == 0) lacking_since = now;
      if (now - lacking_since > patience)
        fatal_syscall("mmap or pthread_create of a thread identity for own_identity", error);
      std::lock_guard hold(sched.lock);
      sched.wants_identity.push_back(g);
      return false;
    }
    lacking_since = 0;
    put_global(g);
    wake_p();
  }
}

void* loop(void*) noexcept {
  no_m = {}, lacking_since = 0;
  sched.maker_tid.store(os::gettid(), relaxed);
  bool time_is_up = false;
  for (;;) {
    const std::uint32_t calls = sched.maker_word.load(acquire);  // [maker.word] acquire: what is wanted
    if (over.load(acquire)) break;                               // [maker.over] acquire: no more of this run
    // Not while a G is in exec; it calls when that has failed.
    if (!preempt::begin_making()) {
      os::futex_wait(sched.maker_word, calls);
      continue;
    }
    make_ms();
    bool again = work_lacks_an_m(time_is_up), soon = !join_leaving();
    if (!sanitizer::on) {
      soon = !preempt::retire_identities() || soon;
      if (!give_wanted_identities()) again = true;
      preempt::refill_identities();
    }
    preempt::end_making();
    const std::int64_t pause = soon ? between_ends : between_looks;
    const std::int64_t until = again || soon ? monotonic_ns() + pause : os::no_deadline;
    time_is_up = os::futex_wait(sched.maker_word, calls, until) == -ETIMEDOUT;
  }
  leave_leaving();
  if (!sanitizer::on) preempt::retire_all_identities();
  return nullptr;
}

}  // namespace

int start() noexcept {
  over.store(false);
  return -pthread_create(&thread, nullptr, loop, nullptr);
}

void want_identity(G* g) noexcept {
  {
    std::lock_guard hold(sched.lock);
    sched.wants_identity.push_back(g);
  }
  call_maker();
}

void stop() noexcept {
  over.store(true, release);  // [maker.over] release: the end of the run
  call_maker();
  pthread_join(thread, nullptr);
}

}  // namespace urge::maker
