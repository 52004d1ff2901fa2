// SPDX-License-Identifier: MIT
// Every register that user code can see survives a stop by signal. Each G fills them with patterns of its own in one
// piece of assembly, spins there long enough to be stopped inside, and compares; other Gs with other patterns run in
// between.
#include <x86intrin.h>

#include <cfenv>
#include <cstring>

#include "preempt/storm.hpp"

namespace urge::test {
namespace {

class Registers : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Registers, testing::ValuesIn(storm_settings()), name_setting());

constexpr std::uint64_t enough = 800;
constexpr long spins = 20'000;

TEST_P(Registers, GeneralOnesAndTheDirectionFlagAreKept) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    std::uint64_t seed = 0x1111111111111111u * static_cast<unsigned>(who + 1) + n;
    register std::uint64_t bad asm("r12");
    // All hold seed + i while the loop runs; r12 gathers the differences, and the direction flag if it was lost.
    asm volatile(
        "subq $128, %%rsp\n\t"
        "pushq %%rbp\n\t"
        "pushq %%rbx\n\t"
        "leaq 1(%%rax), %%rbx\n\t"
        "leaq 2(%%rax), %%rbp\n\t"
        "leaq 3(%%rax), %%rdx\n\t"
        "leaq 4(%%rax), %%rsi\n\t"
        "leaq 5(%%rax), %%rdi\n\t"
        "leaq 6(%%rax), %%r8\n\t"
        "leaq 7(%%rax), %%r9\n\t"
        "leaq 8(%%rax), %%r10\n\t"
        "leaq 9(%%rax), %%r11\n\t"
        "leaq 10(%%rax), %%r13\n\t"
        "leaq 11(%%rax), %%r14\n\t"
        "leaq 12(%%rax), %%r15\n\t"
        "movq %[spins], %%rcx\n\t"
        "std\n\t"
        "1: decq %%rcx\n\t"
        "jnz 1b\n\t"
        "pushfq\n\t"
        "cld\n\t"
        "popq %%rcx\n\t"
        "andq $0x400, %%rcx\n\t"
        "xorq $0x400, %%rcx\n\t"
        "movq %%rcx, %%r12\n\t"
        "subq %%rax, %%rbx\n\t"
        "subq $1, %%rbx\n\t"
        "orq %%rbx, %%r12\n\t"
        "subq %%rax, %%rbp\n\t"
        "subq $2, %%rbp\n\t"
        "orq %%rbp, %%r12\n\t"
        "subq %%rax, %%rdx\n\t"
        "subq $3, %%rdx\n\t"
        "orq %%rdx, %%r12\n\t"
        "subq %%rax, %%rsi\n\t"
        "subq $4, %%rsi\n\t"
        "orq %%rsi, %%r12\n\t"
        "subq %%rax, %%rdi\n\t"
        "subq $5, %%rdi\n\t"
        "orq %%rdi, %%r12\n\t"
        "subq %%rax, %%r8\n\t"
        "subq $6, %%r8\n\t"
        "orq %%r8, %%r12\n\t"
        "subq %%rax, %%r9\n\t"
        "subq $7, %%r9\n\t"
        "orq %%r9, %%r12\n\t"
        "subq %%rax, %%r10\n\t"
        "subq $8, %%r10\n\t"
        "orq %%r10, %%r12\n\t"
        "subq %%rax, %%r11\n\t"
        "subq $9, %%r11\n\t"
        "orq %%r11, %%r12\n\t"
        "subq %%rax, %%r13\n\t"
        "subq $10, %%r13\n\t"
        "orq %%r13, %%r12\n\t"
        "subq %%rax, %%r14\n\t"
        "subq $11, %%r14\n\t"
        "orq %%r14, %%r12\n\t"
        "subq %%rax, %%r15\n\t"
        "subq $12, %%r15\n\t"
        "orq %%r15, %%r12\n\t"
        "popq %%rbx\n\t"
        "popq %%rbp\n\t"
        "addq $128, %%rsp\n\t"
        : "=r"(bad), "+a"(seed)
        : [spins] "i"(spins)
        : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r13", "r14", "r15", "memory", "cc");
    const std::uint64_t result = bad;
    return result == 0;
  });
  expect_right(r, enough);
}

// The same for a vector register file of `Vector`s: load, spin, store, compare.
template <class Vector, class Hold>
bool vectors_survive(int who, std::uint64_t n, Hold&& hold) {
  alignas(64) Vector in[8], out[8];
  std::memset(in, 0, sizeof in);
  for (std::size_t i = 0; i < sizeof in; ++i)
    reinterpret_cast<unsigned char*>(in)[i] = static_cast<unsigned char>(i * 7 + static_cast<unsigned>(who) * 31 + n);
  std::memset(out, 0, sizeof out);
  hold(in, out);
  return std::memcmp(in, out, sizeof in) == 0;
}

TEST_P(Registers, SseIsKept) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    return vectors_survive<__m128i>(who, n, [](__m128i* in, __m128i* out) {
      asm volatile(
          "movdqa (%0), %%xmm0\n\tmovdqa 16(%0), %%xmm1\n\tmovdqa 32(%0), %%xmm2\n\tmovdqa 48(%0), %%xmm3\n\t"
          "movdqa 64(%0), %%xmm12\n\tmovdqa 80(%0), %%xmm13\n\tmovdqa 96(%0), %%xmm14\n\tmovdqa 112(%0), %%xmm15\n\t"
          "movq %2, %%rcx\n\t1: decq %%rcx\n\tjnz 1b\n\t"
          "movdqa %%xmm0, (%1)\n\tmovdqa %%xmm1, 16(%1)\n\tmovdqa %%xmm2, 32(%1)\n\tmovdqa %%xmm3, 48(%1)\n\t"
          "movdqa %%xmm12, 64(%1)\n\tmovdqa %%xmm13, 80(%1)\n\tmovdqa %%xmm14, 96(%1)\n\tmovdqa %%xmm15, 112(%1)\n\t" ::
              "r"(in),
          "r"(out), "i"(spins)
          : "rcx", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm12", "xmm13", "xmm14", "xmm15");
    });
  });
  expect_right(r, enough);
}

struct ymm {
  unsigned char bytes[32];
};
TEST_P(Registers, AvxIsKept) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this CPU has no AVX2";
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    return vectors_survive<ymm>(who, n, [](ymm* in, ymm* out) {
      asm volatile(
          "vmovdqu (%0), %%ymm0\n\tvmovdqu 32(%0), %%ymm1\n\tvmovdqu 64(%0), %%ymm2\n\tvmovdqu 96(%0), %%ymm3\n\t"
          "vmovdqu 128(%0), %%ymm12\n\tvmovdqu 160(%0), %%ymm13\n\tvmovdqu 192(%0), %%ymm14\n\tvmovdqu 224(%0), "
          "%%ymm15\n\t"
          "movq %2, %%rcx\n\t1: decq %%rcx\n\tjnz 1b\n\t"
          "vmovdqu %%ymm0, (%1)\n\tvmovdqu %%ymm1, 32(%1)\n\tvmovdqu %%ymm2, 64(%1)\n\tvmovdqu %%ymm3, 96(%1)\n\t"
          "vmovdqu %%ymm12, 128(%1)\n\tvmovdqu %%ymm13, 160(%1)\n\tvmovdqu %%ymm14, 192(%1)\n\tvmovdqu %%ymm15, "
          "224(%1)\n\tvzeroupper\n\t" ::"r"(in),
          "r"(out), "i"(spins)
          : "rcx", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm12", "xmm13", "xmm14", "xmm15");
    });
  });
  expect_right(r, enough);
}

struct zmm {
  unsigned char bytes[64];
};
TEST_P(Registers, Avx512AndMasksAreKept) {
  if (!__builtin_cpu_supports("avx512bw")) GTEST_SKIP() << "this CPU has no AVX-512BW";
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    std::uint64_t mask = 0x0123456789abcdefu * static_cast<unsigned>(who + 1) + n, mask_out = 0;
    const bool vectors = vectors_survive<zmm>(who, n, [&](zmm* in, zmm* out) {
      asm volatile(
          "vmovdqu64 (%0), %%zmm0\n\tvmovdqu64 64(%0), %%zmm1\n\tvmovdqu64 128(%0), %%zmm2\n\t"
          "vmovdqu64 192(%0), %%zmm15\n\tvmovdqu64 256(%0), %%zmm16\n\tvmovdqu64 320(%0), %%zmm17\n\t"
          "vmovdqu64 384(%0), %%zmm30\n\tvmovdqu64 448(%0), %%zmm31\n\tkmovq %3, %%k3\n\t"
          "movq %4, %%rcx\n\t1: decq %%rcx\n\tjnz 1b\n\t"
          "vmovdqu64 %%zmm0, (%1)\n\tvmovdqu64 %%zmm1, 64(%1)\n\tvmovdqu64 %%zmm2, 128(%1)\n\t"
          "vmovdqu64 %%zmm15, 192(%1)\n\tvmovdqu64 %%zmm16, 256(%1)\n\tvmovdqu64 %%zmm17, 320(%1)\n\t"
          "vmovdqu64 %%zmm30, 384(%1)\n\tvmovdqu64 %%zmm31, 448(%1)\n\tkmovq %%k3, %2\n\tvzeroupper\n\t" ::"r"(in),
          "r"(out), "m"(mask_out), "m"(mask), "i"(spins)
          : "rcx", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm15");
    });
    return vectors && mask == mask_out;
  });
  expect_right(r, enough);
}

TEST_P(Registers, X87AndTheControlWordsAreKept) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    static constexpr int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    const int mode = modes[who % 4];
    std::fesetround(mode);
    long double in = 1.25L * static_cast<long double>(who + 1) + static_cast<long double>(n), out = 0;
    asm volatile("movq %2, %%rcx\n\t1: decq %%rcx\n\tjnz 1b" : "=t"(out) : "0"(in), "i"(spins) : "rcx", "cc");
    const unsigned round_bits = (_mm_getcsr() >> 13) & 3;
    const bool right = in == out && std::fegetround() == mode &&
                       round_bits == static_cast<unsigned>(mode == FE_TONEAREST  ? 0
                                                           : mode == FE_DOWNWARD ? 1
                                                           : mode == FE_UPWARD   ? 2
                                                                                 : 3);
    return right;
  });
  expect_right(r, enough);
}

// A leaf function may keep data below its stack pointer: 128 bytes of it.
TEST_P(Registers, TheRedZoneIsKept) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    const std::uint64_t seed = 0x0101010101010101u * static_cast<unsigned>(who + 1) + n;
    std::uint64_t bad = 0;
    asm volatile(
        "xorl %%edx, %%edx\n\t"
        "1: leaq (%[seed], %%rdx), %%rax\n\t"
        "movq %%rax, -128(%%rsp, %%rdx, 8)\n\t"
        "incq %%rdx\n\t"
        "cmpq $16, %%rdx\n\t"
        "jne 1b\n\t"
        "movq %[spins], %%rcx\n\t"
        "2: decq %%rcx\n\t"
        "jnz 2b\n\t"
        "xorl %%edx, %%edx\n\t"
        "3: leaq (%[seed], %%rdx), %%rax\n\t"
        "xorq -128(%%rsp, %%rdx, 8), %%rax\n\t"
        "orq %%rax, %[bad]\n\t"
        "incq %%rdx\n\t"
        "cmpq $16, %%rdx\n\t"
        "jne 3b\n\t"
        : [bad] "+&r"(bad)
        : [seed] "r"(seed), [spins] "i"(spins)
        : "rax", "rcx", "rdx", "memory", "cc");
    return bad == 0;
  });
  expect_right(r, enough);
}

}  // namespace
}  // namespace urge::test
