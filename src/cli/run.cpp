// SPDX-License-Identifier: MIT
// `urge run`: loads the tasks, runs each on a G of its own, and reports. Context: the main thread; what the Gs run is
// in task*.cpp, what watches them in controller.cpp.
//
// The process ends by returning from main if it can: libc then writes out the files that tasks have left open. It
// cannot where a task is still running or was abandoned inside libc, holding who knows what lock: then it ends at once,
// after the report, and an alarm sees to it that not even the report can hang.
#include "run.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <malloc.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "controller.hpp"
#include "exit_hook.hpp"
#include "json.hpp"
#include "live_table.hpp"
#include "memory_hook.hpp"
#include "peek.hpp"
#include "sandbox.hpp"
#include "usage.hpp"

namespace urge::cli {

namespace {

using tasks = controller::tasks;

// What a shell gives a program. The library's default is meant for Gs that know that they are some of many.
constexpr std::size_t program_stack = 8 * 1024 * 1024;

// Two tasks may name the same file: each line is appended.
std::FILE* open_output(const task_spec& spec) {
  const int fd = ::open(spec.stdout_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  std::FILE* file = fd < 0 ? nullptr : ::fdopen(fd, "a");
  if (!file) throw usage_error("stdout of " + spec.name + ": " + spec.stdout_path + ": open: " + std::strerror(errno));
  return file;
}

tasks open_tasks(std::vector<task_spec> specs, bool flush_stdout) {
  tasks all;
  for (task_spec& spec : specs) {
    all.push_back(std::make_unique<task>(std::move(spec)));
    task& t = *all.back();
    t.flush_stdout = flush_stdout;
    if (!t.spec.stdout_path.empty()) t.out = open_output(t.spec);
  }
  return all;
}

// Code of theirs runs already: the constructors of libraries that a plugin needs.
void load(const tasks& all) {
  for (const auto& t : all) {
    try {
      t->what = t->spec.symbol.empty() ? make_lua(*t) : load_plugin(*t);
    } catch (const std::runtime_error& e) {
      t->error = "cannot load " + t->spec.file + ": " + e.what();
      fmt::print(stderr, "urge: {}: {}\n", t->spec.name, t->error);
    }
  }
}

// Context: the main G.
void start(const tasks& all, controller& watch) {
  for (const auto& t : all) {
    if (!t->what) continue;
    const go_options how{.name = t->spec.name,
                         .weight = t->spec.weight,
                         .cpu_limit = t->spec.cpu_limit.value_or(std::chrono::nanoseconds(0))};
    t->handle = spawn(how, [&watch, t = t.get()] {
      run_task(*t);
      watch.task_has_ended();
    });
    t->started.store(true, std::memory_order_release);  // [task.started] release: handle
  }
}

int status_of(const run_report& r) {
  return std::any_of(r.samples.begin(), r.samples.end(), is_failure) ? exit_failed : exit_ok;
}

// Ends the process with this status if the report does not get done.
void guard_report(int status) {
  static std::atomic<int> on_time_out;
  on_time_out.store(status);
  struct sigaction act {};
  act.sa_handler = [](int) {
    constexpr char text[] = "urge run: a task was stopped inside libc, and the report cannot be completed\n";
    ::syscall(SYS_write, STDERR_FILENO, text, sizeof text - 1);
    leave_process(on_time_out.load());
  };
  act.sa_flags = SA_ONSTACK;
  ::sigaction(SIGALRM, &act, nullptr);
  const itimerval in{{0, 0}, {3, 0}};
  ::setitimer(ITIMER_REAL, &in, nullptr);
}

// Returns the exit code.
int report(run_report r, const tasks& all, json_output& json) {
  constexpr unsigned patience_ms = 100;
  bool flushed = flush_output(stdout, patience_ms);
  for (const auto& t : all)
    if (t->out) flushed = flush_output(t->out, patience_ms) && flushed;
  if (!flushed)
    write_all(STDERR_FILENO, "urge run: a task was stopped while it had its output locked; some of it is lost\n");
  r.counters = snapshot();
  peek_at_work(all, r.samples);
  write_all(STDERR_FILENO, to_text(r, terminal_columns(), color_wanted()));
  return json.write(to_json(r)) ? status_of(r) : exit_failed;
}

}  // namespace

int run_command(const run_arguments& a) {
  run_report blank;
  blank.how = parse_runtime(a.runtime);
  if (!a.runtime.stack && !std::getenv("URGE_STACK")) blank.how.stack_size = program_stack;
  blank.how.contain_faults = true;
  // A task that crashes inside malloc leaves its arena locked: thread identities that share none with it go on.
  constexpr int arenas = 64;
  ::mallopt(M_ARENA_MAX, arenas);
  if (a.time) blank.time_limit = parse_time("--for", *a.time);
  auto specs = list_tasks(a.tasks);
  const bool counts =
      std::any_of(specs.begin(), specs.end(), [](const task_spec& t) { return t.mem_limit.has_value(); });
  if (counts && !memory_can_be_counted()) throw usage_error("--mem-limit: not in builds with a sanitizer");
  std::optional<sandbox> confined;
  if (a.sandbox) confined.emplace(*a.sandbox);
  json_output json(a.json);

  live_table table(live_table::possible());
  remember_process();
  // Never destroyed: a G in a system call may outlive the run, and look at its task. Static: a leak checker sees it.
  static const tasks& all = *new tasks(open_tasks(std::move(specs), !table.buffers_stdout()));
  if (confined) confined->enter();  // here all is open, nothing of a task's has run, and there is no second thread
  load(all);
  if (counts) count_memory();
  const options how = blank.how;
  controller watch(all, std::move(blank), table);
  watch.start([&](const run_report& r) {
    guard_report(status_of(r));
    leave_process(report(r, all, json));
  });
  std::string failure;
  try {
    run(
        [&] {
          start(all, watch);
          watch.wait_for_end(procs());
        },
        how);
  } catch (const std::exception& e) {
    failure = e.what();
  }
  const run_report r = watch.stop();
  if (!failure.empty()) {
    fmt::print(stderr, "urge run: {}\n", failure);
    return exit_failed;
  }
  const bool unsafe = snapshot().abandoned_inside != 0;
  if (unsafe) guard_report(status_of(r));
  const int status = report(r, all, json);
  if (unsafe) leave_process(status);
  return status;
}

}  // namespace urge::cli
