// SPDX-License-Identifier: MIT
// What does a process cost whose Gs all wait? `idle connections N SECONDS`: N TCP connections, a G in io::recv for
// each; `idle parked N SECONDS`: N Gs on a channel. It prints the memory that one of them takes, and over so many
// seconds the CPU time and the wake-ups of all its threads. Then each G is woken once, to show that it lives.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "peer.hpp"

namespace {

void require(bool succeeded, const char* call) {
  if (!succeeded) throw std::system_error(errno, std::generic_category(), call);
}

// Times that a thread of this process went to sleep, of all that there are now.
long sleeps() {
  long n = 0;
  DIR* tasks = opendir("/proc/self/task");
  require(tasks, "opendir /proc/self/task");
  while (const dirent* d = readdir(tasks)) {
    std::ifstream status("/proc/self/task/" + std::string(d->d_name) + "/status");
    for (std::string word; status >> word;)
      if (long value; word == "voluntary_ctxt_switches:" && status >> value) n += value;
  }
  closedir(tasks);
  return n;
}

struct before {
  double rss = peer::rss_bytes(), available = peer::available_bytes();
};

void watch(const char* what, long n, long seconds, const before& b) {
  peer::sleep_ms(2000);
  const double rss = peer::rss_bytes() - b.rss, all = b.available - peer::available_bytes();
  const long slept = sleeps();
  const auto cpu = peer::cpu_ns(), start = peer::now_ns();
  peer::sleep_ms(seconds * 1000);
  const double wall = peer::ns_since(start), used = static_cast<double>(peer::cpu_ns() - cpu);
  // The look itself wakes a thread, and so does this G.
  std::printf(
      "%ld %s: %.0f bytes each in this process, %.0f of the machine's memory; over %ld s %.4f %% of a CPU, "
      "%.2f wake-ups/s\n",
      n, what, rss / static_cast<double>(n), all / static_cast<double>(n), seconds, used / wall * 100,
      static_cast<double>(sleeps() - slept) / (wall / 1e9));
}

void parked(long n, long seconds) {
  const before b;
  urge::chan<int> gate;
  urge::wait_group all;
  all.add(n);
  for (long i = 0; i < n; ++i)
    urge::go([&] {
      gate.recv();
      all.done();
    });
  watch("parked Gs", n, seconds, b);
  gate.close();
  all.wait();
}

void let_open(long n) {
  rlimit most{};
  getrlimit(RLIMIT_NOFILE, &most);
  most.rlim_cur = static_cast<rlim_t>(n) + 1000;
  if (most.rlim_max < most.rlim_cur) most.rlim_max = most.rlim_cur;
  require(setrlimit(RLIMIT_NOFILE, &most) == 0, "setrlimit RLIMIT_NOFILE");
}

constexpr long per_address = 20'000;  // ports that a client may use towards one address

// The other side: a process of its own. Once told to, it sends a byte on each connection.
[[noreturn]] void be_client(long n, in_port_t port, int told) {
  std::vector<int> all;
  for (long i = 0; i < n; ++i) {
    sockaddr_in to{};
    to.sin_family = AF_INET, to.sin_port = port;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + static_cast<in_addr_t>(i / per_address));
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
      std::fprintf(stderr, "idle: connection %ld: %s\n", i, std::strerror(errno));
      ::_exit(1);
    }
    all.push_back(fd);
  }
  char c;
  const bool go_on = ::read(told, &c, 1) == 1;
  for (const int fd : all)
    if (go_on && ::send(fd, &c, 1, MSG_NOSIGNAL) != 1) ::_exit(1);
  ::_exit(::read(told, &c, 1) == 0 ? 0 : 1);
}

struct server {
  int listener = -1, tell = -1;
  pid_t client = -1;
};

server open_server(long n) {
  let_open(n);
  server s;
  s.listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  require(s.listener >= 0, "socket");
  sockaddr_in at{};
  socklen_t size = sizeof at;
  at.sin_family = AF_INET;
  require(::bind(s.listener, reinterpret_cast<sockaddr*>(&at), size) == 0, "bind");
  require(::listen(s.listener, 4096) == 0, "listen");
  require(::getsockname(s.listener, reinterpret_cast<sockaddr*>(&at), &size) == 0, "getsockname");
  int ends[2];
  require(::pipe2(ends, O_CLOEXEC) == 0, "pipe2");
  s.client = ::fork();
  require(s.client >= 0, "fork");
  if (s.client == 0) {
    ::close(ends[1]), ::close(s.listener);
    be_client(n, at.sin_port, ends[0]);
  }
  ::close(ends[0]);
  s.tell = ends[1];
  return s;
}

void connections(const server& s, long n, long seconds) {
  const before b;
  urge::wait_group all;
  all.add(n);
  for (long i = 0; i < n; ++i) {
    const int fd = urge::io::accept4(s.listener, nullptr, nullptr, SOCK_CLOEXEC);
    require(fd >= 0, "accept4");
    urge::go([fd, &all] {
      char c;
      require(urge::io::recv(fd, &c, 1, 0) == 1, "recv");
      all.done();
      urge::io::recv(fd, &c, 1, 0);  // until the client ends
      urge::io::close(fd);
    });
  }
  watch("idle connections, with both ends", n, seconds, b);
  require(::write(s.tell, "x", 1) == 1, "write");
  all.wait();
  ::close(s.tell);
  int status = 0;
  urge::blocking([&] { return ::waitpid(s.client, &status, 0); });
  if (status != 0) throw std::runtime_error("the client has failed");
}

long number(const char* text) {
  long n = 0;
  const char* end = text + std::strlen(text);
  if (std::from_chars(text, end, n).ptr != end || n < 1)
    throw std::invalid_argument(std::string(text) + ": must be a number above 0");
  return n;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string what = argc == 4 ? argv[1] : "";
  if (what != "connections" && what != "parked") {
    std::fputs("usage: idle connections|parked N SECONDS\n", stderr);
    return 2;
  }
  const long n = number(argv[2]), seconds = number(argv[3]);
  urge::options how = urge::options::from_env();
  if (what == "parked") {
    urge::run([&] { parked(n, seconds); }, how);
  } else {
    const server s = open_server(n);
    urge::run([&] { connections(s, n, seconds); }, how);
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "idle: %s\n", e.what());
  return 1;
}
