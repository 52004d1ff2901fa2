// SPDX-License-Identifier: MIT
// The x86-64 side of arch.hpp but for the signal's context. jump_fcontext leaves this frame on the stack it leaves
// (Boost.Context 1.81, System V):
//   0x00 MXCSR, x87 control word  0x08 unused  0x10 r12  0x18 r13  0x20 r14  0x28 r15  0x30 rbx  0x38 rbp  0x40 return
//   address
#include <cpuid.h>
#include <sys/auxv.h>

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

std::size_t extended_state_bytes() noexcept { return state_bytes; }

frame suspended_frame(context at) noexcept {
  const auto* word = static_cast<const std::uintptr_t*>(at);
  return {word[8], reinterpret_cast<std::uintptr_t>(word + 9), word[7]};
}
frame interrupted_frame(const char* save_top) noexcept {
  // See the frame drawn in async_preempt.S: two words and the pushed pc on the interrupted stack, rbp on this one.
  const auto* top = reinterpret_cast<const std::uintptr_t*>(save_top);
  const auto* pushed = reinterpret_cast<const std::uintptr_t*>(top[-1]);
  return {pushed[2], top[-1] + 3 * 8 + red_zone, top[-2]};
}
frame this_frame() noexcept {
  const auto fp = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return {reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)), fp, *reinterpret_cast<std::uintptr_t*>(fp)};
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
