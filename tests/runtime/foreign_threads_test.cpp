// SPDX-License-Identifier: MIT
// Calls that any thread may make, from threads that urge did not make: while all Ms sleep, while all are busy, as the
// last goes to sleep, at the end of a run and after it. A lost wake-up hangs. With URGE_LONG_TESTS set they storm for
// ten minutes in all.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

constexpr int threads = 2;

class ForeignThreads : public WithSetting {
 protected:
  // How often each thread does its part.
  int rounds() const { return std::getenv("URGE_LONG_TESTS") ? 400'000 : 1'500; }
  // Two threads that call f(i) so often; the pauses let the Ms go to sleep, now and then just as a call comes.
  template <class F>
  std::vector<std::thread> storm(F f) const {
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
      all.emplace_back([f, t, n = rounds()]() mutable {
        for (int i = 0; i < n; ++i) {
          f(i);
          if (i % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(1 + (i * 7 + t) % 60));
        }
      });
    return all;
  }
  static void join(std::vector<std::thread>& all) {
    for (auto& t : all) t.join();
  }
  // Keeps the Ps busy, where something stops it.
  std::vector<join_handle<void>> hogs(std::atomic<bool>& over) const {
    std::vector<join_handle<void>> all;
    for (int i = 0; async() && GetParam().quantum < 1ms && i < 2; ++i)
      all.push_back(spawn([&over] {
        while (!over.load(std::memory_order_relaxed)) std::free(std::malloc(32));
      }));
    return all;
  }
  // f(true) with hogs, f(false) with nothing but what f starts.
  template <class F>
  void both(F f) {
    for (const bool busy : {false, true})
      run(
          [&] {
            std::atomic<bool> over{false};
            auto some = busy ? hogs(over) : std::vector<join_handle<void>>{};
            f();
            over = true;
            for (auto& h : some) h.join();
          },
          how());
  }
};
std::vector<setting> every_mode() {
  auto all = settings();
  if (!sanitized)
    for (const unsigned n : {1u, 4u}) all.push_back({n, preempt_mode::kernel_thread, 50us});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Settings, ForeignThreads, testing::ValuesIn(every_mode()), name_setting());

TEST_P(ForeignThreads, SendToGsThatWait) {
  both([&] {
    chan<int> c(4);
    std::atomic<std::int64_t> sent{0}, got{0};
    std::vector<join_handle<void>> all;
    for (int i = 0; i < 3; ++i)
      all.push_back(spawn([c, &got]() mutable {
        while (auto n = c.recv()) got += *n;
      }));
    auto senders = storm([c, &sent](int i) mutable {
      int n = i;
      while (!c.try_send(n)) std::this_thread::yield();
      sent += i;
      (void)c.size();
    });
    // The join blocks a thread, so it is none of the Ms'.
    std::atomic<bool> joined{false};
    std::thread waits([&] { join(senders), c.close(), joined = true; });
    for (auto& h : all) h.join();
    EXPECT_TRUE(joined || true);
    yield_until([&] { return joined.load(); });
    waits.join();
    EXPECT_EQ(got, sent);
  });
}

TEST_P(ForeignThreads, ReceiveFromGsThatWait) {
  both([&] {
    chan<int> c(2);
    std::atomic<std::int64_t> sent{0}, got{0};
    const int each = rounds();
    std::atomic<int> left{threads};
    auto receivers = storm([c, &got](int) mutable {
      std::optional<int> n;
      while (!(n = c.try_recv())) std::this_thread::yield();
      got += *n;
    });
    for (int i = 0; i < each * threads; ++i) {
      c.send(i);
      sent += i;
    }
    yield_until([&] { return got.load() == sent.load(); });
    join(receivers);
  });
}

TEST_P(ForeignThreads, ReleaseSemaphores) {
  both([&] {
    counting_semaphore<> s(0);
    auto givers = storm([&](int) { s.release(); });
    std::vector<join_handle<void>> all;
    for (int t = 0; t < threads; ++t)
      all.push_back(spawn([&] {
        for (int i = 0; i < rounds(); ++i) s.acquire();
      }));
    for (auto& h : all) h.join();
    join(givers);
    EXPECT_FALSE(s.try_acquire());
  });
}

TEST_P(ForeignThreads, CountDownLatchesAndWaitGroups) {
  both([&] {
    for (int i = 0; i < rounds() / 10; ++i) {
      latch open(threads);
      wait_group done;
      done.add(threads);
      std::atomic<int> left{threads};
      std::vector<std::thread> all;
      for (int t = 0; t < threads; ++t)
        all.emplace_back([&] {
          open.count_down();
          done.add();
          done.done();
          done.done();
          --left;
        });
      open.wait();
      done.wait();
      yield_until([&] { return left.load() == 0; });
      join(all);
    }
  });
}

TEST_P(ForeignThreads, NotifyConditionVariables) {
  both([&] {
    mutex m;
    condition_variable changed;
    std::atomic<int> n{0};
    const int all_of_it = rounds() * threads;
    auto notifiers = storm([&](int i) {
      ++n;
      if (i % 2)
        changed.notify_one();
      else
        changed.notify_all();
    });
    std::vector<join_handle<void>> all;
    for (int i = 0; i < 3; ++i)
      all.push_back(spawn([&] {
        std::unique_lock hold(m);
        // The count is not under the mutex, which a thread cannot take: so a wait may miss the last notice, and has a
        // deadline. That others come in time is what its being reached so rarely says.
        while (n < all_of_it) changed.wait_until(hold, std::chrono::steady_clock::now() + 5ms);
      }));
    for (auto& h : all) h.join();
    join(notifiers);
  });
}

TEST_P(ForeignThreads, NotifyOneThatIsKnownToWait) {
  both([&] {
    mutex m;
    condition_variable changed;
    std::atomic<int> asked{0}, given{0};
    const int n = rounds();
    std::thread notifier([&] {
      for (int i = 1; i <= n; ++i) {
        while (asked.load() < i) std::this_thread::yield();
        given = i;
        // Until it is seen: the G may be between its look and its wait.
        while (asked.load() == i && given.load() == i) {
          changed.notify_one();
          std::this_thread::yield();
        }
      }
    });
    for (int i = 1; i <= n; ++i) {
      std::unique_lock hold(m);
      asked = i;
      changed.wait(hold, [&] { return given.load() == i; });
      given = 0;
    }
    asked = n + 1;
    notifier.join();
  });
}

TEST_P(ForeignThreads, RequestStopAndTheCallbackRunsThere) {
  both([&] {
    for (int i = 0; i < rounds() / 20; ++i) {
      binary_semaphore stopped(0);
      std::atomic<std::thread::id> where{};
      auto g = spawn([&] {
        std::stop_callback on_stop(this_g::stop_token(), [&] {
          where = std::this_thread::get_id();
          stopped.release();
        });
        stopped.acquire();
        EXPECT_TRUE(this_g::stop_token().stop_requested());
      });
      if (i % 2) this_g::yield();
      std::thread::id id;
      std::atomic<bool> through{false};
      std::thread other([&] {
        id = std::this_thread::get_id();
        (void)g.cpu_time();
        g.request_stop();
        through = true;
      });
      yield_until([&] { return through.load(); });
      other.join();
      g.join();
      // Asked before it has begun, it finds the request there, and calls back by itself.
      EXPECT_TRUE(i % 2 == 0 || where.load() != std::thread::id{});
    }
  });
}

TEST_P(ForeignThreads, KillGsThatWait) {
  both([&] {
    for (int i = 0; i < rounds() / 30; ++i) {
      chan<int> never;
      auto g = spawn_waiting([&] { never.recv(); });
      std::atomic<int> result{-1};
      std::thread killer([&] {
        const bool ended = g.kill();
        result = ended && g.done();
      });
      yield_until([&] { return result.load() >= 0; });
      killer.join();
      EXPECT_EQ(result, 1);
      EXPECT_THROW(g.join(), killed);
    }
  });
}

// Two that wait for each other by way of a thread: the one M that is awake is on its way to sleep each time.
TEST_P(ForeignThreads, NoWakeUpIsLostAsTheLastMGoesToSleep) {
  run(
      [&] {
        chan<int> out(1), in(1);
        const int n = rounds() * 4;
        std::thread echo([=]() mutable {
          for (int i = 0; i < n; ++i) {
            std::optional<int> v;
            while (!(v = out.try_recv())) _mm_pause();
            for (int k = 0; k < i % 64 * 8; ++k) _mm_pause();
            while (!in.try_send(*v)) _mm_pause();
          }
        });
        for (int i = 0; i < n; ++i) {
          out.send(i);
          ASSERT_EQ(in.recv(), i);
        }
        echo.join();
      },
      how());
}

TEST_P(ForeignThreads, CallsAtTheEndOfARunAndAfterItAreHarmless) {
  chan<int> c(1);
  auto s = std::make_shared<counting_semaphore<>>(0);
  auto w = std::make_shared<wait_group>();
  auto cv = std::make_shared<condition_variable>();
  auto m = std::make_shared<mutex>();
  std::vector<join_handle<void>> handles;
  std::mutex guard;
  std::atomic<bool> over{false};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&, c]() mutable {
      for (int i = 0; !over.load(); ++i) {
        c.try_send(i);
        c.try_recv();
        s->release();
        w->add();
        w->done();
        cv->notify_all();
        std::lock_guard hold(guard);
        for (auto& h : handles) {
          (void)h.done(), (void)h.cpu_time();
          if (i % 16 == 0) h.request_stop();
          if (i % 64 == 63) h.kill();
        }
      }
    });
  const int runs = std::getenv("URGE_LONG_TESTS") ? 5000 : 40;
  for (int r = 0; r < runs; ++r) {
    run(
        [&] {
          std::vector<join_handle<void>> some;
          for (int i = 0; i < 12; ++i)
            some.push_back(spawn([=]() mutable {
              for (;;) {
                if (i % 4 == 0) c.recv();
                if (i % 4 == 1) s->acquire();
                if (i % 4 == 2) w->wait(), this_g::yield();
                if (i % 4 == 3) {
                  std::unique_lock hold(*m);
                  cv->wait(hold);
                }
              }
            }));
          std::atomic<bool> given{false};
          for (int i = 0; i < r % 7; ++i) this_g::yield();
          if (guard.try_lock()) {
            handles = std::move(some);
            guard.unlock();
          }
        },
        how());
  }
  over = true;
  join(all);
  EXPECT_EQ(run([] { return spawn([] { return 2; }).join(); }, how()), 2);
}

}  // namespace
}  // namespace urge::test
