// SPDX-License-Identifier: MIT
// What a user's first program may look like: a G that never gives way, another that must run all the same.
#include <urge/urge.hpp>

#include <atomic>
#include <cstdio>

int main() {
  const int sum = urge::run(
      [] {
        std::atomic<bool> seen = false;
        auto hog = urge::spawn([&] {
          while (!seen.load(std::memory_order_relaxed)) {
          }
          return 40;
        });
        auto light =
            urge::spawn({.name = "light"}, [&] { return seen = true, urge::this_g::name() == "light" ? 2 : 0; });
        return hog.join() + light.join();
      },
      {.procs = 1});
  std::printf("outside: %d\n", sum);
}
