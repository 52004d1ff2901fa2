// SPDX-License-Identifier: MIT
// Where the Ms for Ps come from.
#pragma once
#include "sched/sched.hpp"

namespace urge {

// --- stand.cpp ---
// Stands still until another M has found the G that stays here, and passes its P on to us. Null: the run is over.
G* stand(M*) noexcept;
void pass_p(M*, const G*) noexcept;  // to the M on which the G stands

// What if there are max_threads already: the run ends with an error, or the P is idle until one comes back.
enum class at_limit { fail, wait };
void start_m(P*, bool spinning, at_limit = at_limit::fail) noexcept;
void stop_m(M*) noexcept;           // idle.cpp
void wake_with(M*, P*) noexcept;    // one that is on no list; the P may be null
void put_back_idle_m(M*) noexcept;  // that take_idle_m_locked has taken, and nobody woken; or null
// Takes an M off the list of idle ones; null: there is none. Context: sched.lock held.
inline M* take_idle_m_locked() noexcept {
  M* m = sched.idle_ms;
  if (!m) return nullptr;
  sched.idle_ms = m->link;
  sched.n_idle_m.fetch_sub(1, relaxed);
  m->next_p = nullptr, m->next_spinning = false;
  return m;
}
void hand_off(P*, at_limit = at_limit::fail) noexcept;
// Is there an M for a P that is handed off?
enum class m_supply { idle, to_be_made, none };
m_supply m_to_be_had() noexcept;
// Has the maker keep so many idle Ms ahead of need, as far as max_threads allows. Some for calls that sleep.
inline constexpr std::uint32_t spares_for_calls = 2;
void want_spare_ms(std::uint32_t n) noexcept;
// And returns when one is idle, or none will be. Context: a G, locks > 0.
void wait_for_spare_m(G*, std::uint32_t n) noexcept;
// One that waits for an M to be made. It is not counted in n_ms any more.
P* take_wanted_p_locked() noexcept;

}  // namespace urge
