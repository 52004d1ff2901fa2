// SPDX-License-Identifier: MIT
// <urge/time.hpp>: a timer that lives inside the channel it sends to. It holds no reference: dropping the last handle
// disarms it, for nobody could see it fire.
#include <urge/time.hpp>

#include <memory>

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
};

// Context: whoever runs expired timers.
void fire(timer_node* t) noexcept {
  chan_core& c = *static_cast<own_timer*>(t)->channel;
  const time_point now{std::chrono::nanoseconds(monotonic_ns())};
  step s{chan_result::done};
  {
    std::lock_guard hold(lock_of(c.receivers));
    s = try_send_locked(c, &now);  // its buffer is empty: it fires once
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

}  // namespace

chan_core* make_timer_channel(time_point when) {
  std::unique_ptr<timer_channel> c(new timer_channel);
  c->end = end_timer_channel;
  c->timer.channel = c.get();
  G* g = enter("urge::after");
  if (when != no_deadline) {
    c->timer.when = to_ns(when);
    c->timer.fire = fire;
    if (g->m->p->clock.add(&c->timer)) timer_added(c->timer.when);
  }
  leave(g);
  return c.release();
}

}  // namespace urge::detail
