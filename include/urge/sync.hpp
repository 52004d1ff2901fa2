// SPDX-License-Identifier: MIT
// What Gs wait with for each other, in the shapes of the standard library: porting from std:: is a rename, and
// std::lock_guard, unique_lock, shared_lock, scoped_lock and std::lock work with them. Only the G waits, never its
// thread, and to wait allocates nothing.
//
// For all of them: waiters are served first in, first out. Objects may be static: their constructors are constant
// expressions. What a G has locked, taken or counted when `run` abandons it stays so; one that was only waiting leaves
// nothing behind, so a mutex that nobody holds can be used in the next run. To lock again what one holds (but for
// recursive_mutex) waits for ever.
#pragma once
#include <urge/detail/sync_counting.hpp>
#include <urge/detail/sync_mutex.hpp>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>

#pragma GCC visibility push(default)

namespace urge {

namespace detail {

// True: notified; false: the deadline passed. Either way the mutex is locked again.
bool wait_notified(wait_list&, std::unique_lock<mutex>&, time_point deadline, const char* who);
void notify(wait_list&, bool all) noexcept;

struct once_core {
  enum : std::uint32_t { idle, running, finished };
  std::atomic<std::uint32_t> state{idle};
  std::uint64_t run = 0;  // in which it is running; waiters' lock
  wait_list waiters;
};
bool begin_once(once_core&);  // true: the caller must run it, then end it
void end_once(once_core&, bool succeeded) noexcept;

}  // namespace detail

// Waits for a notification, with std::unique_lock<urge::mutex> only. A notification between the unlock of the mutex
// and the wait is not lost. Waiters are notified in the order in which they came. There are no spurious wake-ups, but
// another G may have had the mutex in between, so ask for the condition in a loop or use the forms with a predicate.
// It may be destroyed once all waiters are notified; one whose deadline passes or that is killed may need it until its
// `wait` has ended.
// Threads: wait* a G, notify_* any. Source: std::condition_variable.
class condition_variable {
 public:
  constexpr condition_variable() noexcept = default;
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;

  // Wakes the first waiter, or all. If their mutex is locked they move on to its queue instead of waking for nothing.
  // Threads: any. Blocks: no.
  void notify_one() noexcept { detail::notify(waiters_, false); }
  void notify_all() noexcept { detail::notify(waiters_, true); }

  // Unlocks, waits for a notification, locks. Threads: a G. Blocks: the G.
  // Throws: std::logic_error outside a G; std::system_error (operation_not_permitted) if `lock` is not locked by the
  // caller.
  void wait(std::unique_lock<mutex>& lock) {
    detail::wait_notified(waiters_, lock, detail::no_deadline, "urge::condition_variable::wait");
  }
  // The same until `ready()` is true, which is asked with the mutex locked.
  template <class Predicate>
  void wait(std::unique_lock<mutex>& lock, Predicate ready) {
    while (!ready()) wait(lock);
  }
  // The same at most until a moment, or for a while. The forms with a predicate return its last value.
  template <class Clock, class Duration>
  std::cv_status wait_until(std::unique_lock<mutex>& lock, const std::chrono::time_point<Clock, Duration>& t) {
    const bool notified =
        detail::wait_notified(waiters_, lock, detail::to_deadline(t), "urge::condition_variable::wait_until");
    return notified ? std::cv_status::no_timeout : std::cv_status::timeout;
  }
  template <class Clock, class Duration, class Predicate>
  bool wait_until(std::unique_lock<mutex>& lock, const std::chrono::time_point<Clock, Duration>& t, Predicate ready) {
    const time_point deadline = detail::to_deadline(t);
    while (!ready())
      if (wait_until(lock, deadline) == std::cv_status::timeout) return ready();
    return true;
  }
  template <class Rep, class Period>
  std::cv_status wait_for(std::unique_lock<mutex>& lock, const std::chrono::duration<Rep, Period>& d) {
    return wait_until(lock, detail::to_deadline(d));
  }
  template <class Rep, class Period, class Predicate>
  bool wait_for(std::unique_lock<mutex>& lock, const std::chrono::duration<Rep, Period>& d, Predicate ready) {
    return wait_until(lock, detail::to_deadline(d), std::move(ready));
  }

 private:
  detail::wait_list waiters_;
};

// Whether `call_once` has run its function. It must outlive all calls with it.
class once_flag {
 public:
  constexpr once_flag() noexcept = default;
  once_flag(const once_flag&) = delete;
  once_flag& operator=(const once_flag&) = delete;

  template <class F, class... A>
  friend void call_once(once_flag&, F&&, A&&...);

 private:
  detail::once_core core_;
};

// Calls `f` unless a call with this flag has returned; waits for one that is under way. If that throws, its caller gets
// the exception and the next in the queue tries; so it does if the caller is abandoned by the end of its run.
// Threads: a G. Blocks: the G. Throws: std::logic_error outside a G; what `f` throws. Source: std::call_once.
template <class F, class... A>
void call_once(once_flag& flag, F&& f, A&&... a) {
  if (!detail::begin_once(flag.core_)) return;
  struct at_end {
    detail::once_core& core;
    bool succeeded = false;
    ~at_end() { detail::end_once(core, succeeded); }
  } end{flag.core_};
  std::invoke(std::forward<F>(f), std::forward<A>(a)...);
  end.succeeded = true;
}

}  // namespace urge

#pragma GCC visibility pop
