// SPDX-License-Identifier: MIT
// What a CPU must offer: the folder's front header, and the whole contract of a port. Registers, `ucontext_t` and
// assembly stay inside this folder.
//   context      make one on a stack, jump to one; callee-saved registers, MXCSR and the x87 control word are kept
//   thread base  the register that points at the current TLS block: read it, set it
//   entries      the word that function entries compare the stack pointer with, and a look at one that was below
//   interrupted  a look into a signal's context, and the redirection of its program counter to `urge_async_preempt`
// Context of all of it: any, the signal handler included.
#pragma once
#include <cstddef>
#include <cstdint>

namespace urge::arch {

// --- context: made by Boost.Context's make_fcontext; urge_jump is jump_fcontext with returns that are predicted ---
using context = void*;
struct transfer {
  context from;  // the context that jumped here; good for one jump back
  void* data;
};
extern "C" {
context make_fcontext(void* stack_top, std::size_t size, void (*entry)(transfer));
transfer urge_jump(context to, void* data);
}
inline context make(void* stack_top, std::size_t size, void (*entry)(transfer)) noexcept {
  return make_fcontext(stack_top, size, entry);
}
// Inlined also where nothing else is: ThreadSanitizer's count of entered functions is per context.
[[gnu::always_inline]] inline transfer jump(context to, void* data) noexcept { return urge_jump(to, data); }

// What unwinding starts from, by the numbers of the DWARF tables. A register that nobody has saved is 0.
struct registers {
  static constexpr int count = 17;
  static constexpr const char* names[count] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
                                               "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
  std::uintptr_t value[count] = {};
  std::uintptr_t pc() const noexcept { return value[16]; }
  std::uintptr_t sp() const noexcept { return value[7]; }
  std::uintptr_t fp() const noexcept { return value[6]; }
};
registers registers_of(context) noexcept;             // of one that is suspended
registers registers_of_signal(const void*) noexcept;  // of what a signal has interrupted, by the handler's argument
// Of what the trampoline has saved on the stack that ends at `save_top`: where the code was interrupted.
registers registers_of_preempted(const char* save_top) noexcept;
void store_registers(std::uintptr_t* value) noexcept;
// Of the caller; good while it has not returned.
[[gnu::always_inline]] inline registers registers_here() noexcept {
  registers r;
  store_registers(r.value);
  return r;
}

// --- thread base ---
std::uintptr_t thread_base() noexcept;
void set_thread_base(std::uintptr_t) noexcept;
// Finds out which instructions this machine has. Before the first set_thread_base; idempotent.
void init() noexcept;
// Bytes that the trampoline's save area takes on the stack it switches to.
std::size_t extended_state_bytes() noexcept;

// --- function entries of code compiled with -fsplit-stack (docs/protocols/prologue_checks.md) ---
inline constexpr std::uintptr_t no_entry_passes = ~std::uintptr_t{0};
// The word in the TLS block that a function entry compares its stack pointer with: below it, `__morestack` is called.
inline void set_entry_limit(std::uintptr_t thread_base, std::uintptr_t limit) noexcept {
  __atomic_store_n(reinterpret_cast<std::uintptr_t*>(thread_base + 0x70), limit, __ATOMIC_RELAXED);
}
std::uintptr_t entry_limit() noexcept;  // of the calling thread
void set_entry_limit(std::uintptr_t limit) noexcept;
// A function that has called: what urge_morestack (morestack.S) has pushed on its stack.
struct function_entry {
  std::uintptr_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
  std::uintptr_t pc;  // first behind that call, then where the function goes on
  std::uintptr_t caller;
  std::uintptr_t sp() const noexcept { return reinterpret_cast<std::uintptr_t>(&caller); }
  // What the function has compared: with a frame of 256 bytes or more, where that would end.
  std::uintptr_t compared() const noexcept { return r10 < 256 ? sp() : sp() - r10; }
};
// Sets pc, and the registers that the code there expects. Once.
void go_on_behind(function_entry&) noexcept;

// --- interrupted: `ucontext` is the handler's third argument ---
std::uintptr_t interrupted_pc(const void* ucontext) noexcept;
std::uintptr_t interrupted_sp(const void* ucontext) noexcept;
std::uint64_t interrupted_sigmask(const void* ucontext) noexcept;

// Below the interrupted stack pointer: the red zone of the ABI, the pushed PC, and two words that the trampoline needs
// before it leaves this stack. A stack with less room cannot take a preemption.
inline constexpr std::size_t red_zone = 128;
inline constexpr std::size_t redirect_room = red_zone + 8 * 8;

// Makes the interrupted thread go on in `urge_async_preempt` instead; it comes back to the interrupted instruction with
// every register as it was.
void redirect_to_trampoline(void* ucontext) noexcept;
// Makes it go on in a function that does not return, on another stack; what it did is lost.
void redirect_for_good(void* ucontext, void (*to)(), char* stack_top) noexcept;
// Is it about to make a system call? It is if one was interrupted that is made again (SA_RESTART): it was asleep there.
bool interrupted_system_call(const void* ucontext) noexcept;
// The same where the call does not restart: it has just returned EINTR.
bool system_call_was_interrupted(const void* ucontext) noexcept;
// Has another signal's handler run there just before, on that stack, of which `low` is the end? It may seem so for
// longer.
bool handler_has_returned(const void* ucontext, std::uintptr_t low) noexcept;
// The number of the system call that the `syscall` instruction there makes; -1: the code before it, of which so many
// bytes may be read, does not tell.
int system_call_number(const unsigned char* call, std::size_t readable) noexcept;
// Makes that call begin once more. False: it cannot be told which it was, or it is one that must not.
bool begin_call_anew(void* ucontext) noexcept;

// Lets the function whose return address lies there return into the trampoline, as if it was interrupted by a signal
// where it returns to; and takes that back, if it has not returned yet. `returns_to` is its G's. Unwinders cannot see
// through it.
void return_by_trampoline(std::uintptr_t* slot, std::uintptr_t& returns_to) noexcept;
void return_as_before(std::uintptr_t* slot, std::uintptr_t returns_to) noexcept;
bool returns_by_trampoline(const std::uintptr_t* slot) noexcept;

// Is pc inside the trampoline? There the state is half saved or half restored: no preemption.
bool in_trampoline(std::uintptr_t pc) noexcept;

}  // namespace urge::arch
