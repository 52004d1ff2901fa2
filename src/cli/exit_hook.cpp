// SPDX-License-Identifier: MIT
// exit, _exit, quick_exit and those libc functions that call exit inside libc, where no other definition reaches them:
// on a task's G they end that task, anywhere else they do what they always did. The command's definitions come first in
// the order in which the loader looks symbols up, so plugins, the libraries they bring along and Lua's os.exit all come
// here. A child of fork has a task's G on paper only: there they do what they always did, too.
// Context: any G or thread; they return to no one.
#include "exit_hook.hpp"

#include <dlfcn.h>
#include <err.h>
#include <error.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "task.hpp"

namespace urge::cli {

namespace {

pid_t process = 0;  // const while Gs run

enum class way { normal, quick, at_once };

// Does not return on a task's G.
void end_task(int code, way how) noexcept {
  task* t = ::getpid() == process ? current_task() : nullptr;
  if (!t) return;
  t->exit_code = code & 0xff;
  t->quick = how == way::quick;
  t->at_once = how == way::at_once;
  std::longjmp(t->on_exit, 1);
}

[[noreturn]] void call_next(const char* name, int code) noexcept {
  if (void* next = ::dlsym(RTLD_NEXT, name)) reinterpret_cast<void (*)(int)>(next)(code);
  leave_process(code);
}

}  // namespace

void remember_process() noexcept { process = ::getpid(); }
bool in_child() noexcept { return ::getpid() != process; }

void abandon(task& t) noexcept {
  t.at_once = true;
  std::longjmp(t.on_exit, 1);
}

void leave_process(int status) noexcept {
  for (;;) ::syscall(SYS_exit_group, status);
}

}  // namespace urge::cli

#pragma GCC visibility push(default)
extern "C" {

void exit(int code) noexcept {
  urge::cli::end_task(code, urge::cli::way::normal);
  urge::cli::call_next("exit", code);
}
void _exit(int code) {
  urge::cli::end_task(code, urge::cli::way::at_once);
  urge::cli::leave_process(code);
}
void _Exit(int code) noexcept { _exit(code); }
void quick_exit(int code) noexcept {
  urge::cli::end_task(code, urge::cli::way::quick);
  urge::cli::call_next("quick_exit", code);
}

void verr(int code, const char* format, va_list args) {
  vwarn(format, args);
  exit(code);
}
void verrx(int code, const char* format, va_list args) {
  vwarnx(format, args);
  exit(code);
}
void err(int code, const char* format, ...) {
  va_list args;
  va_start(args, format);
  verr(code, format, args);
}
void errx(int code, const char* format, ...) {
  va_list args;
  va_start(args, format);
  verrx(code, format, args);
}

// The message is libc's to print, with status 0; the end is ours.
void error(int code, int number, const char* format, ...) {
  va_list args;
  va_start(args, format);
  char* text = nullptr;
  if (::vasprintf(&text, format, args) < 0) text = nullptr;
  va_end(args);
  if (void* next = ::dlsym(RTLD_NEXT, "error"))
    reinterpret_cast<decltype(&error)>(next)(0, number, "%s", text ? text : format);
  std::free(text);
  if (code != 0) exit(code);
}
void error_at_line(int code, int number, const char* file, unsigned line, const char* format, ...) {
  va_list args;
  va_start(args, format);
  char* text = nullptr;
  if (::vasprintf(&text, format, args) < 0) text = nullptr;
  va_end(args);
  if (void* next = ::dlsym(RTLD_NEXT, "error_at_line"))
    reinterpret_cast<decltype(&error_at_line)>(next)(0, number, file, line, "%s", text ? text : format);
  std::free(text);
  if (code != 0) exit(code);
}

}  // extern "C"
#pragma GCC visibility pop
