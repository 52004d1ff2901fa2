// SPDX-License-Identifier: MIT
// See raw_print.hpp.
#include "base/raw_print.hpp"

#include "base/os.hpp"

namespace urge {

raw_print& raw_print::operator<<(std::string_view text) noexcept {
  for (char c : text) {
    if (used_ == sizeof buffer_) flush();
    buffer_[used_++] = c;
    if (c == '\n') flush();
  }
  return *this;
}

raw_print& raw_print::operator<<(std::uint64_t number) noexcept {
  char digits[20];
  std::size_t at = sizeof digits;
  do digits[--at] = static_cast<char>('0' + number % 10);
  while (number /= 10);
  return *this << std::string_view(digits + at, sizeof digits - at);
}

raw_print& raw_print::operator<<(std::int64_t number) noexcept {
  if (number >= 0) return *this << static_cast<std::uint64_t>(number);
  return *this << "-" << (~static_cast<std::uint64_t>(number) + 1);
}

raw_print& raw_print::hex(std::uint64_t number) noexcept {
  char digits[16];
  std::size_t at = sizeof digits;
  do digits[--at] = "0123456789abcdef"[number % 16];
  while (number /= 16);
  return *this << "0x" << std::string_view(digits + at, sizeof digits - at);
}

void raw_print::flush() noexcept {
  for (std::size_t done = 0; done < used_;) {
    const long n = os::write(fd_, buffer_ + done, used_ - done);
    if (n == -4 /* EINTR */) continue;
    if (n <= 0) break;  // nobody is left to tell
    done += static_cast<std::size_t>(n);
  }
  used_ = 0;
}

}  // namespace urge
