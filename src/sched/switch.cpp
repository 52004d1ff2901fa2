// SPDX-License-Identifier: MIT
// The entry of every new G: what was left to do by whoever switched to it, then its job.
#include "sched/switch.hpp"

namespace urge {

void first_frame(arch::transfer t) noexcept {
  arrive(t);
  G* g = current_g();
  run_job(g);
}

}  // namespace urge
