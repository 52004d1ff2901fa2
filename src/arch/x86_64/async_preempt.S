// SPDX-License-Identifier: MIT
// The trampoline: what a preempted G executes between its interrupted instruction and the scheduler, and on its way
// back. It runs as ordinary code, after the signal handler has returned (docs/protocols/preempt_request.md).
//
// On entry, on the interrupted stack, whichever that is (the G's, or one that the G made for itself):
//     rsp + 136        the interrupted rsp
//     rsp + 8 .. 135   the red zone: not ours
//     rsp              the interrupted pc
// Nothing else is known: the direction flag may be set, the stack is aligned to nothing.
//
// Only three words go to that stack. All the rest is saved on the stack of the identity that the G carries from here on
// (its donor thread has ended and left it), so a G may be stopped close to the end of its stack, or on a foreign one.
// The frame there, growing down from urge_async_sp (which is aligned to 64 bytes):
//     -8      rsp of the interrupted stack, pointing at: rax, flags, then the pushed pc
//     -16     rbp     <- rbp points here while the scheduler runs
//     -24     rbx   -32 rcx   -40 rdx   -48 rsi   -56 rdi   -64 r8   -72 r9   -80 r10  -88 r11
//     -96     r12   -104 r13  -112 r14  -120 r15
//     then, aligned to 64, the extended state: x87, SSE, AVX, AVX-512 by xsave, its 64-byte header zeroed first
// The way back is the reverse; `ret $128` restores pc and rsp at once without touching the red zone.

        .text
        .globl  urge_async_preempt
        .hidden urge_async_preempt
        .globl  urge_async_preempt_end
        .hidden urge_async_preempt_end
        .type   urge_async_preempt, @function
        .p2align 4
urge_async_preempt:
        .cfi_startproc
        .cfi_signal_frame               // unwinders: the caller stopped at an arbitrary instruction
        .cfi_def_cfa %rsp, 136          // CFA = the interrupted rsp
        .cfi_offset %rip, -136
        pushfq
        .cfi_adjust_cfa_offset 8
        pushq   %rax
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rax, -152
        movq    urge_async_sp@gottpoff(%rip), %rax
        movq    %fs:(%rax), %rax
        movq    %rsp, -8(%rax)
        leaq    -8(%rax), %rsp
        // CFA = the word at rsp, plus the two words above, the pushed pc and the red zone
        .cfi_escape 0x0f, 0x06, 0x77, 0x00, 0x06, 0x23, 0x98, 0x01   // breg7 0, deref, plus_uconst 152
        pushq   %rbp
        .cfi_escape 0x0f, 0x06, 0x77, 0x08, 0x06, 0x23, 0x98, 0x01   // breg7 8, deref, plus_uconst 152
        movq    %rsp, %rbp
        .cfi_escape 0x0f, 0x06, 0x76, 0x08, 0x06, 0x23, 0x98, 0x01   // breg6 8, deref, plus_uconst 152
        .cfi_escape 0x10, 0x06, 0x02, 0x76, 0x00                     // rbp is at breg6 0
        cld
        pushq   %rbx
        .cfi_escape 0x10, 0x03, 0x02, 0x76, 0x78                     // rbx at rbp-8
        pushq   %rcx
        pushq   %rdx
        pushq   %rsi
        pushq   %rdi
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        pushq   %r12
        .cfi_escape 0x10, 0x0c, 0x03, 0x76, 0xb0, 0x7f               // r12 at rbp-80
        pushq   %r13
        .cfi_escape 0x10, 0x0d, 0x03, 0x76, 0xa8, 0x7f               // r13 at rbp-88
        pushq   %r14
        .cfi_escape 0x10, 0x0e, 0x03, 0x76, 0xa0, 0x7f               // r14 at rbp-96
        pushq   %r15
        .cfi_escape 0x10, 0x0f, 0x03, 0x76, 0x98, 0x7f               // r15 at rbp-104

        subq    urge_xstate_bytes(%rip), %rsp
        andq    $-64, %rsp
        xorl    %eax, %eax
        movq    %rax, 512(%rsp)
        movq    %rax, 520(%rsp)
        movq    %rax, 528(%rsp)
        movq    %rax, 536(%rsp)
        movq    %rax, 544(%rsp)
        movq    %rax, 552(%rsp)
        movq    %rax, 560(%rsp)
        movq    %rax, 568(%rsp)
        movl    urge_xstate_mask(%rip), %eax
        xorl    %edx, %edx
        xsave64 (%rsp)
        // The ABI wants its defaults in the scheduler: user code may run with other rounding or unmasked exceptions.
        fninit
        pushq   $0x1f80
        ldmxcsr (%rsp)
        addq    $8, %rsp

        call    urge_landing

        movl    urge_xstate_mask(%rip), %eax
        xorl    %edx, %edx
        xrstor64 (%rsp)
        leaq    -104(%rbp), %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rdi
        popq    %rsi
        popq    %rdx
        popq    %rcx
        popq    %rbx
        popq    %rbp
        .cfi_escape 0x0f, 0x06, 0x77, 0x00, 0x06, 0x23, 0x98, 0x01   // breg7 0, deref, plus_uconst 152
        .cfi_same_value %rbp
        .cfi_same_value %rbx
        .cfi_same_value %r12
        .cfi_same_value %r13
        .cfi_same_value %r14
        .cfi_same_value %r15
        movq    (%rsp), %rsp
        .cfi_def_cfa %rsp, 152
        popq    %rax
        .cfi_adjust_cfa_offset -8
        .cfi_same_value %rax
        popfq
        .cfi_adjust_cfa_offset -8
        ret     $128
        .cfi_endproc
        .size   urge_async_preempt, .-urge_async_preempt

// What a function returns to whose return address was exchanged (arch::return_by_trampoline): the G is stopped where it
// would have gone on, which is in its G::returns_to. Every register may hold what is returned, and the flags are kept.
        .globl  urge_stop_at_return
        .hidden urge_stop_at_return
        .type   urge_stop_at_return, @function
        .p2align 4
        .cfi_startproc
        .cfi_undefined %rip
        nop                                     // an unwinder looks for what lies before the return address
urge_stop_at_return:
        leaq    -16(%rsp), %rsp
        pushq   %rax
        movq    urge_tls@gottpoff(%rip), %rax
        movq    $1, %fs:16(%rax)                // tls_words::has_returned
        movq    %fs:(%rax), %rax                // tls_words::g
        movq    120(%rax), %rax                 // G::returns_to
        movq    %rax, 16(%rsp)                  // where the return address was
        popq    %rax
        leaq    -112(%rsp), %rsp
        pushq   120(%rsp)
        jmp     urge_async_preempt
        .cfi_endproc
        .size   urge_stop_at_return, .-urge_stop_at_return
urge_async_preempt_end:
        .section .note.GNU-stack, "", @progbits
