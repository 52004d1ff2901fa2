// SPDX-License-Identifier: MIT
// Mask and alternate stack that a G sets for itself: they go with it over every kind of stop, and nobody else has them.
// Also what handlers do to both: siglongjmp out of them, masks set inside, longjmp past the kernel's own return.
#include <urge/go.hpp>
#include <urge/io.hpp>

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csetjmp>
#include <csignal>
#include <cstring>

#include "preempt/storm.hpp"

namespace urge::test {
namespace {

class OwnState : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, OwnState, testing::ValuesIn(storm_settings()), name_setting());

constexpr std::uint64_t preemptions = 500;
constexpr int some_signals[] = {SIGUSR1, SIGUSR2, SIGIO, SIGVTALRM};

// A yield begins a new slice: bodies with one are stopped by signal only where they compute for longer than that.
constexpr int longer_than_a_slice = 400'000;
void spin(int n) {
  for (volatile int i = 0; i < n;) i = i + 1;
}

// Each G has one signal of its own blocked, and only that, whatever it is stopped by.
TEST_P(OwnState, TheMaskGoesWithTheGOverEveryKindOfStop) {
  const auto r = storm(how(), 5, preemptions, [](int who, std::uint64_t n) {
    if (n % 8 == 0) spin(longer_than_a_slice);
    if (n == 0 && who < 4) {
      sigset_t mine;
      sigemptyset(&mine);
      sigaddset(&mine, some_signals[who]);
      if (sigprocmask(SIG_SETMASK, &mine, nullptr) != 0) return false;
    }
    switch (n % 4) {
      case 0:
        spin(10'000);
        break;
      case 1:
        this_g::yield();
        break;
      case 2:
        this_g::sleep_for(20us);
        break;
      default:
        blocking([] { ::usleep(300); });  // long enough for the P to be taken away
    }
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    bool right = sigismember(&now, SIGURG) == 0;
    for (int i = 0; i < 4; ++i) right = right && sigismember(&now, some_signals[i]) == (i == who);
    return right;
  });
  expect_right(r, preemptions);
}

// Where a handler of this G is to run: on its stack, or on its alternate stack. A handler looks at the place of its own
// G only: those of others change under its eyes, as their memory comes and goes.
struct place {
  const std::uint64_t g = this_g::id();
  const char* low = nullptr;
  const char* high = nullptr;
  sigjmp_buf* env = nullptr;
  volatile int visits = 0;
};
std::atomic<std::uint64_t> owners[64];
place* places[64];  // by owners[i]
void enter_place(int who, place& p) {
  places[who] = &p;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  owners[who] = p.g;
}
void leave_place(int who) { owners[who] = 0; }
place* whose(const char* at) {
  const std::uint64_t me = this_g::id();
  for (std::size_t i = 0; i < std::size(owners); ++i)
    if (owners[i] == me) return at >= places[i]->low && at < places[i]->high ? places[i] : nullptr;
  return nullptr;
}
std::atomic<int> elsewhere;

void count_visit(int) {
  const char here = 0;
  if (place* p = whose(&here))
    p->visits = p->visits + 1;
  else
    elsewhere.fetch_add(1);
}
void leave_by_siglongjmp(int) {
  const char here = 0;
  if (place* p = whose(&here)) siglongjmp(*p->env, 1);
  elsewhere.fetch_add(1);
}
void set_a_mask(int) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

struct handler_for_a_while {
  explicit handler_for_a_while(void (*f)(int), int flags) {
    struct sigaction mine {};
    mine.sa_handler = f;
    mine.sa_flags = flags;
    sigaction(SIGUSR1, &mine, &before);
    elsewhere = 0;
  }
  ~handler_for_a_while() { sigaction(SIGUSR1, &before, nullptr); }
  struct sigaction before {};
};

// Gs with an alternate stack of their own beside Gs without. Its memory is unmapped in the end: whoever still used it
// would crash.
TEST_P(OwnState, TheAlternateStackGoesWithTheG) {
  const handler_for_a_while h(count_visit, SA_ONSTACK | SA_RESTART);
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t n) {
    if (n % 8 == 0) spin(longer_than_a_slice);
    stack_t seen{};
    if (sigaltstack(nullptr, &seen) != 0 || seen.ss_flags != SS_DISABLE) return false;
    if (who % 2) {
      spin(3'000);
      const int before = elsewhere.load();
      return raise(SIGUSR1) == 0 && elsewhere.load() > before;
    }
    constexpr std::size_t bytes = 64 * 1024;
    char* memory = static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory == MAP_FAILED) return false;
    place mine;
    mine.low = memory, mine.high = memory + bytes;
    enter_place(who, mine);
    stack_t own{};
    own.ss_sp = memory, own.ss_size = bytes;
    bool right = sigaltstack(&own, nullptr) == 0;
    for (int i = 0; i < 5 && right; ++i) {
      if (i % 2)
        this_g::yield();
      else
        spin(5'000);
      right = raise(SIGUSR1) == 0 && mine.visits == i + 1;
      right = right && sigaltstack(nullptr, &seen) == 0 && seen.ss_sp == memory && seen.ss_size == bytes &&
              seen.ss_flags == 0;
    }
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    right = sigaltstack(&none, &seen) == 0 && seen.ss_sp == memory && right;
    leave_place(who);
    munmap(memory, bytes);
    if (n % 3 == 0) this_g::sleep_for(20us);
    return right;
  });
  expect_right(r, preemptions);
}

// One too small for the frame of our handler is remembered, and used by nobody.
TEST_P(OwnState, ASmallAlternateStackDoesNoHarm) {
  const handler_for_a_while h(count_visit, SA_ONSTACK | SA_RESTART);
  const auto r = storm(how(), 4, preemptions, [](int, std::uint64_t) {
    struct {
      char below[4096], stack[2048], above[4096];
    } memory;
    std::memset(&memory, 0x5a, sizeof memory);
    stack_t own{}, seen{};
    own.ss_sp = memory.stack, own.ss_size = sizeof memory.stack;
    bool right = sigaltstack(&own, nullptr) == 0;
    spin(5'000);
    const int before = elsewhere.load();
    right = raise(SIGUSR1) == 0 && elsewhere.load() > before && right;
    right = sigaltstack(nullptr, &seen) == 0 && seen.ss_sp == memory.stack && right;
    own.ss_size = 100;
    right = sigaltstack(&own, nullptr) == -1 && errno == ENOMEM && right;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    right = sigaltstack(&none, nullptr) == 0 && right;
    for (const char c : memory.stack) right = right && c == 0x5a;
    return right;
  });
  expect_right(r, preemptions);
}

// It ends with a stack and a mask of its own in place: the next G on that M has neither.
TEST_P(OwnState, NothingOfThemIsLeftBehindAtTheEnd) {
  const handler_for_a_while h(count_visit, SA_ONSTACK | SA_RESTART);
  const auto r = storm(how(), 4, preemptions, [](int, std::uint64_t) {
    constexpr std::size_t bytes = 32 * 1024;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool right = true;
    spawn([&] {
      stack_t own{}, seen{};
      right = sigaltstack(nullptr, &seen) == 0 && seen.ss_flags == SS_DISABLE;
      sigset_t now, all;
      pthread_sigmask(SIG_BLOCK, nullptr, &now);
      right = right && sigismember(&now, SIGUSR1) == 0;
      own.ss_sp = memory, own.ss_size = bytes;
      sigfillset(&all);
      right = right && sigaltstack(&own, nullptr) == 0 && pthread_sigmask(SIG_SETMASK, &all, nullptr) == 0;
      spin(2'000);
    }).join();
    munmap(memory, bytes);
    spin(2'000);
    return raise(SIGUSR1) == 0 && right;
  });
  expect_right(r, preemptions);
}

// Also with a mask that the jump brings back.
void jump_out(const options& how, int flags) {
  const handler_for_a_while h(leave_by_siglongjmp, flags);
  const bool on_own = flags & SA_ONSTACK;
  const auto r = storm(how, 4, preemptions, [on_own](int who, std::uint64_t n) {
    if (n % 8 == 0) spin(longer_than_a_slice);
    sigset_t mine, none, now;
    sigemptyset(&mine), sigemptyset(&none);
    sigaddset(&mine, some_signals[1 + who % 3]);
    std::vector<char> memory(on_own ? 64 * 1024 : 0);
    place p;
    const char* frame = static_cast<const char*>(__builtin_frame_address(0));
    p.low = on_own ? memory.data() : frame - 48 * 1024;
    p.high = on_own ? memory.data() + memory.size() : frame;
    sigjmp_buf env;
    p.env = &env;
    stack_t own{};
    if (on_own) {
      own.ss_sp = memory.data(), own.ss_size = memory.size();
      if (sigaltstack(&own, nullptr) != 0) return false;
    }
    enter_place(who, p);
    volatile bool came_back = false;
    pthread_sigmask(SIG_SETMASK, &mine, nullptr);
    if (sigsetjmp(env, 1) == 0) {
      pthread_sigmask(SIG_SETMASK, &none, nullptr);
      if (n % 2) this_g::yield();
      spin(3'000);
      raise(SIGUSR1);
    } else {
      came_back = true;
    }
    spin(3'000);
    if (n % 3 == 0) this_g::yield();
    pthread_sigmask(SIG_SETMASK, nullptr, &now);
    bool right = came_back && sigismember(&now, SIGUSR1) == 0 && sigismember(&now, SIGURG) == 0;
    for (int i = 1; i < 4; ++i) right = right && sigismember(&now, some_signals[i]) == (i == 1 + who % 3);
    leave_place(who);
    own.ss_flags = SS_DISABLE;
    if (on_own) right = sigaltstack(&own, nullptr) == 0 && right;
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    return right;
  });
  expect_right(r, preemptions);
  EXPECT_EQ(elsewhere.load(), 0);
}
TEST_P(OwnState, SiglongjmpOutOfAHandler) { jump_out(how(), SA_RESTART); }
TEST_P(OwnState, SiglongjmpOutOfAHandlerOnTheAlternateStack) { jump_out(how(), SA_RESTART | SA_ONSTACK); }

// The kernel takes it back when the handler returns; so must we.
TEST_P(OwnState, AMaskSetInAHandlerEndsWithIt) {
  const handler_for_a_while h(set_a_mask, SA_RESTART);
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t n) {
    if (n % 8 == 0) spin(longer_than_a_slice);
    spin(3'000);
    if (who == 0 && raise(SIGUSR1) != 0) return false;
    if (n % 2) this_g::yield();
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, nullptr, &now);
    return sigismember(&now, SIGUSR1) == 0 && sigismember(&now, SIGUSR2) == 0 && sigismember(&now, SIGURG) == 0;
  });
  expect_right(r, preemptions);
}

// longjmp without the mask leaves what was blocked in the handler blocked, ours too: until the G next stops by itself.
TEST_P(OwnState, LongjmpOutOfAHandlerIsHealedAtTheNextStop) {
  const handler_for_a_while h(leave_by_siglongjmp, SA_RESTART | SA_NODEFER);
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t n) {
    if (who != 0) {
      spin(20'000);
      return true;
    }
    place p;
    const char* frame = static_cast<const char*>(__builtin_frame_address(0));
    p.low = frame - 48 * 1024, p.high = frame;
    sigjmp_buf env;
    p.env = &env;
    enter_place(who, p);
    if (sigsetjmp(env, 0) == 0) raise(SIGUSR1);
    leave_place(who);
    spin(20'000);
    // A yield with nobody to give way to is no stop, and a short sleep may be over before it begins. At the end of the
    // storm the others may be gone: yields alone would go on for ever.
    sigset_t now;
    bool sleeps = n % 2 == 0;
    do {
      if (sleeps)
        this_g::sleep_for(50us);
      else
        this_g::yield();
      sleeps = true;
      pthread_sigmask(SIG_SETMASK, nullptr, &now);
    } while (sigismember(&now, SIGURG) == 1);
    return true;
  });
  expect_right(r, preemptions);
}

}  // namespace
}  // namespace urge::test
