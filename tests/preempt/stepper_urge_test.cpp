// SPDX-License-Identifier: MIT
// Stepped: the public calls of urge. Inside them preemption is held off, which the library's handler has to answer at
// each instruction; what is asked for there is honoured when the call ends, so a stopped G is sometimes one that gave
// way. Gs that a body starts are stepped with it.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/io.hpp>
#include <urge/preempt.hpp>
#include <urge/sync.hpp>
#include <urge/time.hpp>

#include <unistd.h>

#include <mutex>
#include <shared_mutex>
#include <string>

#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

// A body and the Gs it starts have one trap flag while they stop by themselves. It may have gone with one of them that
// is stopped when another goes on: so behind such calls it is set again.
void again(int who) { go_on_stepping(who); }

std::uint64_t number(int who, int i) { return static_cast<std::uint64_t>(who * 100 + i); }

std::uint64_t buffered_channel(int who) {
  chan<std::uint64_t> numbers(3);
  chan<std::string> texts(1);
  std::uint64_t sum = 0, third = number(who, 3);
  numbers.send(number(who, 1));
  numbers.send(number(who, 2));
  mix(sum, numbers.try_send(third) + 2 * numbers.try_send(third));
  mix(sum, *numbers.recv());
  mix(sum, *numbers.try_recv());
  numbers.close();
  for (const std::uint64_t n : numbers) mix(sum, n);
  mix(sum, static_cast<std::uint64_t>(numbers.try_recv().has_value()));
  texts.send(who ? "a text that lies on the heap, the other's" : "a text that lies on the heap");
  mix(sum, texts.recv()->size() + texts.size() + texts.capacity());
  return sum;
}

std::uint64_t rendezvous(int who) {
  chan<std::uint64_t> numbers;
  go([numbers, who]() mutable {
    again(who);
    for (int i = 0; i < 3; ++i) {
      numbers.send(number(who, i));
      again(who);
    }
    numbers.close();
  });
  std::uint64_t sum = 0;
  while (auto n = numbers.recv()) {
    again(who);
    mix(sum, *n);
  }
  again(who);
  return sum;
}

std::uint64_t closed_channel(int who) {
  chan<int> numbers(1);
  numbers.close();
  try {
    numbers.send(who);
  } catch (const closed&) {
    return number(who, 1);
  }
  return 0;
}

std::uint64_t deadlines_of_channels(int who) {
  chan<std::uint64_t> numbers;
  std::uint64_t n = number(who, 1), sum = 0;
  const auto soon = std::chrono::steady_clock::now() + 50us;
  mix(sum, static_cast<std::uint64_t>(numbers.send_until(n, soon)));
  mix(sum, static_cast<std::uint64_t>(numbers.recv_until(soon).has_value()));
  return sum + n;
}

std::uint64_t select_cases(int who) {
  chan<std::uint64_t> full(1), empty(1), none;
  full.send(number(who, 7));
  std::uint64_t sum = 0;
  mix(sum, select(on_recv(full, [&](auto n) { mix(sum, *n); }), on_recv(none, [](auto) {})));
  mix(sum, select(on_recv(none, [](auto) {}), on_send(empty, number(who, 8), [&] { mix(sum, 1); })));
  mix(sum, select(on_recv(none, [](auto) {}), otherwise([&] { mix(sum, 2); })));
  mix(sum, select(on_recv(none, [](auto) {}), after(20us, [&] { mix(sum, 3); })));
  mix(sum, *empty.recv());
  return sum;
}

std::uint64_t start_and_join(int who) {
  std::uint64_t sum = 0;
  auto child = spawn(
      {.name = "child", .weight = 2},
      [who](int i) {
        again(who);
        return number(who, i) + this_g::name().size();
      },
      5);
  mix(sum, child.join());
  again(who);
  auto leaving = spawn([who] {
    again(who);
    this_g::exit();
  });
  leaving.join();
  again(who);
  mix(sum, static_cast<std::uint64_t>(child.done()) + leaving.done());
  return sum;
}

std::uint64_t throw_to_joiner(int who) {
  auto failing = spawn([who] {
    again(who);
    throw who + 10;
  });
  while (!failing.done()) this_g::yield();
  again(who);
  try {
    failing.join();
  } catch (int thrown) {
    again(who);
    return static_cast<std::uint64_t>(thrown);
  }
  return 0;
}

std::uint64_t about_itself(int who) {
  std::uint64_t sum = 0;
  const auto me = this_g::id();
  this_g::yield();
  preempt_point();
  mix(sum, static_cast<std::uint64_t>(this_g::id() == me) + this_g::name().size() + procs());
  mix(sum, static_cast<std::uint64_t>(this_g::stop_token().stop_requested()));
  mix(sum, static_cast<std::uint64_t>(this_g::cpu_time() >= 0ns));
  return sum + static_cast<unsigned>(who);
}

std::uint64_t guards(int who) {
  std::uint64_t sum = number(who, 3);
  const preempt_guard outer;
  for (int i = 0; i < 5; ++i) mix(sum, static_cast<std::uint64_t>(i));
  {
    const preempt_guard inner;
    mix(sum, 9);
  }
  return sum;
}

// Shared by both Gs: while one is stopped inside, the other waits, as a G does.
mutex plain;
recursive_mutex recursive;
timed_mutex timed;
shared_mutex shared;
std::uint64_t inside = 0;

template <class Mutex>
std::uint64_t lock_twice(Mutex& m) {
  std::uint64_t sum = 0;
  for (int i = 0; i < 2; ++i) {
    const std::lock_guard hold(m);
    const std::uint64_t before = inside++;
    mix(sum, before);
    mix(sum, --inside);
  }
  return sum;
}
std::uint64_t lock_mutex(int) { return lock_twice(plain); }
std::uint64_t lock_recursive(int) {
  const std::lock_guard outer(recursive);
  return lock_twice(recursive);
}
std::uint64_t lock_timed(int) {
  // As long as it takes: the other may be stopped inside.
  while (!timed.try_lock_for(1s)) {
  }
  const std::uint64_t before = inside++;
  --inside;
  timed.unlock();
  return before;
}
std::uint64_t lock_shared(int) {
  std::uint64_t sum = 0;
  {
    const std::shared_lock reading(shared);
    mix(sum, inside);
  }
  mix(sum, lock_twice(shared));
  return sum;
}
std::uint64_t try_locks(int) {
  mutex own;
  const bool first = own.try_lock(), second = own.try_lock();
  own.unlock();
  return first * 2u + second;
}

std::uint64_t condition(int who) {
  mutex m;
  condition_variable changed;
  int value = 0;
  auto child = spawn([&] {
    again(who);
    const std::lock_guard hold(m);
    value = who + 1;
    changed.notify_one();
  });
  std::uint64_t sum = 0;
  {
    std::unique_lock hold(m);
    changed.wait(hold, [&] { return value != 0; });
    again(who);
    mix(sum, static_cast<std::uint64_t>(value));
    mix(sum, static_cast<std::uint64_t>(changed.wait_for(hold, 20us) == std::cv_status::timeout));
  }
  again(who);
  child.join();
  again(who);
  return sum;
}

std::uint64_t semaphores(int who) {
  counting_semaphore<> units(1);
  units.acquire();
  std::uint64_t sum = number(who, 0);
  mix(sum, static_cast<std::uint64_t>(units.try_acquire()));
  mix(sum, static_cast<std::uint64_t>(units.try_acquire_for(20us)));
  auto child = spawn([&] {
    again(who);
    units.release(2);
  });
  units.acquire();
  again(who);
  units.acquire();
  child.join();
  again(who);
  return sum;
}

std::uint64_t latches_and_barriers(int who) {
  latch open(2);
  barrier phase(2);
  wait_group under_way;
  once_flag flag;
  std::uint64_t sum = number(who, 0);
  under_way.add(1);
  auto child = spawn([&] {
    again(who);
    open.count_down();
    phase.arrive_and_wait();
    again(who);
    under_way.done();
  });
  open.arrive_and_wait();
  again(who);
  phase.arrive_and_wait();
  again(who);
  for (int i = 0; i < 2; ++i) call_once(flag, [&] { mix(sum, 5); });
  under_way.wait();
  again(who);
  child.join();
  again(who);
  return sum;
}

std::uint64_t timers(int who) {
  const auto from = std::chrono::steady_clock::now();
  this_g::sleep_for(30us);
  auto alarm = after(30us);
  const bool rang = alarm.recv().has_value();
  { auto dropped = after(1h); }
  return number(who, 0) + rang + 2 * (std::chrono::steady_clock::now() - from >= 60us);
}

std::uint64_t kernel_calls(int who) {
  std::uint64_t sum = number(who, 0);
  // Steps take so long that the P is retaken inside: the G may go on in another thread.
  mix(sum, blocking([] { return static_cast<std::uint64_t>(getppid() > 0); }));
  again(who);
  mix(sum, 7);
  return sum;
}

INSTANTIATE_TEST_SUITE_P(Urge, Stepper,
                         in_each_mode(body{"Channel", buffered_channel}, body{"Rendezvous", rendezvous},
                                      body{"Closed", closed_channel}, body{"Deadlines", deadlines_of_channels},
                                      body{"Select", select_cases}, body{"Go", start_and_join, nullptr, 2},
                                      body{"JoinThrows", throw_to_joiner, nullptr, 2}, body{"ThisG", about_itself},
                                      body{"Guard", guards}, body{"Mutex", lock_mutex},
                                      body{"RecursiveMutexOfUrge", lock_recursive}, body{"TimedMutex", lock_timed},
                                      body{"SharedMutexOfUrge", lock_shared}, body{"TryLock", try_locks},
                                      body{"Condition", condition}, body{"Semaphore", semaphores},
                                      body{"LatchBarrierOnce", latches_and_barriers}, body{"Timers", timers},
                                      body{"Blocking", kernel_calls}),
                         name_body());

}  // namespace
}  // namespace urge::test::stepper
