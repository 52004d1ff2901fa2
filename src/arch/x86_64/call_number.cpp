// SPDX-License-Identifier: MIT
// Which system call is made by a `syscall` instruction? When it has returned, rax holds its result. libc's functions
// put the number there by an immediate, and at most move arguments about between that and the call. Part of what the
// signal handler runs: no call leaves this file.
#include <cstdint>

#include "arch/arch.hpp"

namespace urge::arch {

namespace {

constexpr std::uint32_t most_calls = 512;

enum rex : unsigned { rex_b = 1, rex_x = 2, rex_r = 4, rex_w = 8 };

// Bytes of a memory operand behind its ModRM byte, the SIB byte included.
std::size_t address_bytes(unsigned mod, unsigned rm, const unsigned char* sib) noexcept {
  const bool has_sib = rm == 4;
  std::size_t n = has_sib ? 1 : 0;
  if (mod == 1) n += 1;
  if (mod == 2 || (mod == 0 && (rm == 5 || (has_sib && (*sib & 7) == 5)))) n += 4;
  return n;
}

// The length of the instruction if it is one of the moves and simple operations that stand between, and leaves eax as
// it is; else 0. Begun before the call, it reads no further than the call itself: 0f is neither an opcode of these nor
// a ModRM byte that a SIB byte follows.
std::size_t plain_length(const unsigned char* code) noexcept {
  const unsigned char* at = code;
  unsigned prefix = 0;
  if ((*at & 0xf0) == 0x40) prefix = *at++;
  const unsigned op = *at++;
  const auto length = [&](std::size_t more) { return static_cast<std::size_t>(at - code) + more; };
  if (op >= 0xb8 && op <= 0xbf) {  // mov $imm, reg
    if (prefix & rex_w || (op == 0xb8 && !(prefix & rex_b))) return 0;
    return length(4);
  }
  const unsigned modrm = *at++, mod = modrm >> 6, reg = modrm >> 3 & 7, rm = modrm & 7;
  const bool reg_is_a = reg == 0 && !(prefix & rex_r), rm_is_a = mod == 3 && rm == 0 && !(prefix & rex_b);
  switch (op) {
    case 0x8b:  // mov rm, reg
    case 0x63:  // movslq
    case 0x8d:  // lea
      if (reg_is_a) return 0;
      return length(mod == 3 ? 0 : address_bytes(mod, rm, at));
    case 0x89:  // mov reg, rm
      if (rm_is_a) return 0;
      return length(mod == 3 ? 0 : address_bytes(mod, rm, at));
    case 0x31:  // xor reg, rm
    case 0x29:  // sub
    case 0x01:  // add
      return mod != 3 || rm_is_a ? 0 : length(0);
    case 0x80:  // xor $imm8, rm and its like; of a byte without a prefix, 4 is %ah
      return mod != 3 || rm_is_a || (prefix == 0 && rm >= 4) ? 0 : length(1);
    case 0x83:
      return mod != 3 || rm_is_a ? 0 : length(1);
    default:
      return 0;
  }
}

// From `at`, is there nothing else up to the call?
bool leads_to(const unsigned char* at, const unsigned char* call) noexcept {
  while (at < call) {
    const std::size_t n = plain_length(at);
    if (n == 0) return false;
    at += n;
  }
  return at == call;
}

// `mov $n, %eax` is found by its first byte, which may as well be the inside of an instruction that begins before it:
// its ModRM or SIB byte with r8 for a base (with rax for one, no number would be in it), or an offset of -72 that an
// immediate follows. Where that is possible the code does not tell. In any other place the four bytes behind it belong
// to two instructions, and are no number.
bool may_be_inside(const unsigned char* at) noexcept {
  const auto extended = [](unsigned byte) { return (byte & 0xf1) == 0x41; };  // REX.B
  const auto stores_immediate = [](unsigned op) { return op == 0xc7 || op == 0x81 || op == 0x69 || op == 0xf7; };
  const bool simple = (at[-1] & 0xf8) == 0x50 || (at[-1] & 0xf8) == 0x58;  // push, pop of r8 to r15: no ModRM
  const bool sib_follows = at[-1] < 0xc0 && (at[-1] & 7) == 4;
  if (extended(at[-1]) || (extended(at[-2]) && !simple)) return true;
  if (extended(at[-3]) && (at[-2] == 0x0f || sib_follows)) return true;
  if (at[-3] == 0xc4 || at[-3] == 0x62 || at[-2] == 0xc5) return true;  // VEX, EVEX
  const unsigned one = at[-1] >> 6, two = at[-2] >> 6;
  return (stores_immediate(at[-2]) && one == 1) || (stores_immediate(at[-3]) && two == 1 && (at[-2] & 7) == 4);
}

}  // namespace

int system_call_number(const unsigned char* call, std::size_t readable) noexcept {
  constexpr std::size_t farthest = 40, looked_at = 3;  // bytes before the instruction
  for (std::size_t back = 2; back + looked_at <= readable && back <= farthest; ++back) {
    const unsigned char* const at = call - back;
    // Where it is not what it seems to be, an instruction before it may still lead here.
    if (at[0] == 0x31 && at[1] == 0xc0) {  // xor %eax, %eax
      const bool other = at[-1] == 0x66 || ((at[-1] & 0xf0) == 0x40 && (at[-1] & (rex_b | rex_r)));
      if (!other && leads_to(at + 2, call)) return 0;
    }
    if (back < 5 || at[0] != 0xb8 || may_be_inside(at)) continue;  // mov $number, %eax
    std::uint32_t number;
    __builtin_memcpy(&number, at + 1, sizeof number);
    if (number < most_calls && leads_to(at + 5, call)) return static_cast<int>(number);
  }
  return -1;
}

}  // namespace urge::arch
