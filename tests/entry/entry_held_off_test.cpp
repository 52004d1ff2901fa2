// SPDX-License-Identifier: MIT
// Where no G may stop a function entry goes on, whatever the word says: under a preempt_guard, in a signal handler, in
// a system call's place, on threads that urge did not make, in the child of a fork. On stacks of the user's own it may.
#include <urge/io.hpp>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "entry/entry_fixture.hpp"

namespace urge::test {
namespace {

class EntryHeldOff : public Entries {};
INSTANTIATE_TEST_SUITE_P(Code, EntryHeldOff, testing::ValuesIn(all_checked()), name_of_code());

TEST_P(EntryHeldOff, UnderAGuardUntilItsEnd) {
  run(
      [&] {
        EXPECT_EQ(stops_of([&] {
                    const preempt_guard guard;
                    stop_at_next_entry();
                    EXPECT_EQ(code().fib(10), 55);
                  }),
                  0u);
        EXPECT_GE(refused(defer_reason::guarded), 1u);
        EXPECT_EQ(stops_of([&] {
                    stop_at_next_entry();
                    EXPECT_EQ(code().fib(10), 55);
                  }),
                  1u);
      },
      cooperative(1));
}

// What the handlers below call, and what they found.
const checked_code* in_handler = nullptr;
std::uint64_t stops_in_handler = 0;
int result_in_handler = 0;

void handler(int) {
  stops_in_handler = stops_of([] {
    stop_at_next_entry();
    result_in_handler = in_handler->fib(10);
  });
}

TEST_P(EntryHeldOff, InASignalHandlerOnEitherStack) {
  in_handler = &code();
  for (const int flags : {0, SA_ONSTACK}) {
    struct sigaction act {
    }, before{};
    act.sa_handler = handler;
    act.sa_flags = flags;
    ASSERT_EQ(sigaction(SIGUSR1, &act, &before), 0);
    run(
        [&] {
          stops_in_handler = 99, result_in_handler = 0;
          auto other = spawn([] {});  // there would be somebody to run
          raise(SIGUSR1);
          EXPECT_EQ(stops_in_handler, 0u) << "flags " << flags;
          EXPECT_EQ(result_in_handler, 55);
          EXPECT_GE(refused(defer_reason::in_handler), 1u);
          other.join();
        },
        cooperative(1));
    sigaction(SIGUSR1, &before, nullptr);
  }
}

// The landing's last instructions hold no lock, and stand on the stack where the trampoline saves. A handler that
// interrupts them runs below, and what it calls must not save there.
void handler_on_the_way_back(int) {
  stop_at_next_entry();
  result_in_handler = in_handler->fib(10);
}

TEST_P(EntryHeldOff, OnTheWayBackFromTheScheduler) {
  in_handler = &code();
  struct sigaction act {
  }, before{};
  act.sa_handler = handler_on_the_way_back;
  ASSERT_EQ(sigaction(SIGUSR1, &act, &before), 0);
  run(
      [&] {
        result_in_handler = 0;
        auto other = spawn([] {});
        long result;
        EXPECT_EQ(stops_of([&] {
                    asm volatile(
                        "movq %%rsp, %%r12\n\t"
                        "movq %[sp], %%rsp\n\t"
                        "syscall\n\t"
                        "movq %%r12, %%rsp"
                        : "=a"(result)
                        : "a"(SYS_tkill), "D"(gettid()), "S"(SIGUSR1), [sp] "r"(urge_async_sp - 16 * 1024)
                        : "rcx", "r11", "r12", "memory");
                  }),
                  0u);
        EXPECT_EQ(result, 0);
        EXPECT_EQ(result_in_handler, 55);
        EXPECT_EQ(refused(defer_reason::trampoline), 1u);
        EXPECT_EQ(stops_of([&] {
                    stop_at_next_entry();
                    EXPECT_EQ(code().fib(10), 55);
                  }),
                  1u);
        other.join();
      },
      cooperative(1));
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_P(EntryHeldOff, WithoutAnIdentityForTheOthers) {
  options how = cooperative(1);
  how.max_identities = 1;
  run(
      [&] {
        const auto stops_here = [&] {
          const std::uint64_t before = snapshot().preempts_cooperative;
          while (snapshot().preempts_cooperative == before) {  // a spare one may not be there at once
            stop_at_next_entry();
            EXPECT_EQ(code().fib(10), 55);
          }
        };
        auto carries = spawn(stops_here);
        this_g::yield();  // the other has been stopped, and keeps it until it ends
        const std::uint64_t refused_before = refused(defer_reason::no_identity),
                            stopped_before = snapshot().preempts_cooperative;
        stop_at_next_entry();
        EXPECT_EQ(code().fib(10), 55);
        EXPECT_EQ(refused(defer_reason::no_identity), refused_before + 1);
        EXPECT_EQ(snapshot().preempts_cooperative, stopped_before);
        carries.join();
        stops_here();
      },
      how);
}

TEST_P(EntryHeldOff, InASystemCallsPlace) {
  run(
      [&] {
        EXPECT_EQ(stops_of([&] {
                    blocking([&] {
                      poison_entries();
                      EXPECT_EQ(code().fib(10), 55);
                    });
                  }),
                  0u);
      },
      cooperative(2));
}

TEST_P(EntryHeldOff, OnThreadsThatUrgeDidNotMake) {
  const auto passes = [&] {
    poison_entries();
    EXPECT_EQ(code().fib(10), 55);
    EXPECT_EQ(arch::entry_limit(), 0u);
    EXPECT_TRUE(all_shapes_right(code(), 7));
  };
  passes();
  run([&] { std::thread(passes).join(); }, cooperative(1));
  passes();
}

TEST_P(EntryHeldOff, InTheChildOfAFork) {
  run(
      [&] {
        const pid_t parent = getpid();
        auto other = spawn([&] {
          if (getpid() != parent) _exit(9);  // nobody else may run there
        });
        stop_at_next_entry();
        const pid_t child = fork();
        if (child == 0) _exit(code().fib(10) == 55 && code().wide(1) == 5 * 1024 ? 7 : 8);
        ASSERT_GT(child, 0);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_TRUE(WIFEXITED(status));
        EXPECT_EQ(WEXITSTATUS(status), 7);
        other.join();
      },
      cooperative(1));
}

// A coroutine of the user's, on memory that lies below the stacks of Gs.
struct coroutine {
  ucontext_t main, inner;
  std::vector<char> stack = std::vector<char>(128 * 1024);
  const checked_code* code = nullptr;
  int stopped = 0;
  bool right = true;

  static void enter(unsigned high, unsigned low) {
    auto* c = reinterpret_cast<coroutine*>(std::uintptr_t{high} << 32 | low);
    for (int n = 0; n < 40; ++n) {
      c->stopped += static_cast<int>(stops_of([&] {
        if (n % 2 == 0) stop_at_next_entry();
        c->right = c->right && all_shapes_right(*c->code, n);
      }));
      if (n % 8 == 0) swapcontext(&c->inner, &c->main);
    }
  }
  void run_all() {
    getcontext(&inner);
    inner.uc_stack.ss_sp = stack.data();
    inner.uc_stack.ss_size = stack.size();
    inner.uc_link = &main;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&inner, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(self >> 32),
                static_cast<unsigned>(self));
    for (int i = 0; i <= 5; ++i) {
      swapcontext(&main, &inner);
      right = right && all_shapes_right(*code, i);  // and on the G's own stack again
    }
  }
};

TEST_P(EntryHeldOff, NotOnAStackOfTheUsersOwn) {
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 2; ++i) {
          all.push_back(spawn([&] {
            coroutine c;
            c.code = &code();
            c.run_all();
            EXPECT_TRUE(c.right);
            EXPECT_GE(c.stopped, 20);
          }));
        }
        for (auto& g : all) g.join();
      },
      cooperative(1));
}

}  // namespace
}  // namespace urge::test
