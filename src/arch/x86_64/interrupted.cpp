// SPDX-License-Identifier: MIT
// A signal's context on x86-64. Part of what the signal handler runs: no call leaves this file and call_number.cpp.
#include <sys/syscall.h>
#include <ucontext.h>

#include <cerrno>
#include <cstring>

#include "arch/arch.hpp"

extern "C" {
void urge_async_preempt();
extern const char urge_async_preempt_end[];
}

namespace urge::arch {

namespace {
constexpr std::uintptr_t page = 4096;
const ucontext_t& of(const void* uc) noexcept { return *static_cast<const ucontext_t*>(uc); }
}  // namespace

std::uintptr_t interrupted_pc(const void* uc) noexcept {
  return static_cast<std::uintptr_t>(of(uc).uc_mcontext.gregs[REG_RIP]);
}
std::uintptr_t interrupted_sp(const void* uc) noexcept {
  return static_cast<std::uintptr_t>(of(uc).uc_mcontext.gregs[REG_RSP]);
}
std::uint64_t interrupted_sigmask(const void* uc) noexcept {
  std::uint64_t mask;
  __builtin_memcpy(&mask, &of(uc).uc_sigmask, sizeof mask);  // the kernel's mask is the first 64 bits of libc's
  return mask;
}

void redirect_to_trampoline(void* uc) noexcept {
  auto& regs = static_cast<ucontext_t*>(uc)->uc_mcontext.gregs;
  // The trampoline's `ret $128` takes the pushed PC off and steps over the red zone in one instruction.
  auto* slot = reinterpret_cast<greg_t*>(regs[REG_RSP] - static_cast<greg_t>(red_zone)) - 1;
  *slot = regs[REG_RIP];
  regs[REG_RSP] = reinterpret_cast<greg_t>(slot);
  regs[REG_RIP] = reinterpret_cast<greg_t>(&urge_async_preempt);
}

void redirect_for_good(void* uc, void (*to)(), char* stack_top) noexcept {
  auto& regs = static_cast<ucontext_t*>(uc)->uc_mcontext.gregs;
  regs[REG_RSP] = static_cast<greg_t>((reinterpret_cast<std::uintptr_t>(stack_top) & ~std::uintptr_t{15}) - 8);
  regs[REG_RIP] = reinterpret_cast<greg_t>(to);
  regs[REG_EFL] &= ~greg_t{0x500};  // direction, trap
}

bool interrupted_system_call(const void* uc) noexcept {
  const auto* code = reinterpret_cast<const unsigned char*>(interrupted_pc(uc));
  return code[0] == 0x0f && code[1] == 0x05;
}

bool system_call_was_interrupted(const void* uc) noexcept {
  const std::uintptr_t pc = interrupted_pc(uc);
  if (of(uc).uc_mcontext.gregs[REG_RAX] != -EINTR || pc % page < 2) return false;
  const auto* code = reinterpret_cast<const unsigned char*>(pc);
  return code[-2] == 0x0f && code[-1] == 0x05;
}

// The frame that the kernel made for it is still there, below the red zone, with the same registers in it.
bool handler_has_returned(const void* uc, std::uintptr_t low) noexcept {
  constexpr std::uintptr_t frame_bytes = 16 * 1024;  // with the extended state
  const std::uintptr_t pc = interrupted_pc(uc), sp = interrupted_sp(uc), from = (sp - red_zone) & ~std::uintptr_t{7};
  const std::uintptr_t end = from - low > frame_bytes ? from - frame_bytes : low;
  static_assert(REG_RSP == REG_RAX + 2 && REG_RIP == REG_RAX + 3);
  for (std::uintptr_t at = from - 4 * sizeof(std::uintptr_t); at >= end; at -= sizeof(std::uintptr_t)) {
    const auto* word = reinterpret_cast<const std::uintptr_t*>(at);
    if (word[3] == pc && word[2] == sp && word[0] == static_cast<std::uintptr_t>(-EINTR)) return true;
  }
  return false;
}

// The kernel keeps all registers but rax, rcx and r11; which call it was stood in rax.
bool begin_call_anew(void* uc) noexcept {
  auto& regs = static_cast<ucontext_t*>(uc)->uc_mcontext.gregs;
  const std::uintptr_t call = interrupted_pc(uc) - 2;
  const int number = system_call_number(reinterpret_cast<const unsigned char*>(call), call % page);
  // pause ends with any signal; close has closed the file.
  if (number < 0 || number == SYS_pause || number == SYS_close) return false;
  regs[REG_RAX] = number;
  regs[REG_RIP] -= 2;
  return true;
}

bool in_trampoline(std::uintptr_t pc) noexcept {
  return pc >= reinterpret_cast<std::uintptr_t>(&urge_async_preempt) &&
         pc < reinterpret_cast<std::uintptr_t>(urge_async_preempt_end);
}

}  // namespace urge::arch
