// SPDX-License-Identifier: MIT
// Pseudo-random numbers for choices that only have to be uneven: victims of stealing, select's order. xorshift64*.
#pragma once
#include <cstdint>

namespace urge {

class rng {
 public:
  explicit rng(std::uint64_t seed) noexcept : state_(seed * 0x9E3779B97F4A7C15u | 1) {}
  std::uint32_t next() noexcept {
    state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
    return static_cast<std::uint32_t>((state_ * 0x2545F4914F6CDD1Du) >> 32);
  }
  // A number below n, by multiplication instead of a remainder (Lemire); its bias is below n / 2^32.
  std::uint32_t below(std::uint32_t n) noexcept {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(next()) * n) >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace urge
