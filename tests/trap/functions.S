// SPDX-License-Identifier: MIT
// The functions that are trapped: those of libc, the loader and libstdc++ that take a lock or allocate. Each is defined
// here, in a library that comes before theirs; it asks `urge_trap_check` and goes on, by a jump, in the real one. So
// arguments of any number and kind pass, and dlsym and dl_iterate_phdr see their true caller.
// Not on the list: what allocates only by calling malloc from outside (strdup, operator new, std::string: malloc is
// trapped); dlvsym, by which the real ones are found; abort, by which the runtime ends where Go's would die, too;
// pthread_create, which has a body of its own in trap.cpp; those that are cancellation points and nothing else.
// Context: any.

        .set    urge_trap_none, 0

// The entry: name, address of the real one (0: found later).
        .macro  trapped name, real=urge_trap_none
        .text
        .globl  \name
        .type   \name, @function
        .p2align 4
\name:
        .cfi_startproc
        leaq    .Lentry_\name(%rip), %r11
        jmp     urge_trap_pass
        .cfi_endproc
        .size   \name, .-\name
        .section .rodata.str1.1, "aMS", @progbits, 1
.Lname_\name:
        .asciz  "\name"
        .data
        .balign 8
.Lentry_\name:
        .quad   .Lname_\name, \real
        .endm

        .macro  all names:vararg
        .irp    name, \names
        trapped \name
        .endr
        .endm

        .text
        .type   urge_trap_pass, @function
        .p2align 4
urge_trap_pass:
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        pushq   %rcx
        pushq   %r8
        pushq   %r9
        pushq   %rax                    // al: the number of vector registers that a call with `...` uses
        pushq   %r10
        subq    $128, %rsp
        movups  %xmm0, (%rsp)
        movups  %xmm1, 16(%rsp)
        movups  %xmm2, 32(%rsp)
        movups  %xmm3, 48(%rsp)
        movups  %xmm4, 64(%rsp)
        movups  %xmm5, 80(%rsp)
        movups  %xmm6, 96(%rsp)
        movups  %xmm7, 112(%rsp)
        movq    %r11, %rdi
        movq    %rbp, %rsi
        call    urge_trap_check
        movq    %rax, %r11
        movups  (%rsp), %xmm0
        movups  16(%rsp), %xmm1
        movups  32(%rsp), %xmm2
        movups  48(%rsp), %xmm3
        movups  64(%rsp), %xmm4
        movups  80(%rsp), %xmm5
        movups  96(%rsp), %xmm6
        movups  112(%rsp), %xmm7
        addq    $128, %rsp
        popq    %r10
        popq    %rax
        popq    %r9
        popq    %r8
        popq    %rcx
        popq    %rdx
        popq    %rsi
        popq    %rdi
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        jmp     *%r11
        .cfi_endproc
        .size   urge_trap_pass, .-urge_trap_pass

        .data
        .balign 8
        .globl  urge_trap_entries
urge_trap_entries:
// malloc: those that the loader's own look-ups may call have their address from the start.
        trapped malloc, __libc_malloc
        trapped free, __libc_free
        trapped calloc, __libc_calloc
        trapped realloc, __libc_realloc
        trapped memalign, __libc_memalign
        all posix_memalign, aligned_alloc, valloc, pvalloc, reallocarray, malloc_trim, mallopt, mallinfo2
// locks and threads
        all pthread_mutex_lock, pthread_mutex_trylock, pthread_mutex_timedlock, pthread_mutex_clocklock
        all pthread_mutex_unlock, pthread_rwlock_rdlock, pthread_rwlock_wrlock, pthread_rwlock_tryrdlock
        all pthread_rwlock_trywrlock, pthread_rwlock_timedrdlock, pthread_rwlock_timedwrlock
        all pthread_rwlock_clockrdlock, pthread_rwlock_clockwrlock, pthread_rwlock_unlock, pthread_cond_wait
        all pthread_cond_timedwait, pthread_cond_clockwait, pthread_cond_signal, pthread_cond_broadcast, pthread_once
        all pthread_join, pthread_timedjoin_np, pthread_clockjoin_np, pthread_tryjoin_np, pthread_detach
        all pthread_cancel, pthread_exit, pthread_key_create, pthread_key_delete, pthread_setspecific
        all pthread_getattr_np, pthread_setname_np, pthread_getname_np, pthread_barrier_wait, pthread_spin_lock
        all sem_open, sem_close, call_once, mtx_lock, mtx_unlock, cnd_wait
// stdio
        all flockfile, ftrylockfile, funlockfile, fopen, fopen64, fdopen, freopen, freopen64, fclose, fcloseall, fflush
        all fwrite, fread, fputs, fputc, putc, _IO_putc, fgetc, getc, _IO_getc, fgets, gets, getline, getdelim, ungetc
        all puts, putchar, getchar, printf, vprintf, fprintf, vfprintf, dprintf, vdprintf, scanf, fscanf, vscanf
        all vfscanf, __isoc99_scanf, __isoc99_fscanf, __printf_chk, __vprintf_chk, __fprintf_chk, __vfprintf_chk
        all __dprintf_chk, __vdprintf_chk, __fgets_chk, __fread_chk, perror, psignal, setvbuf, setbuf, setlinebuf
        all fseek, fseeko, fseeko64, ftell, ftello, ftello64, rewind, fgetpos, fsetpos, feof, ferror, clearerr
        all fputws, fputwc, putwc, putwchar, fgetwc, getwc, getwchar, fgetws, ungetwc, fwide, wprintf, vwprintf
        all fwprintf, vfwprintf, tmpfile, tmpfile64, popen, pclose, fmemopen, open_memstream, fopencookie
        all asprintf, vasprintf, warn, warnx, vwarn, vwarnx, error, err, errx, verr, verrx
// the loader, the unwinder, the C++ runtime
        all dlopen, dlmopen, dlclose, dlsym, dladdr, dladdr1, dlinfo, dlerror, dl_iterate_phdr
        all _Unwind_RaiseException, _Unwind_Resume_or_Rethrow, _Unwind_ForcedUnwind, _Unwind_Backtrace, backtrace
        all backtrace_symbols, backtrace_symbols_fd, __register_frame_info, __deregister_frame_info
        all __cxa_allocate_exception, __cxa_free_exception, __cxa_throw, __cxa_rethrow, __cxa_guard_acquire
        all __cxa_guard_release, __cxa_atexit, __cxa_thread_atexit_impl, __cxa_thread_atexit, __cxa_demangle
// the ends of a process, and others of it
        all exit, quick_exit, on_exit, fork, vfork, system, posix_spawn, posix_spawnp, daemon, wordexp, glob, glob64
        all setuid, setgid, seteuid, setegid, setreuid, setregid, setresuid, setresgid, setgroups, initgroups
// environment, time, locale, numbers, messages
        all getenv, secure_getenv, setenv, unsetenv, putenv, clearenv, tzset, localtime, localtime_r, gmtime, gmtime_r
        all mktime, timegm, ctime, ctime_r, strftime, wcsftime, strptime, getdate, setlocale, newlocale, duplocale
        all freelocale, uselocale, localeconv, nl_langinfo, gettext, dgettext, dcgettext, textdomain, bindtextdomain
        all bind_textdomain_codeset, iconv_open, iconv_close, catopen, rand, srand, random, srandom, initstate, setstate
        all strerror, strsignal, syslog, vsyslog, openlog, closelog, setlogmask, __syslog_chk, __vsyslog_chk
// data structures, files, names of others
        all qsort, qsort_r, hsearch, tsearch, twalk, tdelete, regcomp, regexec, regfree, opendir, fdopendir, readdir
        all readdir64, closedir, rewinddir, seekdir, telldir, scandir, scandir64, nftw, ftw, fts_open, realpath
        all getcwd, get_current_dir_name, ttyname, getlogin, getpass, mkstemp, mkostemp, mkdtemp, timer_create
        all getaddrinfo, freeaddrinfo, getnameinfo, gethostbyname, gethostbyaddr, getservbyname, getprotobyname
        all getpwnam, getpwuid, getpwnam_r, getpwuid_r, getgrnam, getgrgid, getgrnam_r, getgrgid_r, getpwent
        all getifaddrs, freeifaddrs, if_nameindex, aio_read, aio_write, mq_notify, shm_open
        all get_nprocs, get_nprocs_conf, sysconf

        .data
        .balign 8
        .globl  urge_trap_entries_end
urge_trap_entries_end:
        .section .note.GNU-stack, "", @progbits
