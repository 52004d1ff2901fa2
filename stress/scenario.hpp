// SPDX-License-Identifier: MIT
// A scenario starves the runtime in one way and says by numbers whether it held. The same code is run by `urge stress`
// and by ctest. A scenario states a claim; each of its checks has a value and a bound, and fails when nothing has
// happened at all. Its time is kept by a plain thread outside the runtime: it ends even where the runtime fails.
#pragma once
#include <urge/runtime.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace urge::stress {

struct check {
  std::string name;
  double value = 0;
  double bound = 0;
  bool at_least = true;  // else: at most
  bool pass() const { return at_least ? value >= bound : value <= bound; }
};

struct parameters {
  options how;
  std::chrono::milliseconds time{5000};
  std::uint64_t seed = 1;
};

struct scenario {
  const char* name;
  const char* claim;
  std::vector<check> (*run)(const parameters&);
};

std::span<const scenario> all();

// Raises a flag after a while, from a thread of its own.
class alarm {
 public:
  alarm(std::chrono::milliseconds after, std::atomic<bool>& flag)
      : thread_([after, &flag](std::stop_token cancelled) {
          const auto until = std::chrono::steady_clock::now() + after;
          while (!cancelled.stop_requested() && std::chrono::steady_clock::now() < until)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
          flag.store(true);
        }) {}

 private:
  std::jthread thread_;
};

// Jain's index of fairness: 1 if all are equal, 1/n if one has everything. Source: Jain, Chiu, Hawe, 1984.
double jain(std::span<const double> shares);

// A word of its own cache line, counted up by one G and read at the end.
struct alignas(64) counter {
  std::atomic<std::uint64_t> n{0};
  void up() { n.store(n.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
};

// A piece of CPU work without calls or yield points, of some 20 us. Returns something to keep the compiler from
// dropping it.
std::uint64_t work(std::uint64_t seed);

}  // namespace urge::stress
