// SPDX-License-Identifier: MIT
// What a spawned G runs, and what outlives it for its join_handle: closure, result or exception, outcome. Reference
// counted: the G holds one, a handle another; the last one frees it, always on a thread that may be preempted.
#pragma once
#include <urge/detail/wait_list.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

#pragma GCC visibility push(default)

namespace urge {

struct go_options;

// What is known of one G; see join_handle::info.
struct g_info {
  std::uint64_t preempts_cooperative = 0;    // gave way at a yield point after its slice
  std::uint64_t preempts_async = 0;          // was stopped by signal
  std::uint64_t preempts_kernel_thread = 0;  // likewise, and kept its thread
  std::uint64_t preempts_by_signal() const noexcept { return preempts_async + preempts_kernel_thread; }
  std::uint64_t preempts() const noexcept { return preempts_cooperative + preempts_by_signal(); }
  std::uint64_t promotions = 0;      // times that it took a thread identity along
  std::int64_t max_wait_ns = 0;      // the longest that it was runnable without running
  bool running = false;              // on a P at this moment
  int fault = 0;                     // the signal that ended it, see options.contain_faults; 0: none
  std::uintptr_t fault_address = 0;  // what it was about, if SIGSEGV or SIGBUS
  bool stack_overflow = false;       // it ran onto its guard
};

namespace detail {

enum class outcome : std::uint32_t { live, finished, exited, killed };

class task {
 public:
  task() = default;
  task(const task&) = delete;
  task& operator=(const task&) = delete;

  // Memory of the library's own, for no libc lock is to be held where a G is started or ends. Threads: any.
  static void* operator new(std::size_t bytes);
  static void operator delete(void* memory, std::size_t bytes) noexcept;
  static void* operator new(std::size_t bytes, std::align_val_t alignment) { return ::operator new(bytes, alignment); }
  static void operator delete(void* memory, std::size_t, std::align_val_t alignment) noexcept {
    ::operator delete(memory, alignment);
  }

  virtual void invoke() = 0;  // on the G; leaves the result behind
  void hold() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void drop() noexcept {
    // The only handle has nobody to agree with.
    if (refs_.load(std::memory_order_acquire) == 1 || refs_.fetch_sub(1, std::memory_order_acq_rel) == 1)
      delete this;  // [task.refs] release and acquire: all uses before the end
  }

  std::atomic<outcome> state{outcome::live};  // leaves `live` once, under joiners' lock
  std::uint64_t id = 0;                       // const after start
  std::int64_t pause_after = 0;  // ns of CPU time after which it is paused first; 0: never; const after start
  bool paused = false;           // stands still until it is resumed (joiners' lock)
  void* g = nullptr;             // the G while live (joiners' lock)
  std::int64_t cpu_ns = 0;       // total, and info below, once the G has ended (joiners' lock)
  g_info info;
  wait_list joiners;
  std::atomic<std::stop_source*> stop{nullptr};  // made by whoever asks first

  std::stop_source& stop_source();

 protected:
  virtual ~task();

 private:
  std::atomic<std::uint32_t> refs_{1};
};

// Thrown by this_g::exit and in a G that is killed, to unwind it, and caught at its first frame. Not a std::exception:
// nobody means to catch it.
struct unwind_g {
  bool killed = false;
};

// A value or the exception that came instead.
template <class R>
class result {
 public:
  template <class F>
  void run(F&& f) {
    try {
      if constexpr (std::is_void_v<R>)
        std::forward<F>(f)(), value_.emplace();
      else
        value_.emplace(std::forward<F>(f)());
    } catch (const unwind_g&) {
      throw;
    } catch (...) {
      error_ = std::current_exception();
    }
  }
  R take() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    if constexpr (!std::is_void_v<R>) return std::move(*value_);
  }
  bool empty() const noexcept { return !value_ && !error_; }

 private:
  struct nothing {};
  std::optional<std::conditional_t<std::is_void_v<R>, nothing, R>> value_;
  std::exception_ptr error_;
};

// The closure: callable and arguments, decayed copies as in std::thread.
template <class F, class... A>
class closure {
 public:
  template <class F2, class... A2>
  explicit closure(F2&& f, A2&&... a) : parts_(std::forward<F2>(f), std::forward<A2>(a)...) {}
  decltype(auto) operator()() {
    return std::apply([](F&& f, A&&... a) -> decltype(auto) { return std::invoke(std::move(f), std::move(a)...); },
                      std::move(parts_));
  }

 private:
  std::tuple<F, A...> parts_;
};

template <class F, class... A>
using result_of = std::decay_t<std::invoke_result_t<std::decay_t<F>, std::decay_t<A>...>>;

template <class R>
class joinable : public task {
 public:
  result<R> value;
};

template <class R, class C>
class spawned final : public joinable<R> {
 public:
  template <class... X>
  explicit spawned(X&&... x) : call_(std::in_place, std::forward<X>(x)...) {}
  void invoke() override {
    // The closure ends with the call, not with the last handle: what it captured is free when join returns.
    struct at_end {
      std::optional<C>& call;
      ~at_end() { call.reset(); }
    } end{call_};
    this->value.run(*call_);
  }

 private:
  std::optional<C> call_;
};

// For `go`: an exception that escapes finds no handler above, so the process ends at the throw with the stack still
// there.
template <class C>
class detached final : public task {
 public:
  template <class... X>
  explicit detached(X&&... x) : call_(std::forward<X>(x)...) {}
  void invoke() noexcept override {
    try {
      call_();
    } catch (const unwind_g&) {
    }
  }

 private:
  C call_;
};

void start_g(
    task*, const go_options&);  // takes over one reference; throws std::logic_error outside a G, then having dropped it
void join_task(task&);          // waits until it is not live; throws std::logic_error outside a G, or for one's own
[[noreturn]] void throw_no_result(outcome);
void check_cpu_time(std::chrono::nanoseconds, const char* who);  // throws std::invalid_argument unless above 0
bool kill_task(task&);                                           // join_handle::kill
// Waits until a G that was started with `pause_after` has ended (true) or is paused (false); `cpu_ns` 0: it is running,
// else a paused one goes on first for so much CPU time.
bool wait_for_pause(task&, std::int64_t cpu_ns);

}  // namespace detail
}  // namespace urge

#pragma GCC visibility pop
