// SPDX-License-Identifier: MIT
// See asleep.hpp. One descriptor for each M that was ever looked at, above those that programs count on; the end of a
// run closes them.
#include "sysmon/asleep.hpp"

#include <cerrno>
#include <utility>

#include "base/poll.hpp"
#include "sched/sched.hpp"

namespace urge::sysmon {

namespace {

M* opened = nullptr;  // by M::next_state

// "/proc/self/task/TID/syscall"
void path_of(int tid, char (&path)[48]) noexcept {
  constexpr std::string_view before = "/proc/self/task/", behind = "/syscall";
  char digits[12];
  std::size_t n = 0;
  for (; tid > 0; tid /= 10) digits[n++] = static_cast<char>('0' + tid % 10);
  char* at = path;
  for (const char c : before) *at++ = c;
  while (n != 0) *at++ = digits[--n];
  for (const char c : behind) *at++ = c;
  *at = 0;
}

// A program may have closed all descriptors, and be using our number for a file of its own.
void close_state(M& m) noexcept {
  if (m.state_fd >= 0 && os::file_of(m.state_fd) == m.state_file) os::close(m.state_fd);
  m.state_fd = -1;
}

void open_state(M& m, int tid) noexcept {
  close_state(m);
  if (m.state_tid == 0) m.next_state = std::exchange(opened, &m);
  char path[48];
  path_of(tid, path);
  m.state_tid = tid;
  m.state_fd = os::open_to_read(path);
  if (m.state_fd >= 0) m.state_file = os::file_of(m.state_fd);
}

}  // namespace

doing look_at_thread(M& m) noexcept {
  const int tid = m.tid.load(acquire);  // [m.tid] acquire: the M is set up
  if (tid == 0) return doing::unknown;
  for (bool again = false;; again = true) {
    if (m.state_tid != tid || again) open_state(m, tid);
    if (m.state_fd < 0) return doing::unknown;
    char text[256];
    const long n = os::read_at_0(m.state_fd, text, sizeof text);
    const doing now = n > 0 ? parse_doing({text, static_cast<std::size_t>(n)}) : doing::unknown;
    if (now != doing::unknown || again || n == -ESRCH) return now;
  }
}

void close_states() noexcept {
  while (M* m = opened) {
    opened = std::exchange(m->next_state, nullptr);
    close_state(*m);
    m->state_tid = 0;
  }
}

}  // namespace urge::sysmon
