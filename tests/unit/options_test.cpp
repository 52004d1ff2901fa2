// SPDX-License-Identifier: MIT
// Options: what is accepted, and that each refusal names the option or variable, the value and what is allowed.
#include "runtime/options.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>

namespace urge {
namespace {

using namespace std::chrono_literals;

struct Options : testing::Test {
  static constexpr const char* variables[] = {"URGE_PROCS", "URGE_QUANTUM", "URGE_MIN_QUANTUM", "URGE_PREEMPT",
                                              "URGE_MODEL", "URGE_STACK",   "URGE_SIGNAL"};
  void SetUp() override {
    for (const char* v : variables) unsetenv(v);
  }
  void TearDown() override { SetUp(); }
  static std::string message_of(const std::function<void()>& f) {
    try {
      f();
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
    return "no std::invalid_argument";
  }
  static bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
};

TEST_F(Options, FromEnvWithoutVariablesIsTheDefaults) {
  const options o = options::from_env(), d;
  EXPECT_EQ(o.procs, d.procs);
  EXPECT_EQ(o.quantum, 10ms);
  EXPECT_EQ(o.preempt, preempt_mode::async);
  EXPECT_EQ(o.model, sched_model::gmp);
  EXPECT_EQ(o.stack_size, 256u * 1024);
  EXPECT_EQ(o.signal, SIGURG);
}

TEST_F(Options, FromEnvTakesEachVariable) {
  setenv("URGE_PROCS", "3", 1);
  setenv("URGE_QUANTUM", "500us", 1);
  setenv("URGE_PREEMPT", "cooperative", 1);
  setenv("URGE_MODEL", "gm", 1);
  setenv("URGE_MIN_QUANTUM", "100us", 1);
  setenv("URGE_STACK", "64K", 1);
  setenv("URGE_SIGNAL", "SIGUSR2", 1);
  const options o = options::from_env();
  EXPECT_EQ(o.procs, 3u);
  EXPECT_EQ(o.quantum, 500us);
  EXPECT_EQ(o.min_quantum, 100us);
  EXPECT_EQ(o.preempt, preempt_mode::cooperative);
  EXPECT_EQ(o.model, sched_model::gm);
  EXPECT_EQ(o.stack_size, 65536u);
  EXPECT_EQ(o.signal, SIGUSR2);
}

TEST_F(Options, AnEmptyVariableIsNone) {
  for (const char* v : variables) setenv(v, "", 1);
  EXPECT_NO_THROW({ EXPECT_EQ(options::from_env().quantum, 10ms); });
}

TEST_F(Options, FromEnvRefusesEachBadValueAndSaysWhy) {
  const struct {
    const char *name, *value, *allowed;
  } bad[] = {
      {"URGE_PROCS", "1025", "0 to 1024"},
      {"URGE_PROCS", "-1", "0 to 1024"},
      {"URGE_PROCS", "two", "0 to 1024"},
      {"URGE_PROCS", "2x", "0 to 1024"},
      {"URGE_PROCS", "99999999999", "0 to 1024"},
      {"URGE_MIN_QUANTUM", "19us", "20us to the quantum"},
      {"URGE_QUANTUM", "10", "20us to 10s"},
      {"URGE_QUANTUM", "19us", "20us to 10s"},
      {"URGE_QUANTUM", "11s", "20us to 10s"},
      {"URGE_QUANTUM", "ms", "20us to 10s"},
      {"URGE_QUANTUM", "-1ms", "20us to 10s"},
      {"URGE_QUANTUM", "nanms", "20us to 10s"},
      {"URGE_QUANTUM", "1e99s", "20us to 10s"},
      {"URGE_PREEMPT", "on", "off, cooperative, async or kernel_thread"},
      {"URGE_PREEMPT", "ASYNC", "off, cooperative, async or kernel_thread"},
      {"URGE_MODEL", "gpm", "gmp or gm"},
      {"URGE_STACK", "1K", "16 KiB to 1 GiB"},
      {"URGE_STACK", "2G", "16 KiB to 1 GiB"},
      {"URGE_STACK", "64k", "16 KiB to 1 GiB"},
      {"URGE_STACK", "64 K", "16 KiB to 1 GiB"},
      {"URGE_STACK", "99999999999999999999G", "16 KiB to 1 GiB"},
      {"URGE_SIGNAL", "SIGKILL", "SIGURG"},
      {"URGE_SIGNAL", "9", "SIGURG"},
      {"URGE_SIGNAL", "SIGRTMAX+1", "SIGURG"},
      {"URGE_SIGNAL", "SIGRTMIN-1", "SIGURG"},
      {"URGE_SIGNAL", "0", "SIGURG"},
      {"URGE_SIGNAL", "URG", "SIGURG"},
  };
  for (const auto& b : bad) {
    setenv(b.name, b.value, 1);
    const std::string said = message_of([] { options::from_env(); });
    EXPECT_TRUE(has(said, b.name) && has(said, b.value) && has(said, b.allowed))
        << b.name << "=" << b.value << ": " << said;
    unsetenv(b.name);
  }
}

TEST_F(Options, SignalsHaveNamesAndNumbers) {
  const struct {
    std::string text;
    int number;
  } good[] = {{"SIGURG", SIGURG},           {"SIGUSR1", SIGUSR1},
              {"SIGUSR2", SIGUSR2},         {"SIGRTMIN", SIGRTMIN},
              {"SIGRTMAX", SIGRTMAX},       {"SIGRTMIN+3", SIGRTMIN + 3},
              {"SIGRTMAX-2", SIGRTMAX - 2}, {std::to_string(SIGURG), SIGURG}};
  for (const auto& g : good) {
    setenv("URGE_SIGNAL", g.text.c_str(), 1);
    EXPECT_EQ(options::from_env().signal, g.number) << g.text;
  }
}

TEST_F(Options, ValidateAcceptsTheEndsOfEachRange) {
  const std::function<void(options&)> good[] = {
      [](options& o) { o.procs = 0; },
      [](options& o) { o.procs = 1024; },
      [](options& o) { o.quantum = 20us; },
      [](options& o) { o.quantum = 10s; },
      [](options& o) { o.min_quantum = 20us; },
      [](options& o) { o.min_quantum = o.quantum; },
      [](options& o) { o.stack_size = 16384; },
      [](options& o) { o.stack_size = 1u << 30; },
      [](options& o) { o.max_threads = 2; },
      [](options& o) { o.max_threads = 100'000; },
      [](options& o) { o.max_identities = 0; },
      [](options& o) { o.max_identities = 1'000'000; },
      [](options& o) { o.signal = SIGRTMIN; },
      [](options& o) { o.signal = SIGRTMAX; },
      [](options& o) { o.preempt = preempt_mode::off; },
      [](options& o) { o.model = sched_model::gm; },
  };
  for (const auto& change : good) {
    options o;
    change(o);
    EXPECT_NO_THROW(detail::validate(o));
  }
}

TEST_F(Options, ValidateRefusesWhatLiesOutsideAndSaysWhy) {
  const struct {
    std::function<void(options&)> change;
    const char *name, *value, *allowed;
  } bad[] = {
      {[](options& o) { o.procs = 1025; }, "options.procs", "1025", "0 to 1024"},
      {[](options& o) { o.quantum = 19'999ns; }, "options.quantum", "19999ns", "20us to 10s"},
      {[](options& o) { o.min_quantum = 19'999ns; }, "options.min_quantum", "19999ns", "20us to the quantum"},
      {[](options& o) { o.min_quantum = 10ms + 1ns; }, "options.min_quantum", "10000001ns", "20us to the quantum"},
      {[](options& o) { o.quantum = 0ns; }, "options.quantum", "0ns", "20us to 10s"},
      {[](options& o) { o.quantum = -1s; }, "options.quantum", "-1000000000ns", "20us to 10s"},
      {[](options& o) { o.quantum = 10s + 1ns; }, "options.quantum", "10000000001ns", "20us to 10s"},
      {[](options& o) { o.preempt = static_cast<preempt_mode>(9); }, "options.preempt", "9", "cooperative"},
      {[](options& o) { o.model = static_cast<sched_model>(7); }, "options.model", "7", "gmp or gm"},
      {[](options& o) { o.stack_size = 16383; }, "options.stack_size", "16383", "16 KiB to 1 GiB"},
      {[](options& o) { o.stack_size = (1u << 30) + 1; }, "options.stack_size", "1073741825", "16 KiB to 1 GiB"},
      {[](options& o) { o.max_threads = 1; }, "options.max_threads", "1", "2 to 100000"},
      {[](options& o) { o.max_threads = 100'001; }, "options.max_threads", "100001", "2 to 100000"},
      {[](options& o) { o.max_identities = 1'000'001; }, "options.max_identities", "1000001", "0 to 1000000"},
      {[](options& o) { o.signal = SIGKILL; }, "options.signal", "9", "SIGURG"},
      {[](options& o) { o.signal = SIGRTMAX + 1; }, "options.signal", "65", "SIGURG"},
      {[](options& o) { o.signal = 0; }, "options.signal", "0", "SIGURG"},
  };
  for (const auto& b : bad) {
    options o;
    b.change(o);
    const std::string said = message_of([&] { detail::validate(o); });
    EXPECT_TRUE(has(said, b.name) && has(said, b.value) && has(said, b.allowed)) << b.name << ": " << said;
  }
}

TEST_F(Options, GoOptionsAreCheckedToo) {
  EXPECT_NO_THROW(validate(go_options{}));
  EXPECT_NO_THROW(validate(go_options{.stack_size = 16384, .weight = 1000}));
  const struct {
    go_options how;
    const char *name, *value, *allowed;
  } bad[] = {
      {{.stack_size = 16383}, "go_options.stack_size", "16383", "16 KiB to 1 GiB"},
      {{.stack_size = (1u << 30) + 1}, "go_options.stack_size", "1073741825", "16 KiB to 1 GiB"},
      {{.weight = 0}, "go_options.weight", "0", "1 to 1000"},
      {{.weight = 1001}, "go_options.weight", "1001", "1 to 1000"},
      {{.cpu_limit = -1ns}, "go_options.cpu_limit", "-1ns", "0 or more"},
  };
  for (const auto& b : bad) {
    const std::string said = message_of([&] { validate(b.how); });
    EXPECT_TRUE(has(said, b.name) && has(said, b.value) && has(said, b.allowed)) << b.name << ": " << said;
  }
}

TEST_F(Options, DurationsAreNumbersWithAUnit) {
  EXPECT_EQ(parse_duration("10ms"), 10ms);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("0ns"), 0ns);
  EXPECT_EQ(parse_duration("2m"), 2min);
  EXPECT_EQ(parse_duration("1h"), 1h);
  for (const char* bad : {"", "10", "ms", "10 ms", "10msec", "-1s", "inf", "nan", "1e300h", "1ms2"})
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
}

TEST_F(Options, BytesAreNumbersWithAnOptionalUnit) {
  EXPECT_EQ(parse_bytes("0"), 0u);
  EXPECT_EQ(parse_bytes("65536"), 65536u);
  EXPECT_EQ(parse_bytes("64K"), 65536u);
  EXPECT_EQ(parse_bytes("1M"), 1u << 20);
  EXPECT_EQ(parse_bytes("1G"), 1u << 30);
  for (const char* bad : {"", "K", "1k", "1KB", "-1", "1.5M", "18446744073709551615G", "18446744073709551616"})
    EXPECT_EQ(parse_bytes(bad), std::nullopt) << bad;
}

TEST_F(Options, UsableCpusIsAtLeastOne) {
  EXPECT_GE(usable_cpus(), 1u);
  EXPECT_LE(usable_cpus(), 1024u);
}

}  // namespace
}  // namespace urge
