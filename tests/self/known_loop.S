// SPDX-License-Identifier: MIT
// A loop with a known value in each register that an unwinder must recover, for trampoline_frames.cpp.
//     void urge_known_loop(volatile int* stop): returns when *stop is no longer 0
        .text
        .globl  urge_known_loop
        .type   urge_known_loop, @function
urge_known_loop:
        .cfi_startproc
        .irp    reg, rbp, rbx, r12, r13, r14, r15
        pushq   %\reg
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \reg, 0
        .endr
        movl    $0x66666666, %ebp
        movl    $0x33333333, %ebx
        movl    $0x12121212, %r12d
        movl    $0x13131313, %r13d
        movl    $0x14141414, %r14d
        movl    $0x15151515, %r15d
1:      cmpl    $0, (%rdi)
        je      1b
        .globl  urge_known_loop_left
urge_known_loop_left:
        .irp    reg, r15, r14, r13, r12, rbx, rbp
        popq    %\reg
        .cfi_adjust_cfa_offset -8
        .cfi_restore \reg
        .endr
        ret
        .cfi_endproc
        .size   urge_known_loop, .-urge_known_loop
        .section .note.GNU-stack, "", @progbits
