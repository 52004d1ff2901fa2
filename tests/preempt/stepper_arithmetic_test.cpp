// SPDX-License-Identifier: MIT
// Stepped: code whose state is in registers and in the red zone: general registers, AVX2, AVX-512, x87, the rounding
// mode, leaf functions.
#include <immintrin.h>

#include <cfenv>

#include "preempt/stepper.hpp"

namespace urge::test::stepper {
namespace {

// 5 instructions and 4 for each turn; the sum lives below the stack pointer, where only a leaf may keep it.
[[gnu::naked, gnu::noinline]] std::uint64_t leaf_sum(std::uint64_t, long) {
  asm("movq %rdi, -8(%rsp)\n\t"
      "movq %rsi, -128(%rsp)\n"
      "1:\n\t"
      "addq %rdi, -8(%rsp)\n\t"
      "rolq $7, -8(%rsp)\n\t"
      "decq -128(%rsp)\n\t"
      "jnz 1b\n\t"
      "movq -8(%rsp), %rax\n\t"
      "addq -128(%rsp), %rax\n\t"
      "ret");
}
constexpr std::uint64_t leaf_instructions(std::uint64_t turns) { return 5 + 4 * turns; }

template <long Turns>
std::uint64_t red_zone(int who) {
  return leaf_sum(0x0123456789ABCDEFu + static_cast<unsigned>(who), Turns);
}
std::uint64_t nothing(int who) { return static_cast<unsigned>(who); }

std::uint64_t general(int who) {
  std::uint64_t a[15];
  for (unsigned i = 0; i < std::size(a); ++i) a[i] = (i + 1) * 0x9E3779B97F4A7C15u + static_cast<unsigned>(who);
  for (int turn = 0; turn < 12; ++turn)
    for (unsigned i = 0; i < std::size(a); ++i) {
      std::uint64_t& x = a[i];
      x ^= x >> 27, x *= 0xBF58476D1CE4E5B9u, x += a[(i + 5) % std::size(a)];
    }
  std::uint64_t sum = 0;
  for (const std::uint64_t x : a) mix(sum, x);
  return sum;
}

// The direction flag is set while the copy runs backwards.
std::uint64_t backwards(int who) {
  std::uint64_t from[24], to[24];
  for (unsigned i = 0; i < std::size(from); ++i) from[i] = i * i + static_cast<unsigned>(who), to[i] = 0;
  const void* source = from + std::size(from) - 1;
  void* target = to + std::size(to) - 1;
  std::size_t n = std::size(from);
  asm volatile("std\n\trep movsq\n\tcld" : "+S"(source), "+D"(target), "+c"(n)::"memory", "cc");
  std::uint64_t sum = 0;
  for (const std::uint64_t x : to) mix(sum, x);
  return sum;
}

[[gnu::target("avx2")]] std::uint64_t avx2(int who) {
  __m256i r[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm256_set_epi64x(i * 7 + who, i * 11, i * 13 - who, i + 1);
  for (int turn = 0; turn < 20; ++turn)
    for (int i = 0; i < 16; ++i)
      r[i] = _mm256_add_epi64(_mm256_xor_si256(r[i], _mm256_slli_epi64(r[(i + 3) % 16], 5)), r[(i + 7) % 16]);
  alignas(32) std::uint64_t out[4];
  std::uint64_t sum = 0;
  for (const auto& x : r) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), x);
    for (const std::uint64_t lane : out) mix(sum, lane);
  }
  return sum;
}

[[gnu::target("avx512f")]] std::uint64_t avx512(int who) {
  if (!__builtin_cpu_supports("avx512f")) return 0;
  __m512i r[24];
  for (int i = 0; i < 24; ++i) r[i] = _mm512_set1_epi64(i * 1'000'003 + who);
  for (int turn = 0; turn < 8; ++turn)
    for (int i = 0; i < 24; ++i) {
      const __mmask8 odd = _mm512_cmp_epi64_mask(r[i], r[(i + 1) % 24], _MM_CMPINT_LT);
      r[i] = _mm512_mask_add_epi64(_mm512_maskz_rol_epi64(0xff, r[i], 9), odd, r[i], r[(i + 5) % 24]);
    }
  alignas(64) std::uint64_t out[8];
  std::uint64_t sum = 0;
  for (const auto& x : r) {
    _mm512_store_si512(out, x);
    for (const std::uint64_t lane : out) mix(sum, lane);
  }
  return sum;
}

// Long doubles are computed on the x87 stack: eight deep here.
std::uint64_t x87(int who) {
  volatile long double start = 1.0L + static_cast<long double>(who) / 7;
  long double a = start, b = a * 3, c = a / 5, d = a - 9, e = a * a;
  for (int i = 1; i < 40; ++i) {
    a = a * 1.0000001L + b / static_cast<long double>(i);
    b = b - c * 0.5L;
    c = c + d / 3, d = d * 0.99L + e, e = __builtin_sqrtl(e * e + 1);
  }
  std::uint64_t sum = 0;
  for (const long double x : {a, b, c, d, e}) {
    std::uint64_t mantissa;
    __builtin_memcpy(&mantissa, &x, sizeof mantissa);
    mix(sum, mantissa);
  }
  return sum;
}

std::uint64_t rounding(int who) {
  const int mode = who ? FE_UPWARD : FE_DOWNWARD;
  std::fesetround(mode);
  std::feclearexcept(FE_ALL_EXCEPT);
  volatile double third = 1.0, divisor = 3.0, sum = 0;
  for (int i = 0; i < 12; ++i) {
    third = third / divisor;
    sum = sum + third;
  }
  volatile long double wide = 1.0L;
  for (int i = 0; i < 12; ++i) wide = wide / 3.0L;
  std::uint64_t out = 0, bits;
  const double d = sum;
  __builtin_memcpy(&bits, &d, sizeof bits);
  mix(out, bits);
  const long double w = wide;
  __builtin_memcpy(&bits, &w, sizeof bits);
  mix(out, bits);
  mix(out, static_cast<std::uint64_t>(std::fegetround() == mode));
  mix(out, static_cast<std::uint64_t>(std::fetestexcept(FE_ALL_EXCEPT)));
  std::fesetround(FE_TONEAREST);
  return out;
}

INSTANTIATE_TEST_SUITE_P(Arithmetic, Stepper,
                         in_each_mode(body{"RedZone", red_zone<60>}, body{"GeneralRegisters", general},
                                      body{"DirectionFlag", backwards}, body{"Avx2", avx2}, body{"Avx512", avx512},
                                      body{"X87", x87}, body{"RoundingMode", rounding}),
                         name_body());

class StepperItself : public Stepper {};
INSTANTIATE_TEST_SUITE_P(Bodies, StepperItself, in_each_mode(body{"Leaf", red_zone<60>}), name_body());

std::uint64_t instructions_of(preempt_mode mode, std::uint64_t (*run)(int)) {
  counts c;
  with_stepper(body{"", run}, mode, [&](auto step) { c = step(plan{.times = 1}); });
  EXPECT_EQ(c.stops, c.instructions);
  return c.instructions;
}

TEST_P(StepperItself, SeesEachInstruction) {
  // What surrounds a body is the same for both, but for the two that put the arguments in place and the call.
  const std::uint64_t ten = instructions_of(mode(), red_zone<10>), sixty = instructions_of(mode(), red_zone<60>);
  const std::uint64_t none = instructions_of(mode(), nothing);
  EXPECT_EQ(sixty - ten, leaf_instructions(60) - leaf_instructions(10));
  EXPECT_GE(ten - none, leaf_instructions(10));
  EXPECT_LE(ten - none, leaf_instructions(10) + 8);
}

}  // namespace
}  // namespace urge::test::stepper
