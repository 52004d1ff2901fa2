// SPDX-License-Identifier: MIT
// Workloads of many Gs at once: parked ones, sleeping ones, and requests that arrive whether or not the last one is
// done (an open loop, so a scheduler that falls behind cannot hide it).
#include <unistd.h>

#include <random>

#include "peer.hpp"

namespace peer {

// n parked Gs: memory of the process and of the machine for each. It ends the process: a million Gs that wait would be
// abandoned one by one, which is not the question.
void memory(const setup& s) {
  urge::chan<int> never;
  std::atomic<std::int64_t> ready{0};
  const double rss = rss_bytes(), available = available_bytes();
  for (std::int64_t i = 0; i < s.n; ++i) {
    urge::go([&] {
      ++ready;
      never.recv();
    });
  }
  while (ready < s.n) sleep_ms(1);
  sleep_ms(200);
  const auto n = static_cast<double>(s.n);
  emit("memory", s, 0,
       extra().add("rss_per_task", (rss_bytes() - rss) / n).add("sys_per_task", (available - available_bytes()) / n));
  _exit(0);
}

// n Gs that sleep 1 to 100 ms: how late they wake.
void timers(const setup& s) {
  std::mt19937_64 random(7);
  samples late_us(static_cast<std::size_t>(s.n));
  urge::wait_group all;
  const std::int64_t start = now_ns();
  for (double& late : late_us) {
    const auto sleep = 1'000'000 + static_cast<std::int64_t>(random() % 99'000'000);
    all.add();
    urge::go([&all, &late, sleep] {
      const std::int64_t from = now_ns();
      urge::this_g::sleep_for(std::chrono::nanoseconds(sleep));
      late = static_cast<double>(now_ns() - from - sleep) / 1e3;
      all.done();
    });
  }
  all.wait();
  const double wall = ns_since(start), average = mean(late_us);
  emit("timers", s, average * 1e3,
       extra().add("wall_ms", wall / 1e6).add("mean_late_us", average).add("p99_late_us", percentile(late_us, .99)));
}

namespace {
constexpr double short_ns = 5e3, long_ns = 5e6;
constexpr double share_of_long = 0.005;
constexpr double load = 0.6;  // of procs

struct request {
  std::int64_t due = 0, done = 0;  // ns from the start
  bool is_long = false;
};

std::vector<request> poisson_arrivals(const setup& s) {
  const double mean_ns = (1 - share_of_long) * short_ns + share_of_long * long_ns;
  std::mt19937_64 random(42);
  std::exponential_distribution<double> gap(load * s.procs / mean_ns);
  std::uniform_real_distribution<double> kind(0, 1);
  std::vector<request> all;
  for (double t = gap(random); t < static_cast<double>(s.n) * 1e6; t += gap(random))
    all.push_back({static_cast<std::int64_t>(t), 0, kind(random) < share_of_long});
  return all;
}

void report_slowdowns(const setup& s, const std::vector<request>& requests) {
  samples of_short, of_long;
  std::int64_t last = 0;
  for (const request& r : requests) {
    const auto took = static_cast<double>(r.done - r.due);
    r.is_long ? of_long.push_back(took / long_ns) : of_short.push_back(took / short_ns);
    last = std::max(last, r.done);
  }
  const double median = percentile(of_short, .5);
  emit("bimodal", {s.procs, static_cast<std::int64_t>(requests.size())}, median * short_ns,
       extra()
           .add("short", static_cast<double>(of_short.size()))
           .add("slow_p50", median)
           .add("slow_p99", percentile(of_short, .99))
           .add("slow_p999", percentile(of_short, .999))
           .add("slow_max", percentile(of_short, 1))
           .add("long_p50", percentile(of_long, .5))
           .add("long_p99", percentile(of_long, .99))
           .add("wall_ms", static_cast<double>(last) / 1e6));
}
}  // namespace

// A G per request; the one that starts them looks at the clock and gives way in between.
void bimodal(const setup& s) {
  const double rate = links_per_ns();
  const auto short_links = static_cast<std::int64_t>(short_ns * rate);
  const auto long_links = static_cast<std::int64_t>(long_ns * rate);
  std::vector<request> requests = poisson_arrivals(s);
  urge::wait_group all;
  const std::int64_t start = now_ns();
  for (request& r : requests) {
    while (now_ns() - start < r.due) urge::this_g::yield();
    all.add();
    urge::go([&, start] {
      work(r.is_long ? long_links : short_links, static_cast<std::uint64_t>(r.due));
      r.done = now_ns() - start;
      all.done();
    });
  }
  all.wait();
  report_slowdowns(s, requests);
}

}  // namespace peer
