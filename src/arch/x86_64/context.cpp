// SPDX-License-Identifier: MIT
// The x86-64 side of arch.hpp but for the signal's context. jump_fcontext leaves this frame on the stack it leaves
// (Boost.Context 1.81, System V):
//   0x00 MXCSR, x87 control word  0x08 unused  0x10 r12  0x18 r13  0x20 r14  0x28 r15  0x30 rbx  0x38 rbp  0x40 return
//   address
#include <cpuid.h>
#include <sys/auxv.h>
#include <ucontext.h>

#include <utility>

#include "arch/arch.hpp"
#include "base/os.hpp"

#include <asm/prctl.h>
#include <sys/syscall.h>

namespace urge::arch {

namespace {
constexpr unsigned long hwcap2_fsgsbase = 1ul << 1;
bool has_fsgsbase = false;
std::size_t state_bytes = 512 + 64;
}  // namespace

extern "C" {
// For the trampoline: the components to save (as xsave's edx:eax), and 64-byte units of their area. Set once by init().
extern std::uint64_t urge_xstate_bytes;
std::uint64_t urge_xstate_bytes = 0;
extern std::uint32_t urge_xstate_mask;
std::uint32_t urge_xstate_mask = 0;
void urge_stop_at_return();
}

void init() noexcept {
  has_fsgsbase = (getauxval(AT_HWCAP2) & hwcap2_fsgsbase) != 0;
  // x87, SSE, AVX, AVX-512 (three parts), PKRU is left alone: it belongs to the thread that pkey_set was called on.
  constexpr std::uint32_t wanted = 0xe7;
  unsigned a = 0, b = 0, c = 0, d = 0;
  __cpuid_count(0xd, 0, a, b, c, d);
  urge_xstate_mask = a & wanted;
  std::uint32_t bytes = 512 + 64;
  for (unsigned i = 2; i < 8; ++i) {
    if (!(urge_xstate_mask >> i & 1)) continue;
    unsigned size = 0, offset = 0;
    __cpuid_count(0xd, i, size, offset, c, d);
    if (offset + size > bytes) bytes = offset + size;
  }
  state_bytes = (bytes + 63) / 64 * 64;
  urge_xstate_bytes = state_bytes;
}

void return_by_trampoline(std::uintptr_t* slot, std::uintptr_t& returns_to) noexcept {
  returns_to = std::exchange(*slot, reinterpret_cast<std::uintptr_t>(&urge_stop_at_return));
}
void return_as_before(std::uintptr_t* slot, std::uintptr_t returns_to) noexcept {
  if (returns_by_trampoline(slot)) *slot = returns_to;
}
bool returns_by_trampoline(const std::uintptr_t* slot) noexcept {
  return *slot == reinterpret_cast<std::uintptr_t>(&urge_stop_at_return);
}

std::size_t extended_state_bytes() noexcept { return state_bytes; }

namespace {
enum dwarf { rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, rip };
}

// Also of a context that is left meanwhile, for a dump: its stack is still there.
__attribute__((no_sanitize("thread", "address"))) registers registers_of(context at) noexcept {
  const auto* word = static_cast<const std::uintptr_t*>(at);
  registers r;
  r.value[r12] = word[2], r.value[r13] = word[3], r.value[r14] = word[4], r.value[r15] = word[5];
  r.value[rbx] = word[6], r.value[rbp] = word[7], r.value[rip] = word[8];
  r.value[rsp] = reinterpret_cast<std::uintptr_t>(word + 9);
  return r;
}

registers registers_of_preempted(const char* save_top) noexcept {
  // The frame drawn in async_preempt.S: rax, flags and the pushed pc on the interrupted stack, the rest on this one.
  const auto* top = reinterpret_cast<const std::uintptr_t*>(save_top);
  const auto* left = reinterpret_cast<const std::uintptr_t*>(top[-1]);
  registers r;
  r.value[rax] = left[0];
  r.value[rip] = left[2];
  r.value[rsp] = top[-1] + 3 * 8 + red_zone;
  int at = -2;
  for (const dwarf saved : {rbp, rbx, rcx, rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15})
    r.value[saved] = top[at--];
  return r;
}

registers registers_of_signal(const void* uc) noexcept {
  const auto& from = static_cast<const ucontext_t*>(uc)->uc_mcontext.gregs;
  constexpr int order[registers::count] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                           REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                           REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
  registers r;
  for (int i = 0; i < registers::count; ++i) r.value[i] = static_cast<std::uintptr_t>(from[order[i]]);
  return r;
}

[[gnu::naked]] void store_registers(std::uintptr_t*) noexcept {
  asm("movq %rbx, 24(%rdi)\n\t"
      "movq %rbp, 48(%rdi)\n\t"
      "leaq 8(%rsp), %rax\n\t"
      "movq %rax, 56(%rdi)\n\t"
      "movq %r12, 96(%rdi)\n\t"
      "movq %r13, 104(%rdi)\n\t"
      "movq %r14, 112(%rdi)\n\t"
      "movq %r15, 120(%rdi)\n\t"
      "movq (%rsp), %rax\n\t"
      "movq %rax, 128(%rdi)\n\t"
      "ret");
}
std::uintptr_t thread_base() noexcept {
  // The first word of a TLS block points at itself: that is the ABI.
  std::uintptr_t base;
  asm volatile("movq %%fs:0, %0" : "=r"(base));
  return base;
}

void set_thread_base(std::uintptr_t base) noexcept {
  if (has_fsgsbase) [[likely]] {
    asm volatile("wrfsbase %0" ::"r"(base) : "memory");
  } else {
    os::syscall6(SYS_arch_prctl, ARCH_SET_FS, static_cast<long>(base));
  }
}

}  // namespace urge::arch
