// SPDX-License-Identifier: MIT
// A signal's context on x86-64. Part of what the signal handler runs: no call leaves this file.
#include <ucontext.h>

#include <cstring>

#include "arch/arch.hpp"

extern "C" {
void urge_async_preempt();
extern const char urge_async_preempt_end[];
}

namespace urge::arch {

namespace {
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

bool in_trampoline(std::uintptr_t pc) noexcept {
  return pc >= reinterpret_cast<std::uintptr_t>(&urge_async_preempt) &&
         pc < reinterpret_cast<std::uintptr_t>(urge_async_preempt_end);
}

}  // namespace urge::arch
