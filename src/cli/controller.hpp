// SPDX-License-Identifier: MIT
// Watches over a run from outside: a thread of the kernel's, which gets its turn whatever the tasks and the scheduler
// do (with preemption off a task never gives its P back, and no G of ours would run again). It keeps the time limit,
// hears Ctrl-C, draws the live table, sees when all tasks are over, takes the figures at the end, and asks the main G
// to return. If the run has not ended some time later, it ends the process itself.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "live_table.hpp"
#include "report.hpp"

namespace urge::cli {

// There is news of some task. Context: any thread or G, while there is a controller.
void look_again() noexcept;

class controller {
 public:
  using tasks = std::vector<std::unique_ptr<task>>;
  // Throws std::system_error.
  controller(const tasks&, run_report blank, live_table&);
  ~controller();
  controller(const controller&) = delete;
  controller& operator=(const controller&) = delete;

  // From here on time counts, and Ctrl-C is heard. `stuck` is called on the controller's thread if the run has not
  // ended in time, and must not return. Context: the main thread, before the run.
  void start(std::function<void(const run_report&)> stuck);
  // The run is on, with so many Ps; returns when it is to end. Context: the main G.
  void wait_for_end(unsigned procs);
  // Context: a task's G, at its end.
  void task_has_ended() noexcept;
  // Returns what the controller has taken. Context: the main thread, after the run.
  run_report stop();

 private:
  void loop();
  void end_those_at_their_limit();
  std::optional<run_end> look(std::int64_t wall_ns);
  std::int64_t next_look(std::int64_t wall_ns) const;
  void sleep(std::int64_t ns);
  void take(run_report&, std::int64_t wall_ns) const;
  std::int64_t wall() const;

  const tasks& tasks_;
  run_report report_;  // the controller's thread, then the main thread
  live_table& table_;
  std::function<void(const run_report&)> stuck_;
  std::int64_t begin_ns_ = 0, next_frame_ns_ = 0;
  std::atomic<unsigned> procs_{0};
  std::atomic<int> to_end_{0};  // the main G waits on it
  std::atomic<bool> returned_{false};
  std::thread thread_;
};

}  // namespace urge::cli
