// SPDX-License-Identifier: MIT
// Starting a G and going on when it waits: what tests of order need. There is no time in it: the G says that it is
// about to wait, cannot be preempted from there on, and is seen not to run.
#pragma once
#include <urge/go.hpp>
#include <urge/preempt.hpp>

#include <atomic>
#include <utility>

namespace urge::test {

// Runs `wait()` and then `then()` on a new G; returns when `wait` has stopped it (or has returned without stopping and
// the G has stopped later).
template <class Wait, class Then>
join_handle<void> spawn_waiting(Wait wait, Then then) {
  std::atomic<bool> about{false};
  auto handle = spawn([&about, wait = std::move(wait), then = std::move(then)]() mutable {
    {
      preempt_guard hold;
      about.store(true);
      wait();
    }
    then();
  });
  while (!about.load() || handle.info().running) this_g::yield();
  return handle;
}
template <class Wait>
join_handle<void> spawn_waiting(Wait wait) {
  return spawn_waiting(std::move(wait), [] {});
}

// Gives way in every mode of preemption, so that a loop that waits for a flag ends.
template <class Condition>
void yield_until(Condition&& holds) {
  while (!holds()) this_g::yield();
}

}  // namespace urge::test
