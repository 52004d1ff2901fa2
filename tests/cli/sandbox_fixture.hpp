// SPDX-License-Identifier: MIT
// A folder that a sandbox may change, another that it may not, and what tests/cli/tasks/attempts.h tells of the things
// that were tried. Everything here can be done by any user.
#pragma once
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "command_fixture.hpp"

namespace urge::test {

class Sandbox : public Command {
 protected:
  void SetUp() override {
    if (sanitized) GTEST_SKIP() << "the sanitizer has threads, and traces its process at the end";
    if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) < 0)
      GTEST_SKIP() << "landlock_create_ruleset: " << std::strerror(errno);
    Command::SetUp();
    for (const char* folder : {"inside", "outside", "outside/empty"})
      ASSERT_TRUE(std::filesystem::create_directory(path(folder)));
    for (const char* name : {"by_folder", "by_path", "chmod", "chown", "dotdot", "fchmod", "inherited", "ioctl", "link",
                             "open_truncate", "rename", "symlink", "touch", "truncate", "unlink", "write"})
      write(std::string("outside/") + name, "kept");
    for (const char* name : {"mine", "mine2"}) write(std::string("inside/") + name, "mine");
    std::filesystem::create_symlink("../outside/symlink", path("inside/link"));
    ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);  // for the tries without a sandbox; EINVAL: nobody asks
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{AF_UNIX, {}};
    std::strncpy(at.sun_path, path("outside/socket").c_str(), sizeof at.sun_path - 1);
    ASSERT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0) << std::strerror(errno);
  }
  void TearDown() override {
    if (socket_ >= 0) ::close(socket_);
    Command::TearDown();
  }

  // `forbidden.so` or `permitted.so`; `who`: as attempts.h says. Descriptor 9 is open for writing to outside/inherited.
  child_result try_all(const std::string& program, const std::vector<std::string>& arguments,
                       const std::string& who = "") {
    write("tasks.json",
          nlohmann::json::array({{{"task", test_tasks_dir + "/" + program},
                                  {"args", {path("inside"), path("outside"), std::to_string(::getpid()), who}}}})
              .dump());
    std::vector<std::string> all{"-c",        "exec \"$@\" 9>>outside/inherited", "sh", URGE_COMMAND, "run", "--tasks",
                                 "tasks.json"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_child("/bin/sh", all, options());
  }
  static std::map<std::string, std::string> answers(const std::string& output) {
    std::map<std::string, std::string> all;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);)
      if (const auto colon = line.find(": "); colon != std::string::npos)
        all[line.substr(0, colon)] = line.substr(colon + 2);
    return all;
  }

  // All that there is to know of what is outside, but when it was read.
  std::map<std::string, std::string> state_outside() const {
    std::map<std::string, std::string> all;
    const auto add = [&](const std::filesystem::path& p) {
      struct stat s {};
      if (::lstat(p.c_str(), &s) != 0) throw std::runtime_error(p.string());
      std::ostringstream text;
      text << s.st_ino << ' ' << s.st_mode << ' ' << s.st_nlink << ' ' << s.st_uid << ' ' << s.st_size << ' '
           << s.st_mtim.tv_sec << '.' << s.st_mtim.tv_nsec << ' ' << s.st_ctim.tv_sec << '.' << s.st_ctim.tv_nsec;
      if (S_ISREG(s.st_mode)) text << ' ' << std::ifstream(p).rdbuf();
      all[p.filename()] = text.str();
    };
    add(path("outside"));
    for (const auto& entry : std::filesystem::directory_iterator(path("outside"))) add(entry.path());
    return all;
  }
  bool a_message_came() const {
    char text[8];
    return ::recv(socket_, text, sizeof text, MSG_DONTWAIT) >= 0;
  }

 private:
  int socket_ = -1;
};

}  // namespace urge::test
