// SPDX-License-Identifier: MIT
// What `urge_prologue_checks` adds to every program and library whose code is compiled with -fsplit-stack: the names
// that the compiler calls, hidden, as jumps into the runtime. Without it the linker takes those of libgcc, silently,
// for they are hidden too: each module has its own. In one section group, so that an archive and a program that both
// have it can be linked. `__morestack_non_split` is what gold and lld put in its place in functions that call code
// compiled without checks: these then call at every entry.
// The jump goes through the module's table and not by the procedure linkage table: nothing may be bound at a first
// call.

        .section .text.__morestack, "axG", @progbits, __morestack, comdat
        .globl  __morestack
        .hidden __morestack
        .type   __morestack, @function
        .globl  __morestack_non_split
        .hidden __morestack_non_split
        .type   __morestack_non_split, @function
        .p2align 4
__morestack:
__morestack_non_split:
        .cfi_startproc
        jmp     *urge_morestack@GOTPCREL(%rip)
        .cfi_endproc
        .size   __morestack, .-__morestack
        .size   __morestack_non_split, .-__morestack_non_split

        .globl  __morestack_allocate_stack_space
        .hidden __morestack_allocate_stack_space
        .type   __morestack_allocate_stack_space, @function
        .p2align 4
__morestack_allocate_stack_space:
        .cfi_startproc
        jmp     *urge_morestack_allocate@GOTPCREL(%rip)
        .cfi_endproc
        .size   __morestack_allocate_stack_space, .-__morestack_allocate_stack_space

        .type   tell_the_runtime, @function
        .p2align 4
tell_the_runtime:
        .cfi_startproc
        jmp     *urge_has_prologue_checks@GOTPCREL(%rip)
        .cfi_endproc
        .size   tell_the_runtime, .-tell_the_runtime

        // As the module is loaded: from now on the word is written at switches and by requests.
        .section .init_array, "awG", @init_array, __morestack, comdat
        .p2align 3
        .quad   tell_the_runtime
        .section .note.GNU-stack, "", @progbits
