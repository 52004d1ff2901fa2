// SPDX-License-Identifier: MIT
// When no G can ever go on (docs/protocols/deadlock.md). Context: sysmon; the caller of `run` before it is started.
#pragma once
#include <cstdint>

namespace urge::sysmon {

// To be asked while all Ps are idle and no timer is pending. Ends the run if it is a deadlock. Returns when to ask
// again, if nothing happens before; INT64_MAX: only then.
std::int64_t look_for_deadlock(std::int64_t now) noexcept;
void forget_deadlock() noexcept;  // a new run

}  // namespace urge::sysmon
