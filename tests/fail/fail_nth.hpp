// SPDX-License-Identifier: MIT
// Makes the n-th call of one resource fail, or all from the n-th on, in this process. The calls that the library makes
// are led here by the linker (--wrap, see CMakeLists.txt), so the library that is tested is the one that is built for
// users, and nothing is compiled into it for this. Under glibc's own failures in a call, pthread_create's mmap say, the
// call fails as a whole: that is what is made to happen. sigaction and sigaltstack cannot fail with our arguments.
// Context: any thread, g0, the signal handler: it only counts.
#pragma once
#include <cstdint>

namespace urge::test {

enum class resource : unsigned {
  mmap,
  madvise,
  mprotect,
  pthread_create,
  clone,
  tgkill,
  timer_create,
  dlopen,
  memory,  // operator new
  count_
};
const char* name_of(resource) noexcept;

// Counts from here; `n` 0: none fails.
void fail_nth(resource, std::uint64_t n, bool all_from_there) noexcept;
std::uint64_t calls_counted() noexcept;
std::uint64_t calls_failed() noexcept;

// Answers as a kernel before 6.13: guards are made by mprotect.
void pretend_old_kernel() noexcept;

}  // namespace urge::test
