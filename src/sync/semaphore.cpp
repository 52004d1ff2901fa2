// SPDX-License-Identifier: MIT
// counting_semaphore. The word is twice the count, plus 1 (`has_waiters`) if the list may hold somebody; the flag is
// set under the list's lock. While somebody waits the count is 0: a unit that is given goes to the first waiter under
// the lock, so nobody can take it between the release and the wake-up, and nobody wakes for nothing.
//
// Destruction: a semaphore may be destroyed by the G that a release has let go. So a release adds to the word, or takes
// the last waiter off the list, and then touches it no more; only then it makes those that it took off runnable.
#include <urge/detail/sync_counting.hpp>

#include <stdexcept>
#include <string>

#include "sync/wake.hpp"

namespace urge::detail {

namespace {

constexpr std::uint64_t has_waiters = 1, one = 2;

bool take(semaphore_core& s) noexcept {
  std::uint64_t now = s.word.load(relaxed);
  while (now >= one)
    if (s.word.compare_exchange_weak(now, now - one, acquire, relaxed)) return true;  // [semaphore.word] acquire
  return false;
}

[[gnu::noinline]] bool acquire_slow(semaphore_core& s, std::int64_t deadline_ns, const char* who) {
  G* g = enter(who);
  lock_of(s.waiters).lock();
  std::uint64_t now = s.word.load(relaxed);
  bool taken = false, waits = false;
  while (!taken && !waits) {
    if (now >= one)
      taken = s.word.compare_exchange_weak(now, now - one, acquire, relaxed);  // [semaphore.word] acquire
    else if (deadline_ns != os::no_deadline && deadline_ns <= monotonic_ns())
      break;
    else
      waits = s.word.compare_exchange_weak(now, has_waiters, relaxed);  // the list's lock orders it
  }
  if (waits) {
    waiter w;
    taken = wait(g, s.waiters, w, wait_reason::semaphore, deadline_ns);
  } else {
    lock_of(s.waiters).unlock();
  }
  leave(g);
  return taken;
}

// Gives to waiters as long as there are any, and adds what is left. False: that would be more than max.
[[gnu::noinline]] bool release_slow(semaphore_core& s, std::ptrdiff_t n, std::ptrdiff_t max) noexcept {
  G* g = enter_if_g();
  gqueue granted;
  bool fits = true;
  while (n != 0 && fits) {
    std::uint64_t now = s.word.load(relaxed);
    if (now & has_waiters) {
      std::lock_guard hold(lock_of(s.waiters));
      for (; n != 0; --n) {
        waiter* w = pop(s.waiters);
        if (!w) break;
        granted.push_back(w->record->g);
      }
      // What is left is added without the lock: see "Destruction". Who queues until then is seen in the next round.
      if (n != 0 || empty(s.waiters)) s.word.fetch_and(~has_waiters, relaxed);
    } else if (n > max - static_cast<std::ptrdiff_t>(now / one)) {
      fits = false;
    } else if (s.word.compare_exchange_weak(now, now + static_cast<std::uint64_t>(n) * one, release, relaxed)) {
      break;  // [semaphore.word] release: what the giver did before
    }
  }
  ready_all(g, granted);
  leave(g);
  return fits;
}

}  // namespace

std::ptrdiff_t check_count(std::ptrdiff_t n, std::ptrdiff_t max, const char* who) {
  if (n < 0 || n > max)
    throw std::invalid_argument(std::string(who) + " = " + std::to_string(n) + ": must be from 0 to " +
                                std::to_string(max));
  return n;
}

void semaphore_acquire(semaphore_core& s) {
  if (current_g() && take(s)) [[likely]]
    return;
  acquire_slow(s, os::no_deadline, "urge::counting_semaphore::acquire");
}

bool semaphore_try_acquire(semaphore_core& s) {
  if (!current_g()) enter("urge::counting_semaphore::try_acquire");  // throws
  return take(s);
}

bool semaphore_acquire_until(semaphore_core& s, time_point deadline, const char* who) {
  return (current_g() && take(s)) || acquire_slow(s, to_ns(deadline), who);
}

void semaphore_release(semaphore_core& s, std::ptrdiff_t n, std::ptrdiff_t max) {
  constexpr auto who = "urge::counting_semaphore::release";
  check_count(n, max, who);
  std::uint64_t now = s.word.load(relaxed);
  if (!(now & has_waiters) && n <= max - static_cast<std::ptrdiff_t>(now / one) &&
      s.word.compare_exchange_strong(now, now + static_cast<std::uint64_t>(n) * one, release, relaxed)) [[likely]] {
    if (current_g()) yield_if_wanted();  // [semaphore.word] release: what the giver did before
  } else if (!release_slow(s, n, max)) {
    throw std::logic_error(std::string(who) + ": more than max() = " + std::to_string(max));
  }
}

}  // namespace urge::detail
