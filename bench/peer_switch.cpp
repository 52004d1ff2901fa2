// SPDX-License-Identifier: MIT
// Workloads that are nothing but scheduling: yields, starts, messages, a mutex. As in Go's programs the main G takes
// part where there are two sides.
#include <mutex>

#include "peer.hpp"

namespace peer {

// 2 Gs give way to each other n times each: ns per switch.
void yield(const setup& s) {
  urge::wait_group all;
  const std::int64_t start = now_ns();
  all.add(2);
  for (int k = 0; k < 2; ++k) {
    urge::go([&] {
      for (std::int64_t i = 0; i < s.n; ++i) urge::this_g::yield();
      all.done();
    });
  }
  all.wait();
  emit("yield", s, ns_since(start) / static_cast<double>(2 * s.n));
}

// n empty Gs are started and waited for: ns per G.
void spawn_join(const setup& s) {
  urge::wait_group all;
  const std::int64_t start = now_ns();
  all.add(s.n);
  for (std::int64_t i = 0; i < s.n; ++i) urge::go([&all] { all.done(); });
  all.wait();
  emit("spawn_join", s, ns_since(start) / static_cast<double>(s.n));
}

namespace {
using numbers = urge::chan<std::uint64_t>;

// A tree of Gs, ten children each; a leaf sends its number, an inner one the sum of its children's. The channel goes by
// value: a child may still be inside `send` when its parent has the number and ends.
void sky(numbers up, std::uint64_t first, std::uint64_t leaves) {
  if (leaves == 1) return up.send(first);
  numbers sums;
  for (std::uint64_t i = 0; i < 10; ++i) urge::go(sky, sums, first + i * (leaves / 10), leaves / 10);
  std::uint64_t sum = 0;
  for (int i = 0; i < 10; ++i) sum += *sums.recv();
  up.send(sum);
}
}  // namespace

// ns per leaf.
void skynet(const setup& s) {
  const auto n = static_cast<std::uint64_t>(s.n);
  numbers result;
  const std::int64_t start = now_ns();
  urge::go(sky, result, std::uint64_t{0}, n);
  const std::uint64_t sum = *result.recv();
  const double ns = ns_since(start);
  emit("skynet", s, ns / static_cast<double>(n), extra().add("total_ms", ns / 1e6).add("ok", sum == n * (n - 1) / 2));
}

// n round trips over two channels without a buffer: ns per round trip.
void pingpong(const setup& s) {
  urge::chan<int> there, back;
  const std::int64_t start = now_ns();
  urge::go([there, back, n = s.n]() mutable {
    for (std::int64_t i = 0; i < n; ++i) back.send(*there.recv());
  });
  for (std::int64_t i = 0; i < s.n; ++i) {
    there.send(1);
    back.recv();
  }
  emit("pingpong", s, ns_since(start) / static_cast<double>(s.n));
}

namespace {
// n items through 128 slots, k senders and k receivers: ns per item.
void items(std::string_view name, const setup& s, int k) {
  urge::chan<int> c(128);
  urge::wait_group senders, receivers;
  std::atomic<std::int64_t> sum{0};
  const std::int64_t start = now_ns();
  for (int j = 0; j < k; ++j) {
    senders.add();
    receivers.add();
    urge::go([&] {
      for (std::int64_t i = 0; i < s.n / k; ++i) c.send(1);
      senders.done();
    });
    urge::go([&] {
      std::int64_t mine = 0;
      for (const int v : c) mine += v;
      sum += mine;
      receivers.done();
    });
  }
  senders.wait();
  c.close();
  receivers.wait();
  emit(name, s, ns_since(start) / static_cast<double>(s.n), extra().add("ok", sum == s.n / k * k));
}
}  // namespace

void chan_buf(const setup& s) { items("chan_buf", s, 1); }
void chan_mpmc(const setup& s) { items("chan_mpmc", s, 4); }

// Of four channels with an item each one is chosen, and gets its item back: ns per choice.
void select(const setup& s) {
  urge::chan<int> c[4] = {urge::chan<int>(1), urge::chan<int>(1), urge::chan<int>(1), urge::chan<int>(1)};
  for (auto& one : c) one.send(1);
  std::int64_t taken = 0;
  const auto from = [&](int i) {
    return urge::on_recv(c[i], [&, i](std::optional<int> v) {
      taken += *v;
      c[i].send(1);
    });
  };
  const std::int64_t start = now_ns();
  for (std::int64_t i = 0; i < s.n; ++i) urge::select(from(0), from(1), from(2), from(3));
  emit("select", s, ns_since(start) / static_cast<double>(s.n), extra().add("ok", taken == s.n));
}

// 8 Gs lock and unlock, n times in all: ns per pair.
void mutex(const setup& s) {
  urge::mutex m;
  urge::wait_group all;
  std::int64_t count = 0;
  const std::int64_t start = now_ns();
  all.add(8);
  for (int j = 0; j < 8; ++j) {
    urge::go([&] {
      for (std::int64_t i = 0; i < s.n / 8; ++i) {
        const std::lock_guard hold(m);
        ++count;
      }
      all.done();
    });
  }
  all.wait();
  emit("mutex", s, ns_since(start) / static_cast<double>(s.n), extra().add("ok", count == s.n / 8 * 8));
}

}  // namespace peer
