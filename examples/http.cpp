// SPDX-License-Identifier: MIT
// http FOLDER [PORT]: serves the files of a folder by HTTP/1.1 on the loopback address. Each connection is a G that
// reads, parses and writes as if it had a thread; the parser is Boost.Beast's, as it is, fed with what urge::io reads.
// What it takes care of: nothing outside of the folder is opened (the kernel sees to that: RESOLVE_BENEATH), requests
// have a size and a time in which they must be complete, idle connections end, and their number is limited.
#include <urge/urge.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace io = urge::io;
namespace http = boost::beast::http;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t largest_header = 8192;
constexpr std::ptrdiff_t most_connections = 1000;
constexpr auto idle_time = 30s;     // between two requests
constexpr auto request_time = 10s;  // for a request, from its first byte
constexpr auto write_time = 30s;    // for each part of an answer

urge::time_point in(std::chrono::nanoseconds t) { return std::chrono::steady_clock::now() + t; }

struct descriptor {
  int fd;
  explicit descriptor(int f) : fd(f) {}
  descriptor(const descriptor&) = delete;
  ~descriptor() {
    if (fd >= 0) io::close(fd);
  }
};

bool send_all(int fd, std::string_view data) {
  return io::send(fd, data.data(), data.size(), MSG_NOSIGNAL, in(write_time)) == static_cast<ssize_t>(data.size());
}

// The path of a request target, relative to the folder; nothing for one that is none.
std::optional<std::string> path_of(std::string_view target) {
  if (!target.starts_with('/')) return {};
  target = target.substr(1, target.find_first_of("?#") - 1);
  std::string path;
  for (std::size_t i = 0; i < target.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(target[i]);
    if (c == '%') {
      if (i + 2 >= target.size()) return {};
      const auto [end, error] = std::from_chars(&target[i + 1], &target[i + 1] + 2, c, 16);
      if (error != std::errc{} || end != &target[i + 1] + 2) return {};
      i += 2;
    }
    if (c == 0) return {};
    path += static_cast<char>(c);
  }
  // The kernel would refuse what leaves the folder; that somebody asks for it is a bad request all the same.
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (std::string_view(path).substr(at, end - at) == "..") return {};
    at = end + 1;
  }
  if (path.empty() || path.ends_with('/')) path += "index.html";
  return path.substr(path.find_first_not_of('/'));
}

int open_beneath(int folder, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // not to wait for a FIFO's writer
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return urge::blocking(
      [&] { return static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how)); });
}

std::string_view type_of(std::string_view path) {
  constexpr std::pair<std::string_view, std::string_view> types[] = {{".html", "text/html; charset=utf-8"},
                                                                     {".txt", "text/plain; charset=utf-8"},
                                                                     {".css", "text/css"},
                                                                     {".js", "text/javascript"},
                                                                     {".json", "application/json"},
                                                                     {".svg", "image/svg+xml"},
                                                                     {".png", "image/png"},
                                                                     {".jpg", "image/jpeg"}};
  for (const auto& [end, type] : types)
    if (path.ends_with(end)) return type;
  return "application/octet-stream";
}

std::string head(std::string_view status, std::string_view type, std::int64_t length, bool keep,
                 const char* more = "") {
  std::string h = "HTTP/1.1 ";
  h.append(status).append("\r\nContent-Type: ").append(type);
  h.append("\r\nContent-Length: ").append(std::to_string(length)).append("\r\n").append(more);
  return h.append(keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

bool send_error(int fd, std::string_view status, bool keep, bool body, const char* more = "") {
  const std::string text = std::string(status) + "\n";
  return send_all(fd, head(status, "text/plain; charset=utf-8", std::ssize(text), keep, more) + (body ? text : ""));
}

using parser = http::request_parser<http::empty_body>;

// Answers one request. False: the connection is of no more use.
bool answer(int fd, int folder, const http::request<http::empty_body>& r) {
  const bool keep = r.keep_alive(), body = r.method() != http::verb::head;
  if (r.method() != http::verb::get && r.method() != http::verb::head)
    return send_error(fd, "405 Method Not Allowed", keep, true, "Allow: GET, HEAD\r\n") && keep;
  const auto path = path_of({r.target().data(), r.target().size()});
  if (!path) return send_error(fd, "400 Bad Request", keep, body) && keep;
  const descriptor file(open_beneath(folder, *path));
  struct stat st {};
  if (file.fd < 0 || ::fstat(file.fd, &st) != 0 || !S_ISREG(st.st_mode))
    return send_error(fd, "404 Not Found", keep, body) && keep;
  if (!send_all(fd, head("200 OK", type_of(*path), st.st_size, keep))) return false;
  char part[16384];
  for (std::int64_t left = body ? st.st_size : 0; left > 0;) {
    const ssize_t n = io::read(file.fd, part, static_cast<size_t>(std::min<std::int64_t>(left, sizeof part)));
    if (n <= 0 || !send_all(fd, {part, static_cast<size_t>(n)})) return false;  // it has become shorter
    left -= n;
  }
  return keep;
}

void serve(int connection, int folder) {
  const descriptor closes(connection);
  char data[4096];
  std::size_t have = 0;  // bytes that belong to the next request
  for (bool keep = true; keep;) {
    parser p;
    p.header_limit(largest_header);
    p.body_limit(0);
    p.eager(true);
    urge::time_point until = in(have != 0 ? std::chrono::nanoseconds(request_time) : idle_time);
    bool begun = have != 0;
    while (!p.is_done()) {
      boost::system::error_code error;
      const std::size_t used = have == 0 ? 0 : p.put(boost::asio::const_buffer(data, have), error);
      std::memmove(data, data + used, have -= used);
      if (error && error != http::error::need_more) {
        send_error(connection,
                   error == http::error::header_limit ? "431 Request Header Fields Too Large" : "400 Bad Request",
                   false, true);
        return;
      }
      if (p.is_done()) break;
      // What the parser leaves is a line that is not complete.
      if (have == sizeof data) return void(send_error(connection, "431 Request Header Fields Too Large", false, true));
      const ssize_t n = io::read(connection, data + have, sizeof data - have, until);
      if (n <= 0) {
        if (n < 0 && errno == ETIMEDOUT && begun) send_error(connection, "408 Request Timeout", false, true);
        return;
      }
      have += static_cast<std::size_t>(n);
      if (!std::exchange(begun, true)) until = in(request_time);
    }
    keep = answer(connection, folder, p.get());
  }
}

int serve_folder(const char* name, std::uint16_t port) {
  const int folder = ::open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return std::perror(name), 1;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in at{};
  at.sin_family = AF_INET, at.sin_addr.s_addr = htonl(INADDR_LOOPBACK), at.sin_port = htons(port);
  socklen_t size = sizeof at;
  if (bind(listener, reinterpret_cast<sockaddr*>(&at), size) != 0 || listen(listener, 1024) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size) != 0)
    return std::perror("http: listening"), 1;
  std::printf("http://127.0.0.1:%d/\n", ntohs(at.sin_port));
  std::fflush(stdout);
  urge::counting_semaphore<most_connections> places(most_connections);
  for (;;) {
    places.acquire();
    const int fd = io::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno != ECONNABORTED) std::perror("http: accept4");
      places.release();
      urge::this_g::sleep_for(10ms);  // no descriptors: some connection will end
      continue;
    }
    urge::go([&places, fd, folder] {
      serve(fd, folder);
      places.release();
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  if (argc < 2 || argc > 3 ||
      (argc == 3 && std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), port).ec != std::errc{})) {
    std::fputs("usage: http FOLDER [PORT]\n", stderr);
    return 2;
  }
  return urge::run([&] { return serve_folder(argv[1], port); });
}
