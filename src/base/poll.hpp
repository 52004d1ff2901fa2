// SPDX-License-Identifier: MIT
// System calls that wait for descriptors, and the descriptor by which such a wait is broken off. As in os.hpp they
// return -errno and never touch errno; moments are nanoseconds of CLOCK_MONOTONIC, 0 is the past, os::no_deadline none.
// Context: any, the signal handler included, but for open and close.
#pragma once
#include <poll.h>
#include <sys/epoll.h>

#include "base/os.hpp"

namespace urge::os {

int epoll_create() noexcept;
int epoll_add(int epoll, int fd, std::uint32_t events, std::uint64_t data) noexcept;
int epoll_remove(int epoll, int fd) noexcept;
// Precise to the kernel's timers: by epoll_pwait2, and where that is missing (before Linux 5.11) by ppoll.
int epoll_wait(int epoll, epoll_event* out, int max, std::int64_t deadline_ns) noexcept;
int ppoll(pollfd*, unsigned n, std::int64_t deadline_ns) noexcept;
int close(int fd) noexcept;

// An eventfd that ends somebody's wait for descriptors. Any thread may call `wake` at any time, also while it is being
// closed: what it writes to is never a descriptor that has come after. Its count is never read by wakers, so that a
// wake-up costs one write.
class wake_fd {
 public:
  int open() noexcept;  // 0 or -errno
  void close() noexcept;
  void wake() noexcept;
  void drain() noexcept;  // for who waits until it is readable; not needed where each write is an event (EPOLLET)
  int fd() const noexcept { return fd_.load(relaxed); }

 private:
  atomic<int> fd_{-1};
  atomic<std::uint32_t> wakers_{0};
};

// Ends the sleep of the M that waits for descriptors: base/note.hpp.
extern wake_fd poll_break;

}  // namespace urge::os
