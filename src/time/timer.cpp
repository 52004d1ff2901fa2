// SPDX-License-Identifier: MIT
// <urge/time.hpp>: a timer that lives inside the channel it sends to. It holds no reference: dropping the last handle
// disarms it, for nobody could see it fire. Setting and stopping it are one at a time, by `control`; the timer's own
// function takes the channel's lock only, so whoever holds `control` may wait for its end.
#include <urge/time.hpp>

#include <memory>
#include <string>

#include "chan/chan.hpp"

namespace urge::detail {

namespace {

struct timer_channel;
struct own_timer : timer_node {
  timer_channel* channel;
};
struct timer_channel : chan_core {
  timer_channel() : chan_core(sizeof(time_point), 1, nullptr) {}
  own_timer timer;
  raw_lock control;
};
timer_channel& of(chan_core& c) noexcept { return static_cast<timer_channel&>(c); }

// Context: whoever runs expired timers.
void fire(timer_node* t) noexcept {
  chan_core& c = *static_cast<own_timer*>(t)->channel;
  const time_point now{std::chrono::nanoseconds(monotonic_ns())};
  step s{chan_result::done};
  {
    std::lock_guard hold(lock_of(c.receivers));
    s = try_send_locked(c, &now);  // a tick that finds the last one there is dropped
  }
  if (s.wake) wake(s.wake);
}

// Context: the thread that drops the last handle.
void end_timer_channel(chan_core* c) noexcept {
  auto* t = static_cast<timer_channel*>(c);
  G* g = enter_if_g();
  remove_timer(&t->timer);
  leave(g);
  delete t;
}

// Context: `control` is held, or nobody else knows the channel; the timer is idle.
void arm(G* g, timer_channel& c, time_point when, std::int64_t period_ns) noexcept {
  constexpr std::int64_t for_ever = std::chrono::nanoseconds(std::chrono::hours(24 * 365 * 70)).count();
  c.timer.when = when == no_deadline ? monotonic_ns() + for_ever : to_ns(when);
  c.timer.period = period_ns;
  const std::int64_t first = c.timer.when;  // a periodic one may have fired, and be set anew, behind add
  if (g->m->p->clock.add(&c.timer)) timer_added(first);
}

// Context: `control` is held. True: it was pending.
bool disarm(timer_channel& c, bool keep) noexcept {
  const bool was_pending = remove_timer(&c.timer);
  if (keep) return was_pending;
  std::lock_guard hold(lock_of(c.receivers));
  c.first = c.n = 0;
  return was_pending;
}

}  // namespace

chan_core* make_timer_channel(time_point when, std::int64_t period_ns, const char* function) {
  std::unique_ptr<timer_channel> c(new timer_channel);
  c->end = end_timer_channel;
  c->timer.channel = c.get();
  c->timer.fire = fire;
  G* g = enter(function);
  arm(g, *c, when, period_ns);
  leave(g);
  return c.release();
}

bool stop_timer(chan_core& core, bool keep, const char* function) {
  timer_channel& c = of(core);
  G* g = enter(function);
  c.control.lock();
  const bool was_pending = disarm(c, keep);
  c.control.unlock();
  leave(g);
  return was_pending;
}

bool reset_timer(chan_core& core, time_point when, std::int64_t period_ns, const char* function) {
  timer_channel& c = of(core);
  G* g = enter(function);
  c.control.lock();
  const bool was_pending = disarm(c, false);
  arm(g, c, when, period_ns);
  c.control.unlock();
  leave(g);
  return was_pending;
}

void throw_bad_period(const char* function) {
  throw std::invalid_argument(std::string(function) + ": the duration must be above 0");
}

}  // namespace urge::detail
