// SPDX-License-Identifier: MIT
// Who asks the kernel about descriptors: an idle M, sysmon while there is none, and nobody when nothing happens.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/runtime.hpp>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "runtime/waiting.hpp"
#include "sched/netpoll.hpp"
#include "support/runtime_fixture.hpp"
#include "support/sockets.hpp"

namespace urge::test {
namespace {

using std::chrono::steady_clock;

class Poller : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Poller, testing::ValuesIn(settings()), name_setting());

char read_one(int fd, time_point deadline = io::never) {
  char c = 0;
  return io::read(fd, &c, 1, deadline) == 1 ? c : '\0';
}

// --- idle Ms ---

TEST_P(Poller, AThreadOfTheProgramWakesAnMThatWaitsForDescriptors) {
  run(
      [] {
        const descriptor_pair p = make_tcp_pair();
        go([&] { read_one(p.a); });
        chan<int> from_outside(1);
        for (int i = 0; i < 30; ++i) {
          std::thread outside([&] {
            std::this_thread::sleep_for(300us);  // it is likely to sleep by now
            int value = i;
            while (!from_outside.try_send(value)) std::this_thread::yield();
          });
          EXPECT_EQ(from_outside.recv(), i);
          outside.join();
        }
        EXPECT_EQ(io::write(p.b, "x", 1), 1);
      },
      how());
}

TEST_P(Poller, TimersFireWhileAnMWaitsForDescriptors) {
  run(
      [] {
        const descriptor_pair p = make_tcp_pair();
        go([&] { read_one(p.a); });
        auto sleeper = spawn([] { this_g::sleep_for(20ms); });
        for (int i = 0; i < 50; ++i) {
          const auto until = steady_clock::now() + std::chrono::microseconds(100 + 17 * i);
          this_g::sleep_until(until);
          EXPECT_GE(steady_clock::now(), until);
        }
        sleeper.join();
      },
      how());
}

TEST_P(Poller, NobodyWakesWhileNothingChanges) {
  constexpr int n = 200;
  std::vector<descriptor_pair> pairs;
  for (int i = 0; i < n; ++i) pairs.push_back(make_unix_pair());
  std::atomic<bool> all_wait{false};
  std::thread driver;
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (auto& p : pairs) all.push_back(spawn([&p] { EXPECT_EQ(read_one(p.a), 'x'); }));
        driver = std::thread([&] {
          ASSERT_TRUE(eventually([] { return netpoll::n_waiters.load() == n; }));
          // sysmon looks once or twice more; from then on none of them comes back.
          std::uint64_t before = UINT64_MAX;
          EXPECT_TRUE(eventually([&] {
            const std::uint64_t now = netpoll::count().returns;
            const bool quiet = now == before;
            before = now;
            std::this_thread::sleep_for(100ms);
            return quiet;
          }));
          const std::uint32_t calls = sched.sysmon_word.load();
          std::this_thread::sleep_for(200ms);
          EXPECT_EQ(netpoll::count().returns, before);
          EXPECT_EQ(sched.sysmon_word.load(), calls);
          for (auto& p : pairs) EXPECT_EQ(::write(p.b, "x", 1), 1);
        });
        for (auto& g : all) g.join();
      },
      how());
  driver.join();
}

// --- busy Ps ---

// All Ps have hogs: nobody is idle, and still descriptors are seen.
TEST_P(Poller, DescriptorsAreSeenWhileHogsHaveAllPs) {
  if (!async()) GTEST_SKIP() << "hogs are not stopped in this mode";
  run(
      [&] {
        std::atomic<bool> stop{false};
        std::vector<join_handle<void>> hogs;
        const descriptor_pair p = make_tcp_pair();
        std::thread client([&] {
          for (int i = 0; i < 20; ++i) {
            char c = 0;
            EXPECT_EQ(::write(p.b, "x", 1), 1);
            EXPECT_EQ(::read(p.b, &c, 1), 1);
          }
        });
        for (unsigned i = 0; i < 2 * GetParam().procs; ++i)
          hogs.push_back(spawn([&] {
            while (!stop.load(std::memory_order_relaxed)) {
            }
          }));
        for (int i = 0; i < 20; ++i) {
          EXPECT_EQ(read_one(p.a), 'x');
          EXPECT_EQ(io::write(p.a, "y", 1), 1);
        }
        stop = true;
        for (auto& g : hogs) g.join();
        blocking([&] { client.join(); });
      },
      how());
}

TEST_P(Poller, AThousandConnectionsAmongHogs) {
  if (GetParam().procs != 2 || !async()) GTEST_SKIP() << "one long run is enough";
  run(
      [&] {
        constexpr std::size_t n = 1000;
        constexpr int rounds = 5;
        std::atomic<bool> stop{false};
        std::vector<join_handle<void>> hogs, all;
        for (unsigned i = 0; i < GetParam().procs; ++i)
          hogs.push_back(spawn([&] {
            while (!stop.load(std::memory_order_relaxed)) {
            }
          }));
        std::vector<descriptor_pair> pairs;
        for (std::size_t i = 0; i < n; ++i) pairs.push_back(make_unix_pair());
        for (std::size_t i = 0; i < n; ++i) {
          all.push_back(spawn([&pairs, i] {
            std::uint64_t got;
            for (int k = 0; k < rounds; ++k) {
              ASSERT_EQ(io::recv(pairs[i].a, &got, sizeof got, MSG_WAITALL), 8);
              ASSERT_EQ(io::write(pairs[i].a, &got, sizeof got), 8);
            }
          }));
          all.push_back(spawn([&pairs, i] {
            for (std::uint64_t k = 0; k < rounds; ++k) {
              const std::uint64_t sent = i << 8 | k;
              std::uint64_t got = 0;
              ASSERT_EQ(io::write(pairs[i].b, &sent, sizeof sent), 8);
              ASSERT_EQ(io::read(pairs[i].b, &got, sizeof got), 8);
              ASSERT_EQ(got, sent);
            }
          }));
        }
        for (auto& g : all) g.join();
        stop = true;
        for (auto& g : hogs) g.join();
      },
      how());
  EXPECT_GT(snapshot().netpoll_wakeups, 0u);
}

}  // namespace
}  // namespace urge::test
