// SPDX-License-Identifier: MIT
// The maker: the only thread that creates threads while a run is on, Ms and identities alike. pthread_create takes
// locks that a preempted G may hold, so neither g0 nor sysmon nor the handler may call it; they post a futex. If the
// maker has to wait for such a lock, its holder goes on running on the Ms that there are.
#pragma once
#include "sched/sched.hpp"

namespace urge::maker {

int start() noexcept;  // 0 or -errno of pthread_create
void stop() noexcept;  // returns when the thread has ended
// A new G that runs once it has an identity of its own. Context: locks > 0.
void want_identity(G*) noexcept;

}  // namespace urge::maker
