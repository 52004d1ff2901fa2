/* SPDX-License-Identifier: MIT
 *
 * What programs may do in a sandbox. FOLDER has nothing of these names; OTHER_FOLDER has a file `write`.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

#include "attempts.h"

static int create(const char* path) {
  FILE* file = fopen(path, "w");
  if (!file) return -1;
  return fputs("text", file) < 0 || fclose(file) != 0 ? -1 : 0;
}
static int create_and_overwrite(void) { return create(inside("file")) || create(inside("file")); }
static int truncate_inside(void) { return create(inside("long")) || truncate(inside("long"), 1); }
static int make_and_remove_folders(void) {
  return mkdir(inside("a"), 0777) || mkdir(inside("b"), 0777) || rmdir(inside("b"));
}
static int rename_between_folders(void) {
  return mkdir(inside("from"), 0777) || mkdir(inside("to"), 0777) || create(inside("from/x")) ||
         rename(inside("from/x"), inside("to/y"));
}
static int link_and_unlink(void) {
  return create(inside("one")) || link(inside("one"), inside("two")) || symlink("one", inside("three")) ||
         unlink(inside("one"));
}
static int make_a_fifo(void) { return mkfifo(inside("fifo"), 0666); }
static int write_to_null(void) { return create("/dev/null"); }
static int read_outside(void) {
  char c;
  const int fd = open(outside("write"), O_RDONLY);
  return fd < 0 || read(fd, &c, 1) != 1 ? -1 : opened(fd);
}
static int use_a_memfd(void) {
  const int fd = memfd_create("m", 0);
  if (fd < 0 || ftruncate(fd, 4096) != 0) return -1;
  return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : opened(fd);
}
static int make_code(void) {
  unsigned char* code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return -1;
  code[0] = 0xc3; /* ret */
  if (mprotect(code, 4096, PROT_READ | PROT_EXEC) != 0) return -1;
  void (*function)(void);
  memcpy(&function, &code, sizeof function); /* ISO C has no cast for it */
  function();
  return munmap(code, 4096);
}
static int nothing(void) { return 0; }
static int fork_and_wait(void) { return in_child(nothing); }
static void* no_work(void* argument) { return argument; }
static int make_a_thread(void) {
  pthread_t thread;
  return pthread_create(&thread, NULL, no_work, NULL) || pthread_join(thread, NULL) ? -1 : 0;
}
static int talk_over_a_pair(void) {
  int pair[2];
  char text[4];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || send(pair[0], "text", 4, 0) != 4) return -1;
  if (recv(pair[1], text, 4, 0) != 4 || fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) return -1;
  int n;
  return ioctl(pair[1], FIONREAD, &n) || close(pair[0]) || close(pair[1]) ? -1 : 0;
}

static volatile sig_atomic_t came;
static void note(int signal) {
  (void)signal;
  came = came + 1;
}
static int signals_to_oneself(void) {
  came = 0;
  signal(SIGUSR1, note);
  if (kill(getpid(), SIGUSR1) != 0) return -1;
  while (came < 1) {
  }
  if (raise(SIGUSR1) != 0 || came != 2) return -1;
  if (sigqueue(getpid(), SIGUSR1, (union sigval){0}) != 0) return -1;
  while (came < 3) {
  }
  return 0;
}
static int timers(void) {
  came = 0;
  signal(SIGALRM, note);
  timer_t timer;
  struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  const struct itimerspec in = {{0, 0}, {0, 1000000}};
  if (timer_create(CLOCK_MONOTONIC, &how, &timer) != 0 || timer_settime(timer, 0, &in, NULL) != 0) return -1;
  while (came < 1) {
  }
  const struct itimerval again = {{0, 0}, {0, 1000}};
  if (timer_delete(timer) != 0 || setitimer(ITIMER_REAL, &again, NULL) != 0) return -1;
  while (came < 2) {
  }
  return 0;
}
static int limits_of_ones_own(void) {
  struct rlimit limit;
  cpu_set_t set;
  if (getrlimit(RLIMIT_CORE, &limit) != 0 || setrlimit(RLIMIT_CORE, &limit) != 0) return -1;
  return sched_getaffinity(0, sizeof set, &set) || sched_setaffinity(0, sizeof set, &set);
}

static const struct attempt all[] = {
#define TRY(name) \
  { #name, name }
    TRY(create_and_overwrite),
    TRY(truncate_inside),
    TRY(make_and_remove_folders),
    TRY(rename_between_folders),
    TRY(link_and_unlink),
    TRY(make_a_fifo),
    TRY(write_to_null),
    TRY(read_outside),
    TRY(use_a_memfd),
    TRY(make_code),
    TRY(fork_and_wait),
    TRY(make_a_thread),
    TRY(talk_over_a_pair),
    TRY(signals_to_oneself),
    TRY(timers),
    TRY(limits_of_ones_own),
    {NULL, NULL}};

int main(int argc, char** argv) { return run_attempts(argc, argv, all); }
