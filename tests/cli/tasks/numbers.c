/* SPDX-License-Identifier: MIT
 *
 * Makes system calls by number, with arguments that none of them accepts, and tells how each went: "101: EPERM".
 *
 * usage: numbers NUMBER...
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const long number = strtol(argv[i], NULL, 10);
    errno = 0;
    syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
    printf("%ld: %s\n", number, errno ? strerrorname_np(errno) : "ok");
  }
  return 0;
}
