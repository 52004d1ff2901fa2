// SPDX-License-Identifier: MIT
// Code that has never heard of urge, stopped in the middle of malloc, of a throw, of a held lock: four Gs on two Ps
// check their own results for a while, with slices of 100 us.
#include <urge/urge.hpp>

#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace {
std::recursive_mutex shared;
long total = 0;

// One round of ordinary C++; false if anything came out wrong.
bool round(int who, int n) {
  thread_local std::string mine;
  mine = std::to_string(who);
  std::map<int, std::string> words;
  for (int i = 0; i < 20; ++i) words[i] = mine + ":" + std::to_string(n * i);
  {
    std::lock_guard outer(shared);
    std::lock_guard inner(shared);
    total += 1;
  }
  try {
    throw std::runtime_error(words[7]);
  } catch (const std::exception& e) {
    return words[7] == e.what() && mine == std::to_string(who) && words.size() == 20;
  }
}
}  // namespace

int main() {
  using namespace std::chrono_literals;
  std::atomic<int> wrong{0};
  constexpr int rounds = 20000;
  urge::run(
      [&] {
        std::vector<urge::join_handle<void>> gs;
        for (int who = 0; who < 4; ++who)
          gs.push_back(urge::spawn([&, who] {
            for (int n = 0; n < rounds; ++n)
              if (!round(who, n)) ++wrong;
          }));
        for (auto& g : gs) g.join();
      },
      urge::options{.procs = 2, .quantum = 100us});
  std::printf("%ld rounds, %d wrong\n", total, wrong.load());
  return wrong != 0;
}
