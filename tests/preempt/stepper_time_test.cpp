// SPDX-License-Identifier: MIT
// Stepped: timers, tickers, functions called later, and sleeps. Times are short where they are waited for and an hour
// where they are not, so that steps, which take long, change no answer.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/time.hpp>

#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

// Behind each call that may wait, or give way to a G that the body has started.
void again(int who) { go_on_stepping(who); }

std::uint64_t stop_and_reset(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  timer t(1h);
  mix(sum, t.stop());
  mix(sum, t.stop());
  mix(sum, t.reset(20us));
  mix(sum, t.c.recv().has_value());
  again(who);
  mix(sum, t.reset(who ? 2h : 1h));
  mix(sum, t.reset(1h));
  mix(sum, t.c.try_recv().has_value());
  mix(sum, t.reset(-1s));
  mix(sum, t.c.recv().has_value());
  again(who);
  mix(sum, t.stop());
  return sum;
}

std::uint64_t ticks_of_a_ticker(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  ticker t(20us);
  const auto first = t.c.recv();
  again(who);
  const auto second = t.c.recv();
  again(who);
  mix(sum, first && second && *first < *second);
  t.reset(30us);
  mix(sum, t.c.recv().has_value());
  again(who);
  t.stop();
  mix(sum, t.c.try_recv().has_value());  // what was sent before is gone, too
  t.reset(1h);
  mix(sum, t.c.try_recv().has_value());
  return sum;
}

std::uint64_t function_called_later(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  chan<int> called(1);
  timer never = after_func(1h, [called]() mutable { called.send(0); });
  again(who);
  mix(sum, never.stop());
  again(who);
  timer soon = after_func(20us, [who, called]() mutable {
    again(who);
    called.send(who + 5);
    again(who);
  });
  again(who);
  mix(sum, static_cast<unsigned>(*called.recv()));
  again(who);
  mix(sum, soon.stop());
  again(who);
  mix(sum, soon.reset(1h));
  again(who);
  mix(sum, soon.reset(20us));
  again(who);
  mix(sum, static_cast<unsigned>(*called.recv()));
  again(who);
  mix(sum, called.size());
  again(who);
  // The Gs of those that were stopped find out, and end, so that the next run does not find them alive.
  for (int i = 0; i < 3; ++i) {
    this_g::yield();
    again(who);
  }
  return sum;
}

std::uint64_t sleeps(int who) {
  std::uint64_t sum = static_cast<unsigned>(who);
  const auto from = std::chrono::steady_clock::now();
  this_g::sleep_until(from - 1s);
  again(who);
  this_g::sleep_for(-1s);
  again(who);
  this_g::sleep_until(from + 20us);
  again(who);
  mix(sum, std::chrono::steady_clock::now() >= from + 20us);
  this_g::sleep_until(std::chrono::system_clock::now() + 20us);
  again(who);
  return sum;
}

INSTANTIATE_TEST_SUITE_P(
    UrgeTime, Stepper,
    in_each_mode(body{"Timer", stop_and_reset}, body{"Ticker", ticks_of_a_ticker, nullptr, 3},
                 body{.name = "AfterFunc", .run = function_called_later, .every = 19, .every_at_least = 19, .part = 4},
                 body{"Sleep", sleeps}),
    name_body());

}  // namespace
}  // namespace urge::test::stepper
