// SPDX-License-Identifier: MIT
// A storm: Gs that use libraries which know nothing of urge, each stopped again and again in the middle of them. A job
// is one self-contained piece of such work. It makes everything that it uses, depends on nothing but its seed, and
// returns a digest of all that the library has answered: the same seed must give the same digest, whoever runs beside
// it and however often it is stopped. So a job is compared with itself, run alone before. Context of a job: any.
#pragma once
#include <urge/runtime.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stress/scenario.hpp"

namespace urge::stress {

// FNV-1a of 64 bits. A string is closed by its length, so that "ab" "c" and "a" "bc" differ.
class digest {
 public:
  void add(const void* bytes, std::size_t n) {
    const auto* at = static_cast<const unsigned char*>(bytes);
    for (std::size_t i = 0; i < n; ++i) value_ = (value_ ^ at[i]) * 0x100000001b3u;
  }
  void add(std::uint64_t n) { add(&n, sizeof n); }
  void add(std::string_view text) {
    add(text.data(), text.size());
    add(std::uint64_t{text.size()});
  }
  // Never `failed`.
  std::uint64_t value() const { return value_ | 1; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

// What a job returns if a call has failed that cannot, or something did not come back as it was put in.
inline constexpr std::uint64_t failed = 0;

struct job {
  const char* family;
  std::uint64_t (*run)(std::uint64_t seed);
};
std::span<const job> jobs();

// Text of `n` bytes made of some words, digits and line ends: what regular expressions find something in, and what can
// be compressed.
std::string text_of(std::uint64_t seed, std::size_t n);

// Steps of a generator, for jobs that want numbers of their own.
inline std::uint64_t next_random(std::uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return state >> 33;
}

// That Gs were stopped, and where: what each storm demands of `stats` apart from its results. A storm that has not
// stopped anybody in a place that it is about has not taken place.
enum class demand { everywhere, under_locks };
std::vector<check> stop_checks(const parameters&, const stats&, demand);

// Waits for the end of a storm: its time, and where others keep the machine so busy that the demands are not met by
// then, until they are, ten times its time at most. Context: a plain thread, while the run is on.
void wait_out(const parameters&, demand);

}  // namespace urge::stress
