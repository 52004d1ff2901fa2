// SPDX-License-Identifier: MIT
// What can be done to a G that stands at a function entry: it is killed, paused, dumped and abandoned like one that a
// signal has stopped, and takes its identity along. All in cooperative mode: nothing else could have stopped it.
#include <urge/errors.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "entry/entry_fixture.hpp"

namespace urge::test {
namespace {

class EntryLife : public Entries {};
INSTANTIATE_TEST_SUITE_P(Code, EntryLife, testing::ValuesIn(all_checked()), name_of_code());

TEST_P(EntryLife, IsKilledThere) {
  run(
      [&] {
        for (int i = 0; i < 3; ++i) {
          std::atomic<bool> begun = false;
          auto hog = spawn([&] {
            begun = true;
            for (;;) code().fib(12);
          });
          while (!begun) this_g::yield();
          EXPECT_TRUE(hog.kill());
          EXPECT_THROW(hog.join(), killed);
        }
        EXPECT_EQ(spawn([] { return 5; }).join(), 5);
        EXPECT_EQ(snapshot().kept_back, 3u);
      },
      cooperative(1, 1ms));
}

TEST_P(EntryLife, IsPausedAndResumedThere) {
  run(
      [&] {
        std::atomic<bool> enough = false;
        auto call = run_for(1ms, [&] {
          int n = 0;
          while (!enough) n = code().fib(14);
          return n;
        });
        EXPECT_FALSE(call.done());
        EXPECT_FALSE(call.resume(1ms));
        enough = true;
        while (!call.resume(1ms)) continue;
        EXPECT_EQ(call.get(), 377);
        auto endless = run_for(1ms, [&] {
          for (;;) code().fib(12);
        });
        EXPECT_FALSE(endless.done());
        EXPECT_FALSE(endless.resume(1ms));
        endless.drop();
      },
      cooperative(1, 1ms));
}

TEST_P(EntryLife, IsAbandonedAtTheEndOfARun) {
  for (int i = 0; i < 3; ++i) {
    run(
        [&] {
          std::atomic<int> begun = 0;
          for (int k = 0; k < 3; ++k) {
            go([&, c = &code()] {
              ++begun;
              for (;;) c->fib(12);
            });
          }
          while (begun != 3) this_g::yield();
        },
        cooperative(2, 1ms));
    EXPECT_EQ(snapshot().abandoned, 3u);
    EXPECT_EQ(snapshot().abandoned_inside, 0u);
  }
}

thread_local int mine = 0;

TEST_P(EntryLife, KeepsThreadLocalsAndThreadAcrossTheStop) {
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (int who = 1; who <= 3; ++who) {
          all.push_back(spawn([&, who] {
            volatile int* const cached = &mine;
            for (int n = 0; n < 100; ++n) {
              *cached = who * 1000 + n;
              const pthread_t self = pthread_self();
              stop_at_next_entry();
              EXPECT_EQ(code().fib(10), 55);
              EXPECT_EQ(*cached, who * 1000 + n);
              EXPECT_TRUE(pthread_equal(self, pthread_self()));
            }
          }));
        }
        for (auto& g : all) g.join();
        EXPECT_GE(snapshot().promoted, 2u);
      },
      cooperative(1));
}

TEST_P(EntryLife, CountsAsCooperative) {
  run(
      [&] {
        auto h = spawn({.own_identity = true}, [&] {
          for (int n = 0; n < 10; ++n) {
            stop_at_next_entry();
            code().fib(10);
          }
        });
        h.join();
        EXPECT_EQ(h.info().preempts_cooperative, 10u);
        EXPECT_EQ(h.info().preempts_async, 0u);
      },
      cooperative(1));
}

std::string dumped() {
  char name[] = "/tmp/urge-entry-XXXXXX";
  const int fd = mkostemp(name, O_CLOEXEC);
  EXPECT_GE(fd, 0);
  unlink(name);
  dump(fd);
  std::string text(static_cast<std::size_t>(lseek(fd, 0, SEEK_CUR)), '\0');
  EXPECT_EQ(pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  close(fd);
  return text;
}

TEST_P(EntryLife, IsDumpedWithTheFunctionThatItEnters) {
  run(
      [&] {
        std::atomic<bool> begun = false, stop = false;
        auto h = spawn({.name = "entering"}, [&] {
          stop_at_next_entry();
          begun = true;
          code().fib(10);
          while (!stop) this_g::yield();
        });
        while (!begun) this_g::yield();
        const std::string text = dumped();
        const std::size_t at = text.find("'entering'");
        EXPECT_NE(at, std::string::npos) << text;
        EXPECT_NE(text.find("fib", at), std::string::npos) << text;
        stop = true;
        h.join();
      },
      cooperative(1));
}

}  // namespace
}  // namespace urge::test
