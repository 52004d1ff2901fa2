// SPDX-License-Identifier: MIT
// A G that a timer or a foreign thread wakes does not wait for the slices of those that fill the Ps; nor do these
// starve under any number of such.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>
#include <urge/time.hpp>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include "sched/netpoll.hpp"
#include "support/runtime_fixture.hpp"
#include "support/sockets.hpp"
#include "sysmon/sysmon.hpp"

namespace urge::test {
namespace {

// Slices that are longer than any test: whoever ends one here does it for a woken G.
class Wakeup : public WithSetting {
 protected:
  void SetUp() override { URGE_TEST_NEEDS_ASYNC(); }
  options endless() const {
    options o = how();
    o.quantum = 10s;
    return o;
  }
  // Where many sleep one after the other: one from whose M the kernel takes the CPU may lose its turn, for a slice.
  options long_slices() const {
    options o = how();
    o.quantum = 1s;
    return o;
  }
};
INSTANTIATE_TEST_SUITE_P(Settings, Wakeup,
                         testing::Values(setting{1, preempt_mode::async}, setting{2, preempt_mode::async},
                                         setting{4, preempt_mode::async}, setting{2, preempt_mode::kernel_thread}),
                         name_setting());

// That only a signal stops; twice as many as Ps.
class hogs {
 public:
  explicit hogs(unsigned procs, unsigned per_p = 2) {
    for (unsigned i = 0; i < per_p * procs; ++i)
      all_.push_back(spawn([this] {
        begun_.fetch_add(1, std::memory_order_relaxed);
        while (!stop_.load(std::memory_order_relaxed)) work_.fetch_add(1, std::memory_order_relaxed);
      }));
  }
  unsigned begun() const { return begun_; }
  ~hogs() {
    stop();
    for (auto& h : all_) h.join();
  }
  void stop() { stop_ = true; }
  std::vector<std::uint64_t> preemptions() const {
    std::vector<std::uint64_t> each;
    for (const auto& h : all_) each.push_back(h.info().preempts());
    return each;
  }
  std::chrono::nanoseconds cpu_time() const {
    std::chrono::nanoseconds sum{0};
    for (const auto& h : all_) sum += h.cpu_time();
    return sum;
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> work_{0};
  std::atomic<unsigned> begun_{0};
  std::vector<join_handle<void>> all_;
};

TEST_P(Wakeup, ASleeperDoesNotWaitForTheSlicesOfHogs) {
  run(
      [&] {
        const hogs all(GetParam().procs);
        for (int i = 0; i < 50; ++i) this_g::sleep_for(1ms);
      },
      endless());
  EXPECT_GE(snapshot().wakeup_preempts, 40u);
}

TEST_P(Wakeup, NorDoesOneThatAForeignThreadWakes) {
  chan<int> c(1), back(1);
  std::thread other([&] {
    for (int i = 0; i < 50; ++i) {
      while (!c.try_send(i)) std::this_thread::yield();
      while (!back.try_recv()) std::this_thread::yield();
    }
  });
  run(
      [&] {
        const hogs all(GetParam().procs);
        for (int i = 0; i < 50; ++i) {
          EXPECT_EQ(c.recv(), i);
          back.send(i);
        }
      },
      endless());
  other.join();
}

TEST_P(Wakeup, ATickerTicksBesideHogs) {
  run(
      [&] {
        const hogs all(GetParam().procs);
        ticker t(2ms);
        for (int i = 0; i < 20; ++i) EXPECT_TRUE(t.c.recv());
      },
      endless());
}

// Also where its P passes from one M to another before it runs.
TEST_P(Wakeup, WhoIsWokenHasAShortSlice) {
  options o = how();
  o.quantum = 200ms;
  run(
      [&] {
        const hogs all(GetParam().procs);
        while (all.begun() < GetParam().procs) this_g::sleep_for(1ms);  // as long as a P is idle nobody needs to stop
        for (int i = 0; i < 3; ++i) {
          auto sleeper = spawn([] {
            this_g::sleep_for(2ms);
            const auto until = this_g::cpu_time() + 50ms;
            while (this_g::cpu_time() < until) {
            }
          });
          sleeper.join();
          EXPECT_GE(sleeper.info().preempts(), 1u) << "in a whole slice it would have come to its end";
        }
      },
      o);
}

// One hog on each P. Whichever is nearest to sysmon gives way, until it has lost 10 ms more than the others.
TEST_P(Wakeup, AllGiveOfTheirTime) {
  const unsigned procs = GetParam().procs;
  run(
      [&] {
        const hogs all(procs, 1);
        for (unsigned i = 0; i < 60 * procs; ++i) {
          this_g::sleep_for(2ms);
          const auto until = std::chrono::steady_clock::now() + 500us;
          while (std::chrono::steady_clock::now() < until) {
          }
        }
        for (const std::uint64_t n : all.preemptions()) EXPECT_GE(n, 10u) << "of " << 60 * procs;
      },
      long_slices());
}

// It need not wait for sysmon's thread to get a CPU.
TEST_P(Wakeup, WhoWakesAGAsksAPByItself) {
  constexpr std::uint64_t wanted = 20;
  std::uint64_t by_wakers = 0;
  run(
      [&] {
        chan<int> c(1);
        std::atomic<bool> over{false};
        std::thread other([&] {
          while (!over) {
            std::this_thread::sleep_for(2ms);
            int one = 1;
            c.try_send(one);
          }
          c.close();
        });
        {
          const hogs all(GetParam().procs);
          while (by_wakers < wanted && c.recv()) by_wakers = sysmon::count().by_wakers;
        }
        over = true;
        blocking([&] { other.join(); });
      },
      endless());
  EXPECT_GE(by_wakers, wanted);
}

// A slice is a millisecond here, and no P gives way twice in so long. Who waited for more than the hog's first moments
// would wait for its whole slice.
TEST_P(Wakeup, ASliceThatHasOnlyBegunGivesWayToo) {
  constexpr unsigned rounds = 300;
  options o = how();
  o.quantum = 1ms;
  run(
      [&] {
        const hogs all(GetParam().procs);
        for (unsigned i = 0; i < rounds; ++i) this_g::sleep_for(1300us);
      },
      o);
  EXPECT_GE(snapshot().wakeup_preempts, rounds / 10) << "on a busy machine some slices end meanwhile";
}

// The hog that has run longest does not come: it may not be stopped before another has given way.
TEST_P(Wakeup, WhereOneDoesNotComeAnotherIsAsked) {
  constexpr std::uint64_t wanted = 4;  // the first ask is in vain
  if (GetParam().procs == 1) GTEST_SKIP() << "there is no other";
  run(
      [&] {
        std::atomic<bool> begun{false}, over{false};
        auto holds_out = spawn([&] {
          const preempt_guard hold;
          begun = true;
          while (!over) asm volatile("");
        });
        while (!begun) this_g::yield();
        {
          const hogs all(GetParam().procs - 1, 1);
          // Some pass before hogs fill all Ps.
          for (int i = 0; i < 20 && snapshot().wakeup_preempts < wanted; ++i) this_g::sleep_for(2ms);
        }
        over = true;
        holds_out.join();
      },
      long_slices());
  EXPECT_GE(snapshot().wakeup_preempts, wanted);
}

// Whoever it heard of would stand behind those. It looks each millisecond.
TEST_P(Wakeup, SysmonAsksForDescriptorsSeldomWhileManyGsWait) {
  constexpr unsigned n_pairs = 64, writes = 3000;
  std::vector<descriptor_pair> pairs;
  for (unsigned i = 0; i < n_pairs; ++i) pairs.push_back(make_unix_pair());
  std::atomic<bool> over{false};
  std::uint64_t asked = 0;
  std::chrono::milliseconds passed{0};
  std::thread other;
  run(
      [&] {
        for (const auto& p : pairs)
          go([&p] {
            char c;
            while (io::read(p.a, &c, 1) == 1) {
            }
          });
        std::atomic<unsigned> begun{0};
        for (unsigned i = 0; i + 1 < GetParam().procs; ++i)
          go([&] {
            const preempt_guard hold;
            ++begun;
            while (!over) asm volatile("");
          });
        while (begun + 1 < GetParam().procs) this_g::yield();
        this_g::sleep_for(1ms);
        other = std::thread([&] {
          const std::uint64_t before = netpoll::count().returns;
          const auto start = std::chrono::steady_clock::now();
          for (unsigned i = 0; i < writes; ++i) {
            EXPECT_EQ(::write(pairs[i % n_pairs].b, "x", 1), 1);
            for (const auto pause = std::chrono::steady_clock::now() + 20us;
                 std::chrono::steady_clock::now() < pause;) {
            }
          }
          passed = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
          asked = netpoll::count().returns - before;
          for (auto& p : pairs) ::shutdown(p.b, SHUT_WR);
          over = true;
        });
        const preempt_guard hold;
        while (!over) asm volatile("");
      },
      endless());
  other.join();
  EXPECT_LE(asked, 2 * static_cast<std::uint64_t>(passed.count()) + 100) << "in " << passed.count() << " ms";
}

TEST_P(Wakeup, NoPGivesWayTwiceInAMillisecond) {
  const auto start = std::chrono::steady_clock::now();
  const unsigned procs = GetParam().procs;
  run(
      [&] {
        std::atomic<unsigned> begun{0}, ended{0};
        std::atomic<bool> hogs_fill_ps{false};
        std::vector<join_handle<void>> sleepers;
        for (unsigned i = 0; i < 4 * procs; ++i)
          sleepers.push_back(spawn([&] {
            ++begun;
            for (int k = 0; k < 300; k += hogs_fill_ps) this_g::sleep_for(50us);
            ++ended;
          }));
        while (begun != sleepers.size()) this_g::yield();  // the first slice of a hog lasts
        {
          const hogs all(procs);
          hogs_fill_ps = true;
          while (ended != sleepers.size()) this_g::sleep_for(1ms);  // a joiner may have to wait for a whole slice
        }
        for (auto& s : sleepers) s.join();
      },
      long_slices());
  const auto slices = (std::chrono::steady_clock::now() - start) * procs / 1ms;
  EXPECT_GE(snapshot().wakeup_preempts, 1u);
  EXPECT_LE(snapshot().wakeup_preempts, static_cast<std::uint64_t>(slices) + procs);
}

TEST_P(Wakeup, WithoutItASleeperWaitsForTheEndOfASlice) {
  options o = how();
  o.quantum = 50ms, o.wakeup_preempt = false;
  run(
      [&] {
        const hogs all(GetParam().procs);
        for (int i = 0; i < 3; ++i) this_g::sleep_for(1ms);
      },
      o);
  EXPECT_EQ(snapshot().wakeup_preempts, 0u);
}

// Each sleeps for next to nothing and works for as long as it may: as many as there are, the hogs get their half.
std::pair<double, double> storm_of_wakeups(const options& o, unsigned procs) {
  double woken_ns = 0, hogs_ns = 0;
  run(
      [&] {
        std::atomic<bool> stop{false};
        std::vector<join_handle<void>> sleepers;
        for (unsigned i = 0; i < 20 * procs; ++i)
          sleepers.push_back(spawn([&] {
            while (!stop) {
              this_g::sleep_for(20us);
              const auto until = this_g::cpu_time() + 300us;
              while (!stop && this_g::cpu_time() < until) {
              }
            }
          }));
        {
          const hogs all(procs);
          // Until both have had much more than what one may have in advance.
          while (all.cpu_time() < procs * 150ms) this_g::sleep_for(5ms);
          hogs_ns = static_cast<double>(all.cpu_time().count());
          for (const auto& s : sleepers) woken_ns += static_cast<double>(s.cpu_time().count());
          stop = true;
        }
        for (auto& s : sleepers) s.join();
      },
      o);
  return {hogs_ns, woken_ns};
}

TEST_P(Wakeup, HogsKeepTheirHalfUnderAStormOfThem) {
  options o = how();
  o.quantum = 10ms;
  const auto [hogs_ns, woken_ns] = storm_of_wakeups(o, GetParam().procs);
  // A half, less what a coarse clock and one slice in advance may add.
  EXPECT_GT(hogs_ns, 0.35 * (hogs_ns + woken_ns));
}

TEST_P(Wakeup, TheShareIsAnOption) {
  options o = how();
  o.wakeup_share = 101;
  EXPECT_THROW(run([] {}, o), std::invalid_argument);
  // Until the hogs have had their time. Where the kernel takes the CPU from Ms, shares of CPU time say little.
  const auto ways_given = [&](unsigned share) {
    o.wakeup_share = share;
    storm_of_wakeups(o, GetParam().procs);
    return snapshot().wakeup_preempts;
  };
  const auto few = ways_given(1);
  EXPECT_LT(2 * few, ways_given(90));
}

}  // namespace
}  // namespace urge::test
