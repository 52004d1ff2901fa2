// SPDX-License-Identifier: MIT
// All that an instruction of user code can see of its thread besides memory: general registers, flags, x87, SSE, AVX
// and AVX-512 registers, the thread base, errno. Taken from a signal's frame when a G is about to be stopped, and
// compared with the frame of the trap that follows when it has come back. Of x87 the addresses of the last operation
// are left out: the processor need not keep them. Context: a signal handler on the thread whose state it is.
#pragma once
#include <cpuid.h>
#include <ucontext.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "arch/arch.hpp"

namespace urge::test::stepper {

class machine_state {
 public:
  void take(const ucontext_t& uc) noexcept {
    std::memcpy(general_, uc.uc_mcontext.gregs, sizeof general_);
    const auto* area = reinterpret_cast<const unsigned char*>(uc.uc_mcontext.fpregs);
    std::memcpy(extended_, area, size_of(area));
    thread_ = arch::thread_base();
    errno_ = errno;
  }

  // The same at an interrupted instruction.
  bool holds(const ucontext_t& uc) const noexcept {
    // Carry, parity, adjust, zero, sign, direction, overflow.
    constexpr greg_t users_flags = 0xcd5;
    const auto& now = uc.uc_mcontext.gregs;
    return same_general(uc, REG_R8, REG_RSP) && same(now, REG_RIP) &&
           ((now[REG_EFL] ^ general_[REG_EFL]) & users_flags) == 0 && same_extended(uc) && same_thread();
  }

  // The same where a function goes on that was stopped at its entry: flags, r10 and r11 are the prologue's, which
  // keeps the static chain of a nested function in rax. The code before its body lies behind the entry.
  bool holds_behind_entry(const ucontext_t& uc) const noexcept {
    const auto& now = uc.uc_mcontext.gregs;
    constexpr greg_t longest_function = 8192;
    const greg_t ahead = now[REG_RIP] - general_[REG_RIP];
    return same(now, REG_R8) && same(now, REG_R9) && same_general(uc, REG_R12, REG_RDX) && same(now, REG_RCX) &&
           same(now, REG_RSP) && (same(now, REG_RAX) || now[REG_RAX] == general_[REG_R10]) && ahead > 0 &&
           ahead < longest_function && same_extended(uc) && same_thread();
  }

 private:
  static constexpr std::size_t legacy = 512, header = 64, room = 4096;
  // In the order of the kernel's array: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags.
  static constexpr int kept = REG_EFL + 1;

  // Its block, by which pthread and all thread_locals are found; in kernel_thread mode the kernel's thread too.
  bool same_thread() const noexcept { return arch::thread_base() == thread_ && errno == errno_; }
  bool same(const gregset_t& now, int which) const noexcept { return now[which] == general_[which]; }
  bool same_general(const ucontext_t& uc, int from, int to) const noexcept {
    for (int i = from; i <= to; ++i)
      if (!same(uc.uc_mcontext.gregs, i)) return false;
    return true;
  }

  struct component {
    unsigned at = 0, bytes = 0;
  };
  struct layout {
    component of[8];
    std::size_t size = legacy + header;
  };
  // Where AVX (2) and the three parts of AVX-512 (5 to 7) are. Filled in before the first signal.
  static const layout& components() noexcept {
    static const layout all = [] {
      layout l;
      for (unsigned n = 2; n < 8; ++n) {
        unsigned bytes = 0, at = 0, c = 0, d = 0;
        const bool ours = n == 2 || n >= 5;
        if (!ours || !__get_cpuid_count(0xd, n, &bytes, &at, &c, &d) || bytes == 0 || at + bytes > room) continue;
        l.of[n] = {at, bytes};
        if (at + bytes > l.size) l.size = at + bytes;
      }
      return l;
    }();
    return all;
  }
  static const layout& warm_;

  // What the kernel says it has saved: a frame may be shorter than what the processor has.
  static std::size_t size_of(const unsigned char* area) noexcept {
    _fpx_sw_bytes said;
    std::memcpy(&said, area + legacy - sizeof said, sizeof said);
    if (said.magic1 != FP_XSTATE_MAGIC1) return legacy;
    return said.xstate_size < components().size ? said.xstate_size : components().size;
  }

  bool same_extended(const ucontext_t& uc) const noexcept {
    const auto* area = reinterpret_cast<const unsigned char*>(uc.uc_mcontext.fpregs);
    const auto equal = [&](std::size_t at, std::size_t bytes) {
      return std::memcmp(area + at, extended_ + at, bytes) == 0;
    };
    constexpr std::size_t mxcsr = 24, registers = 32, end_of_registers = 416;
    if (!equal(0, 6) || !equal(mxcsr, 4) || !equal(registers, end_of_registers - registers)) return false;
    for (const component& c : components().of)
      if (c.bytes != 0 && c.at + c.bytes <= size_of(area) && !equal(c.at, c.bytes)) return false;
    return true;
  }

  greg_t general_[kept] = {};
  unsigned char extended_[room] = {};
  std::uintptr_t thread_ = 0;
  int errno_ = 0;
};
inline const machine_state::layout& machine_state::warm_ = machine_state::components();

}  // namespace urge::test::stepper
