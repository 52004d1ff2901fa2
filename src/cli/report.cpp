// SPDX-License-Identifier: MIT
// See report.hpp.
#include "report.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "json.hpp"
#include "text_table.hpp"

namespace urge::cli {

namespace {
std::string fault_text(const g_info& g) {
  if (g.stack_overflow) return "stack overflow";
  const std::string name = fmt::format("SIG{}", sigabbrev_np(g.fault));
  const bool has_address = g.fault == SIGSEGV || g.fault == SIGBUS;
  return has_address ? fmt::format("{} at address {:#x}", name, g.fault_address) : name;
}
std::string limit_text(const task& t) {
  return fmt::format("memory limit of {} bytes: it wanted {} more", *t.spec.mem_limit,
                     t.refused.load(std::memory_order_relaxed));
}
}  // namespace

sample look_at(const task& t) {
  sample s;
  const bool started = t.started.load(std::memory_order_acquire);  // [task.started] acquire: handle
  // In this order: what ends by itself sets `ended` before it is done.
  const bool done = started && t.handle.done();
  const bool ended = t.ended.load(std::memory_order_acquire);  // [task.ended] acquire: exit_code, error
  if (!t.what)
    s.state = task_state::error, s.error = t.error;
  else if (done && t.refused.load(std::memory_order_relaxed) != 0)  // done: written before
    s.state = task_state::killed, s.error = limit_text(t);
  else if (ended)
    s.state = t.error.empty() ? task_state::finished : task_state::error, s.exit_code = t.exit_code, s.error = t.error;
  else if (done && t.handle.info().fault != 0)
    s.state = task_state::crashed, s.error = fault_text(t.handle.info());
  else if (done)
    s.state = t.spec.cpu_limit ? task_state::cpu_limit : task_state::killed;
  if (t.spec.mem_limit) s.memory_peak = t.memory_peak.load(std::memory_order_relaxed);  // a number by itself
  if (started) s.cpu_ns = t.handle.cpu_time().count(), s.info = t.handle.info();
  if (t.what) s.work = t.what->work();
  return s;
}

bool is_over(const task& t) {
  return !t.what || (t.started.load(std::memory_order_acquire) && t.handle.done());  // [task.started]
}

bool is_failure(const sample& s) {
  return s.state == task_state::finished ? s.exit_code != 0 : s.state != task_state::running;
}

double jain(const std::vector<double>& x) {
  double sum = 0, squares = 0;
  for (const double v : x) sum += v, squares += v * v;
  return squares == 0 ? 1 : sum * sum / (static_cast<double>(x.size()) * squares);
}

fairness fairness_of(const run_report& r) {
  fairness f;
  std::vector<double> shares, work;
  const auto share = [&](std::size_t i, auto amount) { return static_cast<double>(amount) / r.specs[i]->weight; };
  for (std::size_t i = 0; i < r.samples.size(); ++i) {
    if (r.samples[i].state != task_state::running) continue;
    shares.push_back(share(i, r.samples[i].cpu_ns));
    // A script that never had a turn has no counter yet: it has done nothing.
    if (r.samples[i].work || r.samples[i].cpu_ns == 0) work.push_back(share(i, r.samples[i].work.value_or(0)));
  }
  const auto counts = [](const sample& s) { return s.state == task_state::running && s.work; };
  if (std::any_of(r.samples.begin(), r.samples.end(), counts)) f.jain_work = jain(work);
  if (shares.size() < 2 && !r.cpu_at_first_end.empty()) {
    std::vector<double> until_then;
    double used = 0;
    for (std::size_t i = 0; i < r.samples.size(); ++i) {
      if (r.samples[i].state == task_state::error && !r.samples[i].exit_code) continue;  // could not be started
      until_then.push_back(share(i, r.cpu_at_first_end[i]));
      used += static_cast<double>(r.cpu_at_first_end[i]);
    }
    constexpr double enough = 10;  // slices
    f.until_first_end = used >= enough * static_cast<double>(r.how.quantum.count() * std::ssize(until_then));
    if (f.until_first_end) shares = until_then;
  }
  f.tasks = shares.size();
  f.jain = jain(shares);
  return f;
}

namespace {

constexpr const char* ends[] = {"all over", "time limit", "interrupted"};

std::int64_t total_cpu(const run_report& r) {
  std::int64_t total = 0;
  for (const sample& s : r.samples) total += s.cpu_ns;
  return total;
}

nlohmann::json task_json(const task_spec& spec, const sample& s, std::int64_t total) {
  nlohmann::json j{{"name", spec.name},
                   {"state", name_of(s.state)},
                   {"exit_code", nullptr},
                   {"weight", spec.weight},
                   {"cpu_ns", s.cpu_ns},
                   {"share", total == 0 ? 0.0 : static_cast<double>(s.cpu_ns) / static_cast<double>(total)},
                   {"preempts", s.info.preempts()},
                   {"preempts_by_tier",
                    {{"cooperative", s.info.preempts_cooperative},
                     {"async", s.info.preempts_async},
                     {"kernel_thread", s.info.preempts_kernel_thread}}},
                   {"promoted", s.info.promotions},
                   {"max_wait_ns", s.info.max_wait_ns},
                   {"error", nullptr}};
  if (s.exit_code) j["exit_code"] = *s.exit_code;
  if (!s.error.empty()) j["error"] = s.error;
  if (s.work) j["work"] = *s.work;
  if (s.memory_peak) j["mem_peak_bytes"] = *s.memory_peak;
  return j;
}

}  // namespace

nlohmann::json to_json(const run_report& r) {
  nlohmann::json tasks = nlohmann::json::array();
  for (std::size_t i = 0; i < r.samples.size(); ++i)
    tasks.push_back(task_json(*r.specs[i], r.samples[i], total_cpu(r)));
  const fairness f = fairness_of(r);
  nlohmann::json fair{{"jain", f.jain}, {"tasks", f.tasks}, {"until_first_end", f.until_first_end}};
  if (f.jain_work) fair["jain_work"] = *f.jain_work;
  nlohmann::json how = options_json(r.how);
  how["time_limit_ns"] = nullptr;
  if (r.time_limit) how["time_limit_ns"] = r.time_limit->count();
  return {{"version", URGE_VERSION},
          {"options", how},
          {"wall_ns", r.wall_ns},
          {"end", ends[static_cast<unsigned>(r.end)]},
          {"tasks", tasks},
          {"fairness", fair},
          {"stats", stats_json(r.counters)}};
}

std::string to_text(const run_report& r, unsigned width, bool color) {
  text_table table({{"TASK", false, 9},
                    {"STATE", false, 8},
                    {"EXIT", true, 6},
                    {"SHARE", true, 7},
                    {"CPU", true, 5},
                    {"PREEMPTS", true, 4},
                    {"MAX WAIT", true, 3},
                    {"WORK", true, 2}});
  const std::int64_t total = total_cpu(r);
  for (std::size_t i = 0; i < r.samples.size(); ++i) {
    const sample& s = r.samples[i];
    table.add({{r.specs[i]->name},
               {std::string(name_of(s.state)), color_of(s)},
               {s.exit_code ? std::to_string(*s.exit_code) : "-"},
               {percent_text(s.cpu_ns, total)},
               {time_text(s.cpu_ns)},
               {std::to_string(s.info.preempts())},
               {time_text(s.info.max_wait_ns)},
               {s.work ? std::to_string(*s.work) : "-"}});
  }
  const stats& c = r.counters;
  std::string text = fmt::format("urge run: {} in {} on {} {}\n",
                                 r.end == run_end::all_over     ? "all tasks are over"
                                 : r.end == run_end::time_limit ? "time limit reached"
                                                                : "interrupted",
                                 time_text(r.wall_ns), r.how.procs, r.how.procs == 1 ? "P" : "Ps");
  for (const std::string& line : table.lines(width, color)) text += line + "\n";
  const fairness f = fairness_of(r);
  if (f.tasks < 2)
    text += "fairness: too few tasks, or too short, to tell";
  else
    text += fmt::format("fairness: Jain {:.4f} over {} {}", f.jain, f.tasks,
                        f.until_first_end ? "tasks until the first was over" : "that ran all the time");
  if (f.jain_work) text += fmt::format("; of their work {:.4f}", *f.jain_work);
  text += fmt::format("\npreemptions: {} cooperative, {} {}", c.preempts_cooperative,
                      c.preempts_async + c.preempts_kernel_thread,
                      r.how.preempt == preempt_mode::kernel_thread ? "by kernel thread" : "async");
  if (c.preempt_latency.count() != 0)
    text += fmt::format("; latency p50 {}, p99 {}, max {}", time_text(c.preempt_latency.percentile(50)),
                        time_text(c.preempt_latency.percentile(99)), time_text(c.preempt_latency.max()));
  return text + "\n";
}

}  // namespace urge::cli
