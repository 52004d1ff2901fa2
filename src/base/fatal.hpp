// SPDX-License-Identifier: MIT
// The end of the process, where Go's runtime would also die. `fatal` prints its text, then every G by the dump that the
// scheduler has registered, then raises SIGABRT.
// Context: any.
#pragma once
#include <string_view>

namespace urge {

[[noreturn]] void fatal(std::string_view what, long value = 0) noexcept;

// Set once by the composition root; prints every G to a descriptor. May be null before that.
extern void (*fatal_dump)(int fd) noexcept;

// The same with the name of a failed system call and its error number, which is given as the call's -errno.
[[noreturn]] void fatal_syscall(std::string_view call, long result) noexcept;

}  // namespace urge

// On in every build: one compare and a cold branch.
#define URGE_ASSERT(condition, text) \
  do {                               \
    if (!(condition)) [[unlikely]]   \
      ::urge::fatal(text);           \
  } while (0)

// For checks that cost: debug builds only.
#ifdef NDEBUG
#define URGE_DCHECK(condition, text) ((void)sizeof(condition))
#else
#define URGE_DCHECK(condition, text) URGE_ASSERT(condition, text)
#endif
