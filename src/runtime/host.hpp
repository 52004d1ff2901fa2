// SPDX-License-Identifier: MIT
// What a program that runs other people's code on Gs, as the command does, asks about the G that calls one of its
// hooks. A thread_local cannot tell: Gs that stop by themselves share those of their M.
#pragma once

namespace urge {

// What set_tag was last given on the calling G; null outside a G. Context: any thread.
void* tag() noexcept;
// Context: a G.
void set_tag(void*) noexcept;

// May the calling G be left by longjmp from where it is, or may it hold a lock that others need: is a function of libc
// or of the C++ runtime among its callers, or does it hold a lock of pthread? No when the answer is not sure, and
// outside a G. Context: any thread.
bool may_leave_here() noexcept;

}  // namespace urge
