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

}  // namespace

std::size_t select(select_case* cases, std::size_t n, bool may_wait) {
  G* g = enter("urge::select");
  // Uniform: each permutation as likely (Fisher and Yates), and the first that is ready is taken.
  std::uint8_t order[max_select_cases];
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t k = g->m->p->random.below(static_cast<std::uint32_t>(i + 1));
    order[i] = order[k];
    order[k] = static_cast<std::uint8_t>(i);
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
    step s{chan_result::would_block};
    if (c.what == select_case::kind::timer) {
      if (to_ns(c.when) <= now) s.result = chan_result::done;
    } else if (c.what == select_case::kind::send) {
      s = try_send_locked(*c.channel, c.payload);
    } else {
      s = try_receive_locked(*c.channel, c.payload);
      c.got = s.result == chan_result::done;
    }
    if (s.result == chan_result::would_block) continue;
    locks.unlock();
    if (s.wake) wake(s.wake);
    leave(g);
    if (s.result == chan_result::closed && c.what == select_case::kind::send) throw closed();
    return order[k];
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
