// SPDX-License-Identifier: MIT
// A TCP server that sends back what it gets, a G for each connection, written as if each had a thread; and a hundred
// clients that check it, in the same process. The server ends when its listener is closed.
#include <urge/urge.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <string>
#include <vector>

namespace io = urge::io;

namespace {

void serve(int connection) {
  char data[4096];
  for (ssize_t n; (n = io::read(connection, data, sizeof data)) > 0;)
    if (io::write(connection, data, static_cast<size_t>(n)) != n) break;
  io::close(connection);
}

// How many messages came back as they were sent.
int check(sockaddr_in server, int client) {
  const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  int good = 0;
  if (io::connect(s, reinterpret_cast<sockaddr*>(&server), sizeof server, give_up) == 0) {
    for (int i = 0; i < 10; ++i) {
      const std::string sent = "message " + std::to_string(i) + " of client " + std::to_string(client);
      std::string got(sent.size(), ' ');
      if (io::write(s, sent.data(), sent.size(), give_up) < 0) break;
      if (io::recv(s, got.data(), got.size(), MSG_WAITALL, give_up) < 0) break;
      good += got == sent;
    }
  }
  io::close(s);
  return good;
}

}  // namespace

int main() {
  return urge::run([] {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET, at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (bind(listener, reinterpret_cast<sockaddr*>(&at), size) != 0 || listen(listener, 128) != 0 ||
        getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
      std::perror("a listener on the loopback address");
      return 1;
    }
    auto server = urge::spawn([listener] {
      int connections = 0;
      for (int fd; (fd = io::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; ++connections)
        urge::go(serve, fd);
      return connections;
    });
    std::vector<urge::join_handle<int>> clients;
    for (int i = 0; i < 100; ++i) clients.push_back(urge::spawn(check, at, i));
    int good = 0;
    for (auto& c : clients) good += c.join();
    io::close(listener);
    std::printf("%d connections, %d messages came back\n", server.join(), good);
    return 0;
  });
}
