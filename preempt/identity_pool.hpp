// SPDX-License-Identifier: MIT
// The pool of spare identities; it belongs to the process, across runs. See identity_pool.cpp.
#pragma once
#include "sched/m_supply.hpp"

namespace urge::preempt {

struct identity_pool {
  raw_lock lock;
  identity* free = nullptr;          // lock
  identity* ended = nullptr;         // lock; to be retired by the maker
  atomic<std::uint32_t> n_free{0};   // written under lock
  atomic<std::uint32_t> carried{0};  // by Gs; written under lock
  atomic<std::uint32_t> max_carried{0};
  atomic<std::uint32_t> wanted{16};  // spares to keep ahead of need
  atomic<std::uint64_t> taken{0}, made{0}, lost{0}, retired{0}, given_back{0};

  // Takes one for a G to carry. Context: the signal handler too: it does not wait for the lock, whose holder may be on
  // another CPU or off it; the request is asked again in 50 us.
  identity* try_take_to_carry() noexcept {
    if (carried.load(relaxed) >= max_carried.load(relaxed)) return nullptr;
    for (int i = 0; !lock.try_lock(); ++i) {
      if (i == 100) return nullptr;
      _mm_pause();
    }
    identity* id = take_locked();
    lock.unlock();
    return id;
  }
  // The same for code that may wait.
  identity* take_to_carry() noexcept {
    std::lock_guard hold(lock);
    return carried.load(relaxed) >= max_carried.load(relaxed) ? nullptr : take_locked();
  }
  identity* take_locked() noexcept {
    identity* id = free;
    if (id) {
      free = id->next;
      n_free.store(n_free.load(relaxed) - 1, relaxed);
      carried.store(carried.load(relaxed) + 1, relaxed);
      taken.store(taken.load(relaxed) + 1, relaxed);
    }
    return id;
  }
  bool low() const noexcept { return n_free.load(relaxed) * 2 < wanted.load(relaxed); }
};
extern identity_pool pool;

// A G that is stopped where it stands takes the M's loan along, unless it has an identity: draws the next one for the
// M. False: there is none; the maker is called. Context: the signal handler too.
inline bool draw_loan(M& m, const G& g) noexcept {
  if (g.own) return true;
  m.next_loan = pool.try_take_to_carry();
  if (pool.low()) call_maker();
  return m.next_loan != nullptr;
}

// The next M for the P of one that stays with its G. As the pool, it does not wait for the lock.
inline M* try_take_idle_m() noexcept {
  for (int i = 0; !sched.lock.try_lock(); ++i) {
    if (i == 100) return nullptr;
    _mm_pause();
  }
  M* m = m_left_locked() ? take_idle_m_locked() : nullptr;
  sched.lock.unlock();
  return m;
}

// A G that is stopped where it stands takes the identity under which it runs along, or keeps its thread: what comes in
// the place of that is drawn before. False: there is none; the maker is called. Context: the signal handler too.
inline bool draw_what_it_takes(M& m, const G& g) noexcept {
  if (!stays_on_thread(g)) return draw_loan(m, g);
  m.successor = try_take_idle_m();
  if (sched.n_idle_m.load(relaxed) * 2 < sched.spare_ms.load(relaxed)) call_maker();
  return m.successor != nullptr;
}

}  // namespace urge::preempt
