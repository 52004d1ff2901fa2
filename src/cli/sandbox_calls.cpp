// SPDX-License-Identifier: MIT
// See sandbox_calls.hpp. A list of what is let through, though it is made from one of what is refused: every call up to
// `last_known` has been looked at, and what is not in a table below is harmless. A list of refusals alone would let
// through what a later kernel adds (fchmodat2, setxattrat, ...): such a call is answered as by a kernel without it.
//
// Comparisons are of 64 bits where the kernel takes an argument for 32: what has bits above is refused, since only
// equality lets through. What lies in memory cannot be seen, so calls that keep their arguments there are refused.
#include "sandbox_calls.hpp"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <vector>

namespace urge::cli {

namespace {

// x86-64 left out 335 to 423 (there are only the kernel's own, for probes), and ends at 511.
constexpr int last_old = SYS_rseq, first_new = SYS_pidfd_send_signal, last_known = SYS_set_mempolicy_home_node;
constexpr int last_possible = 511;

constexpr int refused[] = {
    // Network. To name an address in memory is a way from any socket: from one that was inherited, or half of a pair.
    SYS_socket, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_sendmsg, SYS_sendmmsg,
    // Other programs
    SYS_execve, SYS_execveat, SYS_uselib,
    // Other processes: their memory and threads, queues and segments that outlive us, keys
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_process_mrelease, SYS_pidfd_getfd,
    SYS_move_pages, SYS_migrate_pages, SYS_perf_event_open, SYS_tkill, SYS_pidfd_send_signal, SYS_shmget, SYS_shmat,
    SYS_shmctl, SYS_semget, SYS_semop, SYS_semtimedop, SYS_semctl, SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl,
    SYS_mq_open, SYS_mq_unlink, SYS_add_key, SYS_request_key, SYS_keyctl,
    // What a file is apart from its contents: Landlock does not look at it
    SYS_chmod, SYS_fchmod, SYS_fchmodat, SYS_chown, SYS_fchown, SYS_lchown, SYS_fchownat, SYS_setxattr, SYS_lsetxattr,
    SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr, SYS_utime, SYS_utimes, SYS_futimesat,
    SYS_utimensat,
    // Files by another way than by path; system calls by another way than by number; code in the kernel
    SYS_open_by_handle_at, SYS_lookup_dcookie, SYS_fanotify_init, SYS_fanotify_mark, SYS_io_uring_setup,
    SYS_io_uring_enter, SYS_io_uring_register, SYS_bpf, SYS_userfaultfd, SYS_init_module, SYS_finit_module,
    SYS_delete_module, SYS_create_module, SYS_kexec_load, SYS_kexec_file_load,
    // Another view of files and processes
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
    SYS_move_mount, SYS_open_tree, SYS_mount_setattr, SYS_setns, SYS_unshare,
    // The machine
    SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_syslog, SYS_vhangup, SYS__sysctl,
    SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_iopl,
    SYS_ioperm};

using argument = scmp_arg_cmp;
argument is(unsigned index, std::uint64_t value) { return {index, SCMP_CMP_EQ, value, 0}; }
argument masked(unsigned index, std::uint64_t mask, std::uint64_t value) {
  return {index, SCMP_CMP_MASKED_EQ, mask, value};
}

// A call that stands here is refused but where all arguments of one of its lines are so.
struct exception {
  int call;
  std::vector<argument> arguments;
};

std::vector<exception> exceptions(int landlock) {
  const auto self = static_cast<std::uint64_t>(::getpid());
  constexpr std::uint64_t name_spaces =
      CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  constexpr std::uint64_t ioprio_of_process = 1;  // IOPRIO_WHO_PROCESS
  std::vector<exception> all{
      {SYS_socketpair, {is(0, AF_UNIX)}},
      {SYS_sendto, {is(4, 0)}},
      {SYS_clone, {masked(0, name_spaces, 0)}},
      {SYS_prlimit64, {is(2, 0)}},
      {SYS_setpriority, {is(0, PRIO_PROCESS), is(1, 0)}},
      {SYS_ioprio_set, {is(0, ioprio_of_process), is(1, 0)}},
  };
  for (const int call : {SYS_kill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo})
    all.push_back({call, {is(0, self)}});
  for (const int call :
       {SYS_prlimit64, SYS_sched_setaffinity, SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr})
    for (const std::uint64_t who : {std::uint64_t{0}, self}) all.push_back({call, {is(0, who)}});
  // Others change files through descriptors for reading, push input to the terminal, ...
  for (const std::uint64_t request : {TCGETS, TIOCGWINSZ, TIOCGPGRP, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX})
    all.push_back({SYS_ioctl, {is(1, request)}});
  // F_SETOWN sends signals to others; F_SETLEASE and F_NOTIFY are about files of others.
  for (const int request :
       {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK,
        F_OFD_SETLK, F_OFD_SETLKW, F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS})
    all.push_back({SYS_fcntl, {is(1, static_cast<std::uint64_t>(request))}});
  if (landlock < 3) {
    // It takes truncating for no writing: it is refused where nothing is opened for writing.
    for (const auto& [call, flags] : {std::pair{SYS_open, 1u}, {SYS_openat, 2u}}) {
      all.push_back({call, {masked(flags, O_TRUNC, 0)}});
      for (const int mode : {O_WRONLY, O_RDWR}) all.push_back({call, {masked(flags, O_ACCMODE, mode)}});
    }
  }
  return all;
}

class filter {
 public:
  filter() : context_(seccomp_init(SCMP_ACT_ERRNO(EPERM)), seccomp_release) {
    if (!context_) note(-ENOMEM);
    // System calls of 32-bit code, and x32's
    note(seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)));
    constexpr std::uint32_t binary_tree = 2;
    note(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, binary_tree));
  }
  void answer(int call, std::uint32_t action, const std::vector<argument>& when = {}) {
    if (error_ == 0)
      note(seccomp_rule_add_array(context_.get(), action, call, static_cast<unsigned>(when.size()), when.data()));
  }
  int load() {
    errno = 0;
    if (error_ == 0) note(seccomp_load(context_.get()));
    return error_ != 0 && errno != 0 ? errno : error_;  // the library's own answer does not tell the kernel's
  }

 private:
  void note(int result) {
    if (result < 0 && error_ == 0) error_ = -result;
  }
  const std::unique_ptr<void, void (*)(void*)> context_;
  int error_ = 0;
};

}  // namespace

int confine_calls(int landlock) {
  const auto some = exceptions(landlock);
  filter f;
  for (int call = 0; call <= last_possible; ++call) {
    const bool known = call <= last_old || (call >= first_new && call <= last_known);
    // Their flags are in memory; libc goes on with clone and openat.
    const bool missing = !known || call == SYS_clone3 || (call == SYS_openat2 && landlock < 3);
    const bool judged = std::find(std::begin(refused), std::end(refused), call) != std::end(refused) ||
                        (call == SYS_truncate && landlock < 3) ||
                        std::any_of(some.begin(), some.end(), [call](const exception& e) { return e.call == call; });
    if (missing)
      f.answer(call, SCMP_ACT_ERRNO(ENOSYS));
    else if (!judged)
      f.answer(call, SCMP_ACT_ALLOW);
  }
  for (const exception& e : some) f.answer(e.call, SCMP_ACT_ALLOW, e.arguments);
  return f.load();
}

}  // namespace urge::cli
