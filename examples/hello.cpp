// SPDX-License-Identifier: MIT
// The smallest program: two hogs and a sleeper on one P. Nobody yields, and all get their turn.
#include <urge/urge.hpp>

#include <cstdio>

int main() {
  using namespace std::chrono_literals;
  const int wakes = urge::run(
      [] {
        for (int i = 0; i < 2; ++i)
          urge::go([] {
            for (volatile unsigned n = 0;;) n = n + 1;
          });
        int seen = 0;
        for (; seen < 5; ++seen) urge::this_g::sleep_for(1ms);
        return seen;
      },
      urge::options{.procs = 1});
  std::printf("woke %d times beside two hogs\n", wakes);
}
