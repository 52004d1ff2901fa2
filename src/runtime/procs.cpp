// SPDX-License-Identifier: MIT
// urge::procs and set_procs. Those who change the number take turns: the world is stopped by one at a time.
// Context: a G.
#include <stdexcept>
#include <string>

#include "runtime/options.hpp"
#include "sched/waitq.hpp"

namespace urge {

namespace {

// Never taken at the end of a run: whoever has it does not stop before it has passed it on.
struct turn {
  wait_list waiters;  // its lock guards `taken`
  bool taken = false;
};
turn world;

void take_turn(G* g) {
  lock_of(world.waiters).lock();
  while (world.taken) {
    waiter w;
    wait(g, world.waiters, w, wait_reason::semaphore);
    lock_of(world.waiters).lock();
  }
  world.taken = true;
  lock_of(world.waiters).unlock();
}

void pass_turn() noexcept {
  waiter* next;
  {
    std::lock_guard hold(lock_of(world.waiters));
    world.taken = false;
    next = pop(world.waiters);
  }
  if (next) wake(next);
}

}  // namespace

unsigned procs() {
  G* g = enter("urge::procs");
  const unsigned n = sched.procs.load(relaxed);
  leave(g);
  return n;
}

unsigned set_procs(unsigned n) {
  if (n > max_procs)
    throw std::invalid_argument("urge::set_procs: n = " + std::to_string(n) + ": must be a number from 0 to " +
                                std::to_string(max_procs));
  G* g = enter("urge::set_procs");
  take_turn(g);
  const unsigned before = sched.procs.load(relaxed);
  if (n != 0 && n != before && stop_world(g)) {
    change_procs(g, n);
    start_world(g);
  }
  pass_turn();
  leave(g);
  return before;
}

}  // namespace urge
