// SPDX-License-Identifier: MIT
// go_options::own_identity: what a thread has of its own, a G has, from its first instruction to its end.
#include <urge/chan.hpp>
#include <urge/errors.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>

#include <locale.h>
#include <pthread.h>

#include <cerrno>
#include <mutex>
#include <set>
#include <string>
#include <system_error>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class OwnIdentity : public WithSetting {
 protected:
  void SetUp() override {
    if (sanitized) GTEST_SKIP() << "under a sanitizer no G has an identity of its own";
  }
};
INSTANTIATE_TEST_SUITE_P(Settings, OwnIdentity, testing::ValuesIn(settings()), name_setting());

std::atomic<int> made{0}, destroyed{0};
struct noted {
  int value = 7;
  std::string text = "a text that is too long for the object itself";
  noted() { ++made; }
  ~noted() { ++destroyed; }
};
thread_local noted mine;
thread_local int plain = 1;

// The address is that of the block in use; a compiler that keeps it over a wait is welcome to.
[[gnu::noinline]] int* address_of_plain() { return &plain; }
[[gnu::noinline]] int& errno_here() { return errno; }

const go_options own{.own_identity = true};

TEST_P(OwnIdentity, ThreadLocalsAreFreshAndItsOwnAcrossWaits) {
  run(
      [] {
        chan<int> turn;
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 8; ++i)
          all.push_back(spawn(own, [&, i] {
            EXPECT_EQ(plain, 1);
            EXPECT_EQ(mine.value, 7);
            int* const where = address_of_plain();
            const pthread_t self = pthread_self();
            plain = 100 + i, mine.value = 200 + i, mine.text += std::to_string(i);
            for (int k = 0; k < 20; ++k) {
              errno_here() = 300 + i;
              if (k % 3 == 0) this_g::yield();
              if (k % 3 == 1) this_g::sleep_for(50us);
              if (k % 3 == 2) turn.recv();
              EXPECT_EQ(errno_here(), 300 + i);
              EXPECT_EQ(address_of_plain(), where);
              EXPECT_TRUE(pthread_equal(pthread_self(), self));
            }
            EXPECT_EQ(plain, 100 + i);
            EXPECT_EQ(mine.value, 200 + i);
            EXPECT_EQ(mine.text.back(), '0' + i);
          }));
        go([&] {
          for (int i = 0; i < 8 * 6; ++i) turn.send(i);
        });
        for (auto& h : all) h.join();
      },
      how());
}

TEST_P(OwnIdentity, DestructorsOfThreadLocalsHaveRunWhenJoinReturns) {
  run(
      [] {
        for (int i = 0; i < 50; ++i) {
          const int m = made, d = destroyed;
          spawn(own, [] { mine.value = 1; }).join();
          EXPECT_EQ(made, m + 1);
          EXPECT_EQ(destroyed, d + 1);
          EXPECT_THROW(spawn(own,
                             [] {
                               mine.value = 2;
                               throw std::runtime_error("out");
                             })
                           .join(),
                       std::runtime_error);
          EXPECT_EQ(destroyed, d + 2);
          spawn(own, [] {
            mine.value = 3;
            this_g::exit();
          }).join();
          EXPECT_EQ(destroyed, d + 3);
        }
      },
      how());
}

chan<int>* to = nullptr;
struct sends_at_end {
  int n = 0;  // all thread_locals of a file begin together
  ~sends_at_end() {
    if (n) to->send(n);
  }
};
thread_local sends_at_end last;

TEST_P(OwnIdentity, DestructorsMayWait) {
  run(
      [] {
        chan<int> c;
        to = &c;
        auto h = spawn(own, [] { last.n = 42; });
        EXPECT_EQ(c.recv(), 42);
        h.join();
        to = nullptr;
      },
      how());
}

TEST_P(OwnIdentity, DataOfThreadSpecificKeysIsDestroyed) {
  pthread_key_t key;
  static std::atomic<int> ended{0};
  ended = 0;
  ASSERT_EQ(pthread_key_create(&key, [](void* p) { ended += *static_cast<int*>(p); }), 0);
  static int one = 1;
  run(
      [&] {
        for (int i = 0; i < 20; ++i)
          spawn(own, [&] {
            EXPECT_EQ(pthread_getspecific(key), nullptr);
            pthread_setspecific(key, &one);
            this_g::yield();
            EXPECT_EQ(pthread_getspecific(key), &one);
          }).join();
      },
      how());
  EXPECT_EQ(ended, 20);
  pthread_key_delete(key);
}

TEST_P(OwnIdentity, TheLocaleOfTheThreadIsItsOwn) {
  const locale_t c = newlocale(LC_ALL_MASK, "C", nullptr);
  run(
      [&] {
        auto a = spawn(own, [&] {
          uselocale(c);
          for (int i = 0; i < 10; ++i) {
            this_g::yield();
            EXPECT_EQ(uselocale(nullptr), c);
          }
          uselocale(LC_GLOBAL_LOCALE);
        });
        auto b = spawn(own, [&] {
          for (int i = 0; i < 10; ++i) {
            EXPECT_EQ(uselocale(nullptr), LC_GLOBAL_LOCALE);
            this_g::yield();
          }
        });
        a.join(), b.join();
      },
      how());
  freelocale(c);
}

TEST_P(OwnIdentity, ARecursiveMutexKnowsItAcrossWaits) {
  run(
      [] {
        std::recursive_mutex m;
        std::atomic<int> inside{0};
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 4; ++i)
          all.push_back(spawn(own, [&] {
            for (int k = 0; k < 20; ++k) {
              while (!m.try_lock()) this_g::yield();
              EXPECT_EQ(++inside, 1);
              this_g::yield();
              this_g::sleep_for(20us);
              EXPECT_TRUE(m.try_lock()) << "it is the owner";
              m.unlock();
              EXPECT_EQ(--inside, 0);
              m.unlock();
            }
          }));
        for (auto& h : all) h.join();
      },
      how());
}

TEST_P(OwnIdentity, AtTheBoundItIsRefusedAndNamed) {
  options o = how();
  o.max_identities = 3;
  run(
      [] {
        chan<int> over;
        std::vector<join_handle<void>> all;
        for (int i = 0; i < 3; ++i) all.push_back(spawn(own, [&] { over.recv(); }));
        try {
          (void)spawn(own, [] {});
          ADD_FAILURE() << "a fourth one";
        } catch (const std::system_error& e) {
          EXPECT_EQ(e.code().value(), EAGAIN);
          EXPECT_NE(std::string(e.what()).find("max_identities = 3"), std::string::npos) << e.what();
        }
        over.close();
        for (auto& h : all) h.join();
        // They are retired behind their end.
        while (true) {
          try {
            spawn(own, [] {}).join();
            break;
          } catch (const std::system_error&) {
            this_g::sleep_for(1ms);
          }
        }
      },
      o);
}

TEST_P(OwnIdentity, OneThatIsKilledOrAbandonedLeavesNothing) {
  run(
      [] {
        auto waiting = spawn(own, [] {
          mine.value = 4;
          this_g::sleep_for(1h);
        });
        this_g::sleep_for(200us);
        EXPECT_TRUE(waiting.kill());
        EXPECT_THROW(waiting.join(), killed);
        for (int i = 0; i < 5; ++i) go(own, [] { this_g::sleep_for(1h); });
        for (int i = 0; i < 5; ++i) go(own, [] { mine.value = 5; });  // some of them before they have begun
      },
      how());
}

class OwnIdentityMany : public Plain {};

TEST_F(OwnIdentityMany, NothingIsLeftOfAThousand) {
  if (sanitized) GTEST_SKIP() << "under a sanitizer no G has an identity of its own";
  const auto some = [](int n) {
    run(
        [n] {
          std::vector<join_handle<void>> all;
          for (int i = 0; i < n; ++i) {
            all.push_back(spawn(own, [] { mine.value = 1; }));
            if (all.size() < 20) continue;
            for (auto& h : all) h.join();
            all.clear();
          }
          for (auto& h : all) h.join();
        },
        options{.procs = 2, .quantum = 50us});
  };
  some(100);
  const auto before = preempt::count_identities();
  const std::size_t mappings = count_mappings();
  some(1000);
  const auto after = preempt::count_identities();
  EXPECT_GE(after.retired - before.retired, 1000u);
  EXPECT_LE(after.made - after.retired, before.made - before.retired + 16);
  EXPECT_LE(count_mappings(), mappings + 20);
}

}  // namespace
}  // namespace urge::test
