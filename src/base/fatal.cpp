// SPDX-License-Identifier: MIT
// See fatal.hpp.
#include "base/fatal.hpp"

#include <csignal>
#include <cstdlib>

#include "base/atomic.hpp"
#include "base/raw_print.hpp"

namespace urge {

void (*fatal_dump)(int fd) noexcept = nullptr;

namespace {
[[noreturn]] void die() noexcept {
  static atomic<int> dying{0};
  // A failure while dumping must not dump again, and only one thread prints.
  if (dying.fetch_add(1, relaxed) == 0 && fatal_dump) fatal_dump(2);
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}
}  // namespace

void fatal(std::string_view what, long value) noexcept {
  {
    raw_print out(2);
    out << "urge: fatal error: " << what;
    if (value != 0) out << ": " << static_cast<std::int64_t>(value);
    out << "\n";
  }
  die();
}

void fatal_syscall(std::string_view call, long result) noexcept {
  raw_print(2) << "urge: fatal error: " << call << " failed with errno " << static_cast<std::int64_t>(-result) << "\n";
  die();
}

}  // namespace urge
