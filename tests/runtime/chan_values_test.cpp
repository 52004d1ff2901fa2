// SPDX-License-Identifier: MIT
// What kinds of values channels carry: large ones, ones that throw when they are moved, and what becomes of those left
// inside.
#include <urge/chan.hpp>
#include <urge/go.hpp>
#include <urge/runtime.hpp>

#include <array>
#include <memory>
#include <string>

#include "support/runtime_fixture.hpp"

namespace urge::test {
namespace {

class ChanValues : public WithSetting {};
INSTANTIATE_TEST_SUITE_P(Settings, ChanValues, testing::ValuesIn(settings({1, 2, 4, 8})), name_setting());

struct big {
  std::array<std::uint64_t, 1000> words;
  bool operator==(const big&) const = default;
};
static_assert(detail::travels_as_bytes<big>);

TEST_P(ChanValues, BigValuesArriveWhole) {
  run(
      [] {
        for (const std::size_t cap : {0u, 3u}) {
          chan<big> c(cap);
          go([c]() mutable {
            for (std::uint64_t i = 0; i < 100; ++i) {
              big b;
              b.words.fill(i);
              c.send(b);
            }
          });
          for (std::uint64_t i = 0; i < 100; ++i) {
            const auto b = c.recv();
            big wanted;
            wanted.words.fill(i);
            EXPECT_TRUE(b == wanted);
          }
        }
      },
      how());
}

// Counts its objects, and throws at its n-th move.
struct fragile {
  static inline std::atomic<int> live{0}, moves_left{-1};
  int value;
  explicit fragile(int v) : value(v) { ++live; }
  fragile(fragile&& other) : value(other.value) {
    if (moves_left >= 0 && moves_left-- == 0) throw std::runtime_error("move");
    ++live;
  }
  fragile& operator=(fragile&& other) {
    if (moves_left >= 0 && moves_left-- == 0) throw std::runtime_error("move assignment");
    value = other.value;
    return *this;
  }
  ~fragile() { --live; }
};

TEST_P(ChanValues, AMoveThatThrowsReachesItsCallerAndLeaksNothing) {
  run(
      [] {
        int thrown = 0;
        for (int at = 0; at < 10; ++at) {
          chan<fragile> c(2);
          fragile v(at);
          fragile::moves_left = at;
          for (int i = 0; i < 3; ++i) {
            try {
              if (c.try_send(v)) {
                EXPECT_EQ(c.try_recv()->value, at);
              }
            } catch (const std::runtime_error&) {
              ++thrown;
            }
          }
          fragile::moves_left = -1;
        }
        EXPECT_GT(thrown, 0);
      },
      how());
  EXPECT_EQ(fragile::live.load(), 0);
}

TEST_P(ChanValues, WhatIsLeftInItIsDestroyedWithTheLastHandle) {
  run(
      [] {
        chan<fragile> c(10);
        for (int i = 0; i < 7; ++i) c.send(fragile(i));
        EXPECT_EQ(c.recv()->value, 0);
        EXPECT_EQ(fragile::live.load(), 6);
        const chan<fragile> copy = c;
        c = chan<fragile>(1);
        EXPECT_EQ(fragile::live.load(), 6);
      },
      how());
  EXPECT_EQ(fragile::live.load(), 0);
}

}  // namespace
}  // namespace urge::test
