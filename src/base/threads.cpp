// SPDX-License-Identifier: MIT
// See threads.hpp. By system calls: opendir allocates.
//
// next_tid (fs/proc/base.c) knows no successor of a thread that has just ended, so getdents stops there, and the next
// one goes on at the place by number, past which others have moved up meanwhile.
#include "base/threads.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/os.hpp"

namespace urge::os {

namespace {
// Of struct linux_dirent64.
constexpr std::size_t length_at = 16, name_at = 19;

int number(const char* digits) noexcept {
  int n = 0;
  for (; *digits >= '0' && *digits <= '9'; ++digits) n = n * 10 + (*digits - '0');
  return *digits == 0 ? n : 0;
}
}  // namespace

int for_each_thread(bool (*f)(int, void*) noexcept, void* arg) noexcept {
  const long fd =
      syscall6(SYS_openat, AT_FDCWD, reinterpret_cast<long>("/proc/self/task"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return static_cast<int>(fd);
  struct stat folder {};
  int result = static_cast<int>(syscall6(SYS_fstat, fd, reinterpret_cast<long>(&folder)));
  if (result == 0) result = 1;
  std::uint64_t told = 0;
  alignas(8) char entries[2048];
  for (long n;
       result == 1 && (n = syscall6(SYS_getdents64, fd, reinterpret_cast<long>(entries), sizeof entries)) != 0;) {
    if (n < 0) {
      result = static_cast<int>(n);
      break;
    }
    for (long at = 0; at < n && result == 1;) {
      std::uint16_t length;
      std::memcpy(&length, entries + at + length_at, sizeof length);
      const int tid = number(entries + at + name_at);  // 0: . and ..
      if (tid != 0) ++told;
      if (tid != 0 && !f(tid, arg)) result = 0;
      at += length;
    }
  }
  syscall6(SYS_close, fd);
  // The folder's links were the threads, and two more.
  return result == 1 && told + 2 < folder.st_nlink ? -EAGAIN : result;
}

}  // namespace urge::os
