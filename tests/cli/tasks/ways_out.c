/* SPDX-License-Identifier: MIT
 *
 * Ends in the way that its argument says, having registered what is to be called then.
 *
 * usage: ways_out return|exit|_exit|quick_exit|err|error|handler-exit CODE
 */
#define _GNU_SOURCE
#include <err.h>
#include <error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int code;

static void say(const char* text) {
  puts(text);
  fflush(stdout);
}
static void first(void) { say("first registered"); }
static void second(void) { say("second registered"); }
static void quick(void) { say("registered for quick_exit"); }
static void exits(void) {
  say("calls exit again");
  exit(code + 1);
}
__attribute__((constructor)) static void before(void) { say("constructor"); }
__attribute__((destructor)) static void after(void) { say("destructor"); }

/* From some way down: all the calls between are left behind. */
static int __attribute__((noinline)) leave(const char* how, int depth) {
  volatile char frame[64];
  frame[0] = (char)depth;
  if (depth > 0) return leave(how, depth - 1) + frame[0];
  if (!strcmp(how, "exit") || !strcmp(how, "handler-exit")) exit(code);
  if (!strcmp(how, "_exit")) _exit(code);
  if (!strcmp(how, "quick_exit")) quick_exit(code);
  if (!strcmp(how, "err")) errx(code, "by errx");
  if (!strcmp(how, "error")) error(code, 0, "by error");
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  code = atoi(argv[2]);
  atexit(first);
  if (!strcmp(argv[1], "handler-exit")) atexit(exits);
  atexit(second);
  at_quick_exit(quick);
  say("main");
  leave(argv[1], 20);
  return code;
}
