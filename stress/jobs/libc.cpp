// SPDX-License-Identifier: MIT
// Jobs of libc: malloc and its relatives, with the contents of each block checked; and what formats, reads, sorts and
// knows the time. Context: any.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "stress/jobs/jobs.hpp"

namespace urge::stress {

namespace {

struct block {
  unsigned char* at = nullptr;
  std::size_t size = 0;
  unsigned char fill = 0;

  // By a comparison with itself, one byte on: most of the time is to be spent in malloc.
  bool whole() const { return size == 0 || (at[0] == fill && std::memcmp(at, at + 1, size - 1) == 0); }
};

// Sizes of all kinds: malloc's caches, its small and large bins.
std::size_t some_size(std::uint64_t& r) {
  const std::uint64_t kind = next_random(r) % 64;
  if (kind == 0) return 2000 + next_random(r) % 9000;
  if (kind < 16) return 1 + next_random(r) % 2000;
  return 1 + next_random(r) % 200;
}

bool renew(block& b, std::uint64_t& r) {
  if (!b.whole()) return false;
  const std::size_t size = some_size(r);
  const std::uint64_t how = next_random(r) % 8;
  if (how == 0 && b.at) {
    auto* moved = static_cast<unsigned char*>(std::realloc(b.at, size));
    if (!moved) return false;
    b.at = moved, b.size = std::min(b.size, size);
    if (!b.whole()) return false;
  } else {
    std::free(b.at);
    b.at = static_cast<unsigned char*>(how == 1   ? std::calloc(1, size)
                                       : how == 2 ? std::aligned_alloc(64, (size + 63) / 64 * 64)
                                                  : std::malloc(size));
    if (!b.at) return false;
    b.size = how == 1 ? size : 0, b.fill = 0;
    if (!b.whole()) return false;  // calloc's zeros
  }
  b.size = size;
  b.fill = static_cast<unsigned char>(next_random(r));
  std::memset(b.at, b.fill, b.size);
  return true;
}

}  // namespace

std::uint64_t malloc_job(std::uint64_t seed) {
  block blocks[64];
  std::uint64_t r = seed;
  digest d;
  bool right = true;
  for (int i = 0; i < 1000 && right; ++i) right = renew(blocks[next_random(r) % std::size(blocks)], r);
  // One with a mapping of its own.
  block mapped;
  mapped.at = static_cast<unsigned char*>(std::calloc(1, 140'000)), mapped.size = 140'000;
  right = right && mapped.at && mapped.whole();
  std::free(mapped.at);
  for (const block& b : blocks) {
    right = right && b.whole();
    d.add(std::uint64_t{b.size} << 8 | b.fill);
    std::free(b.at);
  }
  return right ? d.value() : failed;
}

std::uint64_t libc_job(std::uint64_t seed) {
  std::uint64_t r = seed;
  digest d;
  char text[256];
  for (int i = 0; i < 12; ++i) {
    const double value = static_cast<double>(next_random(r)) / 3.7 - 1e6;
    std::snprintf(text, sizeof text, "%d %.17g %a %s %08lx", i, value, value, "end", next_random(r));
    int n = 0;
    double back = 0, hex = 0;
    char end[8];
    unsigned long bits = 0;
    if (std::sscanf(text, "%d %lg %la %7s %lx", &n, &back, &hex, end, &bits) != 5 || n != i || back != value ||
        hex != value || std::strcmp(end, "end") != 0)
      return failed;
    d.add(std::string_view(text));
    char* rest = nullptr;
    if (std::strtod(std::strchr(text, ' '), &rest) != value) return failed;
  }
  errno = 0;
  if (std::strtol("99999999999999999999999", nullptr, 10) != __LONG_MAX__ || errno != ERANGE) return failed;

  char* stream_text = nullptr;
  std::size_t stream_size = 0;
  std::FILE* stream = open_memstream(&stream_text, &stream_size);
  if (!stream) return failed;
  for (int i = 0; i < 20; ++i) std::fprintf(stream, "%d %5.3f|", i, static_cast<double>(next_random(r)) / 1e6);
  if (std::fclose(stream) != 0) return failed;
  d.add(std::string_view(stream_text, stream_size));
  std::free(stream_text);

  std::uint64_t numbers[100];
  for (auto& n : numbers) n = next_random(r);
  std::qsort(numbers, std::size(numbers), sizeof numbers[0], [](const void* a, const void* b) {
    const auto x = *static_cast<const std::uint64_t*>(a), y = *static_cast<const std::uint64_t*>(b);
    return x < y ? -1 : x > y;
  });
  d.add(numbers, sizeof numbers);
  const auto when = static_cast<std::time_t>(next_random(r));
  std::tm parts{};
  if (!gmtime_r(&when, &parts) || timegm(&parts) != when) return failed;
  d.add(std::string_view(text, std::strftime(text, sizeof text, "%A %d %B %Y %T", &parts)));
  return d.value();
}

}  // namespace urge::stress
