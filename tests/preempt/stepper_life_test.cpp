// SPDX-License-Identifier: MIT
// Stepped: what a G's life can be besides a function that returns: ended from outside, stopped when its time is used
// up, asked to stop, let go, with an identity of its own, on a thread of its own. And what tells of all of them.
//
// A G that a signal has stopped outside libc when it is killed stands still for good: it would not come back from that
// stop. So those that are to be unwound wait, or give way, under a preempt_guard, which the unwinding ends first.
#include <urge/chan.hpp>
#include <urge/errors.hpp>
#include <urge/go.hpp>
#include <urge/preempt.hpp>
#include <urge/runtime.hpp>
#include <urge/sync.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

// Behind each call that may wait, give way to a G that the body has started, or go on in another thread.
void again(int who) { go_on_stepping(who); }

struct counted {
  std::atomic<unsigned>& n;
  int who;
  ~counted() {
    again(who);  // whoever ends it by a kill has the flag
    n.fetch_add(1);
  }
};
// Gives way until it is so.
void await(int who, const std::atomic<bool>& so) {
  while (!so.load()) {
    this_g::yield();
    again(who);
  }
}

template <class R>
std::uint64_t joined(int who, join_handle<R>& h) {
  std::uint64_t how = 1;
  try {
    h.join();
  } catch (const killed&) {
    how = 2;
  }
  again(who);
  return how;
}

std::uint64_t kill_one_that_waits(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  std::atomic<unsigned> unwound{0};
  std::atomic<bool> inside{false};
  chan<int> nothing;
  auto child = spawn([&, who] {
    again(who);
    const counted outer{unwound, who};
    const counted inner{unwound, who};
    const preempt_guard until_it_waits;
    inside = true;
    nothing.recv();
  });
  await(who, inside);
  child.kill();
  again(who);
  mix(sum, joined(who, child));
  mix(sum, unwound.load());
  mix(sum, child.kill());
  mix(sum, child.done());
  return sum;
}

std::uint64_t kill_one_that_yields(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  std::atomic<unsigned> unwound{0};
  std::atomic<bool> inside{false};
  auto child = spawn([&, who] {
    again(who);
    const counted outer{unwound, who};
    const preempt_guard until_it_yields;
    inside = true;
    for (;;) this_g::yield();
  });
  await(who, inside);
  child.kill();
  again(who);
  mix(sum, joined(who, child));
  mix(sum, unwound.load());
  return sum;
}

// It ends when it comes to its first instruction; nobody may stop it there before it is doomed.
std::uint64_t kill_one_not_begun(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  std::atomic<unsigned> begun{0};
  join_handle<void> child;
  {
    const preempt_guard meanwhile;
    child = spawn([&] { ++begun; });
    child.kill();
  }
  again(who);
  mix(sum, joined(who, child));
  mix(sum, begun.load());
  return sum;
}

std::uint64_t kill_oneself(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  std::atomic<unsigned> unwound{0};
  struct closes {
    chan<int> c;
    ~closes() { c.close(); }
  };
  chan<int> known, over;
  join_handle<void> child;
  child = spawn([&, who] {
    again(who);
    known.recv();
    again(who);
    const closes behind_the_call{over};
    const counted here{unwound, who};
    child.kill();
  });
  known.close();
  over.recv();
  again(who);
  mix(sum, joined(who, child));
  mix(sum, unwound.load());
  return sum;
}

// The stepped one is slow enough by its steps; the other takes its time.
std::uint64_t compute(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  const auto until = std::chrono::steady_clock::now() + 100us;
  for (std::uint64_t i = 0; i < 60; ++i) mix(sum, i);
  if (who != 0)
    while (std::chrono::steady_clock::now() < until) {
    }
  return sum;
}

std::uint64_t call_in_time(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  auto call = run_for(1h, [who] {
    again(who);
    return static_cast<std::uint64_t>(who + 3);
  });
  again(who);
  mix(sum, call.done());
  mix(sum, call.resume(1s));
  mix(sum, call.cpu_time() > 0ns);
  timed<std::uint64_t> same = std::move(call);
  mix(sum, same.get());
  same.drop();
  mix(sum, same.done());
  return sum;
}

std::uint64_t call_with_pauses(int who) {
  std::uint64_t sum = static_cast<unsigned>(who), pauses = 0;
  auto call = run_for(20us, [who] {
    again(who);
    return compute(who);
  });
  again(who);
  while (!call.done()) {
    ++pauses;
    call.resume(2ms);
    again(who);
  }
  mix(sum, pauses < 1'000'000);
  mix(sum, call.get());
  return sum;
}

// A call that is dropped where it stands is kept back, with its thread state, and never comes back from its stop: so it
// is the other that drops, and not at each stop, for the making of the next identity takes ms.
int drops = 0;
void renew_drops() { drops = 0; }
std::uint64_t call_dropped_by_the_other(int who) {
  constexpr int most = 20;
  if (who == 0) return compute(0);
  if (drops == most) return 1;
  ++drops;
  auto call = run_for(20us, [] {
    for (volatile bool on = true; on;) {
    }
  });
  const bool done = call.done();
  call.drop();
  return !done && !call.done();
}

std::uint64_t asked_to_stop(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  auto child = spawn([who] {
    again(who);
    std::uint64_t n = 0;
    const std::stop_token asked = this_g::stop_token();
    {
      const std::stop_callback when_asked(asked, [&] { n += 10; });
      while (!asked.stop_requested()) {
        this_g::yield();
        again(who);
      }
    }  // may have to wait for the end of the function
    again(who);
    return n + asked.stop_possible();
  });
  this_g::yield();
  again(who);
  child.request_stop();
  mix(sum, child.join());
  again(who);
  child.request_stop();  // an ended one has it all the same
  return sum;
}

std::uint64_t let_go(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  wait_group left;
  left.add(3);
  std::atomic<unsigned> ran{0};
  // Not in the function: when `wait` returns there is nothing of the G any more that could be stopped for long, and
  // the next run does not find it alive.
  struct at_its_end {
    wait_group* left;
    explicit at_its_end(wait_group* l) : left(l) {}
    at_its_end(at_its_end&& other) noexcept : left(std::exchange(other.left, nullptr)) {}
    ~at_its_end() {
      if (left) left->done();
    }
  };
  const auto end = [&, who] {
    return [&ran, who, e = at_its_end(&left)] {
      again(who);
      ++ran;
    };
  };
  {
    auto dropped = spawn(end());
    again(who);
    join_handle<void> moved = std::move(dropped);
    mix(sum, moved.id() != 0 && dropped.id() == 0);
    dropped = spawn({.name = "one that replaces", .stack_size = 64 * 1024}, end());
    again(who);
    moved = std::move(dropped);
    mix(sum, moved.info().preempts_async < 1'000'000);
    again(who);
    mix(sum, moved.cpu_time() >= 0ns);
    again(who);
  }
  go({.name = "one without a handle", .weight = 3, .cpu_limit = 1h}, end());
  again(who);
  left.wait();
  again(who);
  for (int i = 0; i < 3; ++i) {
    this_g::yield();
    again(who);
  }
  mix(sum, ran.load());
  return sum;
}

struct noted {
  int value = 7;
  std::string text = "a text that is too long for the object itself";
  ~noted() { value = -1; }  // at the end of the G that has made it, or of the thread
};
thread_local noted mine;
thread_local int plain = 1;
[[gnu::noinline]] int* address_of_plain() {
  asm volatile("");
  return &plain;
}
[[gnu::noinline]] int& errno_here() {
  asm volatile("");
  return errno;
}

// The other, which could not wait for the making of an identity within a stop, leaves traces in those that the Ms lend.
std::uint64_t thread_state_of_its_own(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  auto child = spawn({.own_identity = who == 0}, [who]() -> std::uint64_t {
    again(who);
    if (who == 1) {
      plain = 50, mine.value = 60, errno_here() = 70;
      return 1;
    }
    std::uint64_t seen = 0;
    mix(seen, static_cast<unsigned>(plain));
    mix(seen, static_cast<unsigned>(mine.value));
    int* const where = address_of_plain();
    const pthread_t self = pthread_self();
    plain = 100, mine.value = 200, mine.text += " goes on";
    errno_here() = 300;
    this_g::yield();
    again(who);
    mix(seen, static_cast<unsigned>(errno_here()));
    mix(seen, address_of_plain() == where && pthread_equal(pthread_self(), self));
    mix(seen, static_cast<unsigned>(plain + mine.value) + mine.text.size());
    return seen;
  });
  again(who);
  mix(sum, child.join());
  again(who);
  return sum;
}

// Every switch takes two threads: so the flag is set anew behind each call.
std::uint64_t locked_to_its_thread(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  for (std::uint64_t i = 0; i < 40; ++i) mix(sum, i);
  this_g::lock_os_thread();
  again(who);
  const pid_t tid = ::gettid();
  const pthread_t self = pthread_self();
  this_g::lock_os_thread();
  again(who);
  this_g::yield();
  again(who);
  this_g::unlock_os_thread();
  again(who);
  this_g::sleep_for(20us);
  again(who);
  mix(sum, tid == ::gettid() && pthread_equal(pthread_self(), self));
  this_g::unlock_os_thread();
  again(who);
  this_g::unlock_os_thread();
  for (std::uint64_t i = 0; i < 40; ++i) mix(sum, i);
  again(who);
  return sum;
}

// Its thread ends with it.
std::uint64_t ends_with_its_thread(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  auto child = spawn([who] {
    again(who);
    this_g::lock_os_thread();
    again(who);
    return static_cast<std::uint64_t>(who + 9);
  });
  mix(sum, child.join());
  again(who);
  for (std::uint64_t i = 0; i < 40; ++i) mix(sum, i);
  return sum;
}

std::uint64_t of_all(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  mix(sum, procs());
  mix(sum, set_procs(0));
  mix(sum, set_procs(1));
  const stats s = snapshot();
  mix(sum, s.spawned >= s.finished);
  return sum;
}

// The walk over frames blocks all signals, the trap's too, and so cannot be stepped: it is the other that shows the
// stepped one, wherever that has stopped.
std::uint64_t dump_by_the_other(int who) {
  if (who == 0) {
    char text[32];
    return static_cast<std::uint64_t>(std::snprintf(text, sizeof text, "%d %s", 5, "words"));
  }
  const int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  dump(fd);
  return static_cast<std::uint64_t>(::close(fd));
}

INSTANTIATE_TEST_SUITE_P(
    UrgeLife, Stepper,
    in_each_mode(body{"KillWaiting", kill_one_that_waits, nullptr, 3},
                 body{"KillYielding", kill_one_that_yields, nullptr, 3},
                 body{"KillNotBegun", kill_one_not_begun, nullptr, 3}, body{"KillOneself", kill_oneself, nullptr, 3},
                 body{"RunForInTime", call_in_time}, body{"RunForWithPauses", call_with_pauses, nullptr, 3},
                 body{"RunForDropped", call_dropped_by_the_other, renew_drops}, body{"StopToken", asked_to_stop},
                 body{"Detach", let_go},
                 body{.name = "OwnIdentity", .run = thread_state_of_its_own, .every = 3, .keeps_identity = true},
                 body{.name = "LockedThread", .run = locked_to_its_thread, .keeps_identity = true},
                 body{"LockedToItsEnd", ends_with_its_thread}, body{"SnapshotAndProcs", of_all, nullptr, 5},
                 body{"DumpByTheOther", dump_by_the_other, nullptr, 3}),
    name_body());

}  // namespace
}  // namespace urge::test::stepper
