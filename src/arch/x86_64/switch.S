// SPDX-License-Identifier: MIT
// The switch: saves the callee-saved registers and both control words in the frame of Boost.Context's jump_fcontext
// (drawn in context.cpp), so that its make_fcontext starts contexts for it. It differs in how it leaves: by `ret`,
// where Boost jumps. The processor predicts returns by the calls that it has seen; a jump leaves the call of this
// function open, and each return on the way out is then mispredicted. Most Gs stop and go on at the same few places,
// where the prediction that the last one left is right. And the control words are loaded only if they differ, which is
// rare.
//
//     transfer urge_jump(context to: rdi, void* data: rsi)      returns {rax, rdx}; the entry of a new context finds
//                                                               the same in rdi, rsi

        .text
        .globl  urge_jump
        .hidden urge_jump
        .type   urge_jump, @function
        .p2align 4
urge_jump:
        .cfi_startproc
        leaq    -0x40(%rsp), %rsp
        .cfi_adjust_cfa_offset 0x40
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %r12, 0x10(%rsp)
        movq    %r13, 0x18(%rsp)
        movq    %r14, 0x20(%rsp)
        movq    %r15, 0x28(%rsp)
        movq    %rbx, 0x30(%rsp)
        movq    %rbp, 0x38(%rsp)
        .cfi_rel_offset %r12, 0x10
        .cfi_rel_offset %r13, 0x18
        .cfi_rel_offset %r14, 0x20
        .cfi_rel_offset %r15, 0x28
        .cfi_rel_offset %rbx, 0x30
        .cfi_rel_offset %rbp, 0x38
        movl    (%rsp), %ecx
        movzwl  4(%rsp), %r8d
        movq    %rsp, %rax
        movq    %rdi, %rsp              // from here on the other context's stack, with a frame of the same form
        cmpl    (%rsp), %ecx
        jne     1f
2:      cmpw    4(%rsp), %r8w
        jne     3f
4:      movq    0x10(%rsp), %r12
        movq    0x18(%rsp), %r13
        movq    0x20(%rsp), %r14
        movq    0x28(%rsp), %r15
        movq    0x30(%rsp), %rbx
        movq    0x38(%rsp), %rbp
        .cfi_remember_state
        leaq    0x40(%rsp), %rsp
        .cfi_adjust_cfa_offset -0x40
        .cfi_restore %r12
        .cfi_restore %r13
        .cfi_restore %r14
        .cfi_restore %r15
        .cfi_restore %rbx
        .cfi_restore %rbp
        movq    %rsi, %rdx
        movq    %rax, %rdi
        ret
        .cfi_restore_state
1:      ldmxcsr (%rsp)
        jmp     2b
3:      fldcw   4(%rsp)
        jmp     4b
        .cfi_endproc
        .size   urge_jump, .-urge_jump
        .section .note.GNU-stack, "", @progbits
