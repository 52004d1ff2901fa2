// SPDX-License-Identifier: MIT
// Where function entries land that find their stack pointer below the word at %fs:0x70 (docs/protocols/
// prologue_checks.md): code compiled with -fsplit-stack calls `__morestack` there, which is a jump to here
// (prologue_object.S). The source code calls nothing at that place: so every register that may carry an argument is
// kept, and the vector registers are not touched before the trampoline has saved them; the C++ code that decides is
// compiled without any (src/CMakeLists.txt).
//
// On entry: rsp points to the return address in the prologue, above it lies the function's own return address;
// r10 is the size of its frame, r11 that of its arguments on the stack. Both, and the flags, are free.
//
// To stop there is to be interrupted behind that call: with the stack pointer that the function was entered with, and
// the pc where it goes on. So the frame that the trampoline expects is built by hand, and it does the rest.

        .text
        .globl  urge_morestack
        .type   urge_morestack, @function
        .p2align 4
urge_morestack:
        .cfi_startproc
        // In the order of arch::function_entry, the last word first.
        pushq   %rax
        .cfi_adjust_cfa_offset 8
        pushq   %rcx
        .cfi_adjust_cfa_offset 8
        pushq   %rdx
        .cfi_adjust_cfa_offset 8
        pushq   %rsi
        .cfi_adjust_cfa_offset 8
        pushq   %rdi
        .cfi_adjust_cfa_offset 8
        pushq   %r8
        .cfi_adjust_cfa_offset 8
        pushq   %r9
        .cfi_adjust_cfa_offset 8
        pushq   %r10
        .cfi_adjust_cfa_offset 8
        pushq   %r11
        .cfi_adjust_cfa_offset 8
        movq    %rsp, %rdi
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        call    urge_at_function_entry          // puts where the function goes on in place of the return address
        testl   %eax, %eax
        leaq    8(%rsp), %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r11
        .cfi_adjust_cfa_offset -8
        popq    %r10
        .cfi_adjust_cfa_offset -8
        popq    %r9
        .cfi_adjust_cfa_offset -8
        popq    %r8
        .cfi_adjust_cfa_offset -8
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        popq    %rsi
        .cfi_adjust_cfa_offset -8
        popq    %rdx
        .cfi_adjust_cfa_offset -8
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        popq    %rax
        .cfi_adjust_cfa_offset -8
        jne     1f
        ret
1:      // The pc, below what would be the red zone of the interrupted function.
        leaq    -120(%rsp), %rsp
        .cfi_adjust_cfa_offset 120
        pushq   120(%rsp)
        .cfi_adjust_cfa_offset 8
        jmp     urge_async_preempt
        .cfi_endproc
        .size   urge_morestack, .-urge_morestack

// void* __morestack_allocate_stack_space(size_t rdi): alloca and arrays of variable length compare with the same word.
// An ordinary call; the second argument is the caller's stack pointer.
        .globl  urge_morestack_allocate
        .type   urge_morestack_allocate, @function
        .p2align 4
urge_morestack_allocate:
        .cfi_startproc
        leaq    8(%rsp), %rsi
        jmp     urge_memory_for_alloca
        .cfi_endproc
        .size   urge_morestack_allocate, .-urge_morestack_allocate
        .section .note.GNU-stack, "", @progbits
