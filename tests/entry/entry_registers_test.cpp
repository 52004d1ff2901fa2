// SPDX-License-Identifier: MIT
// What a function is given survives its entry: all registers and the arguments on the stack, whether the G stops there
// and another one fills them with its own, or goes on at once. The functions are in known_entry.S.
#include "entry/entry_fixture.hpp"

#include <cstring>

extern "C" {
void urge_test_general_entry(std::uint64_t seed, std::uint64_t* out);
void urge_test_sse_entry(const void* in, void* out);
void urge_test_avx_entry(const void* in, void* out);
void urge_test_avx512_entry(const void* in, void* out);
}

namespace urge::test {
namespace {

constexpr int rounds = 1000;

class EntryRegisters : public Plain, public testing::WithParamInterface<bool> {
 protected:
  // Two Gs take turns on one P, or one looks and goes on. once(seed) says whether all was right.
  template <class F>
  void many(F&& once) {
    const bool stopped = GetParam();
    std::uint64_t wrong = 0;
    run(
        [&] {
          const auto body = [&](std::uint64_t from) {
            for (std::uint64_t n = 0; n < rounds; ++n)
              wrong += !once(from + n, stopped ? stop_at_next_entry : poison_entries);
          };
          auto other = spawn(body, 0x1111111111111111u);
          body(0x2222222222222222u);
          other.join();
        },
        cooperative(1));
    EXPECT_EQ(wrong, 0u);
    if (stopped) {
      EXPECT_GE(stops(), 2u * rounds);
    } else {
      EXPECT_LT(snapshot().preempts_cooperative, 1u * rounds);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Ways, EntryRegisters, testing::Bool(),
                         [](const auto& info) { return info.param ? "Stopped" : "GoesOnAtOnce"; });

TEST_P(EntryRegisters, GeneralOnesAndArgumentsOnTheStackAreKept) {
  many([](std::uint64_t seed, auto ask) {
    std::uint64_t out[15] = {};
    ask();
    urge_test_general_entry(seed, out);
    for (std::uint64_t i = 0; i < 15; ++i)
      if (out[i] != seed + i) return false;
    return true;
  });
}

template <std::size_t Bytes, class Ask>
bool kept(void (*entry)(const void*, void*), std::uint64_t seed, Ask ask) {
  alignas(64) unsigned char in[Bytes], out[Bytes] = {};
  for (std::size_t i = 0; i < Bytes; ++i) in[i] = static_cast<unsigned char>(seed + i * 7 + i / 64);
  ask();
  entry(in, out);
  return std::memcmp(in, out, Bytes) == 0;
}

TEST_P(EntryRegisters, SseIsKept) {
  many([](std::uint64_t seed, auto ask) { return kept<16 * 16>(urge_test_sse_entry, seed, ask); });
}
TEST_P(EntryRegisters, AvxIsKept) {
  if (!__builtin_cpu_supports("avx")) GTEST_SKIP() << "this CPU has no AVX";
  many([](std::uint64_t seed, auto ask) { return kept<16 * 32>(urge_test_avx_entry, seed, ask); });
}
TEST_P(EntryRegisters, Avx512AndMasksAreKept) {
  if (!__builtin_cpu_supports("avx512bw")) GTEST_SKIP() << "this CPU has no AVX-512BW";
  many([](std::uint64_t seed, auto ask) { return kept<32 * 64 + 64>(urge_test_avx512_entry, seed, ask); });
}

}  // namespace
}  // namespace urge::test
