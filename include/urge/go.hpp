// SPDX-License-Identifier: MIT
// Gs: start them, wait for them, and what a G can say of itself.
#pragma once
#include <urge/detail/task.hpp>
#include <urge/errors.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string_view>
#include <utility>

#pragma GCC visibility push(default)

namespace urge {

// How a G is started.
struct go_options {
  std::string_view name = {};  // copied, 63 characters at most
  std::size_t stack_size = 0;  // bytes, 16 KiB to 1 GiB, rounded up to pages; 0: options.stack_size
  unsigned weight = 1;         // 1 to 1000: share of CPU among those that want it; one slice is at most 4 quanta
  // errno, thread_local, locale and pthread_self() of its own from its first instruction, as a thread has them: fresh,
  // and thread_local destructors run at its end. It costs the making of a thread; one of max_identities is taken for
  // its life.
  bool own_identity = false;
  std::chrono::nanoseconds cpu_limit{
      0};  // CPU time after which it is ended at its next preemption, as if killed; 0: none
};

// A G that was spawned. Movable; the destructor detaches, the G goes on.
// Threads: join a G; all others any thread, but one handle by one thread at a time.
template <class R>
class [[nodiscard]] join_handle {
 public:
  join_handle() = default;
  join_handle(join_handle&& other) noexcept
      : task_(std::exchange(other.task_, nullptr)), joined_(std::exchange(other.joined_, false)) {}
  join_handle& operator=(join_handle&& other) noexcept {
    join_handle(std::move(other)).swap(*this);
    return *this;
  }
  ~join_handle() {
    if (task_) task_->drop();
  }

  // Waits for the end of the G and returns its value or rethrows its exception. Once; what the handle tells of the G
  // stays true afterwards.
  // Blocks: the G. Throws: std::logic_error if empty, already joined, or one's own; exited; killed.
  R join() {
    if (!task_ || joined_) throw std::logic_error("urge::join_handle::join: the handle is empty or was joined already");
    detail::join_task(*task_);
    joined_ = true;
    const auto how = task_->state.load(std::memory_order_acquire);  // [task.state] acquire: the result
    if (how == detail::outcome::killed || (how == detail::outcome::exited && !std::is_void_v<R>))
      detail::throw_no_result(how);
    if (how == detail::outcome::exited) {
      if constexpr (std::is_void_v<R>) return;
    }
    return task_->value.take();
  }
  // Has it ended? False for an empty handle.
  bool done() const noexcept {
    return task_ && task_->state.load(std::memory_order_acquire) != detail::outcome::live;
  }  // [task.state]
  // Its number, counted from 1 within a run; 0: empty handle.
  std::uint64_t id() const noexcept { return task_ ? task_->id : 0; }
  // Sets the G's stop token; the G decides what to do about it.
  void request_stop() noexcept {
    if (task_) task_->stop_source().request_stop();
  }
  // Ends the G, whatever it does, and waits until it will never run again; `join` then throws killed. False: it had
  // ended before; or it could not be ended within 1 s, and is ended as soon as it can. How it ends depends on where it
  // stands. At a wait or a yield point it is unwound by an exception that nobody means to catch: destructors run. If a
  // `noexcept` function or a `catch (...)` is in the way, or a signal has stopped it, it stands still for good:
  // what it holds is kept back until the run ends, not freed under others (see stats.kept_back). Inside libc it first
  // runs on until it is out. One that waits for a mutex, a shared_mutex or a call_once has half a second from the kill
  // to get it: functions that lock are often `noexcept`, as destructors are. One that waits for a condition_variable
  // locks its mutex again before it is unwound, as with pthread_cancel. In modes that send no signal a G that never
  // gives way cannot be ended. On oneself: ends the G at once.
  // Threads: any. Blocks: up to 1 s. Throws: nothing but on oneself.
  bool kill() { return task_ && detail::kill_task(*task_); }
  // CPU time used so far; exact once it has ended.
  std::chrono::nanoseconds cpu_time() const noexcept;
  // Its preemptions and waits so far.
  g_info info() const noexcept;

 private:
  explicit join_handle(detail::joinable<R>* t) noexcept : task_(t) {}
  void swap(join_handle& other) noexcept { std::swap(task_, other.task_), std::swap(joined_, other.joined_); }
  template <class F, class... A>
  friend join_handle<detail::result_of<F, A...>> spawn(go_options, F&&, A&&...);

  detail::joinable<R>* task_ = nullptr;
  bool joined_ = false;
};

namespace detail {
std::chrono::nanoseconds cpu_time_of(task&) noexcept;
g_info info_of(task&) noexcept;
template <class F>
concept not_options = !std::is_same_v<std::remove_cvref_t<F>, go_options>;
}  // namespace detail

template <class R>
std::chrono::nanoseconds join_handle<R>::cpu_time() const noexcept {
  return task_ ? detail::cpu_time_of(*task_) : std::chrono::nanoseconds{0};
}
template <class R>
g_info join_handle<R>::info() const noexcept {
  return task_ ? detail::info_of(*task_) : g_info{};
}

// Starts a G that nobody waits for. An exception that escapes from it ends the process with the G's backtrace.
// Threads: a G. Blocks: no. Throws: std::logic_error outside a G; std::invalid_argument for a bad option;
// std::bad_alloc; std::system_error with own_identity when max_identities are carried.
// Source: Go's `go` statement (proc.go, newproc).
template <class F, class... A>
void go(go_options how, F&& f, A&&... a) {
  using call = detail::closure<std::decay_t<F>, std::decay_t<A>...>;
  detail::start_g(new detail::detached<call>(std::forward<F>(f), std::forward<A>(a)...), how);
}
template <detail::not_options F, class... A>
void go(F&& f, A&&... a) {
  go(go_options{}, std::forward<F>(f), std::forward<A>(a)...);
}

// Starts a G whose result or exception `join` delivers. Threads, Throws: as `go`.
template <class F, class... A>
join_handle<detail::result_of<F, A...>> spawn(go_options how, F&& f, A&&... a) {
  using R = detail::result_of<F, A...>;
  using call = detail::closure<std::decay_t<F>, std::decay_t<A>...>;
  auto* t = new detail::spawned<R, call>(std::forward<F>(f), std::forward<A>(a)...);
  t->hold();
  join_handle<R> handle(t);
  detail::start_g(t, how);
  return handle;
}
template <detail::not_options F, class... A>
join_handle<detail::result_of<F, A...>> spawn(F&& f, A&&... a) {
  return spawn(go_options{}, std::forward<F>(f), std::forward<A>(a)...);
}

// The G that asks. Threads: a G; outside one they throw std::logic_error.
namespace this_g {

std::uint64_t id();
std::string_view name();
// Goes behind every other runnable G of this P. Source: Go's goyield.
void yield();
// Unwinds this G's stack (destructors run) and ends it; in the main G, `run` then waits for all others. It is an
// exception that nobody means to catch: a `catch (...)` that swallows it keeps the G going, a `noexcept` function on
// the way ends the process. Source: Go's runtime.Goexit.
[[noreturn]] void exit();
std::stop_token stop_token();
std::chrono::nanoseconds cpu_time();
// Locks the calling G to its kernel thread, until as many calls of unlock_os_thread: it runs on no other (gettid() and
// pthread_self() stay the same, and so do all thread_locals), and no other G runs there. While it waits, or another has
// its turn, the thread stands still; a switch to such a G costs two wake-ups of threads. A G that ends while it is
// locked takes the thread with it: what it has changed there is never seen by another G. unlock_os_thread without a
// lock does nothing.
// Throws: std::logic_error outside a G, and when nested 2^32 times. Source: Go's runtime.LockOSThread.
void lock_os_thread();
void unlock_os_thread();

}  // namespace this_g

namespace detail {
void sleep_until(time_point);
}
namespace this_g {
// Sleeps until a moment, or for a while; a moment in the past returns at once. Blocks: the G.
template <class Clock, class Duration>
void sleep_until(const std::chrono::time_point<Clock, Duration>& t) {
  detail::sleep_until(detail::to_deadline(t));
}
template <class Rep, class Period>
void sleep_for(const std::chrono::duration<Rep, Period>& d) {
  detail::sleep_until(detail::to_deadline(d));
}
}  // namespace this_g

}  // namespace urge

#pragma GCC visibility pop
