// SPDX-License-Identifier: MIT
// Gs that are to be killed, and whether they were unwound. Context: a G.
#pragma once
#include <urge/go.hpp>
#include <urge/preempt.hpp>

#include <atomic>
#include <functional>
#include <optional>

#include "support/runtime_fixture.hpp"

namespace urge::test {

// Counts its ends: were the destructors run?
struct counts {
  std::atomic<int>& n;
  ~counts() { ++n; }
};

enum class stops { by_itself, by_signal };

// Kill gives up after a second, half of which it leaves to locks: where the machine is so busy that the G has not come
// to its end by then, it does a little later.
inline void kill_in_the_end(join_handle<void>& h) {
  if (!h.kill())
    while (!h.done()) this_g::yield();
}

// Kills a G that does `body` once it has begun; returns how many of its destructors ran. One that stops by itself is
// not stopped by a signal before that: then it would end where it is, without them.
inline int unwound(const std::function<void()>& body, stops how = stops::by_itself) {
  std::atomic<int> destroyed{0};
  std::atomic<bool> begun{false}, went_on{false};
  auto h = spawn([&] {
    const counts c{destroyed};
    std::optional<preempt_guard> until_it_waits;
    if (how == stops::by_itself) until_it_waits.emplace();
    begun = true;
    body();
    went_on = true;
  });
  while (!begun) this_g::yield();
  for (int i = 0; i < 3; ++i) this_g::yield();
  kill_in_the_end(h);
  EXPECT_TRUE(h.done());
  EXPECT_THROW(h.join(), killed);
  EXPECT_FALSE(went_on.load());
  EXPECT_FALSE(h.kill()) << "it has ended";
  return destroyed;
}

// Starts a G that has begun when this returns, and that no signal stops before its body waits.
template <class F>
join_handle<void> spawn_to_wait(F body) {
  std::atomic<bool> begun{false};
  auto h = spawn([&begun, body]() mutable {
    const preempt_guard until_it_waits;
    begun = true;
    body();
  });
  while (!begun) this_g::yield();
  return h;
}

}  // namespace urge::test
