// SPDX-License-Identifier: MIT
// Stepped: calls of libc. They keep state in the thread's block (errno, malloc's cache, locale) and behind locks of
// libc's own, which the other G finds taken when its run needs them.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

void fill(unsigned char* at, std::size_t n, unsigned seed) noexcept {
  for (std::size_t i = 0; i < n; i += n / 7 + 1) at[i] = static_cast<unsigned char>(seed + i);
}
bool holds(const unsigned char* at, std::size_t n, std::size_t was, unsigned seed) noexcept {
  for (std::size_t i = 0; i < n; i += was / 7 + 1)
    if (at[i] != static_cast<unsigned char>(seed + i)) return false;
  return true;
}

// The cache, the bins, the top of the arena, and a mapping of its own.
constexpr std::size_t sizes[] = {24, 100, 1000, 1500, 5000, 40'000, 200'000};

std::uint64_t malloc_free(int who) {
  unsigned char* kept[std::size(sizes)];
  bool right = true;
  for (unsigned i = 0; i < std::size(sizes); ++i) {
    kept[i] = static_cast<unsigned char*>(std::malloc(sizes[i]));
    fill(kept[i], sizes[i], i + static_cast<unsigned>(who));
  }
  for (unsigned i = 0; i < std::size(sizes); ++i)
    right = right && holds(kept[i], sizes[i], sizes[i], i + static_cast<unsigned>(who));
  for (unsigned i = 0; i < std::size(sizes); i += 2) std::free(kept[i]);
  for (unsigned i = 1; i < std::size(sizes); i += 2) std::free(kept[i]);
  return right;
}

std::uint64_t calloc_realloc(int who) {
  bool right = true;
  std::size_t n = 16;
  auto* at = static_cast<unsigned char*>(std::calloc(n, 1));
  auto* beside = static_cast<unsigned char*>(std::calloc(3, 700));
  for (std::size_t i = 0; i < 3 * 700; i += 99) right = right && beside[i] == 0;
  for (unsigned i = 0; i < std::size(sizes); ++i) {
    fill(at, n, i + static_cast<unsigned>(who));
    const std::size_t was = n;
    n = sizes[i];
    at = static_cast<unsigned char*>(std::realloc(at, n));
    right = right && holds(at, was < n ? was : n, was, i + static_cast<unsigned>(who));
  }
  at = static_cast<unsigned char*>(std::realloc(at, 64));
  std::free(beside);
  std::free(at);
  return right;
}

// Each takes the block that the other has left and frees it, into the arena that it came from: that arena's lock is
// what the other wants too.
std::atomic<unsigned char*> handed_over{nullptr};
std::uint64_t free_for_the_other(int who) {
  bool right = true;
  for (const std::size_t n : {2000, 3000, 70'000}) {
    auto* mine = static_cast<unsigned char*>(std::malloc(n));
    fill(mine, 2000, static_cast<unsigned>(who));
    right = right && holds(mine, 2000, 2000, static_cast<unsigned>(who));
    std::free(handed_over.exchange(mine));
  }
  return right;
}

std::uint64_t sum_of(const char* text) {
  std::uint64_t sum = 0;
  for (; *text; ++text) mix(sum, static_cast<unsigned char>(*text));
  return sum;
}

std::uint64_t print_floats(int who) {
  char text[160];
  const int n = std::snprintf(text, sizeof text, "%d %-8s|%+.6e %a %Lg %.3f", who + 77, who ? "right" : "left",
                              1.0 / (who + 3), 0.1 * who, 2.5L, 12345.678 + who);
  return sum_of(text) + static_cast<unsigned>(n);
}

std::uint64_t scan_floats(int who) {
  int i = 0;
  double d = 0;
  float f = 0;
  char word[16] = "";
  const char* text = who ? "42 3.14159e-5 word 0x1.8p3" : "7 2.71828e11 another -0.75";
  const int n = std::sscanf(text, "%d %lf %15s %f", &i, &d, word, &f);
  std::uint64_t sum = sum_of(word), bits;
  std::memcpy(&bits, &d, sizeof bits);
  mix(sum, bits);
  mix(sum, static_cast<std::uint64_t>(f * 4));
  mix(sum, static_cast<std::uint64_t>(n + i));
  return sum;
}

std::uint64_t to_double(int who) {
  char* end = nullptr;
  const double d =
      std::strtod(who ? "179769313486231570814527423731704356798e-20 rest" : "4.9406564584124654e-310x", &end);
  std::uint64_t bits;
  std::memcpy(&bits, &d, sizeof bits);
  return bits + static_cast<unsigned char>(*end);
}

std::uint64_t failing_calls(int who) {
  std::uint64_t sum = 0;
  errno = 0;
  for (int i = 0; i < 4; ++i) {
    // The compiler may keep the address of errno over the calls.
    int& here = errno;
    here = 1000 + who;
    mix(sum, static_cast<std::uint64_t>(here));
    if ((i + who) % 2)
      mix(sum, static_cast<std::uint64_t>(::close(-1)));
    else
      mix(sum, static_cast<std::uint64_t>(::open("/nonexistent/file", O_RDONLY)));
    mix(sum, static_cast<std::uint64_t>(here));
    errno = 0;
    mix(sum, static_cast<std::uint64_t>(std::strtol("99999999999999999999", nullptr, 10)));
    mix(sum, static_cast<std::uint64_t>(errno));
  }
  return sum;
}

std::uint64_t local_time(int who) {
  const std::time_t moment = 1'700'000'000 + who * 86'400 * 40;
  std::tm broken{};
  localtime_r(&moment, &broken);
  std::uint64_t sum = 0;
  for (const int field : {broken.tm_year, broken.tm_mon, broken.tm_mday, broken.tm_hour, broken.tm_min, broken.tm_sec})
    mix(sum, static_cast<std::uint64_t>(field));
  return sum;
}

std::uint64_t quick_sort(int who) {
  std::uint32_t a[40];
  std::uint32_t x = 12345u + static_cast<unsigned>(who);
  for (auto& v : a) x = x * 1664525u + 1013904223u, v = x;
  std::qsort(a, std::size(a), sizeof *a, [](const void* l, const void* r) {
    const auto left = *static_cast<const std::uint32_t*>(l), right = *static_cast<const std::uint32_t*>(r);
    return left < right ? -1 : left > right;
  });
  std::uint64_t sum = 0;
  for (const auto v : a) mix(sum, v);
  return sum;
}

constexpr std::size_t megabyte = 1 << 20;
unsigned char copied_from[2][megabyte], copied_to[2][megabyte];

std::uint64_t copy_megabyte(int who) {
  auto* from = copied_from[who];
  for (std::size_t i = 0; i < megabyte; i += 4096)
    from[i] = static_cast<unsigned char>(i / 4096 + 3u * static_cast<unsigned>(who));
  from[megabyte - 1] = static_cast<unsigned char>(who + 9);
  std::memcpy(copied_to[who], from, megabyte);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < megabyte; i += 4096) mix(sum, copied_to[who][i]);
  mix(sum, copied_to[who][megabyte - 1]);
  return sum;
}

std::uint64_t copy_and_compare(int who) {
  char a[700], b[700];
  std::memset(a, 'a' + who, sizeof a);
  a[699] = 0;
  std::memcpy(b, a, sizeof b);
  std::memmove(b + 3, b, 600);
  b[650] = 'z';
  return std::strlen(a) + static_cast<unsigned>(std::memcmp(a, b, sizeof a) < 0) +
         static_cast<std::uint64_t>(std::strchr(b, 'z') - b) * 1000;
}

std::uint64_t open_library(int who) {
  void* library = dlopen("libanl.so.1", who ? RTLD_NOW : RTLD_LAZY);
  const bool found = library != nullptr;
  const bool nothing = dlopen("/nonexistent/library.so", RTLD_NOW) == nullptr && dlerror() != nullptr;
  return found && nothing && dlclose(library) == 0 && dlsym(RTLD_DEFAULT, "malloc") != nullptr;
}

std::uint64_t kernel_clock(int) {
  timespec a{}, b{};
  const int r = clock_gettime(CLOCK_MONOTONIC, &a) + clock_gettime(CLOCK_MONOTONIC, &b);
  return r == 0 && (a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec <= b.tv_nsec));
}

INSTANTIATE_TEST_SUITE_P(Libc, Stepper,
                         in_each_mode(body{"Malloc", malloc_free}, body{"CallocRealloc", calloc_realloc},
                                      body{"FreeForTheOther", free_for_the_other}, body{"Snprintf", print_floats},
                                      body{"Sscanf", scan_floats}, body{"Strtod", to_double},
                                      body{"Errno", failing_calls}, body{"LocaltimeR", local_time},
                                      body{"Qsort", quick_sort}, body{"MemcpyOfAMegabyte", copy_megabyte, nullptr, 41},
                                      body{"Strings", copy_and_compare}, body{"Dlopen", open_library, nullptr, 19},
                                      body{"Vdso", kernel_clock}),
                         name_body());

}  // namespace
}  // namespace urge::test::stepper
