// SPDX-License-Identifier: MIT
// Functions with the prologue that -fsplit-stack makes, by hand: every register is known as the function is entered,
// and its body stores what it finds.
//
//   void urge_test_general_entry(uint64_t seed: rdi, uint64_t out[15]: rsi)
//       rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r12..r15 are seed + 0 .. 12 at the entry; out[13], out[14]: two
//       arguments on the stack, seed + 13 and seed + 14
//   void urge_test_{sse,avx,avx512}_entry(const void* in: rdi, void* out: rsi)
//       all vector registers, 16, 32 or 64 bytes each; avx512: 32 of them, then k0..k7

#define ENTRY(frame)          \
        cmpq    %fs:0x70, %rsp; \
        jae     9f;           \
        movl    $frame, %r10d; \
        xorl    %r11d, %r11d; \
        call    __morestack;  \
        ret;                  \
9:

        .text
        .globl  urge_test_general_entry
        .type   urge_test_general_entry, @function
urge_test_general_entry:
        .cfi_startproc
        .irp    r, rbx, rbp, r12, r13, r14, r15
        pushq   %\r
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %\r, 0
        .endr
        leaq    14(%rdi), %rax
        pushq   %rsi                    // where the body stores, above its arguments
        .cfi_adjust_cfa_offset 8
        pushq   %rax
        .cfi_adjust_cfa_offset 8
        decq    %rax
        pushq   %rax
        .cfi_adjust_cfa_offset 8
        movq    %rdi, %rax
        leaq    1(%rax), %rbx
        leaq    2(%rax), %rcx
        leaq    3(%rax), %rdx
        leaq    4(%rax), %rsi
        leaq    5(%rax), %rdi
        leaq    6(%rax), %rbp
        leaq    7(%rax), %r8
        leaq    8(%rax), %r9
        leaq    9(%rax), %r12
        leaq    10(%rax), %r13
        leaq    11(%rax), %r14
        leaq    12(%rax), %r15
        call    urge_test_known_general
        addq    $24, %rsp
        .cfi_adjust_cfa_offset -24
        .irp    r, r15, r14, r13, r12, rbp, rbx
        popq    %\r
        .cfi_adjust_cfa_offset -8
        .cfi_restore %\r
        .endr
        ret
        .cfi_endproc
        .size   urge_test_general_entry, .-urge_test_general_entry

        .type   urge_test_known_general, @function
urge_test_known_general:
        .cfi_startproc
        ENTRY(8)
        movq    24(%rsp), %r10
        movq    %rax, (%r10)
        movq    %rbx, 8(%r10)
        movq    %rcx, 16(%r10)
        movq    %rdx, 24(%r10)
        movq    %rsi, 32(%r10)
        movq    %rdi, 40(%r10)
        movq    %rbp, 48(%r10)
        movq    %r8, 56(%r10)
        movq    %r9, 64(%r10)
        movq    %r12, 72(%r10)
        movq    %r13, 80(%r10)
        movq    %r14, 88(%r10)
        movq    %r15, 96(%r10)
        movq    8(%rsp), %r11
        movq    %r11, 104(%r10)
        movq    16(%rsp), %r11
        movq    %r11, 112(%r10)
        ret
        .cfi_endproc
        .size   urge_test_known_general, .-urge_test_known_general

#define SIXTEEN 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define THIRTY_TWO SIXTEEN, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31

        .globl  urge_test_sse_entry
        .type   urge_test_sse_entry, @function
urge_test_sse_entry:
        .cfi_startproc
        .irp    n, SIXTEEN
        movdqu  16 * \n(%rdi), %xmm\n
        .endr
        ENTRY(100)
        .irp    n, SIXTEEN
        movdqu  %xmm\n, 16 * \n(%rsi)
        .endr
        ret
        .cfi_endproc
        .size   urge_test_sse_entry, .-urge_test_sse_entry

        .globl  urge_test_avx_entry
        .type   urge_test_avx_entry, @function
urge_test_avx_entry:
        .cfi_startproc
        .irp    n, SIXTEEN
        vmovdqu 32 * \n(%rdi), %ymm\n
        .endr
        ENTRY(100)
        .irp    n, SIXTEEN
        vmovdqu %ymm\n, 32 * \n(%rsi)
        .endr
        vzeroupper
        ret
        .cfi_endproc
        .size   urge_test_avx_entry, .-urge_test_avx_entry

        .globl  urge_test_avx512_entry
        .type   urge_test_avx512_entry, @function
urge_test_avx512_entry:
        .cfi_startproc
        .irp    n, THIRTY_TWO
        vmovdqu64 64 * \n(%rdi), %zmm\n
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        kmovq   2048 + 8 * \n(%rdi), %k\n
        .endr
        ENTRY(100)
        .irp    n, THIRTY_TWO
        vmovdqu64 %zmm\n, 64 * \n(%rsi)
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        kmovq   %k\n, 2048 + 8 * \n(%rsi)
        .endr
        vzeroupper
        ret
        .cfi_endproc
        .size   urge_test_avx512_entry, .-urge_test_avx512_entry
        .section .note.GNU-stack, "", @progbits
