// SPDX-License-Identifier: MIT
// Who is to end while it lives in libc: it is ended where it comes out, with nobody's lock, whatever runs inside of the
// call meanwhile.
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class WayOut : public WithSetting {
 protected:
  void SetUp() override {
    if (sanitized) GTEST_SKIP() << "no signal stops a G there";
  }
};
INSTANTIATE_TEST_SUITE_P(Settings, WayOut, testing::ValuesIn(async_settings()), name_setting());

const std::string line(200'000, 'x');
std::string copied(200'000, ' ');

// In libc but for some instructions of many thousands.
void be_in_libc() { std::snprintf(copied.data(), copied.size(), "%s", line.c_str()); }

// Runs `inside` as what qsort compares with, for as long as it returns.
std::function<void()> inside;
void call_back_from_libc() {
  int some[2] = {2, 1};
  std::qsort(some, 2, sizeof some[0], [](const void*, const void*) {
    inside();
    return 0;
  });
}

// The G that does `body` again and again, as soon as it does.
join_handle<void> begin(const std::function<void()>& body) {
  auto begun = std::make_shared<std::atomic<bool>>(false);
  auto h = spawn([begun, body] {
    *begun = true;
    for (;;) body();
  });
  while (!*begun) this_g::yield();
  return h;
}

// However long that takes: on a busy machine one call of kill may give up before the G has run.
template <class R>
void kill_at_last(join_handle<R>& h) {
  while (!h.done()) h.kill();
}

// A G that is found outside only by luck is stopped some thousand times before.
TEST_P(WayOut, AFewStopsAreEnough) {
  std::FILE* const file = std::fopen("/dev/null", "w");
  ASSERT_NE(file, nullptr);
  run(
      [&] {
        const std::vector<std::function<void()>> lives = {
            be_in_libc,
            [&] { std::fputs(line.c_str(), file); },
            // The C++ runtime's call of libc: out of both.
            [] {
              const std::string longer = line + line;
              asm volatile("" ::"r"(longer.data()));
            },
            [] {
              inside = be_in_libc;
              call_back_from_libc();
            },
        };
        for (int round = 0; round < 5; ++round)
          for (const auto& body : lives) {
            auto h = begin(body);
            kill_at_last(h);
            EXPECT_LT(h.info().preempts(), 100u);
            ASSERT_EQ(ftrylockfile(file), 0);
            funlockfile(file);
          }
      },
      how());
  std::fclose(file);
}

TEST_P(WayOut, TheLimitOfCpuTimeToo) {
  std::FILE* const file = std::fopen("/dev/null", "w");
  ASSERT_NE(file, nullptr);
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 4; ++i)
          all.push_back(spawn({.cpu_limit = 20ms}, [&] {
            for (;;) std::fputs(line.c_str(), file);
          }));
        for (auto& h : all) EXPECT_THROW(h.join(), killed);
        // All of them use the same lock: not one has left it locked.
        ASSERT_EQ(ftrylockfile(file), 0);
        funlockfile(file);
      },
      how());
  std::fclose(file);
}

// Runs in a callback of libc: until the G is to be killed, and has been stopped inside libc since.
struct killing {
  std::atomic<bool> begun{false}, wanted{false};

  void wait_for_it() {
    begun = true;
    while (!wanted) be_in_libc();
    for (int i = 0; i < 50; ++i) be_in_libc();
  }
  void of(join_handle<void>& h) {
    while (!begun) this_g::yield();
    wanted = true;
    kill_at_last(h);
  }
};

TEST_P(WayOut, TheExceptionOfAKillPassesIt) {
  run(
      [&] {
        for (int round = 0; round < 10; ++round) {
          killing k;
          std::atomic<int> unwound{0};
          struct counts {
            std::atomic<int>& n;
            ~counts() {
              if (std::uncaught_exceptions() != 0) ++n;
            }
          };
          inside = [&] {
            k.wait_for_it();
            const counts c{unwound};
            this_g::yield();
          };
          auto h = begin([&] {
            const counts c{unwound};
            call_back_from_libc();
          });
          k.of(h);
          EXPECT_EQ(unwound, 2);
        }
      },
      how());
}

TEST_P(WayOut, WhoseOwnExceptionMeetsItStandsStill) {
  run(
      [&] {
        killing k;
        inside = [&] {
          k.wait_for_it();
          throw 1;
        };
        auto h = begin([] {
          try {
            call_back_from_libc();
          } catch (int) {
            for (;;) be_in_libc();
          }
        });
        k.of(h);
      },
      how());
}

TEST_P(WayOut, ALongjmpMayPassIt) {
  run(
      [&] {
        for (int round = 0; round < 10; ++round) {
          static std::jmp_buf back;
          inside = [] {
            for (int i = 0; i < 20; ++i) be_in_libc();
            std::longjmp(back, 1);
          };
          auto h = begin([] {
            if (setjmp(back) == 0) call_back_from_libc();
            be_in_libc();
          });
          kill_at_last(h);
        }
      },
      how());
}

// While a guard lives, that was made inside of the call, it goes on.
TEST_P(WayOut, AGuardHoldsItOff) {
  run(
      [&] {
        for (int round = 0; round < 10; ++round) {
          killing k;
          std::atomic<bool> whole{false};
          std::unique_ptr<preempt_guard> guard;
          inside = [&] {
            k.wait_for_it();
            guard = std::make_unique<preempt_guard>();
          };
          auto h = begin([&] {
            call_back_from_libc();
            be_in_libc();
            whole = true;
            guard.reset();
            for (;;) be_in_libc();
          });
          k.of(h);
          EXPECT_TRUE(whole);
        }
      },
      how());
}

// It may be killed at the return from fork: the child returns there too.
TEST_P(WayOut, AChildOfForkGoesOn) {
  int children = 0;
  run(
      [&] {
        for (int round = 0; round < 10; ++round) {
          auto h = begin([] {
            if (::fork() == 0) ::_exit(7);
          });
          kill_at_last(h);
        }
      },
      how());
  for (int status; ::wait(&status) > 0; ++children)
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
  EXPECT_EQ(errno, ECHILD);
  EXPECT_GT(children, 0);
}

}  // namespace
}  // namespace urge::test
