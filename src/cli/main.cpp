// SPDX-License-Identifier: MIT
// The command: its subcommands, their options, and what is said of bad input: one line on stderr, status 2. Options are
// taken as text here and understood in settings.cpp and tasks.cpp, so that their messages are ours.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <fmt/core.h>

#include <cstdio>

#include "run.hpp"
#include "stress.hpp"
#include "usage.hpp"

namespace urge::cli {

namespace {

constexpr const char* time_limit_text = "End after this time, such as 500ms, 10s or 2m";
constexpr const char* json_text = "Write a JSON object there; - is stdout";
constexpr const char* not_yet[] = {"--report", "--trace"};

void add_runtime_options(CLI::App& command, runtime_arguments& a) {
  const auto add = [&](const char* name, auto& to, const char* what) {
    command.add_option(name, to, what)->group("Runtime options")->type_name("");
  };
  add("--procs", a.procs, "Number of Ps, 0 to 1024; 0: as many as there are CPUs (URGE_PROCS)");
  add("--quantum", a.quantum, "Slice of a G, 20us to 10s; 10ms if not given (URGE_QUANTUM)");
  add("--preempt", a.preempt, "off, cooperative, async or kernel_thread; async if not given (URGE_PREEMPT)");
  add("--model", a.model, "gmp: a run queue per P; gm: one for all (URGE_MODEL)");
  add("--stack", a.stack, "Stack of a G, 16K to 1G (URGE_STACK)");
  for (const char* name : not_yet) command.add_option(name)->group("");
}

void refuse_what_is_not_yet(const CLI::App& command) {
  for (const char* name : not_yet)
    if (command.count(name) != 0) refuse_for_now(name);
}

CLI::App* add_run(CLI::App& app, run_arguments& a) {
  CLI::App* command = app.add_subcommand("run", "Run tasks fairly: Lua scripts and shared objects, unmodified");
  command->add_option("TASK", a.tasks.tasks, "SCRIPT.lua, or PLUGIN.so[:SYMBOL]; SYMBOL is main if not given")
      ->type_name("");
  const auto add = [&](const char* name, auto& to, const char* type, const char* what) {
    return command->add_option(name, to, what)->type_name(type);
  };
  add("--tasks", a.tasks.file, "FILE",
      "More tasks: a JSON array of {name, task, args, weight, cpu_limit, mem_limit, stdout}; task is all that must be");
  add("--for", a.time, "TIME", time_limit_text);
  add("--cpu-limit", a.tasks.cpu_limit, "TIME", "End each task that has used so much CPU time");
  add("--mem-limit", a.tasks.mem_limit, "SIZE", "End each task that wants more from malloc than this, such as 64M");
  add("--weight", a.tasks.weights, "NAME=N", "A task's share against that of others, 1 to 1000; may be repeated")
      ->allow_extra_args(false);
  add("--json", a.json, "FILE", json_text);
  add("--sandbox", a.sandbox, "DIR", "No network, no exec, and nothing outside DIR is changed; reading is allowed");
  add_runtime_options(*command, a.runtime);
  command->footer(
      "A stack is 8M unless --stack or URGE_STACK says otherwise.\n"
      "Exit status: 0 all went well, 1 a task failed, 2 usage.");
  return command;
}

struct stress_options {
  stress_arguments to;
  runtime_arguments runtime;
  std::optional<std::string> time, seed;

  const stress_arguments& understood() {
    to.how = parse_runtime(runtime);
    if (time) to.time = parse_time("--for", *time);
    if (seed) to.seed = parse_number("--seed", *seed, 0, UINT64_MAX);
    return to;
  }
};

CLI::App* add_stress(CLI::App& app, stress_options& a) {
  CLI::App* command = app.add_subcommand("stress", "Starve the runtime, and check that it holds");
  command->add_option("SCENARIO", a.to.scenarios, "Names of scenarios")->type_name("");
  command->add_flag("--list", a.to.list, "Say which scenarios there are");
  command->add_flag("--all", a.to.all, "Run all of them");
  command->add_option("--for", a.time, "Time for each, such as 500ms or 5s")->type_name("TIME");
  command->add_option("--seed", a.seed, "Seed of what is random")->type_name("N");
  command->add_option("--json", a.to.json, json_text)->type_name("FILE");
  add_runtime_options(*command, a.runtime);
  return command;
}

// What CLI11 has found wrong, in our words. Its texts begin with the name of the argument and a colon.
std::string explain(const CLI::ParseError& e, int argc, char** argv) {
  const std::string what = e.what();
  const auto colon = what.find(": ");
  const std::string name = what.substr(0, colon);
  if (dynamic_cast<const CLI::RequiredError*>(&e)) {
    if (argc > 1 && *argv[1] == '-') return std::string(argv[1]) + ": unknown; `urge --help` says what there is";
    return (argc > 1 ? std::string("COMMAND ") + argv[1] : std::string("COMMAND: none given")) +
           ": must be run or stress";
  }
  if (dynamic_cast<const CLI::ExtrasError*>(&e) && colon != std::string::npos)
    return what.substr(colon + 2) + ": unknown; `urge --help` and `urge COMMAND --help` say what there is";
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&e))
    return name + (what.ends_with("missing") ? ": a value must follow" : ": must be given once only");
  return what;
}

int usage(const std::string& command, const std::string& what) {
  fmt::print(stderr, "{}: {}\n", command, what);
  return exit_usage;
}

int main_with(int argc, char** argv) {
  CLI::App app("Go's scheduler for any C and C++ code, and for programs that know nothing of it", "urge");
  app.set_version_flag("--version", "urge " URGE_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(26);
  run_arguments run;
  stress_options stress;
  const CLI::App* run_app = add_run(app, run);
  const CLI::App* stress_app = add_stress(app, stress);
  std::string command = "urge";
  const auto note_command = [&] {
    for (const CLI::App* s : {run_app, stress_app})
      if (s->parsed()) command = "urge " + s->get_name();
  };
  try {
    app.parse(argc, argv);
    note_command();
    for (const CLI::App* s : {run_app, stress_app})
      if (s->parsed()) refuse_what_is_not_yet(*s);
    if (run_app->parsed()) return run_command(run);
    return stress_command(stress.understood());
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    note_command();
    return usage(command, explain(e, argc, argv));
  } catch (const usage_error& e) {
    return usage(command, e.what());
  }
}

}  // namespace

}  // namespace urge::cli

int main(int argc, char** argv) {
  try {
    return urge::cli::main_with(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "urge: {}\n", e.what());
    return urge::cli::exit_failed;
  }
}
