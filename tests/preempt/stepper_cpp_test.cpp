// SPDX-License-Identifier: MIT
// Stepped: what the C++ runtime and library do behind the language: exceptions, guards of statics, call_once, mutexes,
// thread_local objects, containers, regular expressions.
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <regex>
#include <shared_mutex>
#include <stdexcept>
#include <string>

#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

struct unwound {
  std::uint64_t& sum;
  ~unwound() { mix(sum, static_cast<std::uint64_t>(std::uncaught_exceptions()) + 7); }
};
[[gnu::noinline]] void third_frame(int who, std::uint64_t& sum) {
  const unwound here{sum};
  throw std::runtime_error(who ? "a text long enough for the heap" : "another text that goes to the heap");
}
[[gnu::noinline]] void second_frame(int who, std::uint64_t& sum) {
  const unwound here{sum};
  third_frame(who, sum);
}

std::uint64_t throw_catch(int who) {
  std::uint64_t sum = 0;
  try {
    try {
      second_frame(who, sum);
    } catch (const std::exception& e) {
      mix(sum, static_cast<unsigned char>(e.what()[2]));
      throw;
    }
  } catch (const std::runtime_error& again) {
    mix(sum, static_cast<unsigned char>(again.what()[3]));
    mix(sum, static_cast<std::uint64_t>(std::current_exception() != nullptr));
  }
  mix(sum, static_cast<std::uint64_t>(std::uncaught_exceptions()));
  mix(sum, static_cast<std::uint64_t>(std::current_exception() != nullptr));
  return sum;
}

// Which of the two does it first is open when each stop has a run of its own. In one pass the other would always be
// first: so it comes along only once the stepped one is inside, and then waits for it.
bool stepped_is_inside = false;
bool may_join(int who) noexcept { return who == 0 || afresh() || stepped_is_inside; }

int initialised = 0;
int first_value() {
  stepped_is_inside = true;
  int x = 41;
  for (volatile int i = 0; i < 5;) i = i + 1;
  ++initialised;
  return x + 1;
}
}  // namespace

// Outside the unnamed namespace: so that the guard that the compiler makes has a name. Cleared, the static is as new.
inline int& function_static() {
  static int one = first_value();
  return one;
}
extern std::uint64_t guard_of_static asm("_ZGVZN4urge4test7stepper15function_staticEvE3one");

namespace {

void renew_static() {
  guard_of_static = 0;
  initialised = 0;
  stepped_is_inside = false;
}
std::uint64_t local_static(int who) {
  if (!may_join(who)) return 43;
  const int value = function_static();
  return static_cast<unsigned>(value + initialised);
}

alignas(std::once_flag) unsigned char once_room[sizeof(std::once_flag)];
std::once_flag& flag() { return *std::launder(reinterpret_cast<std::once_flag*>(once_room)); }
int called = 0;
void renew_once() {
  new (once_room) std::once_flag;
  called = 0;
  stepped_is_inside = false;
}
std::uint64_t call_once(int who) {
  if (!may_join(who)) return 1;
  std::call_once(
      flag(),
      [](int by) {
        stepped_is_inside = true;
        for (volatile int i = 0; i < 5;) i = i + 1;
        called += by;
      },
      1);
  return static_cast<unsigned>(called);
}

std::recursive_mutex recursive;
int depth = 0;
std::uint64_t recursive_lock(int) {
  const std::lock_guard outer(recursive);
  const int was = depth++;
  int inside;
  {
    const std::lock_guard inner(recursive);
    inside = depth++;
  }
  depth -= 2;
  return static_cast<unsigned>(was * 16 + inside);
}

std::shared_mutex shared;
int pair_of_words[2] = {0, 0};
std::uint64_t shared_lock(int) {
  int seen;
  {
    const std::shared_lock reading(shared);
    seen = pair_of_words[0] - pair_of_words[1];
  }
  const std::unique_lock writing(shared);
  ++pair_of_words[0];
  const int between = pair_of_words[0] - pair_of_words[1];
  ++pair_of_words[1];
  return static_cast<unsigned>(seen * 16 + between);
}

struct counted {
  counted() : text("made by the first use on this thread"), number(1) {}
  std::string text;
  int number;
};
thread_local counted mine;
[[gnu::noinline]] counted& mine_again() { return mine; }
std::uint64_t thread_locals(int who) {
  counted& here = mine;
  here.number = 500 + who;
  here.text = who ? "the other's text, on the heap" : "the stepped one's text, on the heap";
  std::uint64_t sum = 0;
  for (int i = 0; i < 4; ++i) {
    mix(sum, static_cast<std::uint64_t>(mine_again().number++));
    for (const char c : mine_again().text) mix(sum, static_cast<unsigned char>(c));
  }
  mix(sum, static_cast<std::uint64_t>(&here == &mine_again()));
  return sum;
}

std::uint64_t regular_expression(int who) {
  const std::regex pattern("([a-z]+)=([0-9]+)");
  std::smatch found;
  const std::string text = who ? "alpha=17" : "be=4";
  std::uint64_t sum = std::regex_match(text, found, pattern);
  for (const auto& part : found)
    for (const char c : part.str()) mix(sum, static_cast<unsigned char>(c));
  return sum;
}

std::uint64_t match_only(int who) {
  static const std::regex pattern("(a|b)+c");
  std::cmatch found;
  return std::regex_match(who ? "abbac" : "bac", found, pattern) + static_cast<std::uint64_t>(found.length(0)) * 4;
}

std::uint64_t map_of_strings(int who) {
  std::map<std::string, std::unique_ptr<int>> words;
  for (int i = 0; i < 6; ++i)
    words["a key that is not short " + std::to_string(i * 7 % 6 + who)] = std::make_unique<int>(i + who);
  words.erase(words.begin());
  std::uint64_t sum = words.size();
  for (const auto& [key, value] : words)
    mix(sum, static_cast<unsigned char>(key.back()) + 256u * static_cast<unsigned>(*value));
  return sum;
}

INSTANTIATE_TEST_SUITE_P(Cpp, Stepper,
                         in_each_mode(body{"ThrowCatchRethrow", throw_catch, nullptr, 2},
                                      body{"FunctionStatic", local_static, renew_static},
                                      body{"CallOnce", call_once, renew_once}, body{"RecursiveMutex", recursive_lock},
                                      body{"SharedMutex", shared_lock}, body{"ThreadLocal", thread_locals},
                                      body{"Regex", regular_expression, nullptr, 5}, body{"RegexMatch", match_only},
                                      body{"MapOfStrings", map_of_strings}),
                         name_body());

}  // namespace
}  // namespace urge::test::stepper
