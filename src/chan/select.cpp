// SPDX-License-Identifier: MIT
// select: all channels' locks in the order of their addresses; the cases tried in a random order; if none is ready, a
// waiter on each list, and whoever claims the G's record first has chosen (sched/waitq.hpp). Source: Go's select.go.
#include <urge/errors.hpp>

#include <algorithm>

#include "chan/chan.hpp"

namespace urge::detail {

namespace {

// The distinct channels in the order of their addresses.
struct lock_order {
  chan_core* channels[max_select_cases];
  std::size_t n = 0;

  lock_order(const select_case* cases, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i)
      if (cases[i].channel) channels[n++] = cases[i].channel;
    std::sort(channels, channels + n, std::less<chan_core*>());
    n = static_cast<std::size_t>(std::unique(channels, channels + n) - channels);
  }
  void lock() noexcept {
    for (std::size_t i = 0; i < n; ++i) lock_of(channels[i]->receivers).lock();
  }
  void unlock() noexcept {
    for (std::size_t i = n; i-- != 0;) lock_of(channels[i]->receivers).unlock();
  }
};

// `now`: of timers; 0 where there are none.
step try_locked(select_case& c, std::int64_t now) noexcept {
  if (c.what == select_case::kind::timer) return {to_ns(c.when) <= now ? chan_result::done : chan_result::would_block};
  if (c.what == select_case::kind::send) return try_send_locked(*c.channel, c.payload);
  const step s = try_receive_locked(*c.channel, c.payload);
  c.got = s.result == chan_result::done;
  return s;
}

// Context: no lock held any more.
std::size_t finish(G* g, const select_case& c, const step& s, std::size_t index) {
  if (s.wake) wake(s.wake);
  leave(g);
  if (s.result == chan_result::closed && c.what == select_case::kind::send) throw closed();
  return index;
}

}  // namespace

// Uniform: each order of the cases is as likely, and the first that is ready is taken. For the first in the order its
// own lock will do.
std::size_t select(select_case* cases, std::size_t n, bool may_wait) {
  G* g = enter("urge::select");
  const auto random = [g](std::size_t below) { return g->m->p->random.below(static_cast<std::uint32_t>(below)); };
  std::uint8_t order[max_select_cases];
  if (n != 0) {
    order[0] = static_cast<std::uint8_t>(random(n));
    if (select_case& c = cases[order[0]]; c.channel) {
      raw_lock& lock = lock_of(c.channel->receivers);
      lock.lock();
      const step s = try_locked(c, 0);
      lock.unlock();
      if (s.result != chan_result::would_block) return finish(g, c, s, order[0]);
    }
    // The others behind it (Fisher and Yates).
    std::size_t n_order = 1;
    for (std::size_t i = 0; i < n; ++i) {
      if (i == order[0]) continue;
      const std::size_t k = 1 + random(n_order);
      order[n_order++] = order[k];
      order[k] = static_cast<std::uint8_t>(i);
    }
  }
  std::int64_t deadline = os::no_deadline, now = 0;
  std::size_t timer = select_none;
  for (std::size_t i = 0; i < n; ++i) {
    if (cases[i].what != select_case::kind::timer) continue;
    if (now == 0) now = monotonic_ns();
    if (const std::int64_t when = to_ns(cases[i].when); when < deadline) deadline = when, timer = i;
  }
  lock_order locks(cases, n);
  locks.lock();
  for (std::size_t k = 0; k < n; ++k) {
    select_case& c = cases[order[k]];
    const step s = try_locked(c, now);
    if (s.result == chan_result::would_block) continue;
    locks.unlock();
    return finish(g, c, s, order[k]);
  }
  if (!may_wait) {
    locks.unlock();
    leave(g);
    return select_none;
  }
  waiter nodes[max_select_cases];
  std::uint32_t n_nodes = 0;
  for (std::size_t k = 0; k < n; ++k) {
    select_case& c = cases[order[k]];
    if (c.what == select_case::kind::timer) continue;
    waiter& w = nodes[n_nodes++];
    w.data = c.payload;
    w.index = order[k];
    push_back(c.what == select_case::kind::send ? c.channel->senders : c.channel->receivers, w);
  }
  const waiter* chosen = wait_any(
      g, nodes, n_nodes, wait_reason::select, [](void* l) noexcept { static_cast<lock_order*>(l)->unlock(); }, &locks,
      deadline);
  leave(g);
  if (!chosen) return timer;
  select_case& c = cases[chosen->index];
  c.got = chosen->granted;
  if (!chosen->granted && c.what == select_case::kind::send) throw closed();
  return chosen->index;
}

}  // namespace urge::detail
