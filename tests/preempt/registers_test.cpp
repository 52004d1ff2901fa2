// SPDX-License-Identifier: MIT
// Every register that user code can see survives a stop by signal. Each G fills them with patterns of its own in one
// piece of assembly, spins there long enough to be stopped inside, and compares; other Gs with other patterns run in
// between.
#include <x86intrin.h>

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

// The flags that arithmetic sets, each pattern of them. `loop` changes none.
TEST_P(Registers, TheFlagsAreKept) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    constexpr std::uint64_t carry = 1, parity = 4, adjust = 0x10, zero = 0x40, sign = 0x80, direction = 0x400,
                            overflow = 0x800, all = carry | parity | adjust | zero | sign | direction | overflow;
    std::uint64_t pattern = 0, bits = n * 5 + static_cast<unsigned>(who) * 37;
    for (const std::uint64_t flag : {carry, parity, adjust, zero, sign, direction, overflow}) {
      if (bits & 1) pattern |= flag;
      bits >>= 1;
    }
    std::uint64_t flags = 0;
    asm volatile(
        "subq $128, %%rsp\n\t"
        "pushfq\n\t"
        "andq %[others], (%%rsp)\n\t"
        "orq %[pattern], (%%rsp)\n\t"
        "popfq\n\t"
        "movq %[spins], %%rcx\n\t"
        "1: loop 1b\n\t"
        "pushfq\n\t"
        "cld\n\t"
        "popq %[flags]\n\t"
        "addq $128, %%rsp\n\t"
        : [flags] "=&r"(flags)
        : [pattern] "r"(pattern), [others] "r"(~all), [spins] "i"(spins)
        : "rcx", "memory", "cc");
    return (flags & all) == pattern;
  });
  expect_right(r, enough);
}

// The same for the whole file of vector registers, `N` of `Bytes` each: load, spin, store, compare.
template <std::size_t Bytes, std::size_t N, class Hold>
bool vectors_survive(int who, std::uint64_t n, Hold&& hold) {
  alignas(64) unsigned char in[Bytes * N], out[Bytes * N] = {};
  for (std::size_t i = 0; i < sizeof in; ++i)
    in[i] = static_cast<unsigned char>(i * 7 + i / Bytes + static_cast<unsigned>(who) * 31 + n);
  hold(in, out);
  return std::memcmp(in, out, sizeof in) == 0;
}

#define URGE_TEST_SPIN "movq %2, %%rcx\n\t1: decq %%rcx\n\tjnz 1b\n\t"
#define URGE_TEST_16 ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
#define URGE_TEST_32 URGE_TEST_16_31(".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,")
#define URGE_TEST_16_31(first) first "16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t"
#define URGE_TEST_XMM                                                                                                 \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
      "xmm14", "xmm15"

TEST_P(Registers, SseIsKept) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    return vectors_survive<16, 16>(who, n, [](const void* in, void* out) {
      asm volatile(URGE_TEST_16 "movdqa 16*\\i(%0), %%xmm\\i\n\t.endr\n\t" URGE_TEST_SPIN URGE_TEST_16
                                "movdqa %%xmm\\i, 16*\\i(%1)\n\t.endr\n\t" ::"r"(in),
                   "r"(out), "i"(spins)
                   : "rcx", "memory", "cc", URGE_TEST_XMM);
    });
  });
  expect_right(r, enough);
}

TEST_P(Registers, AvxIsKept) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this CPU has no AVX2";
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    return vectors_survive<32, 16>(who, n, [](const void* in, void* out) {
      asm volatile(URGE_TEST_16 "vmovdqu 32*\\i(%0), %%ymm\\i\n\t.endr\n\t" URGE_TEST_SPIN URGE_TEST_16
                                "vmovdqu %%ymm\\i, 32*\\i(%1)\n\t.endr\n\tvzeroupper\n\t" ::"r"(in),
                   "r"(out), "i"(spins)
                   : "rcx", "memory", "cc", URGE_TEST_XMM);
    });
  });
  expect_right(r, enough);
}

// All 32, and all masks.
TEST_P(Registers, Avx512AndMasksAreKept) {
  if (!__builtin_cpu_supports("avx512bw")) GTEST_SKIP() << "this CPU has no AVX-512BW";
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    std::uint64_t masks[8], masks_out[8] = {};
    for (unsigned i = 0; i < 8; ++i) masks[i] = 0x0123456789abcdefu * (static_cast<unsigned>(who) + i + 1) + n;
    const bool vectors = vectors_survive<64, 32>(who, n, [&](const void* in, void* out) {
      asm volatile(URGE_TEST_32
                   "vmovdqu64 64*\\i(%0), %%zmm\\i\n\t.endr\n\t"
                   ".irp i,0,1,2,3,4,5,6,7\n\tkmovq 8*\\i(%3), %%k\\i\n\t.endr\n\t" URGE_TEST_SPIN URGE_TEST_32
                   "vmovdqu64 %%zmm\\i, 64*\\i(%1)\n\t.endr\n\t"
                   ".irp i,0,1,2,3,4,5,6,7\n\tkmovq %%k\\i, 8*\\i(%4)\n\t.endr\n\tvzeroupper\n\t" ::"r"(in),
                   "r"(out), "i"(spins), "r"(masks), "r"(masks_out)
                   : "rcx", "memory", "cc", URGE_TEST_XMM);
    });
    return vectors && std::memcmp(masks, masks_out, sizeof masks) == 0;
  });
  expect_right(r, enough);
}

// The eight of the x87, and both control words: rounding, precision, what is flushed to zero, which traps are on.
TEST_P(Registers, X87AndTheControlWordsAreKept) {
  const auto r = storm(how(), 4, enough, [](int who, std::uint64_t n) {
    alignas(16) long double in[8], out[8] = {};
    for (unsigned i = 0; i < 8; ++i)
      in[i] = 1.25L * static_cast<long double>(who + 1) + i + static_cast<long double>(n);
    unsigned short cw = 0, cw_out = 0;
    unsigned csr = 0, csr_out = 0;
    asm volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(cw), "=m"(csr));
    const unsigned short cw_before = cw;
    const unsigned csr_before = csr, rounding = (static_cast<unsigned>(who) + static_cast<unsigned>(n)) & 3;
    constexpr unsigned csr_pattern = 0xe07f,
                       cw_pattern = 0xd00;  // rounding, flush, denormals, flags; rounding, precision
    csr = (csr & ~csr_pattern) | rounding << 13 | (n & 1) << 15 | (n & 2) << 5 | (n & 0x3f);
    cw = static_cast<unsigned short>((cw & ~cw_pattern) | rounding << 10 | (n & 1 ? 0x300 : 0x200));
    asm volatile(
        "ldmxcsr %[csr]\n\t"
        ".irp i,0,1,2,3,4,5,6,7\n\tfldt 16*\\i(%[in])\n\t.endr\n\t"
        "fldcw %[cw]\n\t"
        "movq %[spins], %%rcx\n\t1: decq %%rcx\n\tjnz 1b\n\t"
        "fnstcw %[cw_out]\n\tstmxcsr %[csr_out]\n\tfldcw %[cw_before]\n\tldmxcsr %[csr_before]\n\t"
        ".irp i,7,6,5,4,3,2,1,0\n\tfstpt 16*\\i(%[out])\n\t.endr\n\t"
        : [cw_out] "=m"(cw_out), [csr_out] "=m"(csr_out)
        : [in] "r"(in), [out] "r"(out), [cw] "m"(cw), [csr] "m"(csr), [cw_before] "m"(cw_before),
          [csr_before] "m"(csr_before), [spins] "i"(spins)
        : "rcx", "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
    bool right = cw_out == cw && csr_out == csr;
    for (unsigned i = 0; i < 8; ++i) right = right && in[i] == out[i];
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
