// SPDX-License-Identifier: MIT
// Workloads with Gs that never stop by themselves: how fairly they share, how late others come, what a preemption
// costs, and whether calls that wait in the kernel hold them up.
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <system_error>
#include <thread>

#include "peer.hpp"

namespace peer {

namespace {
double rate_of_hogs(std::size_t k, std::int64_t ms, samples* each = nullptr) {  // chunks per ns of all together
  const std::int64_t start = now_ns();
  const samples chunks = run_hogs(k, ms);
  const double rate = mean(chunks) * static_cast<double>(k) / ns_since(start);
  if (each) *each = chunks;
  return rate;
}
}  // namespace

// 8 hogs for n ms: equal shares, and no less work in all than one hog alone does on each P.
void hog_fairness(const setup& s) {
  samples each;
  const double alone = rate_of_hogs(1, s.n / 2);
  const double together = rate_of_hogs(8, s.n, &each);
  const auto [least, most] = std::minmax_element(each.begin(), each.end());
  emit("hog_fairness", s, 1 / together,
       extra()
           .add("jain", jain(each))
           .add("rel_work", together / alone / s.procs)
           .add("min_over_max", *least / std::max(1.0, *most)));
}

namespace {

constexpr std::int64_t warm_up_ms = 20;  // the hogs start then; what wakes earlier is not counted

struct beside_hogs {
  samples late_us;
  double rate = 0;  // of the hogs
};

constexpr std::size_t n_hogs = 4;
double rate_alone(const setup& s) { return rate_of_hogs(n_hogs, s.n / 4); }

// Runs 4 hogs for n ms beside a G that `wait_for_next` blocks; it returns the moment that was meant, or nothing at the
// end.
template <class Wait>
beside_hogs run_beside_hogs(const setup& s, std::atomic<bool>& stop, Wait wait_for_next) {
  samples late_us;
  const std::int64_t from = now_ns() + warm_up_ms * 1'000'000;
  auto sleeper = urge::spawn([&] {
    while (const std::optional<std::int64_t> due = wait_for_next()) {
      const std::int64_t now = now_ns();
      if (now > from) late_us.push_back(static_cast<double>(now - *due) / 1e3);
    }
  });
  sleep_ms(warm_up_ms);
  const double rate = rate_of_hogs(n_hogs, s.n);
  stop = true;
  sleeper.join();
  return {std::move(late_us), rate};
}

// `before`: what the hogs did alone.
void emit_lateness(std::string_view workload, const setup& s, double before, beside_hogs result) {
  extra e = lateness(result.late_us);
  e.add("rel_work", 2 * result.rate / (before + rate_alone(s)));
  emit(workload, s, percentile(result.late_us, .5) * 1e3, e);
}

}  // namespace

// Woken by its own timer every millisecond.
void hog_latency(const setup& s) {
  std::atomic<bool> stop{false};
  const double alone = rate_alone(s);
  emit_lateness("hog_latency", s, alone, run_beside_hogs(s, stop, [&]() -> std::optional<std::int64_t> {
                  if (stop) return std::nullopt;
                  const std::int64_t due = now_ns() + 1'000'000;
                  urge::this_g::sleep_for(std::chrono::milliseconds(1));
                  return due;
                }));
}

// Woken through a channel by a kernel thread that knows nothing of urge but the channel.
void hog_wake(const setup& s) {
  std::atomic<bool> stop{false};
  const double alone = rate_alone(s);
  urge::chan<std::int64_t> sent_at(1024);
  std::thread waker([&stop, sent_at]() mutable {
    while (!stop) {
      const timespec pause{0, 1'000'000};
      nanosleep(&pause, nullptr);
      std::int64_t now = now_ns();
      sent_at.try_send(now);  // full after a second without a receive: that one is late enough
    }
    sent_at.close();
  });
  beside_hogs result = run_beside_hogs(s, stop, [&] { return sent_at.recv(); });
  urge::blocking([&] { waker.join(); });
  emit_lateness("hog_wake", s, alone, std::move(result));
}

// A fixed amount of work, n ms in all, by two hogs one after the other and together: what the switches between them
// cost.
void preempt_cost(const setup& s) {
  const auto chunks =
      static_cast<std::int64_t>(static_cast<double>(s.n) / 2 * 1e6 * links_per_ns() / static_cast<double>(chunk));
  struct cost {
    double wall = 0, cpu = 0, switches = 0;
  };
  const auto measure = [&](bool together) {
    std::atomic<int> last{-1};
    std::atomic<std::int64_t> switches{0};
    const std::int64_t wall = now_ns(), cpu = cpu_ns();
    const auto start = [&](int id) {
      return urge::spawn([&, id] {
        auto x = static_cast<std::uint64_t>(id);
        for (std::int64_t i = 0; i < chunks; ++i) {
          if (last.load(std::memory_order_relaxed) != id) {
            last.store(id, std::memory_order_relaxed);
            switches.fetch_add(1, std::memory_order_relaxed);
          }
          x = spin(chunk, x);
        }
        sink.fetch_add(x, std::memory_order_relaxed);
      });
    };
    auto first = start(0);
    if (!together) first.join();
    auto second = start(1);
    if (together) first.join();
    second.join();
    return cost{ns_since(wall), static_cast<double>(cpu_ns() - cpu), static_cast<double>(switches)};
  };
  const cost before = measure(false), both = measure(true), after = measure(false);
  const double wall = (before.wall + after.wall) / 2, cpu = (before.cpu + after.cpu) / 2;
  const double switches = std::max(1.0, both.switches);
  emit("preempt_cost", s, (both.wall - wall) / switches,
       extra()
           .add("switches", both.switches)
           .add("slowdown_pct", 100 * (both.wall / wall - 1))
           .add("cpu_slowdown_pct", 100 * (both.cpu / cpu - 1))
           .add("cpu_ns_per_switch", (both.cpu - cpu) / switches)
           .add("slice_ms", both.wall / switches / 1e6));
}

// Two hogs stamp the cycle counter every 100 links: the time from the last stamp of the one that was stopped to the
// first of the next.
void switch_gap(const setup& s) {
  const std::int64_t from_ns = now_ns();
  const std::uint64_t from_cycle = __rdtsc();
  sleep_ms(100);
  const double cycles_per_ns = static_cast<double>(__rdtsc() - from_cycle) / ns_since(from_ns);

  std::atomic<bool> stop{false};
  std::atomic<int> last{-1};
  std::atomic<std::uint64_t> stamp{0};
  samples gaps[2];
  std::vector<urge::join_handle<void>> hogs;
  for (int k = 0; k < 2; ++k) {
    gaps[k].reserve(1 << 16);
    hogs.push_back(urge::spawn([&, k] {
      auto x = static_cast<std::uint64_t>(k);
      while (!stop.load(std::memory_order_relaxed)) {
        const std::uint64_t now = __rdtsc();
        if (const int was = last.load(std::memory_order_relaxed); was != k) {
          // Stopped right after reading the counter, a hog comes back with a reading older than the other's stamp: no
          // gap.
          const std::uint64_t before = stamp.load(std::memory_order_relaxed);
          if (was >= 0 && now > before && gaps[k].size() < gaps[k].capacity())
            gaps[k].push_back(static_cast<double>(now - before) / cycles_per_ns);
          last.store(k, std::memory_order_relaxed);
        }
        stamp.store(now, std::memory_order_relaxed);
        x = spin(100, x);
      }
      sink.fetch_add(x, std::memory_order_relaxed);
    }));
  }
  sleep_ms(s.n);
  stop = true;
  for (auto& h : hogs) h.join();
  samples& all = gaps[0];
  all.insert(all.end(), gaps[1].begin(), gaps[1].end());
  const double median = percentile(all, .5);
  emit("switch_gap", s, median,
       extra()
           .add("switches", static_cast<double>(all.size()))
           .add("gap_p50_ns", median)
           .add("gap_p90_ns", percentile(all, .9))
           .add("gap_mean_ns", mean(all))
           .add("slice_ms", static_cast<double>(s.n) / std::max(1.0, static_cast<double>(all.size()))));
}

// 100 Gs in a blocking read, 2 hogs for n ms: the hogs' progress relative to running alone.
void syscall(const setup& s) {
  const double alone = rate_of_hogs(2, s.n / 2);
  int ends[2];
  if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  std::atomic<int> entered{0}, failed{0};
  std::vector<urge::join_handle<void>> readers;
  for (int i = 0; i < 100; ++i) {
    readers.push_back(urge::spawn([&] {
      char c;
      ++entered;
      if (urge::blocking([&] { return read(ends[0], &c, 1); }) != 0) ++failed;  // nobody writes: it ends by the close
    }));
  }
  const double beside = rate_of_hogs(2, s.n);
  const double threads = thread_count(), blocked = entered;
  close(ends[1]);
  for (auto& r : readers) r.join();
  close(ends[0]);
  if (failed != 0) throw std::runtime_error("a read from the pipe did not see its end");
  emit("syscall", s, 1 / beside,
       extra().add("progress", beside / alone).add("blocked", blocked).add("threads", threads));
}

}  // namespace peer
