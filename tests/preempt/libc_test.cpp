// SPDX-License-Identifier: MIT
// Code of libc, libstdc++ and the compiler's own runtime, stopped anywhere and gone on with anywhere: malloc, printf,
// exceptions, locks, errno, thread_local.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>

#include "preempt/storm.hpp"

namespace urge::test {
namespace {

class Libc : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Libc, testing::ValuesIn(storm_settings()), name_setting());
class Exceptions : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Exceptions, testing::ValuesIn(storm_settings()), name_setting());
class Identity : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Identity, testing::ValuesIn(storm_settings()), name_setting());

constexpr std::uint64_t enough = 800;

TEST_P(Libc, MallocKeepsEveryBlock) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    constexpr std::size_t blocks = 16;
    std::unique_ptr<unsigned char[]> kept[blocks];
    std::size_t sizes[blocks];
    for (std::size_t i = 0; i < blocks; ++i) {
      sizes[i] = 1 + (n * 37 + i * 131) % 5000;
      kept[i].reset(new unsigned char[sizes[i]]);
      std::memset(kept[i].get(), who + static_cast<int>(i), sizes[i]);
    }
    for (std::size_t i = 0; i < blocks; ++i)
      for (std::size_t k = 0; k < sizes[i]; ++k)
        if (kept[i][k] != static_cast<unsigned char>(who + static_cast<int>(i))) return false;
    return true;
  });
  expect_right(r, enough);
}

TEST_P(Libc, FormattingAndScanningAgree) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    char text[128];
    const double value = static_cast<double>(n) * 0.37 + who;
    std::snprintf(text, sizeof text, "%d %lu %.17g %s", who, n, value, "end");
    int who_back;
    unsigned long n_back;
    double value_back;
    char end[8];
    return std::sscanf(text, "%d %lu %lg %7s", &who_back, &n_back, &value_back, end) == 4 && who_back == who &&
           n_back == n && value_back == value && std::strcmp(end, "end") == 0;
  });
  expect_right(r, enough);
}

TEST_P(Libc, ContainersAndStreamsAgree) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    std::map<std::string, int> words;
    std::ostringstream out;
    for (int i = 0; i < 12; ++i) words[std::to_string((n + static_cast<unsigned>(i)) % 12)] = who + i, out << i << ' ';
    std::istringstream in(out.str());
    int sum = 0;
    for (int i; in >> i;) sum += i;
    return words.size() == 12 && sum == 66;
  });
  expect_right(r, enough);
}

TEST_P(Libc, RecursiveAndSharedMutexesHaveOneOwner) {
  static std::recursive_mutex recursive;
  static std::shared_mutex shared;
  static long a = 0, b = 0;
  a = b = 0;
  const auto r = storm(how(), 4, enough, [](int, std::uint64_t n) {
    {
      std::lock_guard outer(recursive);
      const long was = a;
      for (volatile int i = 0; i < 200;) i = i + 1;
      std::lock_guard inner(recursive);
      a = was + 1;
    }
    if (n % 4 == 0) {
      std::unique_lock writing(shared);
      const long was = b;
      for (volatile int i = 0; i < 200;) i = i + 1;
      b = was + 1;
      return true;
    }
    std::shared_lock reading(shared);
    const long first = b;
    for (volatile int i = 0; i < 100;) i = i + 1;
    return first == b;
  });
  expect_right(r, enough);
  EXPECT_EQ(static_cast<std::uint64_t>(a), r.rounds);
}

TEST_P(Libc, OnceAndStaticsAreDoneOnce) {
  const auto r = storm(how(), 4, enough, [](int, std::uint64_t) {
    struct counted {
      counted() {
        for (volatile int i = 0; i < 1000;) i = i + 1;
        ++made;
      }
      static int& made_so_far() {
        static int n = 0;
        return n;
      }
      int& made = made_so_far();
    };
    static counted one;
    static std::once_flag flag;
    static int called = 0;
    std::call_once(flag, [] {
      for (volatile int i = 0; i < 1000;) i = i + 1;
      ++called;
    });
    return one.made == 1 && called == 1;
  });
  expect_right(r, enough);
}

[[gnu::noinline]] int read_errno() { return errno; }

TEST_P(Identity, ErrnoIsTheGsOwnBetweenCallsOfUrge) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t) {
    // The compiler may keep the address of errno over the loop: it must stay right.
    int& e = errno;
    if (who % 2 == 0) {
      if (close(-1) != -1) return false;
    } else {
      if (open("/nonexistent/file", O_RDONLY) != -1) return false;
    }
    const int expected = who % 2 == 0 ? EBADF : ENOENT;
    for (volatile int i = 0; i < 20'000;) i = i + 1;
    return e == expected && read_errno() == expected;
  });
  expect_right(r, enough);
}

thread_local int number = 0;
thread_local std::string text;
[[gnu::noinline]] int& number_again() { return number; }

TEST_P(Identity, ThreadLocalsAreTheGsOwnBetweenCallsOfUrge) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    int& here = number;
    here = who * 1'000'000 + static_cast<int>(n % 1'000'000);
    text = std::to_string(here);
    for (volatile int i = 0; i < 20'000;) i = i + 1;
    return number_again() == who * 1'000'000 + static_cast<int>(n % 1'000'000) && text == std::to_string(here);
  });
  expect_right(r, enough);
}

TEST_P(Identity, NoTwoGsHaveTheSameThreadAtOnce) {
  static std::mutex guard;
  static std::set<pthread_t> inside;
  const auto r = storm(how(), 4, enough, [](int, std::uint64_t) {
    const pthread_t me = pthread_self();
    {
      std::lock_guard hold(guard);
      if (!inside.insert(me).second) return false;
    }
    for (volatile int i = 0; i < 20'000;) i = i + 1;
    std::lock_guard hold(guard);
    return pthread_equal(me, pthread_self()) && inside.erase(me) == 1;
  });
  expect_right(r, enough);
}

struct at_unwind {
  int& seen;
  ~at_unwind() { seen = std::uncaught_exceptions(); }
};

TEST_P(Exceptions, ThrownCaughtAndRethrownWhilePreempted) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    const std::string what = std::to_string(who) + ":" + std::to_string(n);
    int during = -1;
    bool right = std::uncaught_exceptions() == 0;
    try {
      try {
        at_unwind one{during};
        throw std::runtime_error(what);
      } catch (const std::exception& e) {
        right = right && during == 1 && what == e.what() && std::uncaught_exceptions() == 0;
        // Another exception while this one is being handled.
        try {
          throw std::out_of_range("inner " + what);
        } catch (const std::out_of_range& inner) {
          right = right && "inner " + what == inner.what();
        }
        throw;
      }
    } catch (const std::runtime_error& again) {
      right = right && what == again.what() && std::current_exception() != nullptr;
    }
    return right && std::uncaught_exceptions() == 0 && std::current_exception() == nullptr;
  });
  expect_right(r, enough);
}

TEST_P(Exceptions, InFlightWhileTheGWaits) {
  // Voluntary switches move the exceptions in flight too: between Gs that share a thread identity, by copy.
  run(
      [] {
        std::vector<join_handle<bool>> gs;
        for (int who = 0; who < 8; ++who)
          gs.push_back(spawn([who] {
            bool right = true;
            for (int n = 0; n < 200; ++n) {
              try {
                throw who * 1000 + n;
              } catch (int caught) {
                this_g::yield();
                right = right && caught == who * 1000 + n && std::current_exception() != nullptr;
                try {
                  this_g::yield();
                  throw;
                } catch (int again) {
                  right = right && again == caught;
                }
              }
              this_g::yield();
              right = right && std::current_exception() == nullptr;
            }
            return right;
          }));
        for (auto& g : gs) EXPECT_TRUE(g.join());
      },
      how());
}

}  // namespace
}  // namespace urge::test
