// SPDX-License-Identifier: MIT
// Preemptions that are refused for want of an identity, or in kernel_thread mode of a thread: the one is asked for
// while all that there may be are with other Gs, and only that counter rises; when one has come back it takes place.
#include <memory>
#include <mutex>
#include <vector>

#include "preempt/refusals.hpp"

namespace urge::test {
namespace {

// A G that is stopped again and again until it is let go: on one P it stands so whenever another runs.
class stopped_g {
 public:
  stopped_g() {
    g_ = spawn([this] {
      do {
        standing_ = true;
        ask_until_stopped();
        standing_ = false;
      } while (!over_);
    });
  }
  void wait_until_it_stands() {
    while (!standing_) this_g::yield();
  }
  void let_go() {
    over_ = true;
    g_.join();
  }

 private:
  std::atomic<bool> standing_{false}, over_{false};
  join_handle<void> g_;
};

// So many of them that nobody else can be stopped.
class all_that_can_be_stopped {
 public:
  all_that_can_be_stopped() {
    answer next;
    do {
      gs_.push_back(std::make_unique<stopped_g>());
      gs_.back()->wait_until_it_stands();
      next = ask();
    } while (next == a_stop && gs_.size() < 10);
    EXPECT_EQ(next, refusal(defer_reason::no_identity)) << gs_.size();
  }
  void let_go() {
    for (auto& g : gs_) g->let_go();
  }

 private:
  std::vector<std::unique_ptr<stopped_g>> gs_;
};

void without_spares(const options& how) {
  run(
      [&] {
        all_that_can_be_stopped others;
        others.let_go();
        EXPECT_EQ(ask_until_stopped(), a_stop);
      },
      how);
}
TEST_F(Refusals, NoIdentity) {
  options o = quiet();
  o.max_identities = 1;
  without_spares(o);
}
TEST_F(Refusals, NoSpareThread) {
  options o = quiet(preempt_mode::kernel_thread);
  o.max_threads = 2;
  without_spares(o);
}

// A stop of the G's own, with a lock of pthread in its hand: it would take its identity along, or its thread.
void expect_refused_with_a_lock() {
  for (const bool locks : {false, true}) {
    std::mutex lock;
    const reason_counts before = refused_so_far();
    const std::uint64_t by_others = asked_again;
    if (locks) lock.lock();
    this_g::yield();
    if (locks) lock.unlock();
    const reason_counts after = refused_so_far();
    for (std::size_t r = 0; r < reasons; ++r) {
      const bool this_one = static_cast<defer_reason>(r) == defer_reason::no_identity;
      EXPECT_EQ(after[r] - before[r], this_one ? locks + (asked_again - by_others) : 0) << r;
    }
  }
}
TEST_F(Refusals, NoIdentityToTakeAlongWithALock) {
  options o = quiet();
  o.max_identities = 0;
  run(
      [] {
        std::atomic<bool> over{false};
        auto other = spawn([&] {
          while (!over) this_g::yield();
        });
        expect_refused_with_a_lock();
        over = true;
        other.join();
      },
      o);
}
TEST_F(Refusals, NoThreadToKeepWithALock) {
  options o = quiet(preempt_mode::kernel_thread);
  o.max_threads = 2;
  run(
      [] {
        all_that_can_be_stopped others;
        expect_refused_with_a_lock();
        others.let_go();
      },
      o);
}

}  // namespace
}  // namespace urge::test
