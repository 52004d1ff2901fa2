// SPDX-License-Identifier: MIT
// What the workloads of `peer` share: clocks, statistics, memory figures, the unit of CPU work, the line of JSON. The
// program measures urge by the workloads that other runtimes are measured by (Go, Tokio, Boost.Fiber, oneTBB, threads):
// same sizes, same fields, so that a row of a table compares like with like. Everything here runs on Gs.
// The unit of work is a chain of dependent multiply-adds without a call: nothing but a signal stops it. The empty asm
// keeps a compiler from folding several links of the chain into one.
#pragma once
#include <urge/urge.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace peer {

struct setup {
  unsigned procs = 1;
  std::int64_t n = 0;      // a count, or milliseconds for the timed workloads
  std::int64_t extra = 0;  // hogs of echo_server
};

// --- clocks, ns ---
std::int64_t now_ns();
std::int64_t cpu_ns();  // of all threads of the process
inline void sleep_ms(std::int64_t ms) { urge::this_g::sleep_for(std::chrono::milliseconds(ms)); }
double ns_since(std::int64_t start);

// --- the machine ---
double rss_bytes();        // of this process
double available_bytes();  // of the machine: its drop counts kernel memory too
double thread_count();

// --- statistics ---
using samples = std::vector<double>;
double percentile(samples&, double p);  // p in 0..1; sorts; -1 if empty
double mean(const samples&);
double jain(const samples&);  // fairness: 1 all the same, 1/n one has it all

// --- the result ---
class extra {
 public:
  extra& add(std::string_view name, double value);
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};
extra lateness(samples& us);
void emit(std::string_view workload, const setup&, double ns_per_op, const extra& = {});

// --- CPU work ---
inline constexpr std::int64_t chunk = 1000;  // links between two looks at a flag
extern std::atomic<std::uint64_t> sink;      // keeps results alive

inline std::uint64_t spin(std::int64_t links, std::uint64_t x) {
  for (std::int64_t i = 0; i < links; ++i) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    asm("" : "+r"(x));
  }
  return x;
}
inline void work(std::int64_t links, std::uint64_t seed) {
  sink.fetch_add(spin(links, seed), std::memory_order_relaxed);
}
double links_per_ns();  // best of twenty short runs

// Hogs that run until they are told to stop; each counts its chunks on a cache line of its own.
struct alignas(64) hog_count {
  double chunks = 0;
};
void hog(const std::atomic<bool>& stop, hog_count&, std::uint64_t seed);
samples run_hogs(std::size_t k, std::int64_t ms);  // chunks of each

// --- the workloads ---
void yield(const setup&);
void spawn_join(const setup&);
void skynet(const setup&);
void pingpong(const setup&);
void chan_buf(const setup&);
void chan_mpmc(const setup&);
void mutex(const setup&);
void select(const setup&);
void memory(const setup&);
void timers(const setup&);
void bimodal(const setup&);
void hog_fairness(const setup&);
void hog_latency(const setup&);
void hog_wake(const setup&);
void preempt_cost(const setup&);
void switch_gap(const setup&);
void syscall(const setup&);
void echo_server(const setup&);  // n: seconds

}  // namespace peer
