// SPDX-License-Identifier: MIT
// mutex, timed_mutex and recursive_mutex. The word and its flags are explained in mutex_core.hpp.
//   uncontended  one compare-exchange to lock, one to unlock, without entering the runtime: a G that is stopped between
//                two instructions of them resumes as the same G
//   contended    a short spin while the owner runs on another P, then the queue; an unlock takes the first waiter off
//                it and wakes it, and until that one has tried, later unlocks wake nobody
//   lost         a woken waiter that finds it taken goes back to the front; after 1 ms the next unlock hands over
// Handing over each time was rejected: the mutex would be held during every wake-up, by nobody that runs.
// Source: Go's sync.Mutex (normal and starvation mode); the owner is recorded in addition.
#include "sync/mutex_core.hpp"

#include <string>
#include <system_error>

#include "sync/wake.hpp"

namespace urge {

namespace {

constexpr std::uintptr_t has_waiters = 1, woken = 2, handed = 4, flags = 7;
static_assert(alignof(G) > flags, "the flags lie in the low bits of a G's address");

constexpr std::int64_t starving_ns = 1'000'000;  // as Go's starvationThresholdNs

std::uintptr_t word_of(const G* g) noexcept { return reinterpret_cast<std::uintptr_t>(g); }
G* owner_in(std::uintptr_t word) noexcept { return reinterpret_cast<G*>(word & ~flags); }

// Clears what abandoned waiters of an earlier run have left. True: the word has changed. Context: list's lock held.
bool forget_earlier_run_locked(mutex_core& m) noexcept {
  if (m.run == sched.run_id) return false;
  m.run = sched.run_id;
  std::uintptr_t now = m.word.load(relaxed), then;
  do {
    if (now & handed)
      then = now & has_waiters;
    else if (now & woken)
      then = now & ~woken;
    else
      return false;
  } while (!m.word.compare_exchange_weak(now, then, acq_rel, relaxed));  // [mutex.word] as an unlock and a lock
  return true;
}

// Spinning pays only while the owner is at work on another P, and this P has nothing else to do.
bool worth_spinning(const G* g, const G* owner) noexcept {
  return sched.procs.load(relaxed) > 1 && owner != g && owner->status.load(relaxed) == g_status::running &&
         !work_waits_for(*g->m->p);
}

// True: locked.
bool lock_by_spinning(const G* g, mutex_core& m) noexcept {
  constexpr int rounds = 4, pauses = 30;  // as Go: some microseconds
  for (int round = 0;; ++round) {
    std::uintptr_t now = m.word.load(acquire);  // [mutex.word] acquire: the owner's descriptor
    const G* owner = owner_in(now);
    if (!owner) {
      if (m.word.compare_exchange_weak(now, now | word_of(g), acq_rel, relaxed))
        return true;  // [mutex.word] acquire: last unlock; release: our descriptor
      continue;
    }
    // Descriptors are never given back, so looking at a G that has just ended is harmless.
    if (round >= rounds || !worth_spinning(g, owner)) return false;
    for (int i = 0; i < pauses; ++i) _mm_pause();
  }
}

// Takes the mutex if it is free; else sees to it that its owner's unlock looks at the queue. `ours`: flags that the
// caller answers for and that are to be cleared. Context: list's lock held.
bool take_or_announce_locked(const G* g, mutex_core& m, std::uintptr_t ours) noexcept {
  std::uintptr_t now = m.word.load(relaxed);
  for (;;) {
    const bool free = owner_in(now) == nullptr;
    const std::uintptr_t then = (now & ~ours) | (free ? word_of(g) : has_waiters);
    if (m.word.compare_exchange_weak(now, then, acq_rel, relaxed)) return free;  // [mutex.word] acquire: last unlock
  }
}

}  // namespace

bool is_owner(const mutex_core& m, const G* g) noexcept { return owner_in(m.word.load(relaxed)) == g; }

namespace {
bool accept(mutex_core& m) noexcept {
  m.word.fetch_and(~handed, acquire);  // [mutex.word] acquire: the last owner's writes
  return true;
}

// `was_woken`: by an unlock, so the flag is the caller's to clear.
bool lock_by_queueing(G* g, mutex_core& m, mutex_waiter& w, std::int64_t deadline_ns, bool was_woken, wait_reason why) {
  for (;;) {
    lock_of(m.waiters).lock();
    forget_earlier_run_locked(m);
    const bool taken = take_or_announce_locked(g, m, was_woken ? woken : 0);
    if (taken || (deadline_ns != os::no_deadline && deadline_ns <= monotonic_ns())) {
      lock_of(m.waiters).unlock();
      return taken;
    }
    if (w.since == 0) w.since = ticks();
    w.granted = false;
    if (!wait(g, m.waiters, w, why, deadline_ns, was_woken)) return false;
    if (w.granted) return accept(m);
    was_woken = true;
  }
}
}  // namespace

bool lock_inside(G* g, mutex_core& m, mutex_waiter& w, std::int64_t deadline_ns, wait_reason why) {
  return lock_by_spinning(g, m) || lock_by_queueing(g, m, w, deadline_ns, false, why);
}

void relock(G* g, mutex_core& m) noexcept {
  mutex_waiter w;
  lock_inside(g, m, w, os::no_deadline, wait_reason::relock);
}

void lock_when_woken(G* g, mutex_core& m, mutex_waiter& w) noexcept {
  w.granted ? accept(m) : lock_by_queueing(g, m, w, os::no_deadline, true, wait_reason::relock);
}

bool unlock_inside(mutex_core& m) noexcept {
  for (;;) {
    std::uintptr_t now = m.word.load(relaxed);
    if (!(now & has_waiters) || (now & woken)) {
      if (m.word.compare_exchange_weak(now, now & flags, release, relaxed)) return false;  // [mutex.word] release
      continue;
    }
    lock_of(m.waiters).lock();
    auto* first = static_cast<mutex_waiter*>(pop(m.waiters));
    if (!first) {
      // We go on owning it until the lock is released: see "Destruction".
      m.word.fetch_and(~has_waiters, relaxed);  // the list's lock orders it with those who queue
      lock_of(m.waiters).unlock();
      continue;
    }
    G* g = first->record->g;
    const std::uintptr_t more = empty(m.waiters) ? 0 : has_waiters;
    const bool hand_over = ticks() - first->since > ns_to_ticks(starving_ns);
    first->granted = hand_over;
    // Plain stores: while it is owned, only holders of the list's lock change the word, and woken's waiter if there is.
    m.word.store(more | (hand_over ? word_of(g) | handed : woken), release);  // [mutex.word] release: our writes
    lock_of(m.waiters).unlock();
    ready(g);
    return hand_over;
  }
}

G* move_to_mutex(mutex_waiter& w) noexcept {
  mutex_core& m = *w.mutex;
  std::lock_guard hold(lock_of(m.waiters));
  forget_earlier_run_locked(m);
  w.since = ticks();
  w.granted = false;
  w.moved = true;
  w.record->g->reason.store(wait_reason::mutex, relaxed);  // for dumps
  push_back(m.waiters, w);
  std::uintptr_t now = m.word.load(relaxed);
  for (;;) {
    // Free, and nobody on the way: no unlock will come to look at the queue.
    const bool nobody = owner_in(now) == nullptr && !(now & woken);
    if (!m.word.compare_exchange_weak(now, now | has_waiters | (nobody ? woken : 0), relaxed)) continue;
    if (!nobody) return nullptr;
    return pop(m.waiters)->record->g;  // not null: neither a timer nor kill can have claimed `w`
  }
}

namespace detail {

namespace {

// Out of line, here and below: what they need of registers and stack the uncontended path would pay for.
[[gnu::noinline]] bool lock_slow(mutex_core& m, std::int64_t deadline_ns, const char* who) {
  G* g = enter(who);
  mutex_waiter w;
  const bool locked = lock_inside(g, m, w, deadline_ns);
  leave(g);
  return locked;
}

[[gnu::noinline]] void unlock_slow(mutex_core& m, const char* who) {
  G* g = enter(who);
  if (!is_owner(m, g)) {
    leave(g);
    throw_not_owner(who);
  }
  // The new owner has waited long enough: it runs now, unless a guard forbids us to stop.
  if (unlock_inside(m) && g->guards.load(relaxed) == 0) give_way(g, false);
  leave(g);
}

bool forget_earlier_run(mutex_core& m, const char* who) {
  G* g = enter(who);
  lock_of(m.waiters).lock();
  const bool changed = forget_earlier_run_locked(m);
  lock_of(m.waiters).unlock();
  leave(g);
  return changed;
}

bool take_free(const G* g, mutex_core& m) noexcept {
  std::uintptr_t free = 0;
  return g && m.word.compare_exchange_strong(free, word_of(g), acq_rel, relaxed);  // [mutex.word] acquire: last unlock
}

}  // namespace

void throw_not_owner(const char* who) {
  throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                          std::string(who) + ": the calling G has not locked it");
}

void lock(mutex_core& m, const char* who) {
  if (!take_free(current_g(), m)) [[unlikely]]
    lock_slow(m, os::no_deadline, who);
}

bool lock_until(mutex_core& m, time_point deadline, const char* who) {
  return take_free(current_g(), m) || lock_slow(m, to_ns(deadline), who);
}

bool try_lock(mutex_core& m, const char* who) {
  G* g = current_g();
  if (take_free(g, m)) [[likely]]
    return true;
  if (!g) enter(who);  // throws
  std::uintptr_t now = m.word.load(relaxed);
  for (;;) {
    if (!owner_in(now)) {
      if (m.word.compare_exchange_weak(now, now | word_of(g), acq_rel, relaxed)) return true;  // [mutex.word] acquire
    } else if ((now & handed) && forget_earlier_run(m, who)) {
      now = m.word.load(relaxed);
    } else {
      return false;
    }
  }
}

void unlock(mutex_core& m, const char* who) {
  const G* g = current_g();
  std::uintptr_t mine = word_of(g);
  if (g && m.word.compare_exchange_strong(mine, 0, release, relaxed)) [[likely]]
    return yield_if_wanted();  // [mutex.word] release: our writes
  unlock_slow(m, who);
}

bool owned_by_caller(const mutex_core& m, const char* who) {
  G* g = current_g();
  if (!g) enter(who);  // throws
  return is_owner(m, g);
}

}  // namespace detail
}  // namespace urge
