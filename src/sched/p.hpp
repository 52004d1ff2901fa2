// SPDX-License-Identifier: MIT
// P: the right to run Gs, of which there are `procs`, with a run queue and caches. Ps are never freed.
#pragma once
#include <urge/runtime.hpp>

#include "base/rng.hpp"
#include "sched/gqueue.hpp"
#include "sched/runq.hpp"
#include "sched/spawnq.hpp"
#include "sched/task_memory.hpp"
#include "sched/timers.hpp"

namespace urge {

// Counters of a P: written by its owner only, summed by anyone.
struct p_counters {
  atomic<std::uint64_t> spawned{0}, finished{0}, switches{0}, steals{0}, stolen{0}, global_gets{0}, cooperative{0},
      async{0}, kernel_thread{0}, promoted{0}, stops_under_lock{0}, resumed_elsewhere{0};
  atomic<std::uint64_t> stops[static_cast<std::size_t>(stop_place::count_)] = {};
};

struct alignas(64) P {
  // --- const after start ---
  unsigned id = 0;

  // --- whoever owns it by its status ---
  atomic<p_status> status{p_status::idle};  // [p.status]
  atomic<M*> m{nullptr};
  P* link = nullptr;            // in a list of sched's
  bool start_spinning = false;  // for the M that is being made for it
  // --- the owner's alone: others look at what stands above, at each theft ---
  alignas(64) rng random{1};
  G* free_gs = nullptr;
  unsigned n_free_gs = 0;
  std::uint64_t next_id = 0, ids_left = 0;  // numbers for new Gs, drawn from sched's in batches
  stack free_stacks[16];
  unsigned n_free_stacks = 0;
  task_cache tasks[task_sizes];
  p_counters count;

  std::uint64_t new_first_since = 0;  // the owner's: tick since when new Gs have come before the queue; 0: they do not
  std::uint64_t others_since = 0;  // likewise: while some that have used up a slice wait, since when others came first
  std::uint64_t ran_at_once = 0;   // likewise: ticks that the G had run which was last stopped as its slice was over
  bool timers_turn = true;         // the owner's: see timers_are_next
  const G* woken_by_timer = nullptr;  // the owner's: a G that a timer has put into runnext, and that may be there still

  // --- the slice: written by the owner at each switch, read by sysmon ---
  alignas(64) atomic<std::uint32_t> schedtick{0};  // number of the slice
  atomic<std::uint32_t> syscalltick{0};
  atomic<std::uint64_t> slice_start{0};   // tick
  atomic<std::uint64_t> run_start{0};     // tick at which its G was switched to; it may go on in another's slice
  atomic<std::uint64_t> slice_length{0};  // ticks
  atomic<std::uint64_t> limit_at{0};      // tick at which its G has used up its CPU limit; 0: it has none
  // The slice's G goes before others because it was woken; how much more than their share of this P's time such slices
  // have had, ticks, and since when that is to be brought up to date. The owner's; sysmon reads them.
  atomic<bool> woken_slice{false};
  atomic<std::uint64_t> woken_debt{0}, debt_from{0};
  // When the account was last put right by the CPU time of this M's thread, and what that was, ns. Null: not since the
  // P has changed hands. The owner's; sysmon reads them.
  atomic<const M*> mark_m{nullptr};
  atomic<std::int64_t> mark_cpu{0};
  atomic<std::uint64_t> mark_tick{0};
  atomic<std::uint64_t> given{0};       // ticks for which the slice's G has stood aside for woken ones since it began
  atomic<std::uint32_t> stop_slice{0};  // the slice that somebody wants to end now: its G shall be killed
  // --- written by sysmon (and by whoever wants the P back), read by the owner and the handler ---
  atomic<std::uint32_t> request{0};      // the slice that is to end; a request dies with its slice
  atomic<std::int64_t> slice_end_ns{0};  // when it ran out, for the latency histogram
  atomic<std::uint64_t> gave_way{0};     // tick: when a slice here was last cut short for a woken G; the owner's

  atomic<G*> runnext{nullptr};  // owner sets, any M may take
  runq queue;
  spawnq spawned;
  timers clock;

  // Context: the owner. Returns what was there. `alone`: there is no other P, so nobody steals, and a store will do.
  G* swap_runnext(G* g, bool alone) noexcept {
    if (!alone) return runnext.exchange(g, acq_rel);  // [runnext] release: the new G; acquire: the old one
    G* old = runnext.load(relaxed);
    runnext.store(g, relaxed);
    return old;
  }

  bool has_work() const noexcept { return runnext.load(relaxed) || queue.size() != 0 || spawned.size() != 0; }
  // The new ones, the oldest first. Context: the owner, or nobody else is at work.
  gqueue take_new() noexcept {
    gqueue all;
    G* batch[spawnq::capacity];
    while (const std::uint32_t n = spawned.grab(batch))
      for (std::uint32_t i = 0; i < n; ++i) all.push_back(batch[i]);
    return all;
  }
  // All that wait here. Context: as above.
  gqueue take_all() noexcept {
    gqueue all;
    if (G* g = swap_runnext(nullptr, false)) all.push_back(g);
    gqueue fresh = take_new();
    all.append(fresh);
    while (G* g = queue.get()) all.push_back(g);
    return all;
  }

  // The slice numbers skip 0, which is "no request".
  bool preempt_wanted() const noexcept { return request.load(relaxed) == schedtick.load(relaxed); }
};

}  // namespace urge
