// SPDX-License-Identifier: MIT
// join_handle::kill of a G by itself: it is unwound, whenever that is.
#include <urge/runtime.hpp>

#include "runtime/killing.hpp"

namespace urge::test {
namespace {

class KillOneself : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, KillOneself, testing::ValuesIn(settings()), name_setting());

TEST_P(KillOneself, UnwindsIt) {
  run(
      [] {
        std::atomic<int> destroyed{0};
        join_handle<void> h;
        std::atomic<bool> known{false};
        h = spawn([&] {
          while (!known) this_g::yield();
          const counts c{destroyed};
          h.kill();
          ADD_FAILURE() << "goes on";
        });
        known = true;
        while (!h.done()) this_g::yield();
        EXPECT_THROW(h.join(), killed);
        EXPECT_EQ(destroyed, 1);
      },
      how());
}

// Whatever it has used before: its second begins when it is unwound.
using KillOneselfLate = Plain;
TEST_F(KillOneselfLate, LeavesItASecondForItsDestructors) {
  URGE_TEST_NEEDS_ASYNC();
  struct slow {
    std::atomic<int>& n;
    ~slow() {
      for (const auto end = std::chrono::steady_clock::now() + 20ms; std::chrono::steady_clock::now() < end;) {
      }
      ++n;
    }
  };
  options o;
  o.procs = 1, o.quantum = 1ms;
  std::atomic<int> destroyed{0};
  join_handle<void> h;
  run(
      [&] {
        h = spawn([&] {
          const slow a{destroyed}, b{destroyed};
          while (this_g::cpu_time() < 1010ms) {
          }
          go([&] {
            while (!h.done()) preempt_point();
          });
          h.kill();
        });
        while (!h.done()) this_g::sleep_for(10ms);
      },
      o);
  EXPECT_EQ(destroyed, 2);
}

}  // namespace
}  // namespace urge::test
