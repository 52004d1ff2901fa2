// SPDX-License-Identifier: MIT
// Function entries on x86-64: where one goes on that has called `__morestack`. Compiled without vector registers, as
// all that urge_morestack calls: they may carry arguments.
//
// By libgcc's convention the call is followed by a `ret` (1 byte), to which the function returns if it was called anew
// on another stack, and then by what is to be done before its body. That is either nothing, or
//   endbr64                      with -fcf-protection
//   mov %rax, %r10               a nested function: the static chain, which the prologue has put there
//   lea 24(%rbp), %r11           a variadic one: where its arguments on the stack are, seen from libgcc's frame
// The last one is done here instead: libgcc runs the whole function above a frame of its own, to have rbp point there
// and to put it right afterwards. We are gone by then, and rbp must be the caller's.
#include "arch/arch.hpp"

namespace urge::arch {

namespace {
struct code {
  const volatile unsigned char* at;  // volatile: the compiler must not make a call of libc's memcmp of it
  template <std::size_t N>
  bool takes(const unsigned char (&bytes)[N]) noexcept {
    for (std::size_t i = 0; i < N; ++i)
      if (at[i] != bytes[i]) return false;
    at += N;
    return true;
  }
};
constexpr unsigned char endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
constexpr unsigned char mov_rax_r10[] = {0x49, 0x89, 0xc2};
constexpr unsigned char lea_24_rbp_r11[] = {0x4c, 0x8d, 0x5d, 0x18};
}  // namespace

void go_on_behind(function_entry& f) noexcept {
  f.pc += 1;
  code c{reinterpret_cast<const volatile unsigned char*>(f.pc)};
  c.takes(endbr64);
  const bool chain = c.takes(mov_rax_r10);
  if (!c.takes(lea_24_rbp_r11)) return;  // what there is can be executed
  if (chain) f.r10 = f.rax;
  f.r11 = f.sp() + 8;
  f.pc = reinterpret_cast<std::uintptr_t>(c.at);
}

std::uintptr_t entry_limit() noexcept {
  std::uintptr_t limit;
  asm volatile("movq %%fs:0x70, %0" : "=r"(limit));
  return limit;
}
void set_entry_limit(std::uintptr_t limit) noexcept { asm volatile("movq %0, %%fs:0x70" ::"r"(limit) : "memory"); }

}  // namespace urge::arch
