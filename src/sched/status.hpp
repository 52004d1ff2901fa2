// SPDX-License-Identifier: MIT
// States of G and P and the edges between them (docs/protocols/g_status.md, p_status.md). Each edge has one writer, who
// owns the G or P at that moment; so a store is enough, but for the P in `syscall`, for which two compete, and for the
// last two states of a G, which sysmon sets (sched/syscall.cpp).
#pragma once
#include <cstdint>
#include <string_view>

#include "base/atomic.hpp"
#include "base/fatal.hpp"

namespace urge {

//            on which queue              who owns the stack    M and P
// idle       none; just allocated        nobody                none
// runnable   a run queue                 nobody                none
// running    none                        the G                 both
// syscall    none                        the G                 an M; the P may be taken away
// suspect    none                        the G                 both; sysmon thinks that its thread sleeps in the kernel
// detaching  none                        the G; it may not     an M; sysmon takes the P
//                                        enter the runtime
// waiting    a wait list or timer heap   nobody                none
// preempted  none; on its way to a queue the M that stops it   leaving both
// dead       a free list                 nobody                none
enum class g_status : std::uint32_t { idle, runnable, running, syscall, waiting, preempted, dead, suspect, detaching };

// idle       on sched.idle_ps            owned by sched.lock
// running    owned by an M that runs Gs or looks for some
// syscall    its M is in a system call; owned by whoever swaps the state
// stopped    the world stands still, or the P is no more; owned by who has stopped the world (its own P says so too)
enum class p_status : std::uint32_t { idle, running, syscall, stopped };

constexpr std::string_view name_of(g_status s) noexcept {
  constexpr std::string_view names[] = {"idle",      "runnable", "running", "syscall",  "waiting",
                                        "preempted", "dead",     "running", "detaching"};
  return names[static_cast<unsigned>(s)];
}

// Legal edges of a G, a bit per target state.
constexpr bool legal(g_status from, g_status to) noexcept {
  constexpr auto bit = [](g_status s) { return 1u << static_cast<unsigned>(s); };
  constexpr unsigned edges[] = {
      /* idle */ bit(g_status::runnable) | bit(g_status::dead),
      /* runnable */ bit(g_status::running) | bit(g_status::dead),
      /* running */ bit(g_status::syscall) | bit(g_status::waiting) | bit(g_status::preempted) |
          bit(g_status::runnable) | bit(g_status::dead),
      /* syscall */ bit(g_status::running) | bit(g_status::runnable) | bit(g_status::dead),
      /* waiting */ bit(g_status::runnable) | bit(g_status::dead),
      /* preempted */ bit(g_status::runnable) | bit(g_status::waiting) | bit(g_status::dead),
      /* dead */ bit(g_status::idle),
      /* suspect */ bit(g_status::running) | bit(g_status::detaching),
      /* detaching */ bit(g_status::syscall),
  };
  return (edges[static_cast<unsigned>(from)] & bit(to)) != 0;
}

// Moves a G along an edge. Release: whoever reads the new state sees what the mover did before (a dump reads the stack
// of a waiting G); the queues order everything else.
inline void set_status(atomic<g_status>& word, [[maybe_unused]] g_status from, g_status to) noexcept {
  URGE_DCHECK((word.load(relaxed) == from || (from == g_status::running && word.load(relaxed) == g_status::suspect)) &&
                  legal(from, to),
              "illegal change of a G's status");
  word.store(to, release);  // [g.status] release: the saved context
}

}  // namespace urge
