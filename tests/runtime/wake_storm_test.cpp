// SPDX-License-Identifier: MIT
// Storms of waiting and waking: no wake-up is lost between an M that goes to sleep and one that makes work, and all Ps
// run when there is work for them. Families of Go's: TestGoroutineParallelism, TestYieldProgress, TestPingPongHog,
// TestFutexsleep and the storms behind its parking of Ms. A lost wake-up hangs. With URGE_LONG_TESTS set: ten minutes.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>

#include <immintrin.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"
#include "support/sockets.hpp"

namespace urge::test {
namespace {

class WakeStorm : public WithSetting {
 protected:
  // So often, or, in the long form, for this setting's share of ten minutes.
  template <class F>
  static void repeat(int times, F f) {
    const bool is_long = std::getenv("URGE_LONG_TESTS") != nullptr;
    const auto until = std::chrono::steady_clock::now() + 10s;
    for (int i = 0; is_long ? std::chrono::steady_clock::now() < until : i < times; ++i) f(i);
  }
};
std::vector<setting> every_mode() {
  auto all = settings({1, 2, 4, 8});
  if (!sanitized) all.push_back({4, preempt_mode::kernel_thread, 50us});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Settings, WakeStorm, testing::ValuesIn(every_mode()), name_setting());

// As many as there are Ps, each waiting for all others without giving way: they must run at once. Source: Go's
// TestGoroutineParallelism.
TEST_P(WakeStorm, SpinnersOnAllPsRunAtOnce) {
  run(
      [&] {
        const unsigned n = GetParam().procs;
        repeat(3, [&](int) {
          std::atomic<unsigned> turn{0};
          std::vector<join_handle<void>> all;
          for (unsigned k = 0; k < n; ++k)
            all.push_back(spawn([&, k] {
              for (unsigned round = 0; round < 3; ++round) {
                while (turn.load(std::memory_order_acquire) != n * round + k) _mm_pause();
                turn.store(n * round + k + 1, std::memory_order_release);
              }
            }));
          for (auto& h : all) h.join();
          EXPECT_EQ(turn, 3 * n);
        });
      },
      how());
}

// The same, each pair started by one of its own; beside Ms that are about to park, with the poller at work. Source:
// Go's TestGoroutineParallelism2.
TEST_P(WakeStorm, SpinnersThatOthersHaveStartedRunAtOnce) {
  if (GetParam().procs == 1) GTEST_SKIP() << "needs pairs";
  for (const bool load : {false, true})
    for (const bool poll : {false, true})
      run(
          [&] {
            const unsigned n = GetParam().procs;
            const descriptor_pair p = make_pipe();
            auto reader = spawn([&] {
              char c;
              EXPECT_EQ(poll ? io::read(p.a, &c, 1) : 1, 1);
            });
            repeat(1, [&](int) {
              std::atomic<unsigned> begun{0}, turn{0};
              std::vector<join_handle<void>> all;
              for (unsigned k = 0; load && k < n; ++k)
                all.push_back(spawn([&] {
                  ++begun;
                  while (begun != n) _mm_pause();
                }));
              for (auto& h : all) h.join();
              all.clear();
              for (unsigned k = 0; k < n; k += 2)
                all.push_back(spawn([&, k] {
                  std::vector<join_handle<void>> pair;
                  for (unsigned k2 = k; k2 < k + 2; ++k2)
                    pair.push_back(spawn([&, k2] {
                      for (unsigned round = 0; round < 3; ++round) {
                        while (turn.load(std::memory_order_acquire) != n * round + k2) _mm_pause();
                        turn.store(n * round + k2 + 1, std::memory_order_release);
                      }
                    }));
                  for (auto& h : pair) h.join();
                }));
              for (auto& h : all) h.join();
              EXPECT_EQ(turn, 3 * n);
            });
            EXPECT_EQ(::write(p.b, "x", 1), 1);
            reader.join();
          },
          how());
}

// Fewer tokens than Ps go round a ring of Gs, so an M goes to sleep and another is woken at nearly each hop.
TEST_P(WakeStorm, TokensGoRoundWhileMsFallAsleep) {
  repeat(3, [&](int seed) {
    constexpr unsigned gs = 24, hops = 3000;
    std::atomic<unsigned> done{0};
    run(
        [&] {
          const unsigned tokens = 1 + static_cast<unsigned>(seed) % 3;
          std::vector<chan<unsigned>> ring;
          for (unsigned i = 0; i < gs; ++i) ring.emplace_back(i % 3 == 0 ? 0 : tokens);
          for (unsigned i = 0; i < gs; ++i)
            go([&, i] {
              std::minstd_rand random(static_cast<unsigned>(seed) * 1000 + i);
              auto in = ring[i];
              for (;;) {
                unsigned left = *in.recv();
                if (left == 0) {
                  ++done;
                  continue;
                }
                for (unsigned k = random() % 256; k-- > 0;) _mm_pause();
                if (random() % 32 == 0) this_g::yield();
                if (random() % 64 == 0) this_g::sleep_for(std::chrono::microseconds(random() % 50));
                ring[(i + 1 + random() % 3) % gs].send(left - 1);
              }
            });
          for (unsigned t = 0; t < tokens; ++t) ring[t * 5].send(hops);
          while (done != tokens) this_g::sleep_for(200us);
        },
        how());
  });
}

// The same through semaphores, which hand over without a switch: who wakes goes on, who is woken needs an M.
TEST_P(WakeStorm, WhoIsWokenRunsThoughTheWakerGoesOn) {
  run(
      [&] {
        repeat(2000, [&](int i) {
          binary_semaphore go_on(0), there(0);
          auto other = spawn([&] {
            go_on.acquire();
            there.release();
          });
          if (i % 2) this_g::yield();
          go_on.release();
          for (int k = i % 97; k-- > 0;) _mm_pause();
          there.acquire();
          other.join();
        });
      },
      how());
}

TEST_P(WakeStorm, OneThatYieldsSeesWhatOthersDo) {
  run(
      [&] {
        repeat(5, [&](int) {
          std::atomic<bool> stop{false};
          std::vector<join_handle<void>> all;
          for (int i = 0; i < 5; ++i)
            all.push_back(spawn([&, i] {
              if (i == 0) this_g::lock_os_thread();
              while (!stop) this_g::yield();
            }));
          this_g::sleep_for(2ms);
          stop = true;
          for (auto& h : all) h.join();
        });
      },
      how());
}

}  // namespace
}  // namespace urge::test
