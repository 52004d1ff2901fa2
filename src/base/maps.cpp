// SPDX-License-Identifier: MIT
// See maps.hpp. A line: "7f0000001000-7f0000002000 r-xp 00001000 fe:00 1234      /path"
#include "base/maps.hpp"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstring>

#include "base/os.hpp"

namespace urge::os {

namespace {

std::uint64_t hex(const char*& at) noexcept {
  std::uint64_t n = 0;
  for (;; ++at) {
    if (*at >= '0' && *at <= '9')
      n = n * 16 + static_cast<unsigned>(*at - '0');
    else if (*at >= 'a' && *at <= 'f')
      n = n * 16 + static_cast<unsigned>(*at - 'a' + 10);
    else
      return n;
  }
}

bool parse(const char* line, std::uintptr_t address, file_mapping& m) noexcept {
  m.low = hex(line);
  if (*line++ != '-') return false;
  m.high = hex(line);
  if (address < m.low || address >= m.high) return false;
  line += std::strlen(" r-xp ");
  m.offset = hex(line);
  const char* path = std::strchr(line, '/');
  if (!path) return false;
  std::strncpy(m.path, path, sizeof m.path - 1);
  return true;
}

}  // namespace

bool file_at(std::uintptr_t address, file_mapping& m) noexcept {
  const long fd = syscall6(SYS_openat, AT_FDCWD, reinterpret_cast<long>("/proc/self/maps"), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char read[1024], line[512];
  std::size_t length = 0;
  bool found = false;
  for (long n; !found && (n = syscall6(SYS_read, fd, reinterpret_cast<long>(read), sizeof read)) > 0;) {
    for (long i = 0; i < n && !found; ++i) {
      if (read[i] != '\n') {
        if (length < sizeof line - 1) line[length++] = read[i];  // the rest of a long path is cut off
        continue;
      }
      line[length] = 0;
      length = 0;
      found = parse(line, address, m);
    }
  }
  syscall6(SYS_close, fd);
  return found;
}

}  // namespace urge::os
