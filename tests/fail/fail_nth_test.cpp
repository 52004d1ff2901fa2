// SPDX-License-Identifier: MIT
// Every failure of a resource, one after the other: for n = 1, 2, 3, … the n-th call fails, and in a second round all
// from the n-th on, until the workload comes to its end without reaching the n-th. Each time it must end well: `run`
// throws an error that names the call; or the process ends by the fatal error that names it, where Go's would, too; or
// the result is right and the service smaller. No other end, no hang, nothing left behind, and when the calls succeed
// again the same process works as if nothing had been.
#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <iostream>
#include <string>
#include <tuple>
#include <vector>

#include "fail/point.hpp"

namespace urge::test {
namespace {

// The number of calls varies: in so many tries the n-th was not reached, and no further one is looked for.
constexpr unsigned quiet = 3;

struct expectation {
  const char* name;
  resource what;
  bool old_kernel;
  std::vector<std::string> thrown;  // one of these stands in the error that `run` throws; none: it never throws
  std::string fatal;                // stands in the fatal error; empty: there never is one
  bool may_leave_inside;            // may Gs stay inside libc, as a rule, at the end of a run? (The counters tell)
  unsigned least_once, least_all;   // points that must have been tried, or the test has looked at nothing
};

bool any_in(const std::string& text, const std::vector<std::string>& parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const auto& p) { return text.find(p) != std::string::npos; });
}

// So many points are tried in the ways beside the first, whose calls are mostly the same; tgkill has hundreds.
constexpr unsigned enough = 12;
struct named_way {
  const char* name;
  way stop;
  unsigned most = enough;
};
void PrintTo(const expectation& e, std::ostream* out) { *out << e.name; }
void PrintTo(const named_way& w, std::ostream* out) { *out << w.name; }

class Failure : public ::testing::TestWithParam<std::tuple<expectation, named_way>> {
 protected:
  static const expectation& expected() { return std::get<0>(GetParam()); }
  static const way& stop() { return std::get<1>(GetParam()).stop; }
  void SetUp() override {
    for (int i = 0; i < 5; ++i) {
      const verdict v = try_point({.old_kernel = expected().old_kernel, .stop = stop()});
      ASSERT_TRUE(v.seen.over && v.status == 0) << v.to_string();
      control_fds_ = std::max(control_fds_, v.seen.fds);
    }
  }
  // What kind of end it was: for the summary.
  enum class kind { right, thrown, fatal, inside, bad };
  kind judge(const verdict& v) const {
    const expectation& e = expected();
    if (v.signal == SIGABRT && !e.fatal.empty()) {
      const auto at = v.err.find("urge: fatal error: ");
      const std::string line = at == std::string::npos ? "" : v.err.substr(at, v.err.find('\n', at) - at);
      const bool named = line.find(e.fatal) != std::string::npos && line.find("errno") != std::string::npos;
      return named ? kind::fatal : kind::bad;
    }
    if (v.status == 9 && v.seen.inside != 0) return kind::inside;
    if (v.status != 0 || !v.seen.over) return kind::bad;
    bool thrown = false;
    for (const attempt& a : v.seen.during) {
      if (a.how == ending::wrong || (a.how == ending::thrown && !any_in(a.text, e.thrown))) return kind::bad;
      thrown = thrown || a.how == ending::thrown;
    }
    for (const attempt& a : v.seen.after)
      if (a.how != ending::right) return kind::bad;
    if (v.seen.threads != 1 || v.seen.fds > control_fds_ || v.seen.lost != 0) return kind::bad;
    return thrown ? kind::thrown : kind::right;
  }
  void try_all(bool all_from_there, unsigned least) {
    unsigned tried = 0, count[5] = {};
    for (unsigned n = 1, missed = 0; missed < quiet && n <= std::get<1>(GetParam()).most;) {
      const verdict v = try_point({.what = expected().what,
                                   .n = n,
                                   .all_from_there = all_from_there,
                                   .old_kernel = expected().old_kernel,
                                   .stop = stop()});
      const kind k = judge(v);
      EXPECT_NE(k, kind::bad) << "call " << n << (all_from_there ? " and all that follow" : "") << ": "
                              << v.to_string();
      if (v.seen.failed == 0 && k == kind::right) {
        ++missed;
        continue;
      }
      missed = 0, ++n, ++tried, ++count[static_cast<int>(k)];
      if (count[static_cast<int>(kind::bad)] == 3) break;  // it is known by now
    }
    std::cout << expected().name << std::get<1>(GetParam()).name
              << (all_from_there ? ", all from the n-th on: " : ", the n-th: ") << tried << " points: " << count[0]
              << " right, " << count[1] << " errors, " << count[2] << " fatal errors, " << count[3]
              << " left inside libc\n";
    EXPECT_GE(tried, std::min(least, std::get<1>(GetParam()).most));
    // A busy machine may not get one out in a second, which is told; but not as a rule.
    if (!expected().may_leave_inside) {
      EXPECT_LE(count[static_cast<int>(kind::inside)], 1 + tried / 4);
    }
  }
  int control_fds_ = 0;
};

TEST_P(Failure, OfOneCallEndsWell) { try_all(false, expected().least_once); }
TEST_P(Failure, OfAllCallsEndsWell) { try_all(true, expected().least_all); }

// A failure that leaks a mapping, a thread or a descriptor leaks one each time.
TEST(FailureAgainAndAgain, LeavesNothingBehind) {
  for (const resource r : {resource::pthread_create, resource::clone, resource::memory})
    for (const bool all : {false, true}) {
      const verdict v = try_point({.what = r, .all_from_there = all, .rounds = 50});
      EXPECT_TRUE(v.status == 0 && v.seen.over) << name_of(r) << ": " << v.to_string();
      EXPECT_GE(v.seen.failed_in_rounds, 20u) << name_of(r) << ": " << v.to_string();
      EXPECT_LT(v.seen.mappings, v.seen.mappings_early + 20) << name_of(r) << ": " << v.to_string();
      EXPECT_TRUE(v.seen.threads == 1 && v.seen.lost == 0) << name_of(r) << ": " << v.to_string();
    }
}

const std::vector<std::string> no_thread = {"pthread_create"}, no_memory = {"mmap", "bad_alloc"},
                               no_thread_stack = {"mprotect of its stack"};  // in kernel_thread mode they are ours
const std::string no_stack = "a stack for a G (mmap; madvise or mprotect of its guard";

// Each way in which a G is stopped has calls of its own that can fail.
INSTANTIATE_TEST_SUITE_P(
    , Failure,
    ::testing::Combine(
        ::testing::Values(
            expectation{"Mmap", resource::mmap, false, no_memory, "mmap", false, 5, 5},
            expectation{"Madvise", resource::madvise, false, {}, no_stack, false, 6, 6},
            expectation{"MprotectOfAnOldKernel", resource::mprotect, true, no_thread_stack, no_stack, false, 6, 6},
            expectation{"PthreadCreate", resource::pthread_create, false, no_thread, "pthread_create", false, 8, 8},
            expectation{"Clone", resource::clone, false, {}, "", false, 2, 1},
            expectation{"Tgkill", resource::tgkill, false, {}, "", true, 5, 5},
            expectation{"TimerCreate", resource::timer_create, false, {}, "", true, 1, 1},
            expectation{"Dlopen", resource::dlopen, false, {}, "", true, 1, 1},
            expectation{"Memory", resource::memory, false, {"bad_alloc"}, "", false, 20, 20}),
        ::testing::Values(named_way{"", {}, UINT_MAX}, named_way{"Cooperative", {.preempt = preempt_mode::cooperative}},
                          named_way{"KernelThread", {.preempt = preempt_mode::kernel_thread}},
                          named_way{"SliceTimer", {.slice_end = slice_source::timer}})),
    [](const auto& info) { return std::string(std::get<0>(info.param).name) + std::get<1>(info.param).name; });

}  // namespace
}  // namespace urge::test
