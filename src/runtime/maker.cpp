// SPDX-License-Identifier: MIT
// See maker.hpp.
#include "runtime/maker.hpp"

#include <pthread.h>

#include <csignal>
#include <new>

#include "preempt/preempt.hpp"
#include "sched/sanitizer.hpp"

namespace urge::maker {

namespace {

pthread_t thread;
atomic<bool> over{false};

// Descriptors are kept for ever: a late signal or sysmon may look at one. sched.lock guards the list.
M* free_ms = nullptr;

void* m_main(void* arg) noexcept {
  M* m = static_cast<M*>(arg);
  hook.m_start(*m);
  {
    std::lock_guard hold(sched.lock);
    m->next_all = sched.all_ms;
    sched.all_ms = m;
  }
  if (!sched.stopping.load(acquire)) {  // [stopping] acquire
    m->spinning = m->next_spinning;
    acquire_p(m, std::exchange(m->next_p, nullptr));
  }
  m_loop(m);
  if (m->p) {
    std::lock_guard hold(sched.lock);
    put_idle_p_locked(release_p(m));
  }
  hook.m_stop(*m);
  if (m->orphan) {
    // Nobody waits for it any more, and its descriptor was taken off the lists.
    pthread_detach(pthread_self());
    m->orphan = false;
    free_m(m);
    return nullptr;
  }
  const std::uint32_t run = sched.run_id;
  {
    std::lock_guard hold(sched.lock);
    for (M** at = &sched.all_ms; *at; at = &(*at)->next_all) {
      if (*at != m) continue;
      *at = m->next_all;
      break;
    }
    m->link = sched.ended_ms;
    sched.ended_ms = m;
    --sched.n_ms, ++sched.n_ended;
  }
  sched.ms_word.fetch_add(1, release);  // [ms.word] release: the M has ended
  os::futex_wake(sched.ms_word, 1);
  // The end of a thread takes locks of malloc, which a G may hold that a signal has stopped there.
  for (std::uint32_t seen; (seen = sched.runs_over.load(acquire)) < run;)  // [runs.over] acquire: they are out
    os::futex_wait(sched.runs_over, seen);
  return nullptr;
}

void start_wanted_ms() noexcept {
  for (;;) {
    P* p;
    {
      std::lock_guard hold(sched.lock);
      p = sched.wants_m;
      if (!p) return;
      sched.wants_m = p->link;
      p->link = nullptr;
    }
    M* m = make_m();
    if (!m) fatal("no memory for a new M");
    // Its loan is drawn here, where one can be made: the handlers of other Ms may take the last at any moment.
    while (!sanitizer::on && !(m->loan = preempt::take_loan()))
      if (const int error = preempt::make_identities(1); error < 0)
        fatal_syscall("pthread_create of a thread identity", error);
    m->next_p = p;
    m->next_spinning = p->start_spinning;
    if (const int error = pthread_create(&m->thread, nullptr, m_main, m); error != 0)
      fatal_syscall("pthread_create of an M", -error);
    // Counted by us, not by the thread: the end of the run must not overlook one that has not begun.
    std::lock_guard hold(sched.lock);
    ++sched.n_created;
  }
}

// A G that was promised one waits until there is one: without memory for a thread it is tried again.
bool give_wanted_identities() noexcept {
  for (;;) {
    G* g;
    {
      std::lock_guard hold(sched.lock);
      g = sched.wants_identity.pop_front();
    }
    if (!g) return true;
    if (!(g->own = preempt::make_fresh_identity())) {
      std::lock_guard hold(sched.lock);
      sched.wants_identity.push_back(g);
      return false;
    }
    put_global(g);
    wake_p();
  }
}

void* loop(void*) noexcept {
  for (;;) {
    const std::uint32_t calls = sched.maker_word.load(acquire);  // [maker.word] acquire: what is wanted
    if (over.load(acquire)) break;                               // [maker.over] acquire: no more of this run
    start_wanted_ms();
    std::int64_t until = os::no_deadline;
    if (!sanitizer::on) {
      preempt::retire_identities();
      if (!give_wanted_identities()) until = monotonic_ns() + 10'000'000;
      preempt::refill_identities();
    }
    os::futex_wait(sched.maker_word, calls, until);
  }
  if (!sanitizer::on) preempt::retire_identities();
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

M* make_m() noexcept {
  std::lock_guard hold(sched.lock);
  constexpr std::size_t batch = 32;
  if (!free_ms) {
    void* map = os::map(sizeof(M) * batch, false);
    if (os::failed(map)) return nullptr;
    for (std::size_t i = 0; i < batch; ++i) {
      M* m = new (static_cast<M*>(map) + i) M;
      m->link = free_ms;
      free_ms = m;
    }
  }
  M* m = free_ms;
  free_ms = m->link;
  m->link = nullptr;
  return m;
}

void free_m(M* m) noexcept {
  std::lock_guard hold(sched.lock);
  m->link = free_ms;
  free_ms = m;
}

}  // namespace urge::maker
