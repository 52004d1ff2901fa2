// SPDX-License-Identifier: MIT
// A task of `urge run`: what it was asked to be, the program it runs, its G, and how it has ended. A task lives until
// the process ends: when `run` has returned, the stack of a task that was stopped may be anybody's, but its program's
// data, and all that is to be told of it, are here.
#pragma once
#include <urge/go.hpp>

#include <atomic>
#include <chrono>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace urge::cli {

// What the command line and the tasks file say of a task.
struct task_spec {
  std::string name;  // unique
  std::string file;
  std::string symbol;  // plugins: the function to call; empty: a Lua script
  std::vector<std::string> args;
  unsigned weight = 1;
  std::optional<std::chrono::nanoseconds> cpu_limit;
  std::optional<std::uint64_t> mem_limit;  // bytes
  std::string stdout_path;                 // empty: the process's
};

// What a task runs.
class program {
 public:
  virtual ~program() = default;
  // The program from its start to its return. Returns the exit code; a message in `error` says that it failed in a way
  // that a process would not tell by its code alone. Context: the task's G.
  virtual int main(std::string& error) = 0;
  // What is due when a program ends by returning from main or by exit(), or, `quick`, by quick_exit(): functions
  // registered with atexit and the like. Called again, to go on, when one of these calls exit(). Context: the task's G.
  virtual void at_exit(bool quick) = 0;
  // The program's counter `work_done`, as far as it can be read at any time. Context: any thread but a G.
  virtual std::optional<std::uint64_t> work() const = 0;
  // The same, read from data that may be in the middle of a change. Context: a process that may crash or hang.
  virtual std::optional<std::uint64_t> peek() const { return work(); }
};

enum class task_state { running, finished, cpu_limit, killed, crashed, error };
std::string_view name_of(task_state) noexcept;

struct task {
  explicit task(task_spec s) : spec(std::move(s)) {}

  // Const after start.
  const task_spec spec;
  std::FILE* out = nullptr;       // of its own; null: the process's stdout
  bool flush_stdout = true;       // after each line of Lua's, and at the end; else the live table does it
  std::unique_ptr<program> what;  // null: could not be loaded, see `error`

  // Written by the main G, before `started`.
  join_handle<void> handle;
  std::atomic<bool> started{false};

  // Written by the task's G, before `ended`; `error` also before the start.
  int exit_code = 0;
  std::string error;
  std::atomic<bool> ended{false};  // by itself, that is

  // Written on the task's G by memory_hook.cpp, if there is a limit: bytes that it has from malloc, the most it had,
  // and the request that went over the limit (0: none).
  std::atomic<std::int64_t> memory{0}, memory_peak{0};
  std::atomic<std::uint64_t> refused{0};
  unsigned refusals = 0;  // the G's own

  // The G's own, and exit_hook.cpp's.
  std::jmp_buf on_exit;
  bool quick = false;    // left by quick_exit
  bool at_once = false;  // left by _exit, or at its limit: at_exit is not called
  bool over = false;     // at_exit has come to its end
};

// Both look at the task's spec, out and flush_stdout, now and later.
std::unique_ptr<program> make_lua(const task&);
std::unique_ptr<program> load_plugin(const task&);  // throws std::runtime_error: why it could not be loaded

// The task on whose G this runs; null elsewhere. Context: any.
task* current_task() noexcept;

// The life of a task, then `ended`. Context: its G.
void run_task(task&);

}  // namespace urge::cli
