/* SPDX-License-Identifier: MIT
 *
 * A program that tries things, each under a name, and tells how each went: "name: ok" or "name: EPERM". A thing is
 * a function that returns a negative number and leaves an errno if it could not be done. Told by write, so that a child
 * of fork may try as well.
 *
 * usage: ... FOLDER OTHER_FOLDER PID [thread|child]    who is to try: main if it is not said
 */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct attempt {
  const char* name;
  int (*function)(void);
};

static const char *inside_folder, *outside_folder;
static pid_t stranger; /* that may be looked at, and be sent signals */

/* A path; the text stays until the fourth call after. */
static inline const char* in_folder(const char* folder, const char* name) {
  static char texts[4][512];
  static int next;
  char* text = texts[next++ % 4];
  snprintf(text, sizeof texts[0], "%s/%s", folder, name);
  return text;
}
static inline const char* inside(const char* name) { return in_folder(inside_folder, name); }
static inline const char* outside(const char* name) { return in_folder(outside_folder, name); }

static inline int keep_errno(int result, int error) {
  errno = error;
  return result;
}
/* Closes what could be opened. */
static inline int opened(int fd) {
  if (fd >= 0) close(fd);
  return fd;
}

/* What the function says in a child, or, if the child became another program, 0. */
static inline int in_child(int (*function)(void)) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    const int error = function() < 0 ? errno : 0;
    if (write(ends[1], &error, sizeof error) < 0) _exit(1);
    _exit(0);
  }
  close(ends[1]);
  int error = 0, status = 0;
  if (read(ends[0], &error, sizeof error) < 0) error = errno;
  close(ends[0]);
  waitpid(child, &status, 0);
  return keep_errno(error ? -1 : 0, error);
}

static void* try_all(void* all) {
  for (const struct attempt* a = all; a->name; ++a) {
    errno = 0;
    if (a->function() < 0)
      dprintf(STDOUT_FILENO, "%s: %s\n", a->name, errno ? strerrorname_np(errno) : "failed");
    else
      dprintf(STDOUT_FILENO, "%s: ok\n", a->name);
  }
  return NULL;
}

static inline int run_attempts(int argc, char** argv, const struct attempt* all) {
  if (argc < 4) return 2;
  inside_folder = argv[1], outside_folder = argv[2], stranger = (pid_t)strtol(argv[3], NULL, 10);
  const char* who = argc > 4 ? argv[4] : "";
  if (!strcmp(who, "thread")) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, try_all, (void*)all) != 0) return 1;
    return pthread_join(thread, NULL);
  }
  if (!strcmp(who, "child")) {
    const pid_t child = fork();
    if (child == 0) {
      try_all((void*)all);
      _exit(0);
    }
    return child < 0 || waitpid(child, NULL, 0) != child;
  }
  try_all((void*)all);
  return 0;
}
