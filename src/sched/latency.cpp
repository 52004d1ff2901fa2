// SPDX-License-Identifier: MIT
// The histogram of preemption latencies: 16 classes an octave, so a percentile is right within 1/16. Added to by any M
// without a lock, read while it grows.
#include <bit>

#include "sched/sched.hpp"

namespace urge {

namespace {
atomic<std::uint64_t> counts[latency_histogram::classes];
atomic<std::int64_t> largest{0};

std::size_t class_of(std::int64_t ns) noexcept {
  const std::uint64_t v = ns < 0 ? 0 : static_cast<std::uint64_t>(ns);
  if (v < 16) return v;
  const int shift = std::bit_width(v) - 5;
  return static_cast<std::size_t>(shift + 1) * 16 + ((v >> shift) & 15);
}
// The largest value of a class.
std::int64_t top_of(std::size_t c) noexcept {
  if (c < 16) return static_cast<std::int64_t>(c);
  const auto shift = c / 16 - 1;
  return static_cast<std::int64_t>(((16 + c % 16 + 1) << shift) - 1);
}
}  // namespace

void add_preempt_latency(std::int64_t ns) noexcept {
  counts[class_of(ns)].fetch_add(1, relaxed);
  std::int64_t seen = largest.load(relaxed);
  while (ns > seen && !largest.compare_exchange_weak(seen, ns, relaxed)) {
  }
}

void reset_latency() noexcept {
  for (auto& c : counts) c.store(0, relaxed);
  largest.store(0, relaxed);
}

latency_histogram read_latency() noexcept {
  latency_histogram h;
  for (std::size_t i = 0; i < h.counts.size(); ++i) h.counts[i] = counts[i].load(relaxed);
  h.largest = largest.load(relaxed);
  return h;
}

std::uint64_t latency_histogram::count() const noexcept {
  std::uint64_t n = 0;
  for (auto c : counts) n += c;
  return n;
}

std::int64_t latency_histogram::percentile(double p) const noexcept {
  const std::uint64_t n = count();
  if (n == 0) return 0;
  const double wanted = p / 100 * static_cast<double>(n);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    below += counts[i];
    if (counts[i] != 0 && static_cast<double>(below) >= wanted) return std::min(top_of(i), largest);
  }
  return largest;
}

std::int64_t latency_histogram::max() const noexcept { return largest; }

}  // namespace urge
