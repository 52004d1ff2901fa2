// SPDX-License-Identifier: MIT
// See peer.hpp. Files of /proc are read and JSON is printed by plain library calls on a G: it is preempted in the
// middle of them like any other code.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <numeric>

#include "peer.hpp"

namespace peer {

std::atomic<std::uint64_t> sink{0};

namespace {

std::int64_t read_clock(clockid_t which) {
  timespec t;
  clock_gettime(which, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

// The number behind a name in a file of lines "Name:  number ...".
double number_in(const char* path, std::string_view name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == name && file >> value) return value;
  }
  return -1;
}

}  // namespace

std::int64_t now_ns() { return read_clock(CLOCK_MONOTONIC); }
std::int64_t cpu_ns() { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }
double ns_since(std::int64_t start) { return static_cast<double>(now_ns() - start); }

double rss_bytes() {
  std::ifstream file("/proc/self/statm");
  double size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}
double available_bytes() { return number_in("/proc/meminfo", "MemAvailable:") * 1024; }
double thread_count() { return number_in("/proc/self/status", "Threads:"); }

double percentile(samples& v, double p) {
  if (v.empty()) return -1;
  std::sort(v.begin(), v.end());
  return v[std::min(v.size() - 1, static_cast<std::size_t>(p * static_cast<double>(v.size())))];
}
double mean(const samples& v) {
  return v.empty() ? 0 : std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}
double jain(const samples& v) {
  const double sum = std::accumulate(v.begin(), v.end(), 0.0);
  const double squares = std::inner_product(v.begin(), v.end(), v.begin(), 0.0);
  return squares == 0 ? 0 : sum * sum / (static_cast<double>(v.size()) * squares);
}

extra& extra::add(std::string_view name, double value) {
  char number[32];
  std::snprintf(number, sizeof number, "%.10g", value);
  if (!text_.empty()) text_ += ',';
  text_.append("\"").append(name).append("\":").append(number);
  return *this;
}

extra lateness(samples& us) {
  extra e;
  e.add("samples", static_cast<double>(us.size())).add("p50_us", percentile(us, .5));
  return e.add("p99_us", percentile(us, .99)).add("max_us", us.empty() ? -1 : us.back());
}

void emit(std::string_view workload, const setup& s, double ns_per_op, const extra& e) {
  std::printf(R"({"peer":"urge","bench":"%.*s","procs":%u,"n":%lld,"ns_per_op":%.10g,"extra":{%s}})"
              "\n",
              static_cast<int>(workload.size()), workload.data(), s.procs, static_cast<long long>(s.n), ns_per_op,
              e.text().c_str());
  std::fflush(stdout);
}

double links_per_ns() {
  constexpr std::int64_t links = 1'000'000;
  double best = 0;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const std::int64_t start = now_ns();
    work(links, i);
    best = std::max(best, static_cast<double>(links) / ns_since(start));
  }
  return best;
}

void hog(const std::atomic<bool>& stop, hog_count& count, std::uint64_t seed) {
  std::uint64_t x = seed;
  std::int64_t chunks = 0;
  for (; !stop.load(std::memory_order_relaxed); ++chunks) x = spin(chunk, x);
  count.chunks = static_cast<double>(chunks);
  sink.fetch_add(x, std::memory_order_relaxed);
}

samples run_hogs(std::size_t k, std::int64_t ms) {
  std::atomic<bool> stop{false};
  std::vector<hog_count> counts(k);
  std::vector<urge::join_handle<void>> hogs;
  for (std::size_t i = 0; i < k; ++i) hogs.push_back(urge::spawn([&, i] { hog(stop, counts[i], i); }));
  sleep_ms(ms);
  stop = true;
  for (auto& h : hogs) h.join();
  samples chunks;
  for (const hog_count& c : counts) chunks.push_back(c.chunks);
  return chunks;
}

}  // namespace peer
