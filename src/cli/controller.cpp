// SPDX-License-Identifier: MIT
// See controller.hpp. Whoever has news (a task's end, a signal, the end of the run) adds to an eventfd on which the
// thread sleeps; a task that its limit has ended says nothing, so with limits it also looks every now and then.
#include "controller.hpp"

#include <urge/io.hpp>

#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "exit_hook.hpp"

namespace urge::cli {

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t frame = 250 * ms;      // of the live table
constexpr std::int64_t limit_look = 20 * ms;  // how soon the end of a task by its limit or a crash is seen
constexpr std::int64_t end_look = ms;         // between a task's last word and the end of its G
constexpr std::int64_t patience = 1500 * ms;  // for the run to end. It gives tasks up to 1 s to leave libc

int news = -1;  // eventfd; -1: nobody is to be told
std::atomic<unsigned> signals{0};
bool table_below = false;  // const while the handler is installed
struct sigaction before_interrupt, before_terminate;

// Context: signal handler, on any thread, all signals blocked.
void on_signal(int signal) {
  const int error = errno;
  if (signals.fetch_add(1) != 0) {
    if (table_below) ::syscall(SYS_write, STDERR_FILENO, "\x1b[J", 3);
    leave_process(128 + signal);
  }
  const std::uint64_t one = 1;
  ::syscall(SYS_write, news, &one, sizeof one);
  errno = error;
}

std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

}  // namespace

void look_again() noexcept {
  const int error = errno;
  const std::uint64_t one = 1;
  // Can only fail when 2^64 - 2 pieces of news are waiting.
  while (::write(news, &one, sizeof one) < 0 && errno == EINTR) {
  }
  errno = error;
}

controller::controller(const tasks& all, run_report blank, live_table& table)
    : tasks_(all), report_(std::move(blank)), table_(table) {
  news = ::eventfd(0, EFD_CLOEXEC);
  if (news < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  for (const auto& t : tasks_) report_.specs.push_back(&t->spec);
  procs_ = report_.how.procs;
}

controller::~controller() {
  if (thread_.joinable()) stop();
  ::close(news);
}

void controller::start(std::function<void(const run_report&)> stuck) {
  stuck_ = std::move(stuck);
  begin_ns_ = now_ns();
  table_below = table_.wanted();
  signals.store(0);
  struct sigaction ours {};
  ours.sa_handler = on_signal;
  ours.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&ours.sa_mask);  // not to be preempted in the middle
  ::sigaction(SIGINT, &ours, &before_interrupt);
  ::sigaction(SIGTERM, &ours, &before_terminate);
  thread_ = std::thread([this] { loop(); });
}

void controller::wait_for_end(unsigned procs) {
  procs_.store(procs, std::memory_order_relaxed);
  blocking([this] { to_end_.wait(0); });
}

void controller::task_has_ended() noexcept { look_again(); }

run_report controller::stop() {
  returned_.store(true);
  look_again();
  thread_.join();
  ::sigaction(SIGINT, &before_interrupt, nullptr);
  ::sigaction(SIGTERM, &before_terminate, nullptr);
  return report_;
}

std::int64_t controller::wall() const { return now_ns() - begin_ns_; }

// Until there is news, or some time has passed.
void controller::sleep(std::int64_t ns) {
  pollfd on{news, POLLIN, 0};
  const timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
  if (::ppoll(&on, 1, ns == INT64_MAX ? nullptr : &time, nullptr) <= 0) return;
  std::uint64_t n;
  if (::read(news, &n, sizeof n) < 0) return;  // by a signal; it stays readable
}

void controller::take(run_report& r, std::int64_t wall_ns) const {
  r.wall_ns = wall_ns;
  r.how.procs = procs_.load(std::memory_order_relaxed);
  r.samples.clear();
  for (const auto& t : tasks_) r.samples.push_back(look_at(*t));
}

// Those that want more memory than they may have, and were not at a place where they could end by themselves. A kill
// that comes too early is done again at the next look.
void controller::end_those_at_their_limit() {
  for (const auto& t : tasks_)
    if (t->refused.load(std::memory_order_relaxed) != 0 && !is_over(*t)) t->handle.kill();  // a hint; is_over: handle
}

std::optional<run_end> controller::look(std::int64_t wall_ns) {
  end_those_at_their_limit();
  if (report_.cpu_at_first_end.empty() &&
      std::any_of(tasks_.begin(), tasks_.end(), [](const auto& t) { return t->what && is_over(*t); }))
    for (const auto& t : tasks_) report_.cpu_at_first_end.push_back(look_at(*t).cpu_ns);
  if (std::all_of(tasks_.begin(), tasks_.end(), [](const auto& t) { return is_over(*t); })) return run_end::all_over;
  if (signals.load() != 0) return run_end::interrupted;
  if (report_.time_limit && wall_ns >= report_.time_limit->count()) return run_end::time_limit;
  // The main thread has come back on its own: the run could not be started.
  if (returned_.load()) return run_end::interrupted;
  return {};
}

std::int64_t controller::next_look(std::int64_t wall_ns) const {
  std::int64_t next = INT64_MAX;
  if (report_.time_limit) next = report_.time_limit->count() - wall_ns;
  if (table_.wanted()) next = std::min(next, next_frame_ns_ - wall_ns);
  for (const auto& t : tasks_) {
    if (is_over(*t)) continue;
    // Nobody calls when a limit or a crash has ended one.
    if (t->what) next = std::min(next, limit_look);
    if (t->ended.load(std::memory_order_relaxed)) next = std::min(next, end_look);  // looked at again later
  }
  return std::max<std::int64_t>(next, 0);
}

void controller::loop() {
  std::optional<run_end> end;
  while (!(end = look(wall()))) {
    if (table_.wanted() && wall() >= next_frame_ns_) {
      run_report now = report_;
      take(now, wall());
      table_.draw(now);
      next_frame_ns_ = wall() + frame;
    }
    sleep(next_look(wall()));
  }
  report_.end = *end;
  take(report_, wall());
  table_.clear();
  to_end_.store(1);
  to_end_.notify_all();
  for (const std::int64_t until = wall() + patience; !returned_.load() && wall() < until;) sleep(until - wall());
  if (!returned_.load()) stuck_(report_);
}

}  // namespace urge::cli
