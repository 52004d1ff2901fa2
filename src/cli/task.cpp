// SPDX-License-Identifier: MIT
// See task.hpp. exit() in a task comes back here by longjmp, as a thread's end would: nothing is unwound, since C's
// exit does not unwind. An exception of our own would be caught by the first catch (...) on its way, and could not pass
// C.
#include "task.hpp"

#include <cxxabi.h>

#include <cstdlib>
#include <exception>
#include <typeinfo>

#include "runtime/host.hpp"

namespace urge::cli {

namespace {

// Runs one part of the task's life; returns when that has returned or has called exit. Nothing with a destructor may
// live in this frame.
[[gnu::noinline]] void until_exit(task& t, void (*part)(task&)) {
  if (setjmp(t.on_exit) == 0) part(t);
}

std::string name_of_exception() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (!type) return "an exception";
  int status = 0;
  char* plain = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
  std::string name = plain ? plain : type->name();
  std::free(plain);
  return name;
}

void fail(task& t, std::string why) {
  t.error = "uncaught " + std::move(why);
  t.exit_code = EXIT_FAILURE;
  t.at_once = true;  // as std::terminate: nothing more is run
  const std::string line = "urge: " + t.spec.name + ": " + t.error + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void main_part(task& t) {
  try {
    t.exit_code = t.what->main(t.error) & 0xff;  // as the kernel keeps it
  } catch (const detail::unwind_g&) {
    throw;
  } catch (const std::exception& e) {
    fail(t, name_of_exception() + ": " + e.what());
  } catch (...) {
    fail(t, name_of_exception());
  }
}

void exit_part(task& t) {
  t.what->at_exit(t.quick);
  t.over = true;
}

}  // namespace

std::string_view name_of(task_state s) noexcept {
  constexpr std::string_view names[] = {"running", "finished", "cpu-limit", "killed", "crashed", "error"};
  return names[static_cast<unsigned>(s)];
}

task* current_task() noexcept { return static_cast<task*>(tag()); }

void run_task(task& t) {
  set_tag(&t);
  until_exit(t, main_part);
  while (!t.at_once && !t.over) until_exit(t, exit_part);
  set_tag(nullptr);  // there is no way back to until_exit any more
  // Not fflush(nullptr): it would hold libc's list of files while it waits for any task that writes to a full pipe.
  if (t.flush_stdout) std::fflush(stdout);
  if (t.out) std::fflush(t.out);
  t.ended.store(true, std::memory_order_release);  // [task.ended] release: exit_code, error
}

}  // namespace urge::cli
