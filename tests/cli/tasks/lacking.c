/* SPDX-License-Identifier: MIT
 *
 * Runs a program as on a kernel that lacks a system call. `seccomp` stands for both ways to install a filter.
 *
 * usage: lacking NAME PROGRAM ARGUMENT...
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  const unsigned lacks = SCMP_ACT_ERRNO(ENOSYS);
  int error = seccomp_rule_add(filter, lacks, seccomp_syscall_resolve_name(argv[1]), 0);
  const struct scmp_arg_cmp by_prctl = {0, SCMP_CMP_EQ, PR_SET_SECCOMP, 0};
  if (error == 0 && !strcmp(argv[1], "seccomp"))
    error = seccomp_rule_add_array(filter, lacks, SCMP_SYS(prctl), 1, &by_prctl);
  if (error == 0) error = seccomp_load(filter);
  if (error != 0) {
    fprintf(stderr, "lacking: %s\n", strerror(-error));
    return 2;
  }
  execv(argv[2], argv + 2);
  perror(argv[2]);
  return 2;
}
