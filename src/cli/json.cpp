// SPDX-License-Identifier: MIT
// See json.hpp. Context: any thread outside the runtime.
#include "json.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "settings.hpp"
#include "usage.hpp"

namespace urge::cli {

namespace {
constexpr const char* reasons[] = {"in_runtime", "guarded", "no_identity", "in_handler",
                                   "trampoline", "no_room", "grace"};
constexpr const char* places[] = {"elsewhere", "malloc", "libc", "loader", "libstdcxx", "unwinder"};
static_assert(std::size(places) == static_cast<std::size_t>(stop_place::count_));
static_assert(std::size(reasons) == static_cast<std::size_t>(defer_reason::count_));
}  // namespace

nlohmann::json stats_json(const stats& s) {
  nlohmann::json deferred = nlohmann::json::object();
  for (std::size_t i = 0; i < std::size(reasons); ++i) deferred[reasons[i]] = s.deferred_by_reason[i];
  nlohmann::json stops = nlohmann::json::object();
  for (std::size_t i = 0; i < std::size(places); ++i) stops[places[i]] = s.stops_by_place[i];
  const latency_histogram& latency = s.preempt_latency;
  return {{"spawned", s.spawned},
          {"finished", s.finished},
          {"live", s.live},
          {"switches", s.switches},
          {"steals", s.steals},
          {"stolen", s.stolen},
          {"global_gets", s.global_gets},
          {"handoffs", s.handoffs},
          {"retakes", s.retakes},
          {"preempt_requests", s.preempt_requests},
          {"preempt_signals", s.preempt_signals},
          {"preempts_cooperative", s.preempts_cooperative},
          {"preempts_async", s.preempts_async},
          {"preempts_kernel_thread", s.preempts_kernel_thread},
          {"preempts_deferred", s.preempts_deferred},
          {"deferred_by_reason", deferred},
          {"stops_by_place", stops},
          {"stops_under_lock", s.stops_under_lock},
          {"resumed_elsewhere", s.resumed_elsewhere},
          {"promoted", s.promoted},
          {"identities_taken", s.identities_taken},
          {"identities_made", s.identities_made},
          {"identities_lost", s.identities_lost},
          {"identities_given_back", s.identities_given_back},
          {"kept_back", s.kept_back},
          {"kept_back_bytes", s.kept_back_bytes},
          {"abandoned", s.abandoned},
          {"abandoned_inside", s.abandoned_inside},
          {"threads", s.threads},
          {"idle_threads", s.idle_threads},
          {"spinning", s.spinning},
          {"wakeup_preempts", s.wakeup_preempts},
          {"netpoll_wakeups", s.netpoll_wakeups},
          {"timers_fired", s.timers_fired},
          {"preempt_latency",
           {{"count", latency.count()},
            {"p50_ns", latency.percentile(50)},
            {"p90_ns", latency.percentile(90)},
            {"p99_ns", latency.percentile(99)},
            {"p999_ns", latency.percentile(99.9)},
            {"max_ns", latency.max()}}}};
}

nlohmann::json options_json(const options& o) {
  return {{"procs", o.procs},
          {"quantum_ns", o.quantum.count()},
          {"preempt", name_of(o.preempt)},
          {"model", name_of(o.model)},
          {"stack_size", o.stack_size},
          {"max_threads", o.max_threads},
          {"max_identities", o.max_identities},
          {"signal", o.signal}};
}

json_output::json_output(const std::string& path) : path_(path) {
  if (path.empty()) return;
  // stdout past stdio: a task that was stopped may hold its lock for ever.
  fd_ = path == "-" ? STDOUT_FILENO : ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) throw usage_error("--json " + path + ": open: " + std::strerror(errno));
}

json_output::~json_output() {
  if (fd_ >= 0 && fd_ != STDOUT_FILENO) ::close(fd_);
}

bool json_output::write(const nlohmann::json& object) {
  if (fd_ < 0) return true;
  // Names and messages come from outside and need not be UTF-8.
  const std::string text = object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  const auto failed = [&](const char* call) {
    fmt::print(stderr, "urge: --json {}: {}: {}\n", path_, call, std::strerror(errno));
    return false;
  };
  // EINVAL: a pipe or a terminal.
  if (fd_ != STDOUT_FILENO && ::ftruncate(fd_, 0) != 0 && errno != EINVAL) return failed("ftruncate");
  const bool written = write_all(fd_, text) || failed("write");
  const int fd = std::exchange(fd_, -1);
  if (fd != STDOUT_FILENO && ::close(fd) != 0 && written) return failed("close");
  return written;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace urge::cli
