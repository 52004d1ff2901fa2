// SPDX-License-Identifier: MIT
// See point.hpp. A child that hangs is ended by its watchdog, with a dump of its Gs.
#include "fail/point.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <sstream>
#include <system_error>

#include "support/runtime_fixture.hpp"

namespace urge::test {

namespace {

long still_held() {
  const auto stacks = count_stacks();
  const auto ids = preempt::count_identities();
  return static_cast<long>(ids.carried + (ids.made - ids.free - ids.lost - ids.retired)) +
         static_cast<long>(stacks.made - stacks.idle - ids.lost);
}

void one_run(attempt& a, findings& seen, bool leave_some, const way& stop) {
  a = try_workload(leave_some, stop);
  ++seen.finished;
  seen.inside = static_cast<int>(snapshot().abandoned_inside), seen.refused = snapshot().threads_refused;
  if (seen.inside == 0) return;
  seen.failed = calls_failed();
  ::_exit(9);
}

void live(const point& p, findings& seen) {
  const watchdog watching(60);
  if (p.old_kernel) pretend_old_kernel();
  if (p.limit) p.limit(p.to);
  fail_nth(p.what, p.n, p.all_from_there);
  for (attempt& a : seen.during) one_run(a, seen, !p.limit, p.stop);
  seen.counted = calls_counted(), seen.failed = calls_failed();
  fail_nth(resource::count_, 0, false);
  for (attempt& a : seen.after) one_run(a, seen, !p.limit, p.stop);
  for (unsigned i = 0, calls = 1; i < p.rounds; ++i) {
    attempt a;
    fail_nth(p.what, 1 + i % calls, p.all_from_there);
    one_run(a, seen, false, p.stop);
    seen.failed_in_rounds += calls_failed();
    calls = std::max(calls, static_cast<unsigned>(calls_counted()));
    fail_nth(resource::count_, 0, false);
    if (i == p.rounds / 5) seen.mappings_early = static_cast<int>(count_mappings());
  }
  if (p.rounds != 0) one_run(seen.after[1], seen, false, p.stop);  // the maker makes up for what it could not do
  // A thread that was joined may be listed for another moment, and an M that comes late from a system call.
  // At a limit identities may wait for the thread in which they are to end.
  if (!p.limit) (void)eventually([] { return count_threads() == 1 && still_held() == 0; });
  seen.threads = static_cast<int>(count_threads()), seen.fds = static_cast<int>(count_fds());
  seen.mappings = static_cast<int>(count_mappings());
  seen.lost = still_held();
  seen.over = true;
}

std::string read_all(std::FILE* file) {
  std::string text;
  std::rewind(file);
  char piece[4096];
  for (std::size_t n; (n = std::fread(piece, 1, sizeof piece, file)) > 0;) text.append(piece, n);
  return text;
}

}  // namespace

std::string verdict::to_string() const {
  std::ostringstream out;
  out << "status " << status << ", signal " << signal << ", " << seen.counted << " calls, " << seen.failed
      << " failed, " << seen.finished << " runs finished, " << seen.inside << " Gs left inside libc";
  for (const attempt& a : {seen.during[0], seen.during[1], seen.after[0], seen.after[1]})
    out << "\n  run: "
        << (a.how == ending::right    ? "right"
            : a.how == ending::thrown ? "thrown"
                                      : "wrong")
        << ", " << a.text;
  out << "\n  " << seen.threads << " threads, " << seen.fds << " fds, " << seen.mappings << " mappings (early on "
      << seen.mappings_early << "), " << seen.lost << " still held\n"
      << err.substr(0, 6000);
  return out.str();
}

verdict try_point(const point& p) {
  void* map = ::mmap(nullptr, sizeof(findings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  std::FILE* err = std::tmpfile();
  if (map == MAP_FAILED || !err) throw std::system_error(errno, std::generic_category(), "mmap or tmpfile");
  auto* seen = new (map) findings;
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    ::dup2(::fileno(err), 2);
    live(p, *seen);
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  verdict v;
  v.seen = *seen;
  if (WIFEXITED(status)) v.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) v.signal = WTERMSIG(status);
  v.err = read_all(err);
  std::fclose(err);
  ::munmap(map, sizeof(findings));
  return v;
}

}  // namespace urge::test
