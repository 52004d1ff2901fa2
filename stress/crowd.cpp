// SPDX-License-Identifier: MIT
// crowd: very many endless Gs on few Ps: each gets its slices, and a stopped G costs memory, not a thread.
// crowd_malloc: the same with Gs that allocate and share a std::mutex, whose holder is often one of those that stand
// still. dropped_calls: calls that are given up after their time; what they leave behind is so much each, and no more.
// Without preemption one G has a P until the time is up, and of the others none has done anything by then.
#include <urge/go.hpp>
#include <urge/preempt.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>

#include "stress/scenario.hpp"

namespace urge::stress {

namespace {

struct usage {
  double resident = 0, page_tables = 0;  // bytes
  double threads = 0;
};
usage usage_now() {
  usage u;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    const auto number = [&](const char* key, double unit, double& to) {
      if (line.starts_with(key)) to = unit * std::strtod(line.c_str() + std::string(key).size(), nullptr);
    };
    number("VmRSS:", 1024, u.resident);
    number("VmPTE:", 1024, u.page_tables);
    number("Threads:", 1, u.threads);
  }
  return u;
}

// As many as get three slices each in that time where all CPUs are ours; no more than ten thousand.
std::size_t crowd_for(const parameters& p) {
  const double slices = static_cast<double>(p.time / p.how.quantum) * std::max(1u, p.how.procs);
  return static_cast<std::size_t>(std::clamp(slices / 3, 10.0, 10'000.0));
}

// body(seed) is one round of a G's work.
template <class Body>
std::vector<check> crowd_of(const parameters& p, Body body) {
  const std::size_t n = crowd_for(p);
  std::atomic<bool> stop{false};
  const auto done = std::make_unique<std::atomic<std::uint64_t>[]>(n);
  const auto have_run = [&] {
    const auto all = std::span(done.get(), n);
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [](const auto& rounds) { return rounds.load() != 0; }));
  };
  const usage before = usage_now();
  usage then;
  // A G has its stack, and once it was stopped an identity; in kernel_thread mode a thread.
  const bool threads_stay = p.how.preempt == preempt_mode::kernel_thread;
  constexpr int longest = 5;  // times what was asked for
  double seconds = 0;
  std::uint64_t promoted = 0;
  run(
      [&] {
        std::vector<join_handle<void>> gs;
        for (std::size_t i = 0; i < n; ++i)
          gs.push_back(spawn([&, i] {
            for (std::uint64_t x = p.seed + i; !stop.load(std::memory_order_relaxed);) {
              done[i].store(done[i].load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
              x = body(x);
            }
          }));
        // A busy machine may need longer until each has had its slice, and was stopped; not for ever.
        const alarm at_end(longest * p.time, stop);
        for (const auto from = std::chrono::steady_clock::now(); !stop.load(std::memory_order_relaxed);) {
          this_g::sleep_for(p.time / 20);
          seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
          then = usage_now();
          promoted = snapshot().promoted;
          const bool all = have_run() == n && (threads_stay || promoted >= n);
          if (all && seconds >= std::chrono::duration<double>(p.time).count()) break;
        }
        stop = true;
        for (auto& g : gs) g.join();
      },
      p.how);
  const double each = std::max<double>(1, static_cast<double>(promoted));
  return {{"gs_that_ran", static_cast<double>(have_run()), static_cast<double>(n)},
          {"seconds", seconds, (longest + 1) * std::chrono::duration<double>(p.time).count(), false},
          {"kernel_threads", then.threads, threads_stay ? 1e9 : 30, false},
          {"promoted", static_cast<double>(promoted), threads_stay ? 0 : static_cast<double>(n)},
          {"bytes_per_promoted", (then.resident - before.resident) / each, 64 * 1024, false},
          {"page_table_bytes_per_g", (then.page_tables - before.page_tables) / each, 64 * 1024, false}};
}

}  // namespace

std::vector<check> crowd(const parameters& p) {
  return crowd_of(p, [](std::uint64_t x) { return work(x); });
}

std::vector<check> crowd_malloc(const parameters& p) {
  static std::mutex lock;
  static std::string shared;
  return crowd_of(p, [](std::uint64_t x) {
    const std::string mine(100 + x % 1000, 'x');
    x = work(x);
    const std::lock_guard hold(lock);
    shared = mine;
    return x;
  });
}

std::vector<check> dropped_calls(const parameters& p) {
  // Each takes a millisecond.
  const auto wanted = static_cast<std::size_t>(std::clamp<long>(p.time / std::chrono::milliseconds(2), 10, 10'000));
  std::size_t timed_out = 0;
  std::atomic<bool> stop{false};
  const usage before = usage_now();
  usage then;
  stats counted;
  run(
      [&] {
        const alarm at_end(4 * p.time, stop);
        for (; timed_out < wanted && !stop.load(std::memory_order_relaxed); ++timed_out) {
          // It ends where nobody stops it.
          auto call = run_for(std::chrono::milliseconds(1), [&] {
            std::uint64_t x = p.seed;
            while (!stop.load(std::memory_order_relaxed)) x = work(x);
            return x;
          });
          if (call.done()) break;
          call.drop();
        }
        then = usage_now();
        counted = snapshot();
      },
      p.how);
  const double each = std::max<double>(1, static_cast<double>(timed_out));
  return {{"timed_out_and_dropped", static_cast<double>(timed_out), static_cast<double>(wanted)},
          {"kept_back", static_cast<double>(counted.kept_back), static_cast<double>(wanted)},
          {"bytes_each", (then.resident - before.resident) / each, 64 * 1024, false},
          {"kernel_threads", then.threads, 30, false}};
}

}  // namespace urge::stress
