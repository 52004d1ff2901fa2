// SPDX-License-Identifier: MIT
// Who has which identity (docs/protocols/identity.md): the spares, the loans of Ms, and what Gs carry. How they are
// made and ended is donor.cpp's.
#include "preempt/identity_pool.hpp"

#include <utility>

#include "preempt/donor.hpp"
#include "preempt/handler.hpp"
#include "preempt/preempt.hpp"

namespace urge::preempt {

identity_pool pool;

namespace {

int make_one() noexcept {
  int error;
  identity* id = make_fresh_identity(error);
  if (!id) return error;
  std::lock_guard hold(pool.lock);
  id->next = pool.free;
  pool.free = id;
  pool.n_free.store(pool.n_free.load(relaxed) + 1, relaxed);
  return 0;
}

void put(identity* id, bool was_carried) noexcept {
  id->words->g = nullptr;
  id->words->m = nullptr;
  std::lock_guard hold(pool.lock);
  id->next = pool.free;
  pool.free = id;
  pool.n_free.store(pool.n_free.load(relaxed) + 1, relaxed);
  if (was_carried) pool.carried.store(pool.carried.load(relaxed) - 1, relaxed);
}

}  // namespace

int make_identities(unsigned n) noexcept {
  for (; n != 0; --n)
    if (int error = make_one(); error < 0) return error;
  return 0;
}

identity* make_fresh_identity(int& error) noexcept {
  identity* id = make_donor(error);
  if (id) pool.made.fetch_add(1, relaxed);
  return id;
}

namespace {
// Context: any.
void retire_soon(identity* id) noexcept {
  id->words->g = nullptr, id->words->m = nullptr;
  arch::set_entry_limit(id->base, 0);  // its thread ends on another stack
  {
    std::lock_guard hold(pool.lock);
    id->next = std::exchange(pool.ended, id);
  }
  call_maker();
}
identity* retiring = nullptr;  // the maker's; linked by `next`
}  // namespace

bool retire_identities() noexcept {
  for (;;) {
    identity* id;
    {
      std::lock_guard hold(pool.lock);
      id = pool.ended;
      if (id) pool.ended = id->next;
    }
    if (!id) break;
    if (begin_to_retire(id) != 0) {
      std::lock_guard hold(pool.lock);
      id->next = std::exchange(pool.ended, id);
      break;  // at the next call
    }
    id->next = std::exchange(retiring, id);
  }
  for (identity** at = &retiring; *at;) {
    identity* const id = *at;
    identity* const next = id->next;
    if (!has_retired(id)) {
      at = &id->next;
      continue;
    }
    *at = next;
    std::lock_guard hold(pool.lock);
    pool.retired.fetch_add(1, relaxed);
    pool.carried.store(pool.carried.load(relaxed) - 1, relaxed);
  }
  return !retiring;
}

// One that was left inside malloc may keep a thread from its end for good: it is lost then.
void retire_all_identities() noexcept {
  const std::int64_t until = monotonic_ns() + 1'000'000'000;
  const atomic<std::uint32_t> nobody_wakes{0};
  while (!retire_identities() && monotonic_ns() < until) os::futex_wait(nobody_wakes, 0, monotonic_ns() + 100'000);
  while (identity* id = retiring) {
    retiring = id->next;
    lose_identity(id);
  }
}

void refill_identities() noexcept {
  const std::uint32_t bound = pool.max_carried.load(relaxed);
  while (pool.n_free.load(relaxed) < pool.wanted.load(relaxed) &&
         pool.made.load(relaxed) - pool.retired.load(relaxed) < std::uint64_t{bound} + 2 * max_procs) {
    if (make_one() < 0) return;  // fewer spares: preemptions are put off and counted; asked again at the next call
  }
}

identity* take_loan() noexcept {
  std::lock_guard hold(pool.lock);
  identity* id = pool.free;
  if (!id) return nullptr;
  pool.free = id->next;
  pool.n_free.store(pool.n_free.load(relaxed) - 1, relaxed);
  return id;
}

void count_as_carried() noexcept {
  std::lock_guard hold(pool.lock);
  pool.carried.store(pool.carried.load(relaxed) + 1, relaxed);
}

bool reserve_identity() noexcept {
  std::lock_guard hold(pool.lock);
  const std::uint32_t n = pool.carried.load(relaxed);
  if (n >= pool.max_carried.load(relaxed)) return false;
  pool.carried.store(n + 1, relaxed);
  return true;
}
void unreserve_identity() noexcept {
  std::lock_guard hold(pool.lock);
  pool.carried.store(pool.carried.load(relaxed) - 1, relaxed);
}

bool few_left() noexcept {
  const std::uint64_t bound = pool.max_carried.load(relaxed);
  return std::uint64_t{pool.carried.load(relaxed)} * 8 >= bound * 7;
}

void take_along(M& m, G& g) noexcept {
  identity* next = pool.take_to_carry();
  if (pool.low()) call_maker();
  if (!next) {
    // It goes on under another: a recursive mutex that it holds will not know it.
    shared.defer(defer_reason::no_identity);
    return;
  }
  promote(m, g, next);
}

bool keep_thread(M& m, G& g) noexcept {
  if (g.keeps_m) return true;
  g.keeps_m = reserve_next_m(m);
  if (sched.n_idle_m.load(relaxed) * 2 < sched.spare_ms.load(relaxed)) call_maker();
  if (!g.keeps_m) shared.defer(defer_reason::no_identity);
  return g.keeps_m;
}

void promote(M& m, G& g, identity* next) noexcept {
  g.own = std::exchange(m.loan, next);
  add_own(g.n_promoted, std::uint64_t{1});
  if (m.p)
    add_own(m.p->count.promoted, std::uint64_t{1});
  else
    sched.promoted_without_p.fetch_add(1, relaxed);  // its P was taken as it slept
}

void give_back_early(M& m, G& g) noexcept {
  identity* id = std::exchange(g.own, nullptr);
  *m.loan->eh = *id->eh;
  m.loan->words->g = &g, m.loan->words->m = &m;
  if (entries_checked.load(relaxed)) arch::set_entry_limit(m.loan->base, lowest_entry(g));
  m.bound.store(m.loan, relaxed);  // a hint for sysmon
  arch::set_thread_base(m.loan->base);
  put(id, true);
  pool.given_back.fetch_add(1, relaxed);
}

bool points_into(const identity& id, std::uintptr_t word) noexcept {
  const auto low = reinterpret_cast<std::uintptr_t>(id.low);
  return word >= low && word < low + donor_stack_bytes();
}

void give_back(G& g) noexcept {
  identity* id = std::exchange(g.own, nullptr);
  if (!id) return unreserve_identity();  // promised, and not made before the end of the run
  if (!id->ended) return put(id, true);
  retire_soon(id);
}
void end_loan(M& m) noexcept {
  if (!m.loan || m.loan == m.base) return;
  count_as_carried();
  m.loan->ended = true;
  retire_soon(std::exchange(m.loan, nullptr));
}
void leave_loan(M& m, G& g) noexcept {
  if (g.own || !m.loan || m.loan == m.base) return;
  count_as_carried();
  g.own = std::exchange(m.loan, nullptr);
}
void give_back_unused(identity* id) noexcept { put(id, true); }
void give_back_loan(identity* id) noexcept { put(id, false); }

void lose_thread() noexcept {
  std::lock_guard hold(pool.lock);
  pool.made.store(pool.made.load(relaxed) + 1, relaxed);
  pool.lost.store(pool.lost.load(relaxed) + 1, relaxed);
}

void lose_identity(identity*) noexcept {
  std::lock_guard hold(pool.lock);
  pool.carried.store(pool.carried.load(relaxed) - 1, relaxed);
  pool.lost.store(pool.lost.load(relaxed) + 1, relaxed);
}

identity_counts count_identities() noexcept {
  return {pool.made.load(relaxed), pool.n_free.load(relaxed),  pool.carried.load(relaxed),
          pool.lost.load(relaxed), pool.retired.load(relaxed), pool.given_back.load(relaxed)};
}

void limit_carried(unsigned n) noexcept { pool.max_carried.store(n, relaxed); }

}  // namespace urge::preempt
