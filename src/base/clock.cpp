// SPDX-License-Identifier: MIT
// See clock.hpp.
#include "base/clock.hpp"

namespace urge {

double ns_per_tick = 0;

namespace {
// A pair of readings taken at the same moment: the closest of several, for the kernel may step in between.
struct pair {
  std::int64_t ns;
  std::uint64_t tick;
};
pair read_both() noexcept {
  pair best{};
  std::uint64_t width = UINT64_MAX;
  for (int i = 0; i < 16; ++i) {
    const std::uint64_t a = ticks();
    const std::int64_t ns = monotonic_ns();
    const std::uint64_t b = ticks();
    if (b - a < width) width = b - a, best = {ns, a + (b - a) / 2};
  }
  return best;
}
}  // namespace

void calibrate_clock() noexcept {
  if (ns_per_tick != 0) return;
  const pair from = read_both();
  while (monotonic_ns() - from.ns < 2'000'000) _mm_pause();
  const pair to = read_both();
  ns_per_tick = static_cast<double>(to.ns - from.ns) / static_cast<double>(to.tick - from.tick);
}

}  // namespace urge
