// SPDX-License-Identifier: MIT
// examples/http.cpp, driven over the loopback address by threads of this process.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/sockets.hpp"

namespace urge::test {
namespace {

class Http : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/urge_http_XXXXXX";
    folder_ = std::string(mkdtemp(name)) + "/served";
    std::filesystem::create_directories(folder_ + "/sub");
    write("/index.html", "<p>index</p>");
    write("/sub/a b.txt", "spaces");
    write("/large.bin", large_);
    write("/../secret.txt", "secret");
    std::filesystem::create_symlink("../secret.txt", folder_ + "/way_out");
    server_ = std::make_unique<child>(URGE_HTTP_EXAMPLE, std::vector<std::string>{folder_});
    const std::string before = "http://127.0.0.1:";
    ASSERT_TRUE(server_->wait_for_output("/\n"));
    to_.in.sin_family = AF_INET, to_.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to_.in.sin_port = htons(static_cast<std::uint16_t>(std::stoi(server_->output().substr(before.size()))));
  }
  void TearDown() override {
    EXPECT_FALSE(server_->ended());
    server_.reset();
    std::filesystem::remove_all(folder_ + "/..");
  }

  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ + name) << text; }

  descriptor connect() const {
    descriptor s = make_socket(SOCK_STREAM);
    address to = to_;
    EXPECT_EQ(::connect(s, to, to.size), 0);
    return s;
  }
  // All that comes until the server closes.
  static std::string rest(int s) {
    std::string all;
    char part[4096];
    for (ssize_t n; (n = ::recv(s, part, sizeof part, 0)) > 0;) all.append(part, static_cast<std::size_t>(n));
    return all;
  }
  std::string exchange(const std::string& request) const {
    const descriptor s = connect();
    EXPECT_EQ(::send(s, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    return rest(s);
  }
  std::string get(const std::string& target, const std::string& method = "GET") const {
    return exchange(method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }
  static std::string status(const std::string& answer) { return answer.substr(9, 3); }
  static std::string body(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

  std::string folder_, large_ = std::string(3'000'000, 'L');
  std::unique_ptr<child> server_;
  address to_;
};

TEST_F(Http, ServesTheFilesOfItsFolder) {
  EXPECT_EQ(body(get("/")), "<p>index</p>");
  EXPECT_EQ(body(get("/index.html?query")), "<p>index</p>");
  EXPECT_EQ(body(get("/sub/a%20b.txt")), "spaces");
  EXPECT_EQ(body(get("/large.bin")), large_);
  const std::string head = get("/large.bin", "HEAD");
  EXPECT_EQ(status(head), "200");
  EXPECT_NE(head.find("Content-Length: 3000000\r\n"), std::string::npos);
  EXPECT_EQ(body(head), "");
}

TEST_F(Http, LeavesItsFolderOnNoWay) {
  for (const char* target : {"/../secret.txt", "/%2e%2e/secret.txt", "/sub/../../secret.txt", "/..", "secret.txt"})
    EXPECT_EQ(status(get(target)), "400") << target;
  for (const char* target : {"/way_out", "//etc/passwd", "/sub", "/missing", "/..secret.txt", "/sub/"})
    EXPECT_EQ(status(get(target)), "404") << target;
}

TEST_F(Http, RefusesWhatItDoesNotKnow) {
  const std::string answer = get("/", "DELETE");
  EXPECT_EQ(status(answer), "405");
  EXPECT_NE(answer.find("Allow: GET, HEAD"), std::string::npos);
  EXPECT_EQ(status(exchange("nonsense\r\n\r\n")), "400");
  EXPECT_EQ(status(get("/%0")), "400");
  EXPECT_EQ(status(get("/a%00b")), "400");
  EXPECT_EQ(status(exchange("GET / HTTP/1.1\r\nA: " + std::string(20'000, 'a') + "\r\n\r\n")), "431");
}

TEST_F(Http, AnswersSeveralRequestsOfOneConnection) {
  const descriptor s = connect();
  const std::string keep = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", last = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
  // In pieces, and two at once.
  for (const char c : keep) EXPECT_EQ(::send(s, &c, 1, MSG_NOSIGNAL), 1);
  const std::string both = keep + last;
  EXPECT_EQ(::send(s, both.data(), both.size(), MSG_NOSIGNAL), static_cast<ssize_t>(both.size()));
  std::string all = rest(s);
  int n = 0;
  for (std::size_t at = 0; (at = all.find("<p>index</p>", at)) != std::string::npos; ++at) ++n;
  EXPECT_EQ(n, 3);
}

TEST_F(Http, AnswersManyAtOnce) {
  const descriptor idle = connect();  // waits for its request meanwhile
  std::vector<std::thread> clients;
  for (int i = 0; i < 20; ++i)
    clients.emplace_back([&] {
      for (int k = 0; k < 10; ++k) EXPECT_EQ(body(get("/sub/a%20b.txt")), "spaces");
    });
  for (auto& c : clients) c.join();
  const std::string request = "GET / HTTP/1.0\r\n\r\n";
  EXPECT_EQ(::send(idle, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  EXPECT_EQ(body(rest(idle)), "<p>index</p>");
}

}  // namespace
}  // namespace urge::test
