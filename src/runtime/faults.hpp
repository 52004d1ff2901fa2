// SPDX-License-Identifier: MIT
// Faults in a G: a report that names it, before the process ends by the signal as it would have.
#pragma once

namespace urge::faults {

// Handlers for SIGSEGV, SIGBUS, SIGFPE and SIGILL, with contain_faults also SIGABRT, where the program has none of its
// own. Context: the caller of `run`.
void install() noexcept;
void uninstall() noexcept;

}  // namespace urge::faults
