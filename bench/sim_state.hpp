// SPDX-License-Identifier: MIT
// The state of a simulated run: events in the order of their time, an M for each P, and the Gs. What Ms do is in
// sim_ms.cpp, what their calls of the real code cost in sim_calls.cpp, what there is to do in sim_work.cpp.
// An M has one event ahead of it, unless it sleeps. A call of the real code takes effect at the moment of its event;
// what it costs is known then, and delays the M's next.
#pragma once
#include <deque>
#include <memory>
#include <numeric>
#include <queue>
#include <random>
#include <vector>

#include "sched/m_supply.hpp"
#include "sim.hpp"
#include "sim_lines.hpp"

namespace urge::sim {

// What a G is about.
struct task {
  G* g = nullptr;
  std::uint64_t id = 0;
  std::int64_t work = 0;       // of a leaf
  std::uint64_t leaves = 0;    // of a node: below the children that it has still to start
  std::uint32_t children = 0;  // so many
  enum class state { idle, runnable, running } now = state::idle;
  std::uint32_t on_p = 0;  // where it was made, or has run last
  std::int64_t since = 0;  // runnable
  bool begun = false;
};

enum class step { wake, seek, round, steal, rest, spawn, end };

// The order in which a round of stealing visits the Ps: steal_work draws it so.
struct round_order {
  round_order() = default;
  round_order(unsigned of, unsigned random_by, unsigned from) : n(of), by(1 + random_by), first(from) {
    while (std::gcd(by, n) != 1) by = by % n + 1;
  }
  unsigned n = 1, by = 1, first = 0;
  unsigned at(unsigned k) const { return static_cast<unsigned>((first + std::uint64_t{k} * by) % n); }
};

struct machine {
  M m;
  step next = step::seek;
  task* running = nullptr;
  round_order order;
  unsigned round = 0, looked = 0;  // of four; at so many Ps in it
  std::int64_t slept_at = 0, spun_from = 0;
  std::int64_t busy_until = 0;  // with the runtime's own work: before that its G does nothing
  std::int64_t owed = 0;        // time that its G loses to the Gs that it makes runnable
};

class simulation {
 public:
  explicit simulation(const setup&);
  ~simulation();
  simulation(const simulation&) = delete;
  simulation& operator=(const simulation&) = delete;
  result run();

 private:
  struct event {
    std::int64_t at;
    std::uint64_t order;
    unsigned who;
    bool operator>(const event& e) const { return at != e.at ? at > e.at : order > e.order; }
  };
  enum class left { ended, for_new, preempted };

  // --- sim_ms.cpp ---
  void do_step(machine&);
  void seek(machine&);
  void begin_round(machine&);
  void steal(machine&);
  void rest(machine&);
  void found(machine&, picked, std::int64_t at);
  void start(machine&, picked, std::int64_t at);
  void spin(machine&, std::int64_t at);
  std::int64_t end_spin(machine&, unsigned me, std::int64_t at);
  void leave(machine&, left why);
  bool slice_is_over(const P&) const;

  // --- sim_calls.cpp: each does something by the real code, and returns what it costs ---
  std::int64_t pick(machine&, std::int64_t at, picked&);
  std::int64_t put_new_g(machine&, std::int64_t at, G*);
  std::int64_t put_local_g(machine&, std::int64_t at, G*, bool oldest);
  std::int64_t put_global_g(unsigned who, std::int64_t at, G*);
  std::int64_t wake(unsigned who, std::int64_t at);
  std::int64_t see_woken(const M* top, unsigned who, std::int64_t at);
  std::int64_t take_descriptor(machine&, std::int64_t at, G*&);
  std::int64_t put_descriptor(machine&, std::int64_t at, G*);
  round_order next_order(const P&) const;
  bool can_be_robbed(const P& victim, const P& by) const;
  unsigned first_with_work(const machine&) const;  // in its order; n: none
  std::int64_t look_until(machine&, unsigned k);   // and there, unless k is n

  // --- sim_work.cpp ---
  void begin_work();
  void spawn(machine&);
  void arrive();
  void end(machine&);
  task& make_task(G*, std::int64_t work, std::uint64_t leaves);
  void begun(task&, const P&);
  std::uint64_t expected() const;
  double fraction() { return (static_cast<double>(random_() >> 11) + 0.5) * 0x1p-53; }
  std::int64_t exponential(double mean);
  double mean_gap() const;

  void plan(std::int64_t when, machine& x, step what) {
    x.next = what;
    events_.push({when, ++n_events_, id_of(x)});
  }
  unsigned id_of(const machine& x) const { return static_cast<unsigned>(&x - ms_.get()); }
  result report();

  const setup how_;
  const unsigned arrivals_;  // the number of Ps: that of an event which is no M's
  lines lines_;
  lock_queue lock_;
  std::unique_ptr<machine[]> ms_;
  std::priority_queue<event, std::vector<event>, std::greater<>> events_;
  std::uint64_t n_events_ = 0;
  std::int64_t now_ = 1;  // 0 means "not yet" to the real code

  std::deque<task> tasks_;
  std::vector<task*> idle_tasks_;
  std::vector<bool> ran_;
  std::uint64_t made_ = 0, ended_ = 0;
  std::mt19937_64 random_;
  std::int64_t next_arrival_ = 0;

  std::vector<std::int64_t> waits_, busy_, first_g_;
  std::int64_t spun_ = 0, asleep_ = 0;
  result got_;
};

}  // namespace urge::sim
