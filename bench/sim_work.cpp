// SPDX-License-Identifier: MIT
// A simulated run from its beginning to its end: the scheduler's state is made ready and given back, the Gs do what the
// workload has them do, and what came of it is summed up.
#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>

#include "sim_state.hpp"

namespace urge::sim {

namespace {

constexpr std::uint64_t fan_out = 10;

template <class T>
void make_anew(T& x) {
  std::destroy_at(&x);
  std::construct_at(&x);
}

std::uint64_t nodes_of(std::uint64_t leaves) {
  if (leaves == 1) return 1;
  const std::uint64_t children = std::min(leaves, fan_out), less = leaves / children, more = leaves % children;
  return 1 + (children - more) * nodes_of(less) + (more == 0 ? 0 : more * nodes_of(less + 1));
}

std::int64_t quantile(std::vector<std::int64_t>& of, double q) {
  if (of.empty()) return 0;
  const auto at = of.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(of.size() - 1));
  std::nth_element(of.begin(), at, of.end());
  return *at;
}

}  // namespace

std::string_view name_of(workload w) noexcept {
  return w == workload::spread ? "spread" : w == workload::tree ? "tree" : "churn";
}
std::string_view name_of(sched_model m) noexcept { return m == sched_model::gmp ? "gmp" : "gm"; }

// All Ps are idle but the first, and all Ms sleep but the first, as in a run that has just begun. A tick is a
// nanosecond of simulated time.
simulation::simulation(const setup& how)
    : how_(how),
      arrivals_(how.ps),
      lines_(how.ps, how.ps == 1 ? 0 : how.ns.line),
      lock_(how.ns.lock, how.ps == 1 ? 0 : how.ns.line),
      ms_(std::make_unique<machine[]>(how.ps)),
      random_(how.seed) {
  ns_per_tick = 1;
  sched.how.model = how.model;
  sched.procs.store(how.ps), sched.procs_seen.store(how.ps);
  sched.quantum = static_cast<std::uint64_t>(how.quantum);
  sched.least_run = sched.woken_slice = sched.quantum;
  sched.n_used = how.ps;
  for (unsigned i = how.ps; i-- > 0;) {
    P& p = all_ps[i];
    p.id = i;
    p.random = rng(how.seed * max_procs + i + 1);
    M& m = ms_[i].m;
    m.tid.store(static_cast<int>(i));
    m.p = nullptr;
    if (i != 0) put_idle_p_locked(&p), put_idle_m_locked(&m);
  }
  acquire_p(&ms_[0].m, &all_ps[0]);
  busy_.resize(how.ps), first_g_.resize(how.ps);
  ran_.resize(expected());
  waits_.reserve(ran_.size());
}

simulation::~simulation() {
  for (std::size_t i = 0; i < slabs::made.load(); i += slabs::per_slab)
    os::unmap(slabs::table[i / slabs::per_slab].load(), sizeof(G) * slabs::per_slab);
  slabs::made.store(0);
  for (unsigned i = 0; i < how_.ps; ++i) make_anew(all_ps[i]);
  make_anew(sched);
}

std::uint64_t simulation::expected() const {
  switch (how_.what) {
    case workload::spread:
      return how_.gs + 1;
    case workload::tree:
      return nodes_of(how_.gs);
    case workload::churn:
      break;
  }
  return how_.gs;
}

std::int64_t simulation::exponential(double mean) {
  return static_cast<std::int64_t>(std::llround(-mean * std::log(fraction())));
}
double simulation::mean_gap() const {
  return 100.0 * static_cast<double>(how_.work + how_.ns.switch_to) / (how_.load * static_cast<double>(how_.ps));
}

task& simulation::make_task(G* g, std::int64_t work, std::uint64_t leaves) {
  if (idle_tasks_.empty()) idle_tasks_.push_back(&tasks_.emplace_back());
  task& t = *idle_tasks_.back();
  idle_tasks_.pop_back();
  t = {};
  t.g = g, t.id = made_++, t.work = work, t.since = now_;
  t.now = task::state::runnable;
  if (leaves > 1) t.leaves = leaves, t.children = static_cast<std::uint32_t>(std::min(leaves, fan_out)), t.work = 0;
  g->tag = &t;
  g->context = nullptr;
  g->n_started = 0, g->lets_new_run = true;
  return t;
}

void simulation::begun(task& t, const P&) {
  if (ran_[t.id]) throw std::runtime_error("G " + std::to_string(t.id) + " runs a second time");
  ran_[t.id] = true;
  t.begun = true;
}

void simulation::begin_work() {
  if (how_.what == workload::churn) {
    next_arrival_ = now_;
    events_.push({now_, ++n_events_, arrivals_});
    return plan(now_, ms_[0], step::seek);
  }
  G* const g = take_g(&all_ps[0]);
  if (!g) throw std::bad_alloc();
  task& t = make_task(g, how_.work, how_.what == workload::tree ? how_.gs : 1);
  if (how_.what == workload::spread) t.leaves = t.children = static_cast<std::uint32_t>(how_.gs), t.work = 0;
  start(ms_[0], {g}, now_);
}

// The G has started one more child: as start_g.
void simulation::spawn(machine& x) {
  task& self = *x.running;
  G* const g = self.g;
  P& p = *x.m.p;
  G* fresh = nullptr;
  std::int64_t cost = take_descriptor(x, now_, fresh);
  const std::uint64_t below = self.leaves / self.children;  // the rest is shared by those that come later
  self.leaves -= below, --self.children;
  task& t = make_task(fresh, how_.work, below);
  t.on_p = p.id;
  busy_[p.id] += how_.ns.spawn;
  if (how_.plant != mistake::lost || t.id != expected() / 2) cost += put_new_g(x, now_ + cost, fresh);
  const bool for_new = ++g->n_started >= many_new;
  if (for_new) g->n_started = 0;
  g->context = this;  // it has begun
  if (for_new && g->lets_new_run && p.spawned.size() >= many_new) {
    self.now = task::state::runnable;
    return leave(x, left::for_new);
  }
  if (slice_is_over(p)) {
    self.now = task::state::runnable;
    g->lets_new_run = true;
    return leave(x, left::preempted);
  }
  plan(now_ + cost + (self.children != 0 ? how_.ns.spawn : 0), x, self.children != 0 ? step::spawn : step::end);
}

void simulation::end(machine& x) {
  if (x.owed != 0) return plan(now_ + std::exchange(x.owed, 0), x, step::end);
  task& t = *x.running;
  t.now = task::state::idle;
  ++ended_;
  if (how_.plant == mistake::twice && t.id == expected() / 2) {
    t.now = task::state::runnable, t.begun = false;
    put_local(x.m.p, t.g, false);
    x.running = nullptr;
    return plan(now_, x, step::seek);
  }
  idle_tasks_.push_back(&t);
  leave(x, left::ended);
}

// A G becomes runnable by one that runs on some P, and is not waiting for a lock itself; or, if no P has one, by a
// thread without a P. It is one that has waited, so no descriptor is to be had.
void simulation::arrive() {
  machine* by = nullptr;
  std::int64_t free_at = 0;  // the first of those that run and wait
  const round_order order(how_.ps, static_cast<unsigned>(random_() % how_.ps),
                          static_cast<unsigned>(random_() % how_.ps));
  for (unsigned i = 0; i < how_.ps && !by; ++i) {
    machine& x = ms_[order.at(i)];
    if (!x.running) continue;
    if (x.busy_until <= now_) by = &x;
    free_at = free_at == 0 ? x.busy_until : std::min(free_at, x.busy_until);
  }
  if (!by && free_at != 0) return events_.push({free_at, ++n_events_, arrivals_});
  G* const g = idle_tasks_.empty() ? take_g(nullptr) : idle_tasks_.back()->g;
  if (!g) throw std::bad_alloc();
  task& t = make_task(g, exponential(static_cast<double>(how_.work)), 1);
  if (how_.plant == mistake::lost && t.id == expected() / 2) {
    // nobody is told
  } else if (by) {
    t.on_p = by->m.p->id;
    const std::int64_t cost = put_local_g(*by, now_, g, false);
    by->owed += cost;
    by->busy_until = now_ + cost;
  } else {
    put_global_g(0, now_, g);
  }
  next_arrival_ += exponential(mean_gap());
  if (made_ < how_.gs) events_.push({std::max(now_, next_arrival_), ++n_events_, arrivals_});
}

result simulation::run() {
  begin_work();
  const std::uint64_t all = expected();
  while (ended_ < all) {
    if (events_.empty()) throw std::runtime_error(std::to_string(all - ended_) + " Gs have not run, and all Ms sleep");
    const event e = events_.top();
    events_.pop();
    now_ = e.at;
    e.who == arrivals_ ? arrive() : do_step(ms_[e.who]);
  }
  return report();
}

result simulation::report() {
  got_.ran = static_cast<std::uint64_t>(std::count(ran_.begin(), ran_.end(), true));
  if (got_.ran != ran_.size() || made_ != ran_.size())
    throw std::runtime_error(std::to_string(ran_.size() - got_.ran) + " Gs have not run");
  if (sched.queue.n != 0) throw std::runtime_error("all Gs have run, and the global queue is not empty");
  for (unsigned i = 0; i < how_.ps; ++i)
    if (all_ps[i].has_work()) throw std::runtime_error("all Gs have run, and a P's queue is not empty");
  got_.time = now_ - 1;
  for (unsigned i = 0; i < how_.ps; ++i) {
    const machine& x = ms_[i];
    if (!x.m.p) asleep_ += std::max<std::int64_t>(now_ - x.slept_at, 0);
    if (x.m.p && x.m.spinning) spun_ += std::max<std::int64_t>(now_ - x.spun_from, 0);
    if (first_g_[i] == 0) ++got_.ps_without_g;
    got_.last_first_g = std::max(got_.last_first_g, first_g_[i] - 1);
  }
  const double all_time = static_cast<double>(got_.time) * how_.ps;
  got_.spinning = static_cast<double>(spun_) / all_time;
  got_.asleep = static_cast<double>(asleep_) / all_time;
  got_.lock_passes = lock_.passes(), got_.lock_waited = lock_.waited(), got_.lines_moved = lines_.moved();
  got_.wait = {quantile(waits_, 0.5), quantile(waits_, 0.99), quantile(waits_, 1)};
  double sum = 0, squares = 0;
  for (const std::int64_t b : busy_)
    sum += static_cast<double>(b), squares += static_cast<double>(b) * static_cast<double>(b);
  got_.jain = squares == 0 ? 0 : sum * sum / (squares * how_.ps);
  const double switches = static_cast<double>(ran_.size()) * static_cast<double>(how_.ns.switch_to);
  double ideal = (sum + switches) / how_.ps;
  if (how_.what == workload::spread)
    ideal = std::max(ideal, static_cast<double>(how_.gs) * static_cast<double>(how_.ns.spawn));
  if (how_.what == workload::churn) ideal = std::max(ideal, static_cast<double>(how_.gs) * mean_gap());
  got_.ideal = static_cast<std::int64_t>(ideal);
  return got_;
}

result simulate(const setup& how) {
  simulation s(how);
  return s.run();
}

}  // namespace urge::sim
