// SPDX-License-Identifier: MIT
// Starting Gs: arguments, options, many of them, and that starting some for ever starves nobody.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>
#include <urge/time.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class Go : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, Go, testing::ValuesIn(settings({1, 2, 4, 8})), name_setting());

int add(int a, int b) { return a + b; }
struct holder {
  int base;
  int plus(int n) const { return base + n; }
};

TEST_P(Go, CallsWhateverCanBeInvoked) {
  run(
      [] {
        EXPECT_EQ(spawn(add, 2, 3).join(), 5);
        EXPECT_EQ(spawn(&add, 2, 3).join(), 5);
        EXPECT_EQ(spawn(&holder::plus, holder{10}, 5).join(), 15);
        EXPECT_EQ(spawn(&holder::base, holder{10}).join(), 10);
        EXPECT_EQ(spawn(std::function<int(int)>([](int n) { return 2 * n; }), 4).join(), 8);
        EXPECT_EQ(spawn([](auto... n) { return (n + ...); }, 1, 2, 3).join(), 6);
      },
      how());
}

// Closures of all sizes at once: they are told apart, and keep what was put into them.
template <std::size_t N>
struct payload {
  alignas(N % 64 == 0 ? 64 : 1) unsigned char bytes[N];
  explicit payload(unsigned char c) { std::fill_n(bytes, N, c); }
  bool is(unsigned char c) const {
    return std::all_of(bytes, bytes + N, [c](unsigned char b) { return b == c; }) &&
           reinterpret_cast<std::uintptr_t>(this) % alignof(payload) == 0;
  }
};
template <std::size_t N>
void start_with_payload(std::vector<join_handle<bool>>& all) {
  for (unsigned char c = 0; c < 40; ++c) all.push_back(spawn([p = payload<N>(c), c] { return p.is(c); }));
}

TEST_P(Go, KeepsClosuresOfEachSize) {
  std::vector<join_handle<bool>> kept;
  for (int round = 0; round < 20; ++round) {
    run(
        [&] {
          std::vector<join_handle<bool>> all;
          start_with_payload<1>(all);
          start_with_payload<40>(all);
          start_with_payload<64>(all);
          start_with_payload<150>(all);
          start_with_payload<256>(all);
          start_with_payload<300>(all);
          start_with_payload<500>(all);
          start_with_payload<5000>(all);
          for (auto& g : all) EXPECT_TRUE(g.join());
          kept = std::move(all);
        },
        how());
    // The last reference ends on a thread that has no P.
    std::thread([&] { kept.clear(); }).join();
  }
}

TEST_P(Go, ArgumentsAreCopiedAsByStdThread) {
  run(
      [] {
        std::string text = "before";
        auto copy = spawn([](std::string s) { return s; }, text);
        auto reference = spawn([](std::string& s) { return s.size(); }, std::ref(text));
        char array[] = "array";
        auto decayed = spawn([](const char* s) { return *s; }, array);
        EXPECT_EQ(copy.join(), "before");
        EXPECT_EQ(reference.join(), 6u);
        EXPECT_EQ(decayed.join(), 'a');
      },
      how());
}

TEST_P(Go, ArgumentsAndResultsMayBeMoveOnly) {
  run(
      [] {
        auto twice = [](std::unique_ptr<int> p) { return std::make_unique<int>(2 * *p); };
        EXPECT_EQ(*spawn(twice, std::make_unique<int>(21)).join(), 42);
        auto owner = [p = std::make_unique<int>(5)] { return *p; };
        EXPECT_EQ(spawn(std::move(owner)).join(), 5);
      },
      how());
}

TEST_P(Go, ResultsAreDecayed) {
  run(
      [] {
        static const std::string text = "a";
        join_handle<std::string> h = spawn([]() -> const std::string& { return text; });
        EXPECT_EQ(h.join(), "a");
      },
      how());
}

TEST_P(Go, ClosureAndArgumentsAreGoneWhenJoinReturns) {
  run(
      [] {
        auto in_closure = std::make_shared<int>(1), in_argument = std::make_shared<int>(2);
        auto h = spawn([in_closure](const std::shared_ptr<int>&) {}, in_argument);
        h.join();
        EXPECT_EQ(in_closure.use_count(), 1);
        EXPECT_EQ(in_argument.use_count(), 1);
      },
      how());
}

TEST_P(Go, FireAndForgetRuns) {
  run(
      [] {
        chan<int> c;
        go([](chan<int> to, int n) { to.send(n); }, c, 7);
        EXPECT_EQ(c.recv(), 7);
        go({.name = "named"}, [c]() mutable { c.send(static_cast<int>(this_g::name().size())); });
        EXPECT_EQ(c.recv(), 5);
      },
      how());
}

// Each P takes some numbers ahead, and main may be moved to another one between the two.
TEST_P(Go, IdsAreCountedFromTheMainG) {
  run(
      [&] {
        auto a = spawn([] { return this_g::id(); });
        auto b = spawn([] { return this_g::id(); });
        const auto first = a.id(), second = b.id();
        EXPECT_EQ(this_g::id(), 1u);
        EXPECT_GT(first, 1u);
        EXPECT_GT(second, 1u);
        EXPECT_NE(first, second);
        if (GetParam().procs == 1) {
          EXPECT_EQ(first, 2u);
          EXPECT_EQ(second, 3u);
        }
        EXPECT_EQ(a.join(), first);
        EXPECT_EQ(b.join(), second);
      },
      how());
}

TEST_P(Go, NamesAreCutTo63Characters) {
  run(
      [] {
        const std::string name(200, 'n');
        auto h = spawn({.name = name}, [] { return std::string(this_g::name()); });
        EXPECT_EQ(h.join(), std::string(63, 'n'));
        EXPECT_EQ(spawn([] { return std::string(this_g::name()); }).join(), "");
        auto temporary = spawn({.name = std::string("gone soon")}, [] { return std::string(this_g::name()); });
        EXPECT_EQ(temporary.join(), "gone soon");
      },
      how());
}

TEST_P(Go, BadOptionsAreRefusedAndNothingIsLeftOfTheG) {
  run(
      [] {
        auto kept = std::make_shared<int>(0);
        EXPECT_THROW(go({.stack_size = 1000}, [kept] {}), std::invalid_argument);
        EXPECT_THROW((void)spawn({.weight = 0}, [kept] {}), std::invalid_argument);
        EXPECT_THROW((void)spawn({.weight = 1001}, [kept] {}), std::invalid_argument);
        EXPECT_EQ(kept.use_count(), 1);
      },
      how());
  EXPECT_EQ(snapshot().spawned, 1u);
}

TEST_P(Go, TenThousandPairsPlayPingPongAndFinish) {
  const int pairs = scaled(5000);
  const int sum = run(
      [pairs] {
        std::vector<join_handle<int>> all;
        for (int i = 0; i < pairs; ++i) {
          chan<int> there, back;
          all.push_back(spawn([there, back]() mutable {
            int n = 0;
            for (int k = 0; k < 10; ++k) there.send(k), n += *back.recv();
            return n;
          }));
          go([there, back]() mutable {
            for (int k = 0; k < 10; ++k) back.send(*there.recv() + 1);
          });
        }
        int total = 0;
        for (auto& h : all) total += h.join();
        return total;
      },
      how());
  EXPECT_EQ(sum, pairs * 55);
}

TEST_P(Go, AHundredThousandStartedAtOnceAllRun) {
  const int n = scaled(100'000);
  run(
      [n] {
        std::atomic<int> ran{0};
        chan<bool> all;
        for (int i = 0; i < n; ++i)
          go([&, n]() mutable {
            if (++ran == n) all.send(true);
          });
        EXPECT_EQ(all.recv(), true);
        EXPECT_EQ(ran.load(), n);
      },
      how());
  EXPECT_GE(snapshot().finished, static_cast<std::uint64_t>(n) - 1);
}

TEST_P(Go, ATreeOfGsFinishes) {
  struct tree {
    static int count(int depth) {
      if (depth == 0) return 1;
      auto left = spawn(count, depth - 1), right = spawn(count, depth - 1);
      return left.join() + right.join();
    }
  };
  EXPECT_EQ(run([] { return tree::count(12); }, how()), 4096);
}

// Each G starts the next and ends: `runnext` hands the P from one to the other for ever. Who waits in the queue must
// come in between all the same. Source: golang/go#52934; "perpetuum mobile" of Go's TestStopTheWorldDeadlock.
TEST_P(Go, AChainThatStartsItselfForEverStarvesNobody) {
  if (!preempts()) GTEST_SKIP() << "without preemption nothing ends the chain's slice";
  run(
      [] {
        static void (*next)() = [] { go(next); };
        go(next);
        for (int i = 0; i < 5; ++i) {
          auto h = spawn([] { return 1; });
          this_g::yield();
          EXPECT_EQ(h.join(), 1);
        }
      },
      how());
}

// The same with a G in between that a timer wakes all the time, so that no slice of the chain comes to its end.
TEST_P(Go, NorDoesOneThatATickerInterrupts) {
  if (!preempts()) GTEST_SKIP() << "without preemption nothing ends the chain's slice";
  run(
      [] {
        static void (*next)() = [] { go(next); };
        for (unsigned i = 0; i < 2 * GetParam().procs; ++i) go(next);
        go([] {
          for (;;) this_g::sleep_for(std::chrono::microseconds(500));
        });
        for (int i = 0; i < 5; ++i) {
          auto h = spawn([] { return 1; });
          this_g::yield();
          EXPECT_EQ(h.join(), 1);
        }
      },
      how());
}

namespace {
// So many Gs at a time have been started and have not ended.
class live_count {
 public:
  void add() {
    const int n = ++now_;
    for (int most = most_; n > most && !most_.compare_exchange_weak(most, n);) {
    }
  }
  void sub() { --now_; }
  int most() const { return most_; }

 private:
  std::atomic<int> now_{0}, most_{0};
};
}  // namespace

// Breadth first all 10,000 leaves would be there at a time.
TEST(NewGs, ATreeIsWorkedOffDepthFirst) {
  options o;
  o.procs = 1, o.preempt = preempt_mode::off;
  live_count live;
  struct tree {
    static void grow(live_count& live, int depth) {
      if (depth != 0) {
        wait_group children;
        for (int i = 0; i < 10; ++i) {
          live.add(), children.add();
          go([&live, &children, depth] { grow(live, depth - 1), children.done(); });
        }
        children.wait();
      }
      live.sub();
    }
  };
  run([&] { live.add(), tree::grow(live, 4); }, o);
  EXPECT_LE(live.most(), 1 + 4 * 10);
}

// Without that 10,000 would be started before the first runs.
TEST(NewGs, WhoStartsManyLetsThemRunFirst) {
  options o;
  o.procs = 1, o.quantum = std::chrono::seconds(10);
  live_count live;
  run(
      [&] {
        wait_group all;
        for (int i = 0; i < 10'000; ++i) {
          live.add(), all.add();
          go([&] { live.sub(), all.done(); });
        }
        all.wait();
      },
      o);
  EXPECT_LE(live.most(), 64);
}

// Each takes two slices. One after the other they would hold up whoever starts them for 10 s.
TEST(NewGs, LongOnesHoldNobodyUp) {
  options o;
  o.procs = 1, o.quantum = std::chrono::milliseconds(10);
  std::atomic<int> ended{0};
  run(
      [&] {
        for (int i = 0; i < 500; ++i) {
          go([&] {
            const auto until = this_g::cpu_time() + std::chrono::milliseconds(20);
            while (this_g::cpu_time() < until) {
            }
            ++ended;
          });
        }
        EXPECT_LT(ended, 250) << "half of them have come to their end before the last was started";
      },
      o);
}

TEST_P(Go, GsRunOnAllPsAtOnce) {
  // Each waits for all: it ends only if as many run at the same time as there are Ps. Source: Go's
  // TestGoroutineParallelism. On fewer CPUs than Ps the kernel shares them out.
  const auto n = static_cast<int>(GetParam().procs);
  run(
      [n] {
        for (int round = 0; round < 10; ++round) {
          std::atomic<int> here{0};
          std::vector<join_handle<void>> all;
          for (int i = 0; i < n - 1; ++i)
            all.push_back(spawn([&] {
              ++here;
              while (here != n) {
              }
            }));
          ++here;
          while (here != n) {
          }
          for (auto& h : all) h.join();
        }
      },
      how());
}

}  // namespace
}  // namespace urge::test
