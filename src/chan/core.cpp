// SPDX-License-Identifier: MIT
// Send, receive, close. Everything in a chan_core is guarded by the lock of its list of receivers. A sender that finds
// a receiver waiting copies straight to that receiver's stack; one that does not and finds no room leaves a pointer to
// the payload on its own stack and waits. At most one of the two lists has waiters, but for Gs that select on both.
// Source: Go's chan.go.
#include <cstring>
#include <new>

#include "chan/chan.hpp"

namespace urge::detail {

chan_core::chan_core(std::uint32_t bytes, std::size_t room, void (*destroy)(void*))
    : payload_bytes(bytes), capacity(room), buffer(nullptr), destroy_payload(destroy) {
  senders.guard = &receivers;
  if (room == 0) return;
  if (room > static_cast<std::size_t>(PTRDIFF_MAX) / bytes) throw std::bad_array_new_length();
  buffer = static_cast<std::byte*>(::operator new (room* bytes, std::align_val_t{64}));
}

chan_core::~chan_core() {
  if (destroy_payload)
    for (; n != 0; --n, first = first + 1 == capacity ? 0 : first + 1) destroy_payload(buffer + first * payload_bytes);
  if (buffer) ::operator delete (buffer, std::align_val_t{64});
}

void hold(chan_core* c) noexcept { c->refs.fetch_add(1, std::memory_order_relaxed); }
void drop(chan_core* c) noexcept {
  if (c->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;  // [chan.refs] release and acquire: all uses
  c->end ? c->end(c) : delete c;
}

// Context: the channel's lock held.
void copy(const chan_core& c, void* to, const void* from) noexcept {
  if (c.payload_bytes == 8)
    std::memcpy(to, from, 8);
  else if (c.payload_bytes == 4)
    std::memcpy(to, from, 4);
  else
    std::memcpy(to, from, c.payload_bytes);
}

step try_send_locked(chan_core& c, const void* payload) noexcept {
  if (c.closed) return {chan_result::closed};
  if (waiter* w = pop(c.receivers)) {
    copy(c, w->data, payload);
    w->granted = true;
    return {chan_result::done, w};
  }
  if (c.n == c.capacity) return {chan_result::would_block};
  std::size_t at = c.first + c.n;
  if (at >= c.capacity) at -= c.capacity;
  copy(c, c.buffer + at * c.payload_bytes, payload);
  ++c.n;
  return {chan_result::done};
}

step try_receive_locked(chan_core& c, void* payload) noexcept {
  if (c.n != 0) {
    copy(c, payload, c.buffer + c.first * c.payload_bytes);
    // A full buffer may have senders behind it: the first of them takes the place that has become free, at the end.
    waiter* w = c.n == c.capacity ? pop(c.senders) : nullptr;
    if (w) {
      copy(c, c.buffer + c.first * c.payload_bytes, w->data);
      w->granted = true;
    } else {
      --c.n;
    }
    if (++c.first == c.capacity) c.first = 0;
    return {chan_result::done, w};
  }
  if (waiter* w = pop(c.senders)) {
    copy(c, payload, w->data);
    w->granted = true;
    return {chan_result::done, w};
  }
  return {c.closed ? chan_result::closed : chan_result::would_block};
}

namespace {

// The shape that both share: try, and wait if that is wanted. After the wait, `granted` says whether the other side did
// its part, or the channel was closed.
template <class Try>
chan_result run(chan_core& c, wait_list& own, void* payload, wait_reason why, bool may_wait, time_point deadline,
                const char* function, Try&& attempt) {
  G* g = may_wait ? enter(function) : enter_if_g();
  raw_lock& guard = lock_of(c.receivers);
  guard.lock();
  const step s = attempt();
  if (s.result != chan_result::would_block || !may_wait) {
    guard.unlock();
    if (s.wake) wake(s.wake);
    leave(g);
    return s.result;
  }
  waiter w;
  w.data = payload;
  const bool in_time = wait(g, own, w, why, to_ns(deadline));
  leave(g);
  if (!in_time) return chan_result::timed_out;
  return w.granted ? chan_result::done : chan_result::closed;
}

}  // namespace

chan_result send(chan_core& c, const void* payload, bool may_wait, time_point deadline, const char* function) {
  return run(c, c.senders, const_cast<void*>(payload), wait_reason::chan_send, may_wait, deadline, function,
             [&] { return try_send_locked(c, payload); });
}

chan_result receive(chan_core& c, void* payload, bool may_wait, time_point deadline, const char* function) {
  return run(c, c.receivers, payload, wait_reason::chan_receive, may_wait, deadline, function,
             [&] { return try_receive_locked(c, payload); });
}

bool close(chan_core& c) {
  G* g = enter_if_g();
  gqueue woken;
  bool first_time;
  {
    std::lock_guard hold(lock_of(c.receivers));
    first_time = !c.closed;
    c.closed = true;
    for (wait_list* l : {&c.receivers, &c.senders})
      while (waiter* w = pop(*l)) woken.push_back(w->record->g);
  }
  while (G* j = woken.pop_front()) ready(j);
  leave(g);
  return first_time;
}

std::size_t size(const chan_core& c) {
  G* g = enter_if_g();
  std::size_t n;
  {
    std::lock_guard hold(lock_of(const_cast<chan_core&>(c).receivers));
    n = c.n;
  }
  leave(g);
  return n;
}

}  // namespace urge::detail
