// SPDX-License-Identifier: MIT
// One point: a forked child in which the n-th call of a resource fails while the workload runs, and what came of it.
#pragma once
#include <string>

#include "fail/fail_nth.hpp"
#include "fail/workload.hpp"

namespace urge::test {

struct point {
  resource what = resource::count_;
  unsigned n = 0;  // 0: none fails
  bool all_from_there = false;
  bool old_kernel = false;
  way stop = {};
  void (*limit)(long) = nullptr;  // called in the child first, with `to`
  long to = 0;
  unsigned rounds = 0;  // not 0: afterwards so many runs with another call failing in each
};

// In memory that both processes see.
struct findings {
  attempt during[2];  // two runs while calls fail
  attempt after[2];   // and two more when they do no longer
  int finished = 0;   // of these runs
  std::uint64_t counted = 0, failed = 0;
  int inside = 0;  // Gs left inside libc by a run: told and counted, and nothing is promised after it
  // When all is over:
  int threads = 0, fds = 0, mappings = 0;
  long lost = 0;           // identities and stacks that somebody still has
  int mappings_early = 0;  // after a fifth of the rounds
  std::uint64_t failed_in_rounds = 0;
  std::uint64_t refused = 0;  // threads, in the last run
  bool over = false;          // the child has come to its end
};

struct verdict {
  findings seen;
  int status = -1, signal = 0;
  std::string err;  // what the child has written to stderr

  std::string to_string() const;
};

// Context: a process with one thread.
verdict try_point(const point&);

}  // namespace urge::test
