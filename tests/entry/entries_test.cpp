// SPDX-License-Identifier: MIT
// Function entries as yield points: code that calls nothing of urge gives way there, in cooperative mode and by the
// flag that comes before the signal, and every shape of function computes what it should wherever it is stopped.
#include "entry/entry_fixture.hpp"

#include <cerrno>
#include <csignal>

namespace urge::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Code, Entries, testing::ValuesIn(all_checked()), name_of_code());

TEST_P(Entries, ARecursiveFunctionGivesWayToAnotherGOfItsOnlyP) {
  std::atomic<bool> begun = false, seen = false;
  run(
      [&] {
        auto hog = spawn([&] {
          begun = true;
          while (!seen.load(std::memory_order_relaxed)) code().fib(15);
        });
        while (!begun) this_g::yield();
        spawn([&] { seen = true; }).join();
        hog.join();
      },
      cooperative(1, 1ms));
  EXPECT_GE(snapshot().preempts_cooperative, 1u);
  EXPECT_EQ(snapshot().preempts_async, 0u);
}

class EntryStorm : public testing::TestWithParam<std::tuple<const checked_code*, setting>> {
 protected:
  void TearDown() override { before_.check(); }

 private:
  warm first_;
  watchdog watching_;
  balance before_;
};
INSTANTIATE_TEST_SUITE_P(
    Settings, EntryStorm,
    testing::Combine(testing::ValuesIn(all_checked()),
                     testing::Values(setting{1, preempt_mode::cooperative, 50us},
                                     setting{2, preempt_mode::cooperative, 50us}, setting{1, preempt_mode::async, 50us},
                                     setting{4, preempt_mode::async, 50us})),
    [](const auto& info) { return std::string(std::get<0>(info.param)->name) + name_of(std::get<1>(info.param)); });

TEST_P(EntryStorm, EveryShapeComputesTheSame) {
  const checked_code& code = *std::get<0>(GetParam());
  const setting& how = std::get<1>(GetParam());
  constexpr std::uint64_t enough = 400;
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> wrong = 0;
  run(
      [&] {
        std::vector<join_handle<void>> all;
        for (int who = 0; who < 8; ++who) {
          // One has an identity of its own.
          all.push_back(spawn({.own_identity = who == 0}, [&, who] {
            for (int n = who; !stop.load(std::memory_order_relaxed); n = (n + 1) % 1000) {
              errno = n;
              if (!all_shapes_right(code, n) || errno != n) ++wrong;
            }
          }));
        }
        const auto all_stops = [] {
          const stats s = snapshot();
          return s.preempts_cooperative + s.preempts_async;
        };
        while (all_stops() < enough) this_g::sleep_for(1ms);
        stop = true;
        for (auto& g : all) g.join();
      },
      how.to_options());
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GE(snapshot().promoted, 1u);
  if (how.preempt == preempt_mode::cooperative) {
    EXPECT_EQ(snapshot().preempts_async, 0u);
  }
}

// Not by chance: the word is set before each call.
TEST_P(Entries, EachShapeStopsAtItsEntryAndGoesOn) {
  run(
      [&] {
        const checked_code& c = code();
        const auto stops_once = [](auto&& call) {
          EXPECT_EQ(stops_of([&] {
                      stop_at_next_entry();
                      EXPECT_TRUE(call());
                    }),
                    1u);
        };
        for (int n = 0; n < 50; ++n) {
          stops_once([&] { return c.fib(10) == 55; });
          stops_once([&] { return c.wide(n) == 5 * 1024; });
          stops_once([&] { return c.huge(n) == 100 * 1024; });
          stops_once([&] { return c.catches(n) == n; });
          stops_once([&] { return c.even(n) == (n % 2 == 0); });
          stops_once([&] { return c.on_stack(5) == 5; });
          if (c.nested) stops_once([&] { return c.nested(1) == 86; });
          if (!c.every_check) continue;
          stops_once([&] { return c.all_kinds(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1) == 136; });
          stops_once([&] { return c.tail(n) == 24 * n + 276; });
          stops_once([&] { return c.sum(8, 1L, 2L, 3L, 4L, 5L, 6L, 7L, 8L) == 36; });
          stops_once([&] { return c.sum_of_doubles(9, 1., 2., 3., 4., 5., 6., 7., 8., 9.) == 45; });
          stops_once([&] { return c.sum_of_pairs(5, 1L, 1., 2L, 2., 3L, 3., 4L, 4., 5L, 5.) == 30; });
        }
      },
      cooperative(1));
}

// The word without a request: a look, and on.
TEST_P(Entries, AWordThatIsSetForNothingCostsALookEach) {
  run(
      [&] {
        EXPECT_EQ(stops_of([&] {
                    for (int n = 0; n < 50; ++n) {
                      poison_entries();
                      EXPECT_TRUE(all_shapes_right(code(), n));
                    }
                  }),
                  0u);
      },
      cooperative(1));
}

TEST_P(Entries, AnExceptionPassesFramesThatWereStopped) {
  run(
      [&] {
        for (int n = 0; n < 20; ++n) {
          stop_at_next_entry();
          try {
            code().throws(n);
            ADD_FAILURE() << "nothing was thrown";
          } catch (int what) {
            EXPECT_EQ(what, 4711);
          }
        }
      },
      cooperative(1));
}

// While the word is set alloca does not find the stack's end: it gets memory elsewhere, until the function returns.
TEST_P(Entries, MemoryForAllocaIsLentAndTakenBack) {
  run(
      [&] {
        *code().before_alloca = poison_entries;
        EXPECT_EQ(code().on_stack(30), 30);
        const std::size_t mappings = count_mappings();
        for (int n = 0; n < 200; ++n) EXPECT_EQ(code().on_stack(30), 30);
        EXPECT_LE(count_mappings(), mappings + 40);
        *code().before_alloca = nullptr;
      },
      cooperative(1));
  EXPECT_EQ(*code().before_alloca, nullptr);
}

}  // namespace
}  // namespace urge::test
