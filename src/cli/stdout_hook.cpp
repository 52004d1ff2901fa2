// SPDX-License-Identifier: MIT
// See stdout_hook.hpp. Objects (stdout, std::cout) are rebound to others of the same type. Functions that write to
// stdout without naming it are rebound to those below: they look for the task on whose G they run, or, on a thread that
// the plugin has made, for the plugin that calls. Context: a G, or a thread of a plugin's.
#include "stdout_hook.hpp"

#include <sys/uio.h>
#include <unistd.h>
#include <ext/stdio_sync_filebuf.h>

#include <cstdarg>
#include <cwchar>
#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include "task.hpp"

namespace urge::cli {

namespace {

// Of the same type and use as libstdc++'s own while sync_with_stdio(true).
struct outputs {
  explicit outputs(const plugin_image& i, std::FILE* f)
      : image(i), file(f), narrow_buffer(f), wide_buffer(f), narrow(&narrow_buffer), wide(&wide_buffer) {}
  const plugin_image& image;
  std::FILE* file;
  __gnu_cxx::stdio_sync_filebuf<char> narrow_buffer;
  __gnu_cxx::stdio_sync_filebuf<wchar_t> wide_buffer;
  std::ostream narrow;
  std::wostream wide;
};
std::vector<std::unique_ptr<outputs>> all;  // const while Gs run

std::FILE* out_of_caller(const void* caller) noexcept {
  if (const task* t = current_task(); t && t->out) return t->out;
  for (const auto& o : all)
    if (o->image.holds(caller)) return o->file;
  return stdout;
}

int fd_for(int fd, std::FILE* out) noexcept { return fd == STDOUT_FILENO ? ::fileno(out) : fd; }

template <class Print>
int with_arguments(va_list args, Print&& print) {
  const int n = print(args);
  va_end(args);
  return n;
}

int to_vprintf(const char* format, va_list args) {
  return std::vfprintf(out_of_caller(__builtin_return_address(0)), format, args);
}
int to_printf(const char* format, ...) {
  std::FILE* out = out_of_caller(__builtin_return_address(0));
  va_list args;
  va_start(args, format);
  return with_arguments(args, [&](va_list a) { return std::vfprintf(out, format, a); });
}
// Those of -D_FORTIFY_SOURCE: `level` asks for checks that only the caller's compiler can pay for twice.
int to_vprintf_chk(int, const char* format, va_list args) {
  return std::vfprintf(out_of_caller(__builtin_return_address(0)), format, args);
}
int to_printf_chk(int, const char* format, ...) {
  std::FILE* out = out_of_caller(__builtin_return_address(0));
  va_list args;
  va_start(args, format);
  return with_arguments(args, [&](va_list a) { return std::vfprintf(out, format, a); });
}
int to_puts(const char* text) {
  std::FILE* out = out_of_caller(__builtin_return_address(0));
  ::flockfile(out);
  const bool failed = std::fputs(text, out) == EOF || ::putc_unlocked('\n', out) == EOF;
  ::funlockfile(out);
  return failed ? EOF : 1;
}
int to_putchar(int c) { return std::fputc(c, out_of_caller(__builtin_return_address(0))); }
int to_putchar_unlocked(int c) { return ::putc_unlocked(c, out_of_caller(__builtin_return_address(0))); }

int to_vwprintf(const wchar_t* format, va_list args) {
  return std::vfwprintf(out_of_caller(__builtin_return_address(0)), format, args);
}
int to_wprintf(const wchar_t* format, ...) {
  std::FILE* out = out_of_caller(__builtin_return_address(0));
  va_list args;
  va_start(args, format);
  return with_arguments(args, [&](va_list a) { return std::vfwprintf(out, format, a); });
}
int to_vwprintf_chk(int, const wchar_t* format, va_list args) {
  return std::vfwprintf(out_of_caller(__builtin_return_address(0)), format, args);
}
int to_wprintf_chk(int, const wchar_t* format, ...) {
  std::FILE* out = out_of_caller(__builtin_return_address(0));
  va_list args;
  va_start(args, format);
  return with_arguments(args, [&](va_list a) { return std::vfwprintf(out, format, a); });
}
std::wint_t to_putwchar(wchar_t c) { return std::fputwc(c, out_of_caller(__builtin_return_address(0))); }

ssize_t to_write(int fd, const void* data, std::size_t n) {
  return ::write(fd_for(fd, out_of_caller(__builtin_return_address(0))), data, n);
}
ssize_t to_writev(int fd, const iovec* parts, int n) {
  return ::writev(fd_for(fd, out_of_caller(__builtin_return_address(0))), parts, n);
}
int to_vdprintf(int fd, const char* format, va_list args) {
  return ::vdprintf(fd_for(fd, out_of_caller(__builtin_return_address(0))), format, args);
}
int to_dprintf(int fd, const char* format, ...) {
  const int to = fd_for(fd, out_of_caller(__builtin_return_address(0)));
  va_list args;
  va_start(args, format);
  return with_arguments(args, [&](va_list a) { return ::vdprintf(to, format, a); });
}
int to_vdprintf_chk(int fd, int, const char* format, va_list args) {
  return ::vdprintf(fd_for(fd, out_of_caller(__builtin_return_address(0))), format, args);
}
int to_dprintf_chk(int fd, int, const char* format, ...) {
  const int to = fd_for(fd, out_of_caller(__builtin_return_address(0)));
  va_list args;
  va_start(args, format);
  return with_arguments(args, [&](va_list a) { return ::vdprintf(to, format, a); });
}

const std::pair<const char*, const void*> functions[] = {
    {"printf", reinterpret_cast<const void*>(to_printf)},
    {"vprintf", reinterpret_cast<const void*>(to_vprintf)},
    {"__printf_chk", reinterpret_cast<const void*>(to_printf_chk)},
    {"__vprintf_chk", reinterpret_cast<const void*>(to_vprintf_chk)},
    {"puts", reinterpret_cast<const void*>(to_puts)},
    {"putchar", reinterpret_cast<const void*>(to_putchar)},
    {"putchar_unlocked", reinterpret_cast<const void*>(to_putchar_unlocked)},
    {"wprintf", reinterpret_cast<const void*>(to_wprintf)},
    {"vwprintf", reinterpret_cast<const void*>(to_vwprintf)},
    {"__wprintf_chk", reinterpret_cast<const void*>(to_wprintf_chk)},
    {"__vwprintf_chk", reinterpret_cast<const void*>(to_vwprintf_chk)},
    {"putwchar", reinterpret_cast<const void*>(to_putwchar)},
    {"putwchar_unlocked", reinterpret_cast<const void*>(to_putwchar)},
    {"write", reinterpret_cast<const void*>(to_write)},
    {"writev", reinterpret_cast<const void*>(to_writev)},
    {"dprintf", reinterpret_cast<const void*>(to_dprintf)},
    {"vdprintf", reinterpret_cast<const void*>(to_vdprintf)},
    {"__dprintf_chk", reinterpret_cast<const void*>(to_dprintf_chk)},
    {"__vdprintf_chk", reinterpret_cast<const void*>(to_vdprintf_chk)},
};

}  // namespace

void redirect_stdout(plugin_image& image, std::FILE* out) {
  all.push_back(std::make_unique<outputs>(image, out));
  outputs& o = *all.back();
  image.rebind("stdout", &o.file);
  image.rebind("_ZSt4cout", &o.narrow);
  image.rebind("_ZSt5wcout", &o.wide);
  for (const auto& [name, address] : functions) image.rebind(name, address);
}

}  // namespace urge::cli
