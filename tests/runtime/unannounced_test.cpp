// SPDX-License-Identifier: MIT
// System calls that urge was not told of: a thread that sleeps in one does not keep its P.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>

#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Unannounced : public WithSetting {
 protected:
  void SetUp() override {
    if (sanitized) GTEST_SKIP() << "a sanitizer does not see membarrier's fences: no P is taken from a sleeper there";
  }
  bool stops_by_signal() const { return async() || GetParam().preempt == preempt_mode::kernel_thread; }
};
INSTANTIATE_TEST_SUITE_P(Settings, Unannounced, testing::ValuesIn(settings()), name_setting());

class pipes {
 public:
  explicit pipes(int n) : ends_(2 * static_cast<std::size_t>(n)) {
    for (std::size_t i = 0; i < ends_.size(); i += 2) EXPECT_EQ(pipe2(&ends_[i], O_CLOEXEC), 0);
  }
  ~pipes() {
    for (const int fd : ends_) ::close(fd);
  }
  pipes(const pipes&) = delete;
  pipes& operator=(const pipes&) = delete;
  // A number; -1: none came.
  int read(int i) const {
    int value = -1;
    return ::read(ends_[2 * static_cast<std::size_t>(i)], &value, sizeof value) == sizeof value ? value : -1;
  }
  int reader(int i) const { return ends_[2 * static_cast<std::size_t>(i)]; }
  void write(int i, int value) const {
    EXPECT_EQ(::write(ends_[2 * static_cast<std::size_t>(i) + 1], &value, sizeof value), long{sizeof value});
  }

 private:
  std::vector<int> ends_;
};

thread_local int own = 0;
// Asked anew each time: the G may have come to another thread at the end of a round.
[[gnu::noipa]] int& own_here() { return own; }
[[gnu::noipa]] int& errno_here() { return errno; }

void spin(std::chrono::nanoseconds t) {
  const auto until = std::chrono::steady_clock::now() + t;
  while (std::chrono::steady_clock::now() < until) {
  }
}

// Without the P of the one that reads, the other would never write.
TEST_P(Unannounced, AReaderWaitsForWhatAGOfTheSamePWrites) {
  const pipes p(static_cast<int>(GetParam().procs));
  run(
      [&] {
        std::vector<join_handle<int>> readers;
        for (int i = 0; i < static_cast<int>(GetParam().procs); ++i)
          readers.push_back(spawn([&p, i] { return p.read(i); }));
        this_g::yield();  // now they have all Ps
        for (int i = 0; i < static_cast<int>(GetParam().procs); ++i) p.write(i, 100 + i);
        for (int i = 0; i < static_cast<int>(GetParam().procs); ++i)
          EXPECT_EQ(readers[static_cast<std::size_t>(i)].join(), 100 + i);
      },
      how());
}

// The watchdog has a handler on an alternate stack: there EINTR is the program's business.
template <class Call>
int unless_interrupted(Call call) {
  for (;;)
    if (const int result = call(); result >= 0 || errno_here() != EINTR) return result;
}

// On all Ps a G sleeps in such a call; who ends it has to have one of them.
TEST_P(Unannounced, WhateverTheCallIsTheOneThatEndsItGetsAP) {
  const unsigned n = GetParam().procs;
  const auto each_ends = [&](const char* name, std::function<bool(unsigned)> sleep, std::function<void(unsigned)> end) {
    run(
        [&] {
          std::vector<join_handle<int>> sleepers;
          for (unsigned i = 0; i < n; ++i) sleepers.push_back(spawn([&, i] { return sleep(i) ? 0 : errno_here(); }));
          this_g::yield();
          for (unsigned i = 0; i < n; ++i) end(i);
          for (auto& s : sleepers) EXPECT_EQ(s.join(), 0) << "errno of " << name;
        },
        how());
  };
  const auto fd = [](unsigned i) { return static_cast<int>(i); };

  const pipes p(fd(n));
  const auto write = [&](unsigned i) { p.write(fd(i), 1); };
  const auto readable = [&](unsigned i) { return pollfd{p.reader(fd(i)), POLLIN, 0}; };
  each_ends(
      "poll",
      [&](unsigned i) {
        pollfd one = readable(i);
        return unless_interrupted([&] { return ::poll(&one, 1, -1); }) == 1 && p.read(fd(i)) == 1;
      },
      write);
  each_ends(
      "select",
      [&](unsigned i) {
        fd_set all;
        FD_ZERO(&all);
        FD_SET(p.reader(fd(i)), &all);
        return unless_interrupted([&] { return ::select(p.reader(fd(i)) + 1, &all, nullptr, nullptr, nullptr); }) ==
                   1 &&
               p.read(fd(i)) == 1;
      },
      write);

  std::vector<sem_t> units(n);
  for (auto& s : units) ::sem_init(&s, 0, 0);
  each_ends(
      "sem_wait", [&](unsigned i) { return ::sem_wait(&units[i]) == 0; }, [&](unsigned i) { ::sem_post(&units[i]); });
  for (auto& s : units) ::sem_destroy(&s);

  // Locks of two open files each.
  std::FILE* const file = std::tmpfile();
  const std::string path = "/proc/self/fd/" + std::to_string(::fileno(file));
  const int held = ::open(path.c_str(), O_RDWR | O_CLOEXEC), wanted = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  each_ends(
      "flock", [&](unsigned) { return ::flock(wanted, LOCK_EX) == 0; }, [&](unsigned) { ::flock(held, LOCK_UN); });
  ::close(held), ::close(wanted), std::fclose(file);

  // Children that end when they read something.
  std::vector<pid_t> children(n);
  for (unsigned i = 0; i < n; ++i) {
    children[i] = ::fork();
    if (children[i] == 0) ::_exit(p.read(fd(i)) == 1 ? 0 : 1);
  }
  each_ends(
      "waitpid",
      [&](unsigned i) {
        int status = -1;
        return ::waitpid(children[i], &status, 0) == children[i] && status == 0;
      },
      write);
}

TEST_P(Unannounced, AHundredReadersLeaveTheirPsToOthers) {
  constexpr int n = 100;
  const pipes there(n), back(n);
  run(
      [&] {
        std::vector<join_handle<int>> readers;
        for (int i = 0; i < n; ++i)
          readers.push_back(spawn([&, i] {
            int sum = 0;
            for (int value; (value = there.read(i)) != 0; back.write(i, value)) sum += value;
            return sum;
          }));
        for (int round = 1; round <= 5; ++round) {
          for (int i = 0; i < n; ++i) there.write(i, round * n + i);
          for (int i = 0; i < n; ++i) EXPECT_EQ(back.read(i), round * n + i);
        }
        for (int i = 0; i < n; ++i) there.write(i, 0);
        for (int i = 0; i < n; ++i) EXPECT_EQ(readers[static_cast<std::size_t>(i)].join(), 15 * n + 5 * i);
      },
      how());
  EXPECT_GT(snapshot().detached, 0u);
}

// Each sleeps, wakes perhaps without a P, and works on for some slices: with its own errno and thread_local.
TEST_P(Unannounced, WhatSleepsAndWorksOnIsRight) {
  constexpr int n = 12;
  std::atomic<int> wrong{0};
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (int who = 1; who <= n; ++who)
          all.push_back(spawn([&, who] {
            for (int i = 0; i < 10; ++i) {
              own_here() = who, errno_here() = who;
              const timespec t{0, 1'500'000};
              if (::clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr) != 0) ++wrong;
              spin(300us);
              if (errno_here() != who || own_here() != who) ++wrong;
              preempt_point();
            }
          }));
        for (auto& g : all) g.join();
      },
      how());
  // The signal that stops tests that hang has a handler on an alternate stack: an EINTR may be its.
  EXPECT_LE(wrong, static_cast<int>(snapshot().calls_interrupted));
}

// A thread that has woken must not run for ever beside the one that has its P.
TEST_P(Unannounced, WhoWakesWithoutAPIsStopped) {
  if (!stops_by_signal()) GTEST_SKIP() << "nothing else stops such a G";
  run(
      [&] {
        std::atomic<bool> stop{false};
        std::vector<join_handle<void>> all;
        for (unsigned i = 0; i < 2 * GetParam().procs + 2; ++i)
          all.push_back(spawn([&] {
            while (!stop) {
              ::usleep(3000);
              spin(3ms);
            }
          }));
        EXPECT_TRUE(eventually([] { return snapshot().contained > 10; }));
        stop = true;
        for (auto& g : all) g.join();
      },
      how());
}

TEST_P(Unannounced, NothingDiesOfIt_AtMaxThreads) {
  options few = how();
  few.max_threads = few.procs + 1;
  const int n = 3 * static_cast<int>(few.procs) + 3;
  const pipes p(n);
  std::thread writer([&] {
    for (int i = n; i-- > 0;) {
      std::this_thread::sleep_for(2ms);
      p.write(i, i + 1);
    }
  });
  run(
      [&] {
        std::vector<join_handle<int>> readers;
        for (int i = 0; i < n; ++i) readers.push_back(spawn([&, i] { return p.read(i); }));
        for (int i = 0; i < n; ++i) EXPECT_EQ(readers[static_cast<std::size_t>(i)].join(), i + 1);
      },
      few);
  writer.join();
  EXPECT_LE(snapshot().threads, few.max_threads);
}

// Who waits for a std::mutex without a time limit goes to the queue as a running one: no thread for each.
TEST_P(Unannounced, WaitersForALockCostNoThreads) {
  if (GetParam().preempt != preempt_mode::async) GTEST_SKIP() << "such a G keeps its thread, or its P";
  constexpr int n = 60;
  std::uint64_t threads = 0;
  run(
      [&] {
        std::mutex lock;
        std::atomic<int> passed{0}, begun{0};
        lock.lock();
        std::vector<join_handle<void>> all;
        for (int i = 0; i < n; ++i)
          all.push_back(spawn([&] {
            ++begun;
            const std::lock_guard hold(lock);
            ++passed;
          }));
        while (begun < n) this_g::sleep_for(100us);
        threads = snapshot().threads;
        EXPECT_EQ(passed, 0);
        lock.unlock();
        for (auto& g : all) g.join();
        EXPECT_EQ(passed, n);
      },
      how());
  EXPECT_LT(threads, GetParam().procs + 10);
}

TEST_P(Unannounced, TheRunEndsWhileSomeSleep) {
  const pipes p(4);
  for (int round = 0; round < 2; ++round) {
    run(
        [&] {
          std::atomic<int>& begun = *new std::atomic<int>(0);
          for (int i = 0; i < 4; ++i)
            go([&p, &begun, i] {
              ++begun;
              p.read(i);
              ADD_FAILURE() << "it went on behind its end";
            });
          while (begun < 4) this_g::yield();
          if (round == 1) this_g::sleep_for(5ms);
        },
        how());
    EXPECT_EQ(run([] { return spawn([] { return 1; }).join(); }, how()), 1);
  }
  for (int i = 0; i < 4; ++i) p.write(i, 1);
}

TEST_P(Unannounced, AKilledSleeperEndsWhenItWakes) {
  if (!stops_by_signal()) GTEST_SKIP() << "nothing else stops such a G";
  const pipes p(1);
  run(
      [&] {
        std::atomic<bool> begun{false};
        auto g = spawn([&] {
          begun = true;
          p.read(0);
          for (;;) asm volatile("" ::: "memory");  // in the clock, or libc, it could not be ended
        });
        while (!begun) this_g::yield();
        this_g::sleep_for(5ms);
        while (!g.kill()) p.write(0, 1);
        EXPECT_THROW(g.join(), killed);
      },
      how());
}

}  // namespace
}  // namespace urge::test
