// SPDX-License-Identifier: MIT
// Part of <urge/sync.hpp>: mutex, timed_mutex, recursive_mutex, shared_mutex. The state is plain data here; all that is
// done with it is in src/sync/mutex.cpp and shared_mutex.cpp. Even the uncontended path is a call: who the calling G is
// must not be cached by the caller's compiler (src/sched/current.hpp).
#pragma once
#include <urge/detail/wait_list.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)

namespace urge {

namespace detail {

// `who` names the public function in what they throw: std::logic_error outside a G, std::system_error for unlocking
// what the caller has not locked.
struct mutex_core {
  std::atomic<std::uintptr_t> word{0};  // its owner and flags: src/sync/mutex_core.hpp
  std::uint64_t run = 0;                // in which the flags were last put right; waiters' lock
  wait_list waiters;
};
void lock(mutex_core&, const char* who);
bool try_lock(mutex_core&, const char* who);
bool lock_until(mutex_core&, time_point deadline, const char* who);
void unlock(mutex_core&, const char* who);
bool owned_by_caller(const mutex_core&, const char* who);
[[noreturn]] void throw_not_owner(const char* who);

struct shared_mutex_core {
  std::atomic<std::uintptr_t> word{0};  // its owner or the number of readers, and flags: src/sync/shared_mutex.cpp
  wait_list waiters;
};
void lock(shared_mutex_core&);
bool try_lock(shared_mutex_core&);
void unlock(shared_mutex_core&);
void lock_shared(shared_mutex_core&);
bool try_lock_shared(shared_mutex_core&);
void unlock_shared(shared_mutex_core&);

}  // namespace detail

// One G at a time. Whoever comes while it is free takes it, also past waiters, for they still have to wake up; but when
// the first waiter has waited over 1 ms, unlock hands the mutex to it directly.
// Threads: a G. Throws: std::logic_error outside a G. Source: Go's sync.Mutex.
class mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  // Blocks: the G.
  void lock() { detail::lock(core_, "urge::mutex::lock"); }
  // True: locked. Blocks: no.
  bool try_lock() { return detail::try_lock(core_, "urge::mutex::try_lock"); }
  // Blocks: no (it may give way). Throws: std::system_error (operation_not_permitted) if the caller has not locked it.
  void unlock() { detail::unlock(core_, "urge::mutex::unlock"); }

  using native_handle_type = detail::mutex_core&;
  native_handle_type native_handle() noexcept { return core_; }

 private:
  detail::mutex_core core_;
};

// A mutex for which one may wait for a limited time. Threads, Throws: as mutex.
class timed_mutex {
 public:
  constexpr timed_mutex() noexcept = default;
  timed_mutex(const timed_mutex&) = delete;
  timed_mutex& operator=(const timed_mutex&) = delete;

  void lock() { detail::lock(core_, "urge::timed_mutex::lock"); }
  bool try_lock() { return detail::try_lock(core_, "urge::timed_mutex::try_lock"); }
  // True: locked; false: the time has passed. Blocks: the G.
  template <class Rep, class Period>
  bool try_lock_for(const std::chrono::duration<Rep, Period>& d) {
    return detail::lock_until(core_, detail::to_deadline(d), "urge::timed_mutex::try_lock_for");
  }
  template <class Clock, class Duration>
  bool try_lock_until(const std::chrono::time_point<Clock, Duration>& t) {
    return detail::lock_until(core_, detail::to_deadline(t), "urge::timed_mutex::try_lock_until");
  }
  void unlock() { detail::unlock(core_, "urge::timed_mutex::unlock"); }

 private:
  detail::mutex_core core_;
};

// A mutex that its owner may lock again; it is free when it was unlocked as often. Threads, Throws: as mutex.
class recursive_mutex {
 public:
  constexpr recursive_mutex() noexcept = default;
  recursive_mutex(const recursive_mutex&) = delete;
  recursive_mutex& operator=(const recursive_mutex&) = delete;

  void lock() {
    if (!detail::owned_by_caller(core_, "urge::recursive_mutex::lock"))
      detail::lock(core_, "urge::recursive_mutex::lock");
    ++depth_;
  }
  bool try_lock() {
    if (!detail::owned_by_caller(core_, "urge::recursive_mutex::try_lock") &&
        !detail::try_lock(core_, "urge::recursive_mutex::try_lock"))
      return false;
    ++depth_;
    return true;
  }
  void unlock() {
    if (!detail::owned_by_caller(core_, "urge::recursive_mutex::unlock"))
      detail::throw_not_owner("urge::recursive_mutex::unlock");
    if (--depth_ == 0) detail::unlock(core_, "urge::recursive_mutex::unlock");
  }

 private:
  detail::mutex_core core_;
  std::size_t depth_ = 0;  // the owner's
};

// One writer, or any number of readers. Strictly in turn: who comes while somebody waits goes to the end of the queue,
// so neither kind starves the other; readers that wait next to each other go together.
// Threads: a G. Throws: std::logic_error outside a G; unlock and unlock_shared std::system_error
// (operation_not_permitted) if the caller has not locked it (for readers: if no reader has).
class shared_mutex {
 public:
  constexpr shared_mutex() noexcept = default;
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;

  void lock() { detail::lock(core_); }                               // Blocks: the G.
  bool try_lock() { return detail::try_lock(core_); }                // Blocks: no.
  void unlock() { detail::unlock(core_); }                           // Blocks: no.
  void lock_shared() { detail::lock_shared(core_); }                 // Blocks: the G.
  bool try_lock_shared() { return detail::try_lock_shared(core_); }  // Blocks: no.
  void unlock_shared() { detail::unlock_shared(core_); }             // Blocks: no.

 private:
  detail::shared_mutex_core core_;
};

}  // namespace urge

#pragma GCC visibility pop
