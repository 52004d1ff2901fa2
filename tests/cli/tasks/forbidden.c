/* SPDX-License-Identifier: MIT
 *
 * What a sandbox refuses. Without one each of these can be done, by anybody.
 * OTHER_FOLDER has a file for each thing that is tried with one, a folder `empty`, and `socket`, to which a datagram
 * can be sent; FOLDER has `mine`, `mine2`, and `link`, which leads to OTHER_FOLDER/symlink. Descriptor 9 is open.
 */
#define _GNU_SOURCE
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "attempts.h"

/* Network */
static int socket_inet(void) { return opened(socket(AF_INET, SOCK_STREAM, 0)); }
static int socket_unix(void) { return opened(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int socket_netlink(void) { return opened(socket(AF_NETLINK, SOCK_RAW, 0)); }

enum way { by_sendto, by_sendmsg, by_connect };
static int from_half_of_a_pair(enum way how) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return -1;
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path, outside("socket"), sizeof to.sun_path - 1);
  struct iovec text = {(void*)"text", 4};
  const struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &text, .msg_iovlen = 1};
  long n = -1;
  if (how == by_sendto) n = sendto(pair[0], "text", 4, 0, (struct sockaddr*)&to, sizeof to);
  if (how == by_sendmsg) n = sendmsg(pair[0], &message, 0);
  if (how == by_connect && (n = connect(pair[0], (struct sockaddr*)&to, sizeof to)) == 0) n = write(pair[0], "text", 4);
  const int error = errno;
  close(pair[0]), close(pair[1]);
  return keep_errno((int)n, error);
}
static int sendto_an_address(void) { return from_half_of_a_pair(by_sendto); }
static int sendmsg_to_an_address(void) { return from_half_of_a_pair(by_sendmsg); }
static int connect_half_of_a_pair(void) { return from_half_of_a_pair(by_connect); }

/* Other programs */
static char* const no_arguments[] = {"true", NULL};
static int call_execve(void) { return execve("/bin/true", no_arguments, no_arguments + 1); }
static int call_execveat(void) {
  return (int)syscall(SYS_execveat, AT_FDCWD, "/bin/true", no_arguments, no_arguments + 1, 0);
}
static int fork_and_execve(void) { return in_child(call_execve); }
static int fork_and_execveat(void) { return in_child(call_execveat); }
static int call_posix_spawn(void) {
  pid_t child;
  const int error = posix_spawn(&child, "/bin/true", NULL, NULL, no_arguments, no_arguments + 1);
  if (error == 0) waitpid(child, NULL, 0);
  return keep_errno(error ? -1 : 0, error);
}
static int call_system(void) { return system("exit 0") == 0 ? 0 : -1; }

/* The contents of files, and folders */
static int write_to(const char* path, int flags) {
  const int fd = open(path, O_WRONLY | flags, 0666);
  return fd < 0 || write(fd, "new", 3) != 3 ? -1 : opened(fd);
}
static int write_outside(void) { return write_to(outside("write"), 0); }
static int create_outside(void) { return write_to(outside("created"), O_CREAT); }
static int write_by_symlink(void) { return write_to(inside("link"), 0); }
static int write_by_dotdot(void) {
  const char* name = strrchr(outside_folder, '/') + 1;
  char path[512];
  snprintf(path, sizeof path, "%s/../%s/dotdot", inside_folder, name);
  return write_to(path, 0);
}
static int write_by_folder_descriptor(void) {
  const int folder = open(outside_folder, O_RDONLY | O_DIRECTORY);
  const int fd = openat(folder, "by_folder", O_WRONLY), error = errno;
  close(folder);
  return keep_errno(opened(fd), error);
}
static int write_by_path_descriptor(void) {
  const int place = open(outside("by_path"), O_PATH);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", place);
  const int result = write_to(path, 0), error = errno;
  close(place);
  return keep_errno(result, error);
}
static int open_and_truncate(void) { return opened(open(outside("open_truncate"), O_RDONLY | O_TRUNC)); }
static int truncate_outside(void) { return truncate(outside("truncate"), 0); }
static int rename_out(void) { return rename(inside("mine"), outside("renamed")); }
static int rename_in(void) { return rename(outside("rename"), inside("renamed")); }
static int link_out(void) { return link(inside("mine2"), outside("linked")); }
static int link_in(void) { return link(outside("link"), inside("linked")); }
static int unlink_outside(void) { return unlink(outside("unlink")); }
static int mkdir_outside(void) { return mkdir(outside("folder"), 0777); }
static int rmdir_outside(void) { return rmdir(outside("empty")); }
static int symlink_outside(void) { return symlink("write", outside("symlinked")); }
static int mkfifo_outside(void) { return mkfifo(outside("fifo"), 0666); }
static int write_to_inherited_descriptor(void) { return write(9, "new", 3) == 3 ? 0 : -1; }
static int write_own_memory_file(void) { return opened(open("/proc/self/mem", O_RDWR)); }
static int make_a_socket_file(void) { return mknod(inside("socket"), S_IFSOCK | 0666, 0); }

/* What else there is of a file */
static int chmod_outside(void) { return chmod(outside("chmod"), 0600); }
static int fchmod_outside(void) {
  const int fd = open(outside("fchmod"), O_RDONLY);
  const int result = fchmod(fd, 0600), error = errno;
  close(fd);
  return keep_errno(result, error);
}
static int chown_outside(void) { return chown(outside("chown"), getuid(), getgid()); }
static int touch_outside(void) { return utimensat(AT_FDCWD, outside("touch"), NULL, 0); }
static int other_ioctl(void) {
  const int fd = open(outside("ioctl"), O_RDONLY);
  int size;
  const int result = ioctl(fd, FIGETBSZ, &size), error = errno;
  close(fd);
  return keep_errno(result, error);
}

/* Other processes */
static int kill_another(void) { return kill(stranger, 0); }
static int kill_the_group(void) { return kill(0, 0); }
static int kill_all(void) { return kill(-1, 0); }
static int tgkill_another(void) { return (int)syscall(SYS_tgkill, stranger, stranger, 0); }
static int tkill_another(void) { return (int)syscall(SYS_tkill, stranger, 0); }
static int sigqueue_another(void) { return sigqueue(stranger, 0, (union sigval){0}); }
static int pidfd_signal_another(void) {
  const int fd = (int)syscall(SYS_pidfd_open, stranger, 0);
  const int result = (int)syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), error = errno;
  close(fd);
  return keep_errno(result, error);
}
static int own_a_pipe_to_another(void) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const int result = fcntl(ends[0], F_SETOWN, stranger), error = errno;
  close(ends[0]), close(ends[1]);
  return keep_errno(result, error);
}
static int limit_another(void) {
  struct rlimit limit;
  if (prlimit(stranger, RLIMIT_CORE, NULL, &limit) != 0) return -1;
  return prlimit(stranger, RLIMIT_CORE, &limit, NULL);
}
static int renice_another(void) {
  return setpriority(PRIO_PROCESS, (id_t)stranger, getpriority(PRIO_PROCESS, (id_t)stranger));
}
static int move_another(void) {
  cpu_set_t set;
  if (sched_getaffinity(stranger, sizeof set, &set) != 0) return -1;
  return sched_setaffinity(stranger, sizeof set, &set);
}
static int read_memory_file_of_another(void) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", (int)stranger);
  return opened(open(path, O_RDONLY));
}

/* With a child of our own, which nobody would keep us from without a sandbox. */
static int with_own_child(long (*function)(pid_t)) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    char c;
    close(ends[1]);
    _exit(read(ends[0], &c, 1) != 0);
  }
  const int result = (int)function(child), error = errno;
  close(ends[0]), close(ends[1]);
  waitpid(child, NULL, 0);
  return keep_errno(result, error);
}
static long seize_and_let_go(pid_t child) {
  if (ptrace(PTRACE_SEIZE, child, NULL, NULL) != 0) return -1;
  ptrace(PTRACE_INTERRUPT, child, NULL, NULL);
  waitpid(child, NULL, __WALL);
  return ptrace(PTRACE_DETACH, child, NULL, NULL);
}
static int trace_a_child(void) { return with_own_child(seize_and_let_go); }
static long peek_at_a_word(pid_t child) {
  long word, copy;
  const struct iovec here = {&copy, sizeof copy}, there = {&word, sizeof word};
  return process_vm_readv(child, &here, 1, &there, 1, 0);
}
static int read_memory_of_a_child(void) { return with_own_child(peek_at_a_word); }

/* What outlives the process */
static int shared_segment(void) {
  const int id = shmget(IPC_PRIVATE, 4096, 0600);
  return id < 0 ? -1 : shmctl(id, IPC_RMID, NULL);
}
static int message_queue(void) {
  const int id = msgget(IPC_PRIVATE, 0600);
  return id < 0 ? -1 : msgctl(id, IPC_RMID, NULL);
}
static int shared_memory_file(void) {
  char name[64];
  snprintf(name, sizeof name, "/urge_test_%d", (int)getpid());
  const int fd = shm_open(name, O_RDWR | O_CREAT, 0600);
  return fd < 0 ? -1 : close(fd) + shm_unlink(name);
}

static const struct attempt all[] = {
#define TRY(name) \
  { #name, name }
    TRY(socket_inet),
    TRY(socket_unix),
    TRY(socket_netlink),
    TRY(sendto_an_address),
    TRY(sendmsg_to_an_address),
    TRY(connect_half_of_a_pair),
    TRY(fork_and_execve),
    TRY(fork_and_execveat),
    TRY(call_posix_spawn),
    TRY(call_system),
    TRY(write_outside),
    TRY(create_outside),
    TRY(write_by_symlink),
    TRY(write_by_dotdot),
    TRY(write_by_folder_descriptor),
    TRY(write_by_path_descriptor),
    TRY(open_and_truncate),
    TRY(truncate_outside),
    TRY(rename_out),
    TRY(rename_in),
    TRY(link_out),
    TRY(link_in),
    TRY(unlink_outside),
    TRY(mkdir_outside),
    TRY(rmdir_outside),
    TRY(symlink_outside),
    TRY(mkfifo_outside),
    TRY(write_to_inherited_descriptor),
    TRY(write_own_memory_file),
    TRY(make_a_socket_file),
    TRY(chmod_outside),
    TRY(fchmod_outside),
    TRY(chown_outside),
    TRY(touch_outside),
    TRY(other_ioctl),
    TRY(kill_another),
    TRY(kill_the_group),
    TRY(kill_all),
    TRY(tgkill_another),
    TRY(tkill_another),
    TRY(sigqueue_another),
    TRY(pidfd_signal_another),
    TRY(own_a_pipe_to_another),
    TRY(limit_another),
    TRY(renice_another),
    TRY(move_another),
    TRY(read_memory_file_of_another),
    TRY(trace_a_child),
    TRY(read_memory_of_a_child),
    TRY(shared_segment),
    TRY(message_queue),
    TRY(shared_memory_file),
    {NULL, NULL}};

int main(int argc, char** argv) { return run_attempts(argc, argv, all); }
