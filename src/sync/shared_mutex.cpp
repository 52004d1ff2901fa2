// SPDX-License-Identifier: MIT
// shared_mutex. The word is, from the top: the owner's address if `writing`, else the number of readers times 8; and
//   has_waiters  the list may hold somebody. Set under the list's lock. While it is set every change goes through that
//                lock, so there is no barging: it is strictly in turn, which is what keeps writers from starving.
//   writing      a writer owns it
// Who gives it up takes the next off the list and makes it the owner (or all readers up to the next writer) before it
// wakes them: none wakes for nothing.
// Destruction: as for the mutex (mutex_core.hpp), nothing is touched after the store that makes it free, unless
// somebody was taken off the list.
#include <urge/detail/sync_mutex.hpp>

#include "sync/wake.hpp"

namespace urge::detail {

namespace {

constexpr std::uintptr_t has_waiters = 1, writing = 2, one_reader = 8;
static_assert(alignof(G) >= one_reader, "the flags lie in the low bits of a G's address");

enum mode : std::uint32_t { shared, exclusive };  // waiter::index

std::uintptr_t as_writer(const G* g) noexcept { return reinterpret_cast<std::uintptr_t>(g) | writing; }

// Makes the first in the queue owners of what is free. Context: list's lock held, has_waiters set.
void grant_locked(shared_mutex_core& m, gqueue& granted) noexcept {
  std::uintptr_t now = m.word.load(relaxed) & ~has_waiters;
  if (now & writing) return;
  while (waiter* first = m.waiters.first) {
    const bool writer = first->index == exclusive;
    if (writer && now != 0) break;
    G* g = first->record->g;
    if (!take(*first)) continue;  // it is killed
    now = writer ? as_writer(g) : now + one_reader;
    granted.push_back(g);
    if (writer) break;
  }
  // Nobody else changes the word while we hold the lock and has_waiters is set.
  m.word.store(now | (empty(m.waiters) ? 0 : has_waiters), release);  // [shared_mutex.word] release: our writes
}

// True: it was free for that mode and the list empty, so the caller has it. Context: list's lock held.
bool take_or_announce_locked(shared_mutex_core& m, mode how, std::uintptr_t taken) noexcept {
  std::uintptr_t now = m.word.load(relaxed);
  for (;;) {
    const bool free = empty(m.waiters) && (how == exclusive ? (now & ~has_waiters) == 0 : !(now & writing));
    const std::uintptr_t then = free ? now + taken : now | has_waiters;
    if (m.word.compare_exchange_weak(now, then, acquire, relaxed)) return free;  // [shared_mutex.word] acquire
  }
}

// A waiter has gone by: those behind it may have waited for it only.
void pass_by(shared_mutex_core& m) {
  G* g = enter("urge::shared_mutex::lock");
  gqueue granted;
  {
    std::lock_guard hold(lock_of(m.waiters));
    if (m.word.load(relaxed) & has_waiters) grant_locked(m, granted);
  }
  ready_all(g, granted);
  leave(g);
}

[[gnu::noinline]] void lock_slow(shared_mutex_core& m, mode how, const char* who) {
  G* g = enter(who);
  lock_of(m.waiters).lock();
  if (take_or_announce_locked(m, how, how == exclusive ? as_writer(g) : one_reader)) {
    lock_of(m.waiters).unlock();
  } else {
    waiter w;
    w.index = how;
    try {
      wait(g, m.waiters, w, wait_reason::shared_mutex);
    } catch (const unwind_g&) {
      pass_by(m);
      throw;
    }
  }
  leave(g);
}

// True: done. False: the list was empty, and the flag that said otherwise is gone; try again without the lock.
bool give_up_to_waiters(G* g, shared_mutex_core& m, std::uintptr_t held) noexcept {
  gqueue granted;
  {
    std::lock_guard hold(lock_of(m.waiters));
    if (empty(m.waiters)) {
      m.word.fetch_and(~has_waiters, relaxed);  // the list's lock orders it with those who queue
      return false;
    }
    m.word.fetch_sub(held, acq_rel);  // [shared_mutex.word] release: our writes; acquire: other readers'
    grant_locked(m, granted);
  }
  ready_all(g, granted);
  return true;
}

}  // namespace

void lock(shared_mutex_core& m) {
  const G* g = current_g();
  std::uintptr_t free = 0;
  if (g && m.word.compare_exchange_strong(free, as_writer(g), acquire, relaxed)) [[likely]]
    return;  // [shared_mutex.word] acquire: the writes of those before
  lock_slow(m, exclusive, "urge::shared_mutex::lock");
}

bool try_lock(shared_mutex_core& m) {
  const G* g = current_g();
  if (!g) enter("urge::shared_mutex::try_lock");  // throws
  std::uintptr_t free = 0;
  return m.word.compare_exchange_strong(free, as_writer(g), acquire, relaxed);  // [shared_mutex.word] acquire
}

namespace {
[[gnu::noinline]] void unlock_slow(shared_mutex_core& m) {
  constexpr auto who = "urge::shared_mutex::unlock";
  G* g = enter(who);
  const bool owner = (m.word.load(relaxed) & ~has_waiters) == as_writer(g);
  const bool done = owner && give_up_to_waiters(g, m, as_writer(g));
  leave(g);
  if (!owner) throw_not_owner(who);
  if (!done) urge::detail::unlock(m);
}
}  // namespace

void unlock(shared_mutex_core& m) {
  const G* g = current_g();
  std::uintptr_t mine = as_writer(g);
  if (g && m.word.compare_exchange_strong(mine, 0, release, relaxed)) [[likely]]
    return yield_if_wanted();  // [shared_mutex.word] release: our writes
  unlock_slow(m);
}

namespace {
bool take_shared(shared_mutex_core& m) noexcept {
  std::uintptr_t now = m.word.load(relaxed);
  while (!(now & (has_waiters | writing)))
    if (m.word.compare_exchange_weak(now, now + one_reader, acquire, relaxed)) return true;  // [shared_mutex.word]
  return false;
}
}  // namespace

void lock_shared(shared_mutex_core& m) {
  if (current_g() && take_shared(m)) [[likely]]
    return;
  lock_slow(m, shared, "urge::shared_mutex::lock_shared");
}

bool try_lock_shared(shared_mutex_core& m) {
  if (!current_g()) enter("urge::shared_mutex::try_lock_shared");  // throws
  return take_shared(m);
}

namespace {
// True: given up. False: somebody waits, and the list's lock is needed.
bool give_up_shared(shared_mutex_core& m) {
  std::uintptr_t now = m.word.load(relaxed);
  while (!(now & has_waiters)) {
    if ((now & writing) || now < one_reader) throw_not_owner("urge::shared_mutex::unlock_shared");
    if (m.word.compare_exchange_weak(now, now - one_reader, release, relaxed))
      return true;  // [shared_mutex.word] release: our reads
  }
  return false;
}

[[gnu::noinline]] void unlock_shared_slow(shared_mutex_core& m) {
  constexpr auto who = "urge::shared_mutex::unlock_shared";
  G* g = enter(who);
  const std::uintptr_t now = m.word.load(relaxed);
  const bool reader = !(now & writing) && now >= one_reader;
  const bool done = reader && give_up_to_waiters(g, m, one_reader);
  leave(g);
  if (!reader) throw_not_owner(who);
  if (!done) urge::detail::unlock_shared(m);
}
}  // namespace

void unlock_shared(shared_mutex_core& m) {
  if (current_g() && give_up_shared(m)) [[likely]]
    return yield_if_wanted();
  unlock_shared_slow(m);
}

}  // namespace urge::detail
