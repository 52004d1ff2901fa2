// SPDX-License-Identifier: MIT
// Donors that keep their thread, parked, do what those do that end; and they are what a process gets where the system
// does not let a thread end in the way that it takes (a seccomp filter stands for such a system here).
#include "preempt/donor.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>

#include "preempt/preempt.hpp"
#include "preempt/storm.hpp"
#include "support/sanitized.hpp"

namespace urge::test {
namespace {

using preempt::chosen_donors;
using preempt::donor_kind;

std::set<std::string> threads() {
  std::set<std::string> all;
  do {  // a listing may leave some out
    all.clear();
    for (const auto& t : std::filesystem::directory_iterator("/proc/self/task")) all.insert(t.path().filename());
  } while (all.size() < count_threads());
  return all;
}
// Those that were not there before; of these some may have been about to end.
std::ptrdiff_t count_new(const std::set<std::string>& before) {
  const auto now = threads();
  return std::count_if(now.begin(), now.end(), [&](const std::string& t) { return !before.contains(t); });
}

thread_local std::uint64_t own_round = 0;
[[gnu::noinline]] int& errno_here() { return errno; }
[[gnu::noinline]] std::uint64_t& round_here() { return own_round; }

// What belongs to a thread: its number in a lock, errno, thread_local, its malloc cache. No stop but by signal.
bool use_the_thread(int who, std::uint64_t n) {
  static std::recursive_mutex locks[4];
  const std::lock_guard once(locks[who % 4]);
  const std::lock_guard twice(locks[who % 4]);
  errno_here() = who;
  round_here() = n * 1000 + static_cast<std::uint64_t>(who);
  char text[64];
  for (int i = 0; i < 50; ++i) {
    auto* p = new std::string(static_cast<std::size_t>(20 + i), 'x');
    std::snprintf(text, sizeof text, "%d %f", i, 1.5 * i);
    delete p;
  }
  return errno_here() == who && round_here() == n * 1000 + static_cast<std::uint64_t>(who);
}

constexpr std::uint64_t preemptions = 2000;
constexpr int gs = 40;

class Donors : public WithSetting {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
  void TearDown() override { preempt::choose_donors(donor_kind::ended); }
};
INSTANTIATE_TEST_SUITE_P(Settings, Donors,
                         testing::Values(setting{1, preempt_mode::async, 50us}, setting{2, preempt_mode::async, 50us},
                                         setting{8, preempt_mode::async, 100us}),
                         name_setting());

TEST_P(Donors, KeepTheirThreadOrNotAndServeAllTheSame) {
  for (const donor_kind kind : {donor_kind::ended, donor_kind::parked}) {
    preempt::choose_donors(kind);
    // More than there are: some are made.
    const auto have = preempt::count_identities();
    const auto before = threads();
    const auto stops = preemptions + 20 * have.free;
    expect_right(storm(how(), gs + static_cast<int>(have.free), stops, use_the_thread), stops);
    const auto more = count_new(before);
    const auto made = static_cast<std::ptrdiff_t>(preempt::count_identities().made - have.made);
    EXPECT_GT(made, gs / 4);
    if (kind == donor_kind::ended) {
      EXPECT_LT(more, made / 2);
    } else {
      EXPECT_GE(more, made);
    }
  }
}

std::atomic<int> destroyed{0};
struct noted {
  std::string text = "a text that is too long for the object itself";
  ~noted() { ++destroyed; }
};
thread_local noted mine;

TEST_P(Donors, ThatAreParkedEndAsThreadsWithTheirG) {
  preempt::choose_donors(donor_kind::parked);
  run([] {}, how());  // the spares that every run makes
  const auto before = count_threads();
  destroyed = 0;
  std::size_t during = 0;
  run(
      [&] {
        std::vector<join_handle<void>> all;
        std::atomic<bool> stop{false};
        std::atomic<int> begun{0};
        for (int i = 0; i < gs; ++i)
          all.push_back(spawn({.own_identity = true}, [&] {
            mine.text += "!";
            ++begun;
            while (!stop) this_g::yield();
          }));
        while (begun < gs) this_g::sleep_for(1ms);
        during = count_threads();
        stop = true;
        for (auto& g : all) g.join();
      },
      how());
  EXPECT_EQ(destroyed, gs);
  EXPECT_GE(during, before + gs);
  // The spares, more of which the run may have made.
  EXPECT_LT(count_threads(), before + gs);
}

// The calling process cannot make this call any more.
void forbid(int call) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    std::perror("seccomp");
    _exit(2);
  }
}

// 0: all went right with donors of that kind.
[[noreturn]] void storm_with(donor_kind expected) {
  const options how = setting{2, preempt_mode::async, 50us}.to_options();
  const storm_result r = storm(how, gs, preemptions, use_the_thread);
  std::fprintf(stderr, "%lu wrong, %s, %td threads\n", r.wrong,
               chosen_donors() == donor_kind::parked ? "parked" : "ended", count_threads());
  const bool many = count_threads() > gs / 2;
  _exit(r.wrong == 0 && chosen_donors() == expected && many == (expected == donor_kind::parked) ? 0 : 1);
}

// Each in a new process: the first run of a process tries it out.
class TriedOutDonors : public testing::Test {
 protected:
  void SetUp() override {
    URGE_TEST_NEEDS_ASYNC();
    testing::FLAGS_gtest_death_test_style = "threadsafe";
  }
};

TEST_F(TriedOutDonors, EndWhereTheyMay) { EXPECT_EXIT(storm_with(donor_kind::ended), testing::ExitedWithCode(0), ""); }

TEST_F(TriedOutDonors, AreParkedWhereTheKernelKeepsItsTies) {
  for (const int call : {SYS_set_tid_address, SYS_set_robust_list}) {
    EXPECT_EXIT((forbid(call), storm_with(donor_kind::parked)), testing::ExitedWithCode(0), "") << call;
  }
}

// pthread_create makes its threads by clone3.
TEST_F(TriedOutDonors, AreParkedWhereNoneCouldComeBack) {
  EXPECT_EXIT((forbid(SYS_clone), storm_with(donor_kind::parked)), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace urge::test
