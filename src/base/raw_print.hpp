// SPDX-License-Identifier: MIT
// Text to a file descriptor without malloc, locks, locale or errno: for dumps, fatal errors and signal handlers.
// The text is gathered in a buffer of the caller's stack and written in whole lines where they fit.
// Context: any, the signal handler included.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace urge {

class raw_print {
 public:
  explicit raw_print(int fd) noexcept : fd_(fd) {}
  ~raw_print() { flush(); }
  raw_print(const raw_print&) = delete;
  raw_print& operator=(const raw_print&) = delete;

  raw_print& operator<<(std::string_view text) noexcept;
  raw_print& operator<<(const char* text) noexcept { return *this << std::string_view(text); }
  raw_print& operator<<(std::int64_t number) noexcept;
  raw_print& operator<<(std::uint64_t number) noexcept;
  raw_print& operator<<(int number) noexcept { return *this << static_cast<std::int64_t>(number); }
  raw_print& operator<<(unsigned number) noexcept { return *this << static_cast<std::uint64_t>(number); }
  raw_print& operator<<(const void* address) noexcept { return hex(reinterpret_cast<std::uintptr_t>(address)); }
  raw_print& hex(std::uint64_t number) noexcept;
  void flush() noexcept;

 private:
  int fd_;
  std::size_t used_ = 0;
  char buffer_[512];
};

}  // namespace urge
