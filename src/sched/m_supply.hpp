// SPDX-License-Identifier: MIT
// Where the Ms for Ps come from, and how many there may be. All counts are under sched.lock.
//
// | an M ...                                                                          | counted in |
// | that is being made; that has begun, or gives up its P, and will be idle; is idle   | n_spare    |
// | with a P or a G, or with both; that stands; that was drawn to come next on a P     | n_used     |
// | that is not there, for a P on wants_m                                              | n_wanted   |
// | that is not there, or not idle yet: promised to one that will stand, for its P     | n_promised |
//
// A spare M takes a wanted P before it is idle: no M is idle while there are any. Two things hold by construction:
//   n_used + n_spare <= max_threads                what there is. The maker adds to it, all others only move Ms over
//   n_used + n_wanted + n_promised <= max_threads  what is spoken for. Whoever adds to it looks first: m_left_locked
// So behind each wanted P, and each promise, is a spare M, or room to make one.
#pragma once
#include "sched/sched.hpp"

namespace urge {

// Is there one, idle or coming or to be made, that nobody has a claim on? Context: sched.lock held.
inline bool m_left_locked() noexcept {
  return sched.n_used + sched.n_wanted + sched.n_promised < sched.how.max_threads;
}
// Context: sched.lock held.
inline void count_as_spare_locked(M* m) noexcept {
  if (!m->spare) m->spare = true, --sched.n_used, ++sched.n_spare;
}
inline void count_as_used_locked(M* m) noexcept {
  if (m->spare) m->spare = false, ++sched.n_used, --sched.n_spare;
}

// Takes an M off the list of idle ones; null: there is none. Context: sched.lock held, m_left_locked or the run's end.
inline M* take_idle_m_locked() noexcept {
  M* m = sched.idle_ms;
  if (!m) return nullptr;
  sched.idle_ms = m->link;
  sched.n_idle_m.fetch_sub(1, relaxed);
  m->next_p = nullptr, m->next_spinning = false;
  count_as_used_locked(m);
  return m;
}
void put_idle_m_locked(M*) noexcept;
void put_back_idle_m(M*) noexcept;  // that was taken so, and nobody has woken; or null
void wake_with(M*, P*) noexcept;    // one that is on no list; the P may be null
void stop_m(M*) noexcept;           // idle.cpp
// One that waits for an M. Context: sched.lock held.
P* take_wanted_p_locked() noexcept;

// What if there are max_threads already: the run ends with an error; or the P is idle until one comes back. Or there
// are not, by a promise, which is redeemed.
enum class at_limit { fail, wait, promised };
void start_m(P*, bool spinning, at_limit = at_limit::fail) noexcept;
void hand_off(P*, at_limit = at_limit::fail) noexcept;

// For the P of the M, which will stand: draws a successor, or has one promised. False: all are spoken for. Its stand
// makes use of that, or:
bool reserve_next_m(M&) noexcept;
void unreserve_next_m(M&) noexcept;

// --- stand.cpp ---
// Stands still until another M has found the G that stays here, and passes its P on to us. Null: the run is over.
picked stand(M*) noexcept;
void pass_p(M*, const picked&) noexcept;  // to the M on which the G stands

// --- ahead of need ---
// Is there an M for a P that is handed off?
enum class m_supply { idle, to_be_made, none };
m_supply m_to_be_had() noexcept;
// Has the maker keep so many idle Ms ahead of need, as far as max_threads allows. Some for calls that sleep.
inline constexpr std::uint32_t spares_for_calls = 2;
void want_spare_ms(std::uint32_t n) noexcept;
// And returns when one is idle, or none will be. Context: a G, locks > 0.
void wait_for_spare_m(G*, std::uint32_t n) noexcept;

}  // namespace urge
