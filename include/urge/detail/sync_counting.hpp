// SPDX-License-Identifier: MIT
// Part of <urge/sync.hpp>: what counts: counting_semaphore, latch, barrier, wait_group. The templates hold no logic of
// their own but the barrier's completion, which is the user's code and runs outside the runtime.
#pragma once
#include <urge/detail/wait_list.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#pragma GCC visibility push(default)

namespace urge {

namespace detail {

inline constexpr std::ptrdiff_t max_count = PTRDIFF_MAX;

// Throws std::invalid_argument if n is not in 0..max.
std::ptrdiff_t check_count(std::ptrdiff_t n, std::ptrdiff_t max, const char* who);

struct semaphore_core {
  explicit constexpr semaphore_core(std::ptrdiff_t n) noexcept : word(static_cast<std::uint64_t>(n) << 1) {}
  std::atomic<std::uint64_t> word;  // twice the count, plus 1: somebody may wait
  wait_list waiters;
};
void semaphore_acquire(semaphore_core&);
bool semaphore_try_acquire(semaphore_core&);
bool semaphore_acquire_until(semaphore_core&, time_point deadline, const char* who);
void semaphore_release(semaphore_core&, std::ptrdiff_t n, std::ptrdiff_t max);

// A count that Gs wait for to be zero: a latch, a wait group.
struct countdown {
  explicit constexpr countdown(std::ptrdiff_t n) noexcept : left(n) {}
  std::atomic<std::ptrdiff_t> left;  // becomes 0 under waiters' lock only
  wait_list waiters;
};
void latch_count_down(countdown&, std::ptrdiff_t n);
bool latch_try_wait(countdown&);
void latch_wait(countdown&);
void latch_arrive_and_wait(countdown&, std::ptrdiff_t n);
void wait_group_add(countdown&, std::ptrdiff_t n, const char* who);
void wait_group_wait(countdown&);

struct barrier_core {
  explicit constexpr barrier_core(std::ptrdiff_t n) noexcept : expected(n), pending(n) {}
  wait_list waiters;
  std::ptrdiff_t expected;  // waiters' lock, as all that follows
  std::ptrdiff_t pending;
  std::uint64_t phase = 0;
};
// True: the phase is complete; the caller runs the completion and then calls barrier_complete.
bool barrier_arrive(barrier_core&, std::ptrdiff_t n, bool drop, std::uint64_t& phase, const char* who);
void barrier_complete(barrier_core&);
void barrier_wait(barrier_core&, std::uint64_t phase);

struct no_completion {
  void operator()() noexcept {}
};

}  // namespace detail

// A number of units that Gs take and give back. A unit that is given back while somebody waits goes straight to the
// first waiter: nobody can take it on the way. LeastMax: the bound.
// Threads: release any, all others a G. Throws: std::logic_error outside a G. Source: std::counting_semaphore.
template <std::ptrdiff_t LeastMax = detail::max_count>
class counting_semaphore {
  static_assert(LeastMax >= 0);

 public:
  // Throws: std::invalid_argument unless 0 <= n <= max().
  explicit constexpr counting_semaphore(std::ptrdiff_t n)
      : core_(n >= 0 && n <= LeastMax ? n : detail::check_count(n, LeastMax, "urge::counting_semaphore: count")) {}
  counting_semaphore(const counting_semaphore&) = delete;
  counting_semaphore& operator=(const counting_semaphore&) = delete;

  static constexpr std::ptrdiff_t max() noexcept { return LeastMax; }
  // Takes a unit; waits for one. Blocks: the G.
  void acquire() { detail::semaphore_acquire(core_); }
  // True: got one. Blocks: no.
  bool try_acquire() { return detail::semaphore_try_acquire(core_); }
  // True: got one; false: the time has passed. Blocks: the G.
  template <class Rep, class Period>
  bool try_acquire_for(const std::chrono::duration<Rep, Period>& d) {
    return detail::semaphore_acquire_until(core_, detail::to_deadline(d), "urge::counting_semaphore::try_acquire_for");
  }
  template <class Clock, class Duration>
  bool try_acquire_until(const std::chrono::time_point<Clock, Duration>& t) {
    return detail::semaphore_acquire_until(core_, detail::to_deadline(t),
                                           "urge::counting_semaphore::try_acquire_until");
  }
  // Gives n units. Threads: any. Blocks: no. Throws: std::invalid_argument if n < 0; std::logic_error if there would be
  // more than max().
  void release(std::ptrdiff_t n = 1) { detail::semaphore_release(core_, n, LeastMax); }

 private:
  detail::semaphore_core core_;
};

using binary_semaphore = counting_semaphore<1>;

// Gs wait until it has been counted down to 0; then it stays open.
// Threads: count_down any, all others a G. Throws: std::logic_error outside a G, or when counted below 0 (nothing has
// changed then); std::invalid_argument for a negative number. Source: std::latch.
class latch {
 public:
  explicit constexpr latch(std::ptrdiff_t n)
      : core_(n >= 0 ? n : detail::check_count(n, detail::max_count, "urge::latch: count")) {}
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;

  static constexpr std::ptrdiff_t max() noexcept { return detail::max_count; }
  // Threads: any. Blocks: no.
  void count_down(std::ptrdiff_t n = 1) { detail::latch_count_down(core_, n); }
  // Is it open? Blocks: no.
  bool try_wait() const { return detail::latch_try_wait(core_); }
  // Blocks: the G.
  void wait() const { detail::latch_wait(core_); }
  void arrive_and_wait(std::ptrdiff_t n = 1) { detail::latch_arrive_and_wait(core_, n); }

 private:
  mutable detail::countdown core_;
};

// Gs that wait for each other, phase by phase. The last to arrive runs the completion, then all go on.
// Threads: a G. Throws: std::logic_error outside a G, or when more arrive than are expected; std::invalid_argument for
// a number below 1. Source: std::barrier.
template <class Completion = detail::no_completion>
class barrier {
  static_assert(std::is_nothrow_invocable_v<Completion&>, "urge::barrier: the completion must be noexcept");

 public:
  class [[nodiscard]] arrival_token {
   public:
    explicit arrival_token(std::uint64_t phase) noexcept : phase_(phase) {}
    arrival_token(arrival_token&&) noexcept = default;
    arrival_token& operator=(arrival_token&&) noexcept = default;
    std::uint64_t phase() const noexcept { return phase_; }

   private:
    std::uint64_t phase_;
  };

  // n: how many arrive in each phase. Throws: std::invalid_argument if negative.
  explicit constexpr barrier(std::ptrdiff_t n, Completion completion = Completion())
      : core_(n >= 0 ? n : detail::check_count(n, detail::max_count, "urge::barrier: count")),
        completion_(std::move(completion)) {}
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  static constexpr std::ptrdiff_t max() noexcept { return detail::max_count; }
  // Arrives n times; `wait` waits for the end of the phase. Blocks: no.
  arrival_token arrive(std::ptrdiff_t n = 1) {
    std::uint64_t phase = 0;
    arrive_as(n, false, phase, "urge::barrier::arrive");
    return arrival_token(phase);
  }
  // Blocks: the G.
  void wait(arrival_token&& token) const { detail::barrier_wait(core_, token.phase()); }
  void arrive_and_wait() {
    std::uint64_t phase = 0;
    if (!arrive_as(1, false, phase, "urge::barrier::arrive_and_wait")) detail::barrier_wait(core_, phase);
  }
  // Arrives; from the next phase on one less is expected. Blocks: no.
  void arrive_and_drop() {
    std::uint64_t phase = 0;
    arrive_as(1, true, phase, "urge::barrier::arrive_and_drop");
  }

 private:
  bool arrive_as(std::ptrdiff_t n, bool drop, std::uint64_t& phase, const char* who) {
    if (!detail::barrier_arrive(core_, n, drop, phase, who)) return false;
    completion_();
    detail::barrier_complete(core_);
    return true;
  }

  mutable detail::barrier_core core_;
  Completion completion_;
};

// Counts work under way; `wait` waits until there is none. Can be used again.
// Threads: add and done any, wait a G. Source: Go's sync.WaitGroup.
class wait_group {
 public:
  constexpr wait_group() noexcept : core_(0) {}
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;

  // n may be negative. Blocks: no. Throws: std::logic_error if the count would go below 0 or beyond PTRDIFF_MAX, then
  // nothing has changed.
  void add(std::ptrdiff_t n = 1) { detail::wait_group_add(core_, n, "urge::wait_group::add"); }
  void done() { detail::wait_group_add(core_, -1, "urge::wait_group::done"); }
  // Blocks: the G. Throws: std::logic_error outside a G.
  void wait() { detail::wait_group_wait(core_); }

 private:
  detail::countdown core_;
};

}  // namespace urge

#pragma GCC visibility pop
