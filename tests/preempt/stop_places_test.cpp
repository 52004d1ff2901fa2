// SPDX-License-Identifier: MIT
// Whose code a G was in when a signal stopped it: what the counters say is what it was.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>

#include "preempt/storm.hpp"
#include "preempt/text_ranges.hpp"

namespace urge::test {
namespace {

class StopPlaces : public Plain {};
class StopPlacesStorm : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, StopPlacesStorm, testing::ValuesIn(storm_settings()), name_setting());

constexpr std::uint64_t enough = 800;

stop_place place_of(const char* library, const char* name) {
  void* handle = dlopen(library, RTLD_NOLOAD | RTLD_NOW);
  EXPECT_NE(handle, nullptr) << library;
  const auto at = reinterpret_cast<std::uintptr_t>(dlsym(handle, name));
  EXPECT_NE(at, 0u) << name;
  if (handle) dlclose(handle);
  return preempt::place_of(at);
}

TEST_F(StopPlaces, KnowMallocAndItsRelativesFromTheRestOfLibc) {
  run([] {});  // they are found at its start
  for (const char* name : {"malloc", "free", "calloc", "realloc", "memalign", "posix_memalign", "malloc_trim"})
    EXPECT_EQ(place_of("libc.so.6", name), stop_place::malloc) << name;
  for (const char* name : {"snprintf", "qsort", "timer_settime", "obstack_free", "reallocarray", "mtrace"})
    EXPECT_EQ(place_of("libc.so.6", name), stop_place::libc) << name;
  EXPECT_EQ(place_of("libm.so.6", "lgamma_r"), stop_place::libc);
  EXPECT_EQ(place_of("libgcc_s.so.1", "_Unwind_RaiseException"), stop_place::unwinder);
  EXPECT_EQ(place_of("libstdc++.so.6", "__cxa_throw"), stop_place::libstdcxx);
  // The loader's own handle finds nothing.
  const auto loader = reinterpret_cast<std::uintptr_t>(dlsym(RTLD_DEFAULT, "__tls_get_addr"));
  EXPECT_EQ(preempt::place_of(loader), stop_place::loader);
  EXPECT_EQ(preempt::place_of(reinterpret_cast<std::uintptr_t>(&enough)), stop_place::elsewhere);
}

std::uint64_t stops_at(stop_place place) { return snapshot().stops_by_place[static_cast<std::size_t>(place)]; }

void expect_to_add_up() {
  const stats s = snapshot();
  EXPECT_EQ(std::accumulate(s.stops_by_place.begin(), s.stops_by_place.end(), std::uint64_t{0}),
            s.preempts_by_signal());
  EXPECT_LE(s.stops_under_lock, s.preempts_by_signal());
  EXPECT_LE(s.resumed_elsewhere, s.preempts_by_signal());
}

TEST_P(StopPlacesStorm, AreMallocForThoseThatLiveThere) {
  const auto r = storm(how(), 4, enough, [](int, std::uint64_t n) {
    std::unique_ptr<char[]> kept[8];
    for (std::uint64_t i = 0; i < 64; ++i) kept[i % 8].reset(new char[1 + (n * 37 + i * 131) % 3000]);
    return true;
  });
  expect_right(r, enough);
  EXPECT_GT(stops_at(stop_place::malloc), 0u);
  expect_to_add_up();
}

TEST_P(StopPlacesStorm, AreTheUnwinderForThoseThatThrow) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t) {
    try {
      throw std::runtime_error("a text");
    } catch (const std::runtime_error&) {
      return who >= 0;
    }
  });
  expect_right(r, enough);
  EXPECT_GT(stops_at(stop_place::unwinder), 0u);
  expect_to_add_up();
}

TEST_P(StopPlacesStorm, AreUnderALockOnlyForThoseThatHoldOne) {
  const auto spin = [] {
    for (volatile int i = 0; i < 20'000;) i = i + 1;
  };
  expect_right(storm(how(), 4, enough,
                     [spin](int, std::uint64_t) {
                       spin();
                       return true;
                     }),
               enough);
  EXPECT_EQ(snapshot().stops_under_lock, 0u);
  expect_right(storm(how(), 4, enough,
                     [spin](int, std::uint64_t) {
                       std::mutex own;
                       const std::lock_guard hold(own);
                       spin();
                       return true;
                     }),
               enough);
  EXPECT_GT(snapshot().stops_under_lock, enough / 2);
  expect_to_add_up();
}

}  // namespace
}  // namespace urge::test
