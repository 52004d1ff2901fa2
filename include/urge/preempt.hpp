// SPDX-License-Identifier: MIT
// Preemption as seen by the code that is preempted. Nothing here is needed for being preemptible: a G that never calls
// urge is stopped by signal when its slice has run out. Where no signals are wanted, `urge_prologue_checks(target)` in
// CMake makes every function entry of a target a yield point (by clang: of those with a frame; it
// refuses variadic functions that are not marked no_split_stack).
#pragma once
#include <urge/detail/gate.hpp>
#include <urge/go.hpp>

#include <chrono>
#include <stdexcept>
#include <utility>

#pragma GCC visibility push(default)

namespace urge {

// While one lives, this G is not preempted, neither by flag nor by signal. Nests. A request that arrives meanwhile is
// honoured when the outermost one ends. Blocking calls are allowed under it and switch to other Gs all the same.
// Threads: a G. Blocks: no (the end may give way). Throws: std::logic_error outside a G.
class [[nodiscard]] preempt_guard {
 public:
  preempt_guard() { detail::hold_preemption(); }
  ~preempt_guard() { detail::release_preemption(); }
  preempt_guard(const preempt_guard&) = delete;
  preempt_guard& operator=(const preempt_guard&) = delete;
};

// A yield point: gives way if this G's slice has run out. One load and a branch when nothing is asked.
// Threads: a G. Throws: std::logic_error outside a G.
inline void preempt_point() {
  if (detail::yield_wanted()) [[unlikely]]
    detail::yield_point();
}

// A preemptible function call: what `run_for` returns. It runs on a G of its own, and stands still while it is neither
// done nor resumed. The destructor drops it.
// Threads: a G, and one at a time; done and cpu_time any.
template <class R>
class [[nodiscard]] timed {
 public:
  timed(timed&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  timed& operator=(timed&& other) noexcept {
    timed(std::move(other)).swap(*this);
    return *this;
  }
  ~timed() { give_up(); }

  // Has the function returned or thrown?
  bool done() const noexcept {
    return task_ && task_->state.load(std::memory_order_acquire) != detail::outcome::live;
  }  // [task.state]
  // Its value, or rethrows its exception; once. Throws: std::logic_error while it is not done, and after drop; exited
  // if it left by this_g::exit.
  R get() {
    if (!done()) throw std::logic_error("urge::timed::get: the call is not done, or was dropped");
    detail::joinable<R>* t = std::exchange(task_, nullptr);
    struct at_end {
      detail::joinable<R>* t;
      ~at_end() { t->drop(); }
    } end{t};
    const auto how = t->state.load(std::memory_order_acquire);  // [task.state] acquire: the result
    if (how != detail::outcome::finished) {
      if constexpr (std::is_void_v<R>)
        if (how == detail::outcome::exited) return;
      detail::throw_no_result(how);
    }
    return t->value.take();
  }
  // Lets it go on for so much more CPU time. True: it is done. Blocks: until it is done or that time is used up.
  // Throws: std::logic_error after drop or get; std::invalid_argument unless cpu > 0.
  bool resume(std::chrono::nanoseconds cpu) {
    if (!task_) throw std::logic_error("urge::timed::resume: the call was dropped, or its result taken");
    detail::check_cpu_time(cpu, "urge::timed::resume");
    return done() || detail::wait_for_pause(*task_, cpu.count());
  }
  // Ends it as join_handle::kill does. What it holds is kept back. Blocks: up to 1 s.
  void drop() { give_up(); }
  std::chrono::nanoseconds cpu_time() const noexcept {
    return task_ ? detail::cpu_time_of(*task_) : std::chrono::nanoseconds{0};
  }

 private:
  explicit timed(detail::joinable<R>* t) noexcept : task_(t) {}
  void swap(timed& other) noexcept { std::swap(task_, other.task_); }
  void give_up() {
    if (!task_) return;
    if (!done()) detail::kill_task(*task_);
    std::exchange(task_, nullptr)->drop();
  }
  template <class F>
  friend timed<detail::result_of<F>> run_for(std::chrono::nanoseconds, F&&);

  detail::joinable<R>* task_;  // null: moved from, dropped, or its result taken
};

// Calls f on a G of its own for at most so much CPU time (time that it waits does not count), and returns when it is
// done or that is used up: then it stands still, at whatever instruction, and can be resumed or dropped.
// Threads: a G. Blocks: the G. Throws: as `go`; std::invalid_argument unless cpu > 0. Source: libinger's `launch`
// (Boucher et al., Lightweight Preemptible Functions, 2020).
template <class F>
timed<detail::result_of<F>> run_for(std::chrono::nanoseconds cpu, F&& f) {
  using R = detail::result_of<F>;
  detail::check_cpu_time(cpu, "urge::run_for");
  auto* t = new detail::spawned<R, detail::closure<std::decay_t<F>>>(std::forward<F>(f));
  t->pause_after = cpu.count();
  t->hold();
  timed<R> call(t);
  detail::start_g(t, go_options{});
  detail::wait_for_pause(*t, 0);
  return call;
}

}  // namespace urge

#pragma GCC visibility pop
