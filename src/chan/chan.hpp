// SPDX-License-Identifier: MIT
// What send, receive and select share. Context: a G inside enter/leave or a thread that is none of ours, the channel's
// lock held.
#pragma once
#include <urge/detail/chan_core.hpp>

#include "sched/waitq.hpp"

namespace urge::detail {

struct step {
  chan_result result;
  waiter* wake = nullptr;  // whose G is to be made runnable, once the lock is released
};
step try_send_locked(chan_core&, const void* payload) noexcept;
step try_receive_locked(chan_core&, void* payload) noexcept;

}  // namespace urge::detail
