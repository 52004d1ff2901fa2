// SPDX-License-Identifier: MIT
// shared_mutex: who may be inside together, in which order those who wait go on, and errors.
#include <urge/sync.hpp>

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "runtime/waiting.hpp"
#include "support/runtime_fixture.hpp"

namespace {

using namespace urge::test;

class SharedMutex : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, SharedMutex, testing::ValuesIn(settings()), name_setting());
class SharedMutexErrors : public Plain {};

TEST_P(SharedMutex, HoldsManyReadersOrOneWriter) {
  urge::run(
      [] {
        urge::shared_mutex m;
        const auto try_both = [&] {
          return urge::spawn([&] {
                   const bool read = m.try_lock_shared(), write = m.try_lock();
                   if (read) m.unlock_shared();
                   if (write) m.unlock();
                   return std::pair(read, write);
                 })
              .join();
        };
        m.lock_shared();
        EXPECT_EQ(try_both(), std::pair(true, false));
        m.unlock_shared();
        m.lock();
        EXPECT_EQ(try_both(), std::pair(false, false));
        m.unlock();
        EXPECT_TRUE(m.try_lock());
        m.unlock();
        EXPECT_TRUE(m.try_lock_shared());
        EXPECT_TRUE(m.try_lock_shared());
        m.unlock_shared();
        EXPECT_FALSE(m.try_lock());
        m.unlock_shared();
      },
      how());
}

TEST_P(SharedMutex, AWaitingWriterIsNotStarvedByReaders) {
  urge::run(
      [] {
        urge::shared_mutex m;
        m.lock_shared();
        bool written = false;
        auto writer = spawn_waiting([&] { m.lock(); }, [&] { written = true, m.unlock(); });
        EXPECT_FALSE(m.try_lock_shared());
        auto reader = spawn_waiting([&] { m.lock_shared(); },
                                    [&] {
                                      EXPECT_TRUE(written);
                                      m.unlock_shared();
                                    });
        m.unlock_shared();
        writer.join();
        reader.join();
      },
      how());
}

// All readers of the group are inside at once, or the first would wait for ever.
TEST_P(SharedMutex, ReadersBehindAWriterGoTogether) {
  constexpr int readers = 5;
  urge::run(
      [] {
        urge::shared_mutex m;
        std::atomic<int> inside{0};
        m.lock();
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < readers; ++i)
          all.push_back(spawn_waiting([&] { m.lock_shared(); },
                                      [&] {
                                        ++inside;
                                        yield_until([&] { return inside.load() == readers; });
                                        m.unlock_shared();
                                      }));
        m.unlock();
        for (auto& h : all) h.join();
      },
      how());
}

TEST_P(SharedMutex, ServesGroupsInTheOrderOfTheQueue) {
  // W: a writer, r: a reader; each appends its letter while it is inside.
  constexpr std::string_view queue = "WrrWWrrrW";
  std::string seen;
  urge::run(
      [&] {
        urge::shared_mutex m;
        urge::mutex seen_lock;
        m.lock();
        std::vector<urge::join_handle<void>> all;
        for (const char kind : queue) {
          const auto note = [&, kind] {
            std::lock_guard hold(seen_lock);
            seen += kind;
          };
          if (kind == 'W')
            all.push_back(spawn_waiting([&] { m.lock(); }, [&, note] { note(), m.unlock(); }));
          else
            all.push_back(spawn_waiting([&] { m.lock_shared(); }, [&, note] { note(), m.unlock_shared(); }));
        }
        m.unlock();
        for (auto& h : all) h.join();
      },
      how());
  EXPECT_EQ(seen, queue);
}

TEST_P(SharedMutex, ExcludesUnderAStorm) {
  constexpr int gs = 8;
  const int rounds = scaled(2000);
  long a = 0, b = 0;
  urge::run(
      [&] {
        urge::shared_mutex m;
        std::vector<urge::join_handle<void>> all;
        for (int i = 0; i < gs; ++i)
          all.push_back(urge::spawn([&, i] {
            for (int k = 0; k < rounds; ++k) {
              if ((k + i) % 4 == 0) {
                std::lock_guard hold(m);
                ++a;
                if (k % 32 == i) urge::this_g::yield();
                ++b;
              } else {
                std::shared_lock hold(m);
                const long seen = a;
                if (k % 32 == i) urge::this_g::yield();
                if (seen != b || seen != a) {
                  ADD_FAILURE() << "a reader saw a writer at work";
                  return;
                }
              }
            }
          }));
        for (auto& h : all) h.join();
      },
      how());
  EXPECT_EQ(a, long{gs} * rounds / 4);
  EXPECT_EQ(b, a);
}

TEST_P(SharedMutex, MayBeDestroyedByWhoeverOwnedItLast) {
  const int rounds = scaled(500);
  urge::run(
      [&] {
        for (int k = 0; k < rounds; ++k) {
          struct guarded {
            urge::shared_mutex m;
            std::atomic<int> users{3};
          };
          auto* object = new guarded;
          const auto use = [object](bool shared) {
            shared ? object->m.lock_shared() : object->m.lock();
            const bool last = --object->users == 0;
            shared ? object->m.unlock_shared() : object->m.unlock();
            // The last to count down was inside with nobody but readers, who may still be there: wait for them.
            if (!last) return;
            object->m.lock();
            object->m.unlock();
            delete object;
          };
          auto a = urge::spawn(use, true), b = urge::spawn(use, k % 2 == 0);
          use(false);
          a.join();
          b.join();
        }
      },
      how());
}

TEST_F(SharedMutexErrors, EveryCallThrowsOutsideAG) {
  urge::shared_mutex m;
  EXPECT_THROW(m.lock(), std::logic_error);
  EXPECT_THROW(m.try_lock(), std::logic_error);
  EXPECT_THROW(m.unlock(), std::logic_error);
  EXPECT_THROW(m.lock_shared(), std::logic_error);
  EXPECT_THROW(m.try_lock_shared(), std::logic_error);
  EXPECT_THROW(m.unlock_shared(), std::logic_error);
}

TEST_F(SharedMutexErrors, UnlockOfWhatIsNotLockedThrows) {
  urge::run([] {
    urge::shared_mutex m;
    EXPECT_THROW(m.unlock(), std::system_error);
    EXPECT_THROW(m.unlock_shared(), std::system_error);
    m.lock();
    EXPECT_THROW(m.unlock_shared(), std::system_error);
    urge::spawn([&] { EXPECT_THROW(m.unlock(), std::system_error); }).join();
    auto reader = spawn_waiting([&] { m.lock_shared(); }, [&] { m.unlock_shared(); });
    EXPECT_THROW(m.unlock_shared(), std::system_error);
    urge::spawn([&] { EXPECT_THROW(m.unlock(), std::system_error); }).join();
    m.unlock();
    reader.join();
    m.lock_shared();
    EXPECT_THROW(m.unlock(), std::system_error);
    m.unlock_shared();
  });
}

}  // namespace
