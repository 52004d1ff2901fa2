// SPDX-License-Identifier: MIT
// The sandbox's filter of system calls: what reaches others without a path, or by one in a way that Landlock does not
// look at. See sandbox.hpp, and docs/sandbox.md for the table.
#pragma once

namespace urge::cli {

// From now on this thread, and those that it makes. What Landlock of that version cannot hold is refused as well.
// Returns 0 or an errno.
[[nodiscard]] int confine_calls(int landlock);

}  // namespace urge::cli
