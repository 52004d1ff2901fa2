// SPDX-License-Identifier: MIT
// The stepper's referee, a thread: when the other G waits in the kernel for a lock that the stopped one holds, or spins
// for it, it asks for a preemption as sysmon would. sysmon itself is kept out by a long quantum: it would stop Gs at
// places of its own choice.
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>

#include "preempt/preempt.hpp"
#include "preempt/stepper_state.hpp"

namespace urge::test::stepper {

namespace {

// Does the thread sleep in the kernel?
bool sleeps(int tid) noexcept {
  char path[64], text[512];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return false;
  text[n] = 0;
  const char* name_end = std::strrchr(text, ')');
  return name_end && name_end[1] == ' ' && name_end[2] == 'S';
}

std::int64_t cpu_time(int tid) noexcept {
  timespec t{};
  constexpr unsigned per_thread = 4, of_scheduler = 2;  // the kernel's numbering of clocks
  const auto clock = static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | per_thread | of_scheduler);
  return ::clock_gettime(clock, &t) == 0 ? t.tv_sec * 1'000'000'000 + t.tv_nsec : 0;
}

}  // namespace

void referee() {
  ::prctl(PR_SET_TIMERSLACK, 1);
  constexpr std::int64_t look = 30'000;
  constexpr std::int64_t patience = 5'000'000;  // ns of CPU time: glibc's rwlock spins in places
  std::uint64_t seen = 0;
  std::int64_t since = 0;
  int seen_tid = 0;
  while (!now.over.load(relaxed)) {
    const timespec pause{0, look};
    ::nanosleep(&pause, nullptr);
    P& p = all_ps[0];
    const std::uint32_t tick = p.schedtick.load(relaxed);
    const std::uint64_t progress = now.traps.load(relaxed) + now.runs.load(relaxed) + (std::uint64_t{tick} << 32);
    const M* m = p.m.load(acquire);
    if (!now.busy.load(relaxed) || !m) continue;
    const int tid = m->tid.load(acquire);
    if (progress != seen || tid != seen_tid) {
      seen = progress, since = cpu_time(tid), seen_tid = tid;
      continue;
    }
    if (cpu_time(tid) - since < patience && !sleeps(tid)) continue;
    now.let_go.fetch_add(1, relaxed);
    preempt::request(p, tick, monotonic_ns(), true, true);
  }
}

}  // namespace urge::test::stepper
