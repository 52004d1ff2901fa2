// SPDX-License-Identifier: MIT
// Channels and select, as in Go.
#pragma once
#include <urge/detail/chan_core.hpp>
#include <urge/errors.hpp>

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <tuple>
#include <utility>

#pragma GCC visibility push(default)

namespace urge {

namespace detail {

// A T on its way through a channel: how it becomes a payload and back.
template <class T, bool AsBytes = travels_as_bytes<T>>
struct parcel {
  static constexpr std::uint32_t bytes = sizeof(T);
  static constexpr void (*destroy)(void*) = nullptr;
  parcel() = default;
  explicit parcel(T&& v) { ::new (static_cast<void*>(room)) T(v); }
  void* payload() { return room; }
  T take() { return *std::launder(reinterpret_cast<T*>(room)); }
  void give_back(T& v) { v = take(); }
  void sent() {}
  alignas(T) std::byte room[sizeof(T)];
};
template <class T>
struct parcel<T, false> {
  static constexpr std::uint32_t bytes = sizeof(T*);
  static void destroy(void* payload) { delete *static_cast<T**>(payload); }
  parcel() = default;
  explicit parcel(T&& v) : box(new T(std::move(v))) {}
  parcel(parcel&& other) noexcept : box(std::exchange(other.box, nullptr)) {}
  ~parcel() { delete box; }
  void* payload() { return &box; }
  T take() {
    const std::unique_ptr<T> owned(std::exchange(box, nullptr));
    return std::move(*owned);
  }
  void give_back(T& v) { v = std::move(*box); }
  void sent() { box = nullptr; }
  T* box = nullptr;
};

}  // namespace detail

// A shared handle to a queue of at most `capacity` values between Gs; without capacity a send waits for its receive.
// Copies are the same channel; the last one ends it, with what is left in it. T is movable.
// Values are received in the order in which they were sent; waiting Gs are served in the order in which they came.
// Threads: try_send, try_recv, close, size, capacity any; all others a G, else they throw std::logic_error.
template <class T>
class chan {
 public:
  using value_type = T;

  // Throws: std::bad_alloc.
  explicit chan(std::size_t capacity = 0)
      : core_(new detail::chan_core(detail::parcel<T>::bytes, capacity, detail::parcel<T>::destroy)) {}
  chan(const chan& other) noexcept : core_(other.core_) { detail::hold(core_); }
  chan& operator=(const chan& other) noexcept {
    detail::hold(other.core_);
    detail::drop(std::exchange(core_, other.core_));
    return *this;
  }
  ~chan() { detail::drop(core_); }

  // Waits until the value is in the buffer or with a receiver. Blocks: the G. Throws: closed; std::logic_error.
  void send(T value) {
    detail::parcel<T> p(std::move(value));
    if (detail::send(*core_, p.payload(), true, detail::no_deadline, "urge::chan::send") == detail::chan_result::closed)
      throw closed();
    p.sent();
  }
  // Waits for a value; nothing: closed and drained. Blocks: the G.
  std::optional<T> recv() {
    detail::parcel<T> p;
    if (detail::receive(*core_, p.payload(), true, detail::no_deadline, "urge::chan::recv") !=
        detail::chan_result::done)
      return std::nullopt;
    return p.take();
  }
  // Sends if that needs no waiting; false leaves the value where it was. Blocks: no. Throws: closed.
  bool try_send(T& value) { return send_or_give_back(value, false, detail::no_deadline, "urge::chan::try_send"); }
  // Receives if that needs no waiting; nothing: empty, or closed and drained. Blocks: no.
  std::optional<T> try_recv() {
    detail::parcel<T> p;
    if (detail::receive(*core_, p.payload(), false, detail::no_deadline, "") != detail::chan_result::done)
      return std::nullopt;
    return p.take();
  }
  // Sends unless the deadline passes first; false leaves the value where it was. Blocks: the G. Throws: closed.
  template <class Clock, class Duration>
  bool send_until(T& value, const std::chrono::time_point<Clock, Duration>& deadline) {
    return send_or_give_back(value, true, detail::to_deadline(deadline), "urge::chan::send_until");
  }
  // Receives unless the deadline passes first; nothing: that, or closed and drained. Blocks: the G.
  template <class Clock, class Duration>
  std::optional<T> recv_until(const std::chrono::time_point<Clock, Duration>& deadline) {
    detail::parcel<T> p;
    if (detail::receive(*core_, p.payload(), true, detail::to_deadline(deadline), "urge::chan::recv_until") !=
        detail::chan_result::done)
      return std::nullopt;
    return p.take();
  }
  // No more sends: waiting senders throw, receivers get what is left and then nothing. Throws: closed if it was.
  void close() {
    if (!detail::close(*core_)) throw closed("urge: close of a closed channel");
  }
  std::size_t size() const { return detail::size(*core_); }  // values in the buffer
  std::size_t capacity() const noexcept { return core_->capacity; }

  // for (auto& v : ch): receives until closed and drained.
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = T*;
    using reference = T&;
    iterator() = default;
    explicit iterator(chan* from) : from_(from), value_(from->recv()) {}
    T& operator*() { return *value_; }
    T* operator->() { return &*value_; }
    iterator& operator++() {
      value_ = from_->recv();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(const iterator& other) const { return value_.has_value() == other.value_.has_value(); }

   private:
    chan* from_ = nullptr;
    std::optional<T> value_;
  };
  iterator begin() { return iterator(this); }
  iterator end() { return iterator(); }

  // The same channel?
  friend bool operator==(const chan& a, const chan& b) noexcept { return a.core_ == b.core_; }

  // For the library: takes over a reference; lends the core.
  static chan adopt(detail::chan_core* core) noexcept { return chan(core, 0); }
  detail::chan_core* core() const noexcept { return core_; }

 private:
  chan(detail::chan_core* core, int) noexcept : core_(core) {}
  bool send_or_give_back(T& value, bool wait, time_point deadline, const char* function) {
    detail::parcel<T> p(std::move(value));
    switch (detail::send(*core_, p.payload(), wait, deadline, function)) {
      case detail::chan_result::done:
        p.sent();
        return true;
      case detail::chan_result::closed:
        p.give_back(value);
        throw closed();
      default:
        p.give_back(value);
        return false;
    }
  }

  detail::chan_core* core_;
};

namespace detail {

template <class T, class F>
struct recv_case {
  chan<T> channel;
  F run;
  parcel<T> value{};
  select_case raw() { return {select_case::kind::receive, channel.core(), value.payload(), {}, false}; }
  void finish(const select_case& c) { run(c.got ? std::optional<T>(value.take()) : std::optional<T>()); }
};
template <class T, class F>
struct send_case {
  chan<T> channel;
  parcel<T> value;
  F run;
  select_case raw() { return {select_case::kind::send, channel.core(), value.payload(), {}, false}; }
  void finish(const select_case&) {
    value.sent();
    run();
  }
};
template <class F>
struct timer_case {
  time_point when;
  F run;
  select_case raw() { return {select_case::kind::timer, nullptr, nullptr, when, false}; }
  void finish(const select_case&) { run(); }
};
template <class F>
struct otherwise_case {
  F run;
};

template <class C>
inline constexpr bool is_otherwise = false;
template <class F>
inline constexpr bool is_otherwise<otherwise_case<F>> = true;

}  // namespace detail

// The cases of a select. The function runs on the selecting G after its case was chosen.
template <class T, class F>
auto on_recv(chan<T> ch, F f) {  // f(std::optional<T>): nothing means closed and drained
  return detail::recv_case<T, F>{std::move(ch), std::move(f)};
}
template <class T, class F>
auto on_send(chan<T> ch, std::type_identity_t<T> value, F f) {  // f()
  return detail::send_case<T, F>{std::move(ch), detail::parcel<T>(std::move(value)), std::move(f)};
}
template <class Rep, class Period, class F>
auto after(std::chrono::duration<Rep, Period> d, F f) {  // f(), when nothing else was ready for so long
  return detail::timer_case<F>{detail::to_deadline(d), std::move(f)};
}
template <class F>
auto otherwise(F f) {  // f(), when nothing is ready at once
  return detail::otherwise_case<F>{std::move(f)};
}

// Waits until one of the cases can go on, does it, runs its function, and returns its index, counted from 0 in the
// order given. Of several that are ready one is chosen at random, each as likely, an elapsed `after` among them.
// Without any case it waits for ever. At most 64 cases. Threads: a G. Blocks: the G, unless there is an `otherwise`.
// Throws: closed (a send on a closed channel); std::logic_error outside a G; what the function throws. Source: Go's
// select.go.
template <class... Cases>
std::size_t select(Cases... cases) {
  constexpr std::size_t n = sizeof...(Cases);
  constexpr std::size_t others = (std::size_t{0} + ... + std::size_t{detail::is_otherwise<Cases>});
  static_assert(others <= 1, "urge::select: at most one otherwise");
  static_assert(n <= detail::max_select_cases, "urge::select: at most 64 cases");
  detail::select_case raw[n + 1];
  std::size_t used = 0;
  [[maybe_unused]] const auto add = [&]<class C>(C& c) {
    if constexpr (!detail::is_otherwise<C>) raw[used++] = c.raw();
  };
  (add(cases), ...);
  const std::size_t chosen = detail::select(raw, used, others == 0);
  std::size_t at = 0, seen = 0, result = 0;
  [[maybe_unused]] const auto finish = [&]<class C>(C& c) {
    if constexpr (detail::is_otherwise<C>) {
      if (chosen == detail::select_none) result = at, c.run();
    } else {
      if (seen++ == chosen) result = at, c.finish(raw[chosen]);
    }
    ++at;
  };
  (finish(cases), ...);
  return result;
}

}  // namespace urge

#pragma GCC visibility pop
