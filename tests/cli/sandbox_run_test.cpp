// SPDX-License-Identifier: MIT
// A run in a sandbox is a run as any other: outputs, preemption, crashes, counters. And what there is if the kernel
// cannot confine it: an error, and no task that has run.
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <system_error>
#include <thread>

#include "cli/sandbox.hpp"
#include "sandbox_fixture.hpp"

namespace urge::test {

using nlohmann::json;

class ConfinedRun : public Sandbox {
 protected:
  // What a child that has entered a sandbox exits with.
  static int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

TEST_F(ConfinedRun, WritesItsOutputsWhereverTheyAre) {
  const json tasks = json::array({{{"task", write("a.lua", "print('text')\n")}, {"stdout", path("outside/text")}}});
  write("outside/result.json", std::string(100000, 'x'));
  const auto r = run_tasks(tasks, {"--sandbox", "inside", "--json", path("outside/result.json")});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(read("outside/text"), "text\n");
  EXPECT_EQ(json::parse(read("outside/result.json")).at("tasks")[0].at("state"), "finished");
}

TEST_F(ConfinedRun, PreemptsHogsBesideATaskThatEnds) {
  json tasks = json::array({{{"task", test_tasks_dir + "/permitted.so"},
                             {"args", {path("inside"), path("outside"), std::to_string(::getpid())}}}});
  for (const char* name : {"hog", "another hog"})
    tasks.push_back({{"name", name}, {"task", tasks_dir + "/spin.so"}, {"cpu_limit", "500ms"}});
  const auto r = run_tasks(tasks, {"--sandbox", "inside", "--procs", "1", "--json", "result.json"});
  EXPECT_EQ(r.status, 1) << r.err;  // the limits
  for (const auto& [name, answer] : answers(r.out)) EXPECT_EQ(answer, "ok") << name;
  const auto by = by_name(result());
  EXPECT_EQ(by.at("permitted.so").at("state"), "finished");
  for (const char* name : {"hog", "another hog"}) {
    EXPECT_EQ(by.at(name).at("state"), "cpu-limit");
    EXPECT_GE(by.at(name).at("preempts_by_tier").at("async"), 1);
  }
}

TEST_F(ConfinedRun, ReportsACrashWithItsFrames) {
  const auto r = urge({"run", "--sandbox", "inside", "--json", "result.json", test_tasks_dir + "/crashes.so:division",
                       test_tasks_dir + "/crashes.so:counts"});
  EXPECT_EQ(r.status, 1) << r.err;
  EXPECT_EQ(r.out, "counted\n");
  EXPECT_NE(r.err.find("division+0x"), std::string::npos) << r.err;
  EXPECT_EQ(by_name(result()).at("crashes.so:division").at("state"), "crashed");
}

// The counter of a script that was stopped is read by a child.
TEST_F(ConfinedRun, KnowsHowFarAStoppedTaskHasGot) {
  const std::string script = write("a.lua", "work_done = 17 print('counted') while true do end\n");
  child command(URGE_COMMAND, {"run", "--sandbox", "inside", "--json", "result.json", script}, options());
  ASSERT_TRUE(command.wait_for_output("counted\n"));
  command.send(SIGINT);
  const auto r = command.finish();
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(result().at("tasks")[0].at("work"), 17);
}

TEST_F(ConfinedRun, IsAnErrorWhereTheKernelCannotConfineIt) {
  const std::string script = write("a.lua", "print('it ran')\n");
  for (const char* call :
       {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "prctl", "seccomp"}) {
    const auto r =
        run_child(test_tasks_dir + "/lacking", {call, URGE_COMMAND, "run", "--sandbox", "inside", script}, options());
    EXPECT_EQ(r.status, 1) << call;
    EXPECT_EQ(r.out, "") << call;
    EXPECT_EQ(r.err.find(std::string("urge: --sandbox inside: ") + call), 0u) << r.err;
    EXPECT_NE(r.err.find(std::string(": ") + std::strerror(ENOSYS) + "\n"), std::string::npos) << r.err;
  }
}

TEST_F(ConfinedRun, CannotBeginWithASecondThread) {
  const int status = in_child([&]() -> int {
    const cli::sandbox confined(path("inside"));
    std::thread second([] { ::pause(); });
    try {
      confined.enter();
    } catch (const std::system_error& e) {
      ::_exit(std::string(e.what()).find("there are 2 threads already") != std::string::npos ? 0 : 2);
    }
    ::_exit(1);  // and not by a return: the thread is still there
  });
  EXPECT_EQ(status, 0);
}

// What Landlock learned later is refused otherwise, or by nobody who is needed.
TEST_F(ConfinedRun, HoldsOnEachVersionOfLandlock) {
  const int last = cli::sandbox(path("inside")).landlock_version();
  ASSERT_GE(last, 1);
  const auto before = state_outside();
  for (int version = 1; version <= last; ++version) {
    const int wrong = in_child([&]() -> int {
      const std::string victim = path("outside/truncate"), mine = path("inside/mine");
      cli::sandbox(path("inside")).enter(version);
      const auto refused = [](long result) {
        return result < 0 && (errno == EPERM || errno == EACCES || errno == EXDEV);
      };
      struct {
        std::uint64_t flags = O_TRUNC, mode = 0, resolve = 0;
      } how;
      int number = 1;
      for (const bool right : {
               refused(::open(victim.c_str(), O_WRONLY)),
               refused(::open(victim.c_str(), O_RDONLY | O_TRUNC)),
               refused(::open(victim.c_str(), O_ACCMODE | O_TRUNC)),
               refused(::openat(AT_FDCWD, victim.c_str(), O_RDONLY | O_TRUNC)),
               ::syscall(SYS_openat2, AT_FDCWD, victim.c_str(), &how, sizeof how) < 0,
               refused(::truncate(victim.c_str(), 0)),
               refused(::link(victim.c_str(), path("inside/linked").c_str())),
               refused(::rename(victim.c_str(), path("inside/renamed").c_str())),
               refused(::rename(mine.c_str(), path("outside/renamed").c_str())),
               refused(::mknod(path("inside/null").c_str(), S_IFCHR | 0666, makedev(1, 3))),
               refused(::kill(::getppid(), 0)),
               ::kill(::getpid(), 0) == 0,
               ::open(victim.c_str(), O_RDONLY) >= 0,
               ::open(mine.c_str(), O_WRONLY | O_TRUNC) >= 0,
               ::open(mine.c_str(), O_RDWR | O_TRUNC) >= 0,
               ::open(path("inside/new").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666) >= 0,
               ::open("/dev/null", O_WRONLY | O_TRUNC) >= 0,
               ::unlink(path("inside/new").c_str()) == 0,
           }) {
        if (!right) return number;
        ++number;
      }
      return 0;
    });
    EXPECT_EQ(wrong, 0) << "the number of the try; version " << version;
    EXPECT_EQ(state_outside(), before) << version;
  }
}

}  // namespace urge::test
