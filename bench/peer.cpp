// SPDX-License-Identifier: MIT
// peer WORKLOAD PROCS N [EXTRA]: runs one workload on urge and prints a line of JSON. The arguments are those of the
// programs that measure other runtimes, so EXTRA is taken, and used by echo_server only. The variables URGE_* apply,
// but for URGE_PROCS: modes, quanta and models can be compared by them. PROCS=1 is one P; it does not pin the process.
// Exit status: 2 usage, 3 a workload that this version cannot run.
#include "peer.hpp"

#include <charconv>
#include <cstdio>
#include <exception>
#include <string_view>

namespace {

struct workload {
  std::string_view name;
  void (*run)(const peer::setup&);
};
constexpr workload workloads[] = {
    {"yield", peer::yield},
    {"spawn_join", peer::spawn_join},
    {"skynet", peer::skynet},
    {"pingpong", peer::pingpong},
    {"chan_buf", peer::chan_buf},
    {"chan_mpmc", peer::chan_mpmc},
    {"mutex", peer::mutex},
    {"select", peer::select},
    {"memory", peer::memory},
    {"timers", peer::timers},
    {"bimodal", peer::bimodal},
    {"hog_fairness", peer::hog_fairness},
    {"hog_latency", peer::hog_latency},
    {"hog_wake", peer::hog_wake},
    {"preempt_cost", peer::preempt_cost},
    {"switch_gap", peer::switch_gap},
    {"syscall", peer::syscall},
    {"echo_server", peer::echo_server},
};

template <class T>
bool parse(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

int main(int argc, char** argv) {
  peer::setup s;
  if (argc < 4 || !parse(argv[2], s.procs) || s.procs == 0 || !parse(argv[3], s.n) || s.n <= 0 ||
      (argc > 4 && std::string_view(argv[1]) == "echo_server" && !parse(argv[4], s.extra))) {
    std::fputs("usage: peer WORKLOAD PROCS N [EXTRA]\n", stderr);
    return 2;
  }
  for (const workload& w : workloads) {
    if (w.name != argv[1]) continue;
    try {
      urge::options how = urge::options::from_env();
      how.procs = s.procs;
      urge::run([&] { w.run(s); }, how);
      return 0;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "peer: %s\n", e.what());
      return 1;
    }
  }
  std::fprintf(stderr, "peer: unsupported workload %s\n", argv[1]);
  return 3;
}
