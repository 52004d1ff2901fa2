// SPDX-License-Identifier: MIT
// See child.hpp. The child gets its own process group, so that what it starts is ended with it.
#include "child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <tuple>

namespace urge::test {

namespace {

[[noreturn]] void fail(const char* call) { throw std::system_error(errno, std::generic_category(), call); }

struct ends {
  int read = -1, write = -1;
};
ends make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) fail("pipe2");
  return {fds[0], fds[1]};
}
ends make_terminal(unsigned columns) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) fail("posix_openpt");
  const int slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  const winsize size{24, static_cast<unsigned short>(columns), 0, 0};
  if (slave < 0 || ::ioctl(slave, TIOCSWINSZ, &size) != 0) fail("opening a terminal");
  return {master, slave};
}

// Context: the child. Everything has been allocated before.
[[noreturn]] void become(const std::vector<char*>& argv, const std::vector<char*>& environment, const std::string& dir,
                         int out, int err) {
  ::setpgid(0, 0);
  if (!dir.empty() && ::chdir(dir.c_str()) != 0) ::_exit(126);
  const int in = ::open("/dev/null", O_RDONLY);
  if (in < 0 || ::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) ::_exit(126);
  ::execve(argv[0], argv.data(), environment.data());
  ::_exit(127);
}

}  // namespace

child::child(const std::string& program, const std::vector<std::string>& arguments, const child_options& how)
    : until_(std::chrono::steady_clock::now() + how.limit) {
  std::vector<std::string> texts{program};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<std::string> settings;
  for (char** e = environ; *e; ++e) {
    const std::string ours = *e;
    bool replaced = false;
    for (const auto& [name, value] : how.environment) replaced = replaced || ours.starts_with(name + "=");
    if (!replaced) settings.push_back(ours);
  }
  for (const auto& [name, value] : how.environment) settings.push_back(name + "=" + value);
  std::vector<char*> argv, environment;
  for (std::string& t : texts) argv.push_back(t.data());
  for (std::string& s : settings) environment.push_back(s.data());
  argv.push_back(nullptr), environment.push_back(nullptr);

  const ends out = make_pipe();
  const ends err = how.terminal_columns ? make_terminal(how.terminal_columns) : make_pipe();
  pid_ = ::fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) become(argv, environment, how.directory, how.stdout_to_terminal ? err.write : out.write, err.write);
  ::close(out.write), ::close(err.write);
  out_ = out.read, err_ = err.read;
}

child::~child() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  for (const int fd : {out_, err_})
    if (fd >= 0) ::close(fd);
}

void child::send(int signal) {
  if (::kill(pid_, signal) != 0) fail("kill");
}

bool child::ended() const {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) fail("waitid");
  return info.si_pid != 0;
}

bool child::collect() {
  pollfd on[2] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}};
  if (out_ < 0 && err_ < 0) return false;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until_ - std::chrono::steady_clock::now()).count();
  if (left <= 0) {
    seen_.timed_out = true;
    return false;
  }
  if (::poll(on, 2, static_cast<int>(left)) < 0 && errno != EINTR) fail("poll");
  for (auto [fd, text, revents] : {std::tuple{&out_, &seen_.out, on[0].revents}, {&err_, &seen_.err, on[1].revents}}) {
    if (*fd < 0 || revents == 0) continue;
    char piece[4096];
    const ssize_t n = ::read(*fd, piece, sizeof piece);
    // A terminal whose other side is closed gives EIO.
    if (n <= 0 && !(n < 0 && errno == EINTR)) {
      ::close(*fd);
      *fd = -1;
    } else if (n > 0) {
      text->append(piece, static_cast<std::size_t>(n));
    }
  }
  return true;
}

bool child::wait_for(const std::string& where, const std::string& text) {
  while (where.find(text) == std::string::npos)
    if (!collect()) return false;
  return true;
}

child_result child::finish() {
  while (collect()) {
  }
  if (seen_.timed_out) ::kill(-pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFEXITED(status)) seen_.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) seen_.signal = WTERMSIG(status);
  return seen_;
}

}  // namespace urge::test
