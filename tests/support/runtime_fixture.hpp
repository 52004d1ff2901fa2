// SPDX-License-Identifier: MIT
// What tests of the running library share: the settings under which each of them is repeated (number of Ps, mode of
// preemption, quantum), a balance of what the process holds before and after, and a watchdog. A test that hangs prints
// every G and dies by SIGABRT long before ctest loses patience: the dump is worth more than the time-out. The watchdog
// is alarm(), not a thread: the balance counts threads.
// Context: outside the runtime, but for `watchdog`'s handler, which is async-signal-safe because urge::dump is.
#pragma once
#include <gtest/gtest.h>

#include <unistd.h>
#include <urge/runtime.hpp>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "preempt/preempt.hpp"
#include "stack/stack.hpp"
#include "support/sanitized.hpp"

namespace urge::test {

using namespace std::chrono_literals;

// Not by a listing: the kernel leaves threads out of one that are there, where another ends as it is listed.
inline std::size_t count_threads() { return std::filesystem::hard_link_count("/proc/self/task") - 2; }
inline std::size_t count_fds() {
  const auto all = std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  return static_cast<std::size_t>(all) - 1;  // without the listing's own
}
inline std::size_t count_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  std::size_t n = 0;
  while (std::getline(maps, line)) ++n;
  return n;
}

// Waits for what must come; false is a hang, not slowness.
template <class Condition>
bool eventually(Condition&& holds) {
  const auto give_up = std::chrono::steady_clock::now() + 60s;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(200us);
  }
  return true;
}

// Dumps all Gs and ends the process when a test hangs.
class watchdog {
 public:
  explicit watchdog(unsigned seconds = 120) {
    struct sigaction bark {};
    bark.sa_handler = [](int) {
      static constexpr char text[] = "\nwatchdog: this test hangs\n";
      [[maybe_unused]] const auto n = ::write(2, text, sizeof text - 1);
      urge::dump(2);
      std::signal(SIGABRT, SIG_DFL);
      std::abort();
    };
    bark.sa_flags = SA_ONSTACK;
    ::sigaction(SIGALRM, &bark, nullptr);
    ::alarm(seconds);
  }
  ~watchdog() { ::alarm(0); }
};

// What a run must give back: threads, descriptors, stacks, identities. Mappings may grow at first uses (reservations of
// stacks, arenas of malloc), so they are compared by the tests that repeat runs many times.
class balance {
 public:
  void check() const {
    // A thread that was joined may be listed for another moment.
    EXPECT_TRUE(eventually([this] { return count_threads() <= threads_; }))
        << "threads: " << threads_ << " before, " << count_threads() << " after";
    EXPECT_EQ(count_fds(), fds_);
    // An M that came back from a system call after its run tidies up by itself.
    (void)eventually([this] {
      const auto ids = preempt::count_identities();
      return ids.made == ids.free + ids.lost + ids.retired && busy() <= busy_stacks_ + (ids.lost - lost_);
    });
    const auto stacks = count_stacks();
    const auto ids = preempt::count_identities();
    // A G that was abandoned inside libc loses both.
    EXPECT_EQ(stacks.made - stacks.idle, busy_stacks_ + (ids.lost - lost_)) << "stacks that are still in use";
    EXPECT_EQ(ids.carried, 0u) << "identities that are still carried";
    EXPECT_EQ(ids.made, ids.free + ids.lost + ids.retired) << "identities that nobody has";
  }

 private:
  static std::size_t busy() {
    const auto s = count_stacks();
    return s.made - s.idle;
  }
  std::size_t threads_ = count_threads(), fds_ = count_fds(), busy_stacks_ = busy();
  std::uint64_t lost_ = preempt::count_identities().lost;
};

struct setting {
  unsigned procs;
  preempt_mode preempt = preempt_mode::async;
  std::chrono::nanoseconds quantum = 10ms;

  options to_options() const {
    options o;
    o.procs = procs, o.preempt = preempt, o.quantum = quantum;
    return o;
  }
};
inline std::string name_of(const setting& s) {
  const char* mode = s.preempt == preempt_mode::off           ? "Off"
                     : s.preempt == preempt_mode::cooperative ? "Cooperative"
                     : s.preempt == preempt_mode::async       ? "Async"
                                                              : "KernelThread";
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(s.quantum).count();
  return "Procs" + std::to_string(s.procs) + mode + std::to_string(us) + "us";
}
inline void PrintTo(const setting& s, std::ostream* out) { *out << name_of(s); }
struct name_setting {
  std::string operator()(const ::testing::TestParamInfo<setting>& info) const { return name_of(info.param); }
};

// Each number of Ps under each mode. Under a sanitizer async is cooperative, so it is not repeated.
inline std::vector<setting> settings(std::vector<unsigned> procs = {1, 2, 4}) {
  std::vector<setting> all;
  for (const unsigned n : procs) {
    all.push_back({n, preempt_mode::off, 10ms});
    all.push_back({n, preempt_mode::cooperative, 10ms});
    if (sanitized) {
      all.push_back({n, preempt_mode::cooperative, 50us});
    } else {
      all.push_back({n, preempt_mode::async, 10ms});
      all.push_back({n, preempt_mode::async, 50us});
      if (n == 2) all.push_back({n, preempt_mode::kernel_thread, 50us});
    }
  }
  return all;
}
// Those that stop a G that calls nothing.
inline std::vector<setting> async_settings(std::vector<unsigned> procs = {1, 2, 4}) {
  std::vector<setting> all;
  for (const unsigned n : procs) {
    all.push_back({n, preempt_mode::async, 10ms});
    all.push_back({n, preempt_mode::async, 50us});
    if (n != 4) all.push_back({n, preempt_mode::kernel_thread, 100us});
  }
  return all;
}

// The first run of a process keeps what it has made or loaded for all of them (libunwind's pipe, the first stacks).
inline void warm_up() {
  static const bool done = (run([] {}, options{}), true);
  (void)done;
}
struct warm {
  warm() { warm_up(); }
};

// The fixture of a test that runs the library once or more.
class Plain : public ::testing::Test {
 protected:
  void TearDown() override { before_.check(); }

 private:
  warm first_;
  watchdog watching_;
  balance before_;
};
class WithSetting : public ::testing::TestWithParam<setting> {
 protected:
  void TearDown() override { before_.check(); }
  options how() const { return GetParam().to_options(); }
  bool preempts() const { return GetParam().preempt != preempt_mode::off; }
  // Is a G stopped that calls nothing?
  bool async() const { return GetParam().preempt >= preempt_mode::async && !sanitized; }

 private:
  warm first_;
  watchdog watching_;
  balance before_;
};

}  // namespace urge::test
