// SPDX-License-Identifier: MIT
// <urge/go.hpp> and <urge/preempt.hpp>: starting, joining, and what a G asks of itself.
#include <urge/go.hpp>
#include <urge/preempt.hpp>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

#include "preempt/preempt.hpp"
#include "runtime/maker.hpp"
#include "runtime/options.hpp"
#include "runtime/way_out.hpp"
#include "sched/sanitizer.hpp"
#include "sched/waitq.hpp"

namespace urge {

namespace detail {

task::~task() { delete stop.load(std::memory_order_acquire); }  // [task.stop] acquire: its constructor

std::stop_source& task::stop_source() {
  if (auto* s = stop.load(std::memory_order_acquire)) return *s;  // [task.stop]
  auto* mine = new std::stop_source;
  std::stop_source* theirs = nullptr;
  if (stop.compare_exchange_strong(theirs, mine, std::memory_order_acq_rel)) return *mine;  // [task.stop] release
  delete mine;
  return *theirs;
}

void start_g(task* job, const go_options& how) {
  try {
    validate(how);
    G* self = enter("urge::go");
    if (how.own_identity && !sanitizer::on && !preempt::reserve_identity()) {
      leave(self);
      throw std::system_error(
          EAGAIN, std::generic_category(),
          "urge::go: own_identity: max_identities = " + std::to_string(sched.how.max_identities) + " are carried");
    }
    go_options rounded = how;
    rounded.stack_size = (how.stack_size + 4095) & ~std::size_t{4095};
    G* g = new_g(job, rounded, self->m->p);
    if (!g) {
      if (how.own_identity && !sanitizer::on) preempt::unreserve_identity();
      leave(self);
      throw std::bad_alloc();
    }
    P* p = self->m->p;
    add_own(p->count.spawned, std::uint64_t{1});
    if (g->own_identity && !sanitizer::on) {
      maker::want_identity(g);
    } else {
      put_new(p, g);
      wake_p();
      if (++self->n_started >= many_new) let_new_run(self);
    }
    leave(self);
  } catch (...) {
    job->drop();
    throw;
  }
}

void join_task(task& t) {
  G* g = enter("urge::join_handle::join");
  if (g->job == &t) {
    leave(g);
    throw std::logic_error("urge::join_handle::join: a G cannot wait for its own end");
  }
  lock_of(t.joiners).lock();
  if (t.state.load(relaxed) == outcome::live) {
    waiter w;
    wait(g, t.joiners, w, wait_reason::join);
  } else {
    lock_of(t.joiners).unlock();
  }
  leave(g);
}

void throw_no_result(outcome how) {
  if (how == outcome::killed) throw killed();
  throw exited();
}

std::chrono::nanoseconds cpu_time_of(task& t) noexcept {
  G* self = enter_if_g();
  std::int64_t ns;
  {
    std::lock_guard hold(lock_of(t.joiners));
    if (const G* g = static_cast<const G*>(t.g)) {
      std::uint64_t used = g->cpu.load(relaxed);
      // On its P since the last switch; both words may change as we read them, the error is one slice at most.
      if (g->status.load(relaxed) == g_status::running) {
        const std::uint64_t now = ticks(), from = g->run_start.load(relaxed);
        if (now > from) used += now - from;
      }
      ns = ticks_to_ns(used);
    } else {
      ns = t.cpu_ns;
    }
  }
  leave(self);
  return std::chrono::nanoseconds(ns);
}

g_info info_of(task& t) noexcept {
  G* self = enter_if_g();
  g_info info;
  {
    std::lock_guard hold(lock_of(t.joiners));
    if (const G* g = static_cast<const G*>(t.g)) {
      info = {g->n_cooperative.load(relaxed),
              g->n_async.load(relaxed),
              g->n_kernel_thread.load(relaxed),
              g->n_promoted.load(relaxed),
              ticks_to_ns(g->max_wait.load(relaxed)),
              g->status.load(relaxed) == g_status::running,
              0,
              0,
              false};
      // Including the wait that it is in.
      if (g->status.load(relaxed) == g_status::runnable) {
        const std::uint64_t now = ticks(), since = g->runnable_since.load(relaxed);
        if (now > since) info.max_wait_ns = std::max(info.max_wait_ns, ticks_to_ns(now - since));
      }
    } else {
      info = t.info;
    }
  }
  leave(self);
  return info;
}

void yield_point() {
  G* g = enter("urge::preempt_point");
  leave(g);  // gives way if its slice is over
  unwind_if_doomed(g);
}

void hold_preemption() {
  G* g = enter("urge::preempt_guard");
  add_own(g->guards, 1u);  // and keeps what enter has added to locks
}

void release_preemption() {
  G* g = current_g();
  if (!g) return;  // a child of fork: nobody preempts it
  g->guards.store(g->guards.load(relaxed) - 1, relaxed);
  leave(g);
}

void sleep_until(time_point t) {
  G* g = enter("urge::this_g::sleep");
  const std::int64_t when = to_ns(t);
  if (when > monotonic_ns()) {
    waiter w;
    wait_any(
        g, &w, 1, wait_reason::sleep, [](void*) noexcept {}, nullptr, when);
  } else {
    give_way(g, false);
  }
  leave(g);
}

}  // namespace detail

namespace this_g {

namespace {
G* self(const char* function) {
  G* g = current_g();
  if (!g) throw std::logic_error(std::string(function) + ": called outside a G");
  return g;
}
}  // namespace

std::uint64_t id() { return self("urge::this_g::id")->id; }
std::string_view name() { return self("urge::this_g::name")->called(); }

void yield() {
  G* g = enter("urge::this_g::yield");
  give_way(g, false);
  leave(g);
  unwind_if_doomed(g);
}

void exit() {
  G* g = enter("urge::this_g::exit");
  leave(g);
  go_on_behind_libc(*g);
  throw detail::unwind_g{};
}

std::stop_token stop_token() { return self("urge::this_g::stop_token")->job->stop_source().get_token(); }
std::chrono::nanoseconds cpu_time() { return detail::cpu_time_of(*self("urge::this_g::cpu_time")->job); }

}  // namespace this_g
}  // namespace urge
