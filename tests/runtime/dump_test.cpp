// SPDX-License-Identifier: MIT
// urge::dump: every G with its number, name, state, what it waits for, and where.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <regex>
#include <string>
#include <thread>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Dump : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Dump, testing::ValuesIn(settings()), name_setting());

// Into a file: a pipe's size would be a limit.
std::string dumped() {
  char name[] = "/tmp/urge-dump-XXXXXX";
  const int fd = mkostemp(name, O_CLOEXEC);
  EXPECT_GE(fd, 0);
  unlink(name);
  dump(fd);
  std::string text;
  char block[4096];
  for (ssize_t n, at = 0; (n = pread(fd, block, sizeof block, at)) > 0; at += n)
    text.append(block, static_cast<std::size_t>(n));
  close(fd);
  return text;
}
// The lines of one G, its heading first; empty: it is not there.
std::string part_of(const std::string& text, const std::string& name) {
  const std::size_t at = text.find(" '" + name + "':\n");
  if (at == std::string::npos) return "";
  const std::size_t from = text.rfind('\n', at) == std::string::npos ? 0 : text.rfind('\n', at) + 1;
  const std::size_t to = text.find("goroutine ", at);
  return text.substr(from, to == std::string::npos ? to : to - from);
}
bool says(const std::string& part, const std::string& what) { return part.find(what) != std::string::npos; }

extern "C" [[gnu::noinline]] void waits_in_here(chan<int>* c) {
  c->recv();
  asm volatile("" ::: "memory");  // no tail call
}

TEST_P(Dump, ListsEveryGWithItsStateAndReason) {
  run(
      [] {
        chan<int> c, d;
        int ends[2];
        ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
        auto target = spawn({.name = "target"}, [d]() mutable { d.recv(); });
        go({.name = "receiver"}, [c]() mutable { waits_in_here(&c); });
        go({.name = "sleeper"}, [] { this_g::sleep_for(1h); });
        go({.name = "selecting"}, [] { select(); });
        go({.name = "joiner"}, [&] { target.join(); });
        go({.name = "sender"}, [] { chan<int>().send(1); });
        auto reader = spawn({.name = "reader"}, [&] {
          return blocking([&] {
            char x;
            return ::read(ends[0], &x, 1);
          });
        });
        const auto complete = [](const std::string& text) {
          return says(part_of(text, "receiver"), "[waiting (chan receive)") &&
                 says(part_of(text, "sleeper"), "[waiting (sleep)") &&
                 says(part_of(text, "selecting"), "[waiting (select)") &&
                 says(part_of(text, "joiner"), "[waiting (join)") &&
                 says(part_of(text, "sender"), "[waiting (chan send)") && says(part_of(text, "reader"), "[syscall]") &&
                 says(part_of(text, "main"), "goroutine 1 [running]");
        };
        std::string text;
        for (int i = 0; i < 100'000 && !complete(text = dumped()); ++i) this_g::yield();
        EXPECT_TRUE(complete(text)) << text;
        EXPECT_TRUE(std::regex_search(part_of(text, "sleeper"), std::regex("\\(sleep\\), [0-9]+ ms\\]"))) << text;
        EXPECT_EQ(::write(ends[1], "x", 1), 1);
        EXPECT_EQ(reader.join(), 1);
        ::close(ends[0]), ::close(ends[1]);
        while (part_of(dumped(), "reader") != "") this_g::yield();  // join returns a moment before its last step
      },
      how());
}

TEST_P(Dump, ShowsWhereAWaitingGWaitsAndWhereItselfIs) {
  run(
      [] {
        chan<int> c;
        go({.name = "waiter"}, [c]() mutable { waits_in_here(&c); });
        std::string text;
        do this_g::yield(), text = dumped();
        while (!says(part_of(text, "waiter"), "waiting"));
        EXPECT_TRUE(sanitized || says(part_of(text, "waiter"), "waits_in_here")) << text;
        EXPECT_TRUE(says(part_of(text, "main"), "dump")) << text;
      },
      how());
}

TEST_P(Dump, ShowsGsThatHaveNotStarted) {
  if (GetParam().procs != 1) GTEST_SKIP() << "another P would start it";
  run(
      [] {
        const preempt_guard hold;
        go({.name = "fresh"}, [] {});
        const std::string part = part_of(dumped(), "fresh");
        EXPECT_TRUE(says(part, "[runnable]")) << part;
        EXPECT_TRUE(says(part, "not started")) << part;
      },
      how());
}

TEST_P(Dump, ShowsWhereASignalStoppedAG) {
  if (!async() || GetParam().procs != 1) GTEST_SKIP() << "looks at a G that was stopped by signal on this P";
  run(
      [] {
        auto hog = spawn({.name = "hog"}, [] {
          for (;;) asm volatile("");
        });
        while (hog.info().preempts_by_signal() == 0) this_g::yield();
        const preempt_guard hold;
        const std::string part = part_of(dumped(), "hog");
        EXPECT_TRUE(says(part, "[runnable]")) << part;
        EXPECT_TRUE(says(part, "#0 0x")) << part;
        EXPECT_TRUE(says(part, "invoke")) << part;  // the frame that calls every G's function
      },
      how());
}

TEST_P(Dump, WorksWhileEverythingMoves) {
  run(
      [] {
        std::atomic<bool> over{false};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 4; ++i)
          all.push_back(spawn([&] {
            while (!over) spawn([] { this_g::yield(); }).join();
          }));
        std::thread outside([] {
          for (int i = 0; i < 50; ++i) EXPECT_TRUE(says(dumped(), "goroutine 1 ["));
        });
        for (int i = 0; i < 50; ++i) EXPECT_TRUE(says(part_of(dumped(), "main"), "goroutine 1 [running]"));
        outside.join();
        over = true;
        for (auto& h : all) h.join();
      },
      how());
}

TEST_P(Dump, MayBeCalledInASignalHandler) {
  static int null;
  static std::atomic<int> dumps;
  null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  dumps = 0;
  struct sigaction act {
  }, before{};
  act.sa_handler = [](int) { dump(null), ++dumps; };
  act.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &act, &before), 0);
  run(
      [] {
        for (int i = 0; i < 20; ++i) {
          spawn([] { ::raise(SIGUSR1); }).join();
          spawn([] { blocking([] { ::usleep(100), ::raise(SIGUSR1); }); }).join();
          ::kill(::getpid(), SIGUSR1);
          this_g::yield();
        }
        // ThreadSanitizer keeps a signal to another thread back until that calls libc: the caller of run does not.
        while (dumps < (thread_sanitized ? 40 : 41)) this_g::yield();
      },
      how());
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
  ::close(null);
}

}  // namespace
}  // namespace urge::test
