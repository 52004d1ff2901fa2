// SPDX-License-Identifier: MIT
// Which call does a `syscall` make? Told from libc's own code, and from code as compilers write it.
#include <gtest/gtest.h>

#include <sys/syscall.h>

#include <vector>

#include "arch/arch.hpp"

namespace urge::test {
namespace {

using bytes = std::vector<unsigned char>;

int number_of(const bytes& before) {
  bytes code(64, 0xf4);  // hlt
  code.insert(code.end(), before.begin(), before.end());
  code.insert(code.end(), {0x0f, 0x05});
  return arch::system_call_number(code.data() + code.size() - 2, code.size() - 2);
}
bytes operator+(bytes a, const bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const bytes mov_70{0xb8, 70, 0, 0, 0};

TEST(CallNumber, StandsJustBefore) {
  EXPECT_EQ(number_of(mov_70), 70);
  EXPECT_EQ(number_of({0x31, 0xc0}), 0);  // xor %eax, %eax
  EXPECT_EQ(number_of(bytes{0xb8, 0x19, 0x01, 0, 0}), 0x119);
}

TEST(CallNumber, StandsBeforeOtherArguments) {
  const bytes between[] = {
      {0x8b, 0x7c, 0x24, 0x08},                               // mov 8(%rsp), %edi
      {0x48, 0x8b, 0x34, 0x24},                               // mov (%rsp), %rsi
      {0x48, 0x8b, 0x74, 0x24, 0x10},                         // mov 16(%rsp), %rsi
      {0x48, 0x8b, 0xb5, 0x00, 0x01, 0, 0},                   // mov 256(%rbp), %rsi
      {0x48, 0x8b, 0x35, 1, 2, 3, 0},                         // mov 0x30201(%rip), %rsi
      {0x48, 0x8b, 0x34, 0x25, 1, 2, 3, 0},                   // mov 0x30201, %rsi
      {0x4c, 0x8b, 0x44, 0x24, 0x08},                         // mov 8(%rsp), %r8
      {0x45, 0x31, 0xd2},                                     // xor %r10d, %r10d
      {0x31, 0xff},                                           // xor %edi, %edi
      {0x48, 0x89, 0xfe},                                     // mov %rdi, %rsi
      {0xbf, 0x9c, 0xff, 0xff, 0xff},                         // mov $-100, %edi
      {0x41, 0xba, 8, 0, 0, 0},                               // mov $8, %r10d
      {0x41, 0xb8, 8, 0, 0, 0},                               // mov $8, %r8d
      {0x48, 0x8d, 0x74, 0x24, 0x20},                         // lea 32(%rsp), %rsi
      {0x40, 0x80, 0xf6, 0x81},                               // xor $0x81, %sil
      {0x49, 0x89, 0xc0},                                     // mov %rax, %r8
      {0x31, 0xd2, 0x45, 0x31, 0xc0, 0x8b, 0x7c, 0x24, 0x0c}  // several
  };
  for (const bytes& b : between) EXPECT_EQ(number_of(mov_70 + b), 70) << ::testing::PrintToString(b);
}

// An answer that is wrong would make another call than the program's.
TEST(CallNumber, IsNotTheOneBeforeAnother) {
  const bytes writes_eax[] = {
      {0x89, 0xf8},                          // mov %edi, %eax
      {0x44, 0x89, 0xc0},                    // mov %r8d, %eax
      {0x8b, 0x44, 0x24, 0x08},              // mov 8(%rsp), %eax
      {0x48, 0xc7, 0xc0, 1, 0, 0, 0},        // mov $1, %rax
      {0x83, 0xc0, 0x01},                    // add $1, %eax
      {0x48, 0x8d, 0x42, 0x01},              // lea 1(%rdx), %rax
      {0x0f, 0x44, 0xc7},                    // cmove %edi, %eax
      {0x48, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0},  // movabs $1, %rax
      {0xe8, 0, 0, 0, 0},                    // call
      {0x75, 0x02},                          // jne
      {0x58},                                // pop %rax
  };
  for (const bytes& b : writes_eax) EXPECT_EQ(number_of(mov_70 + b), -1) << ::testing::PrintToString(b);
  EXPECT_EQ(number_of(mov_70 + bytes{0x31, 0xc0}), 0);
  EXPECT_EQ(number_of(mov_70 + bytes{0xb8, 7, 0, 0, 0}), 7);
  EXPECT_EQ(number_of({0x41, 0xb8, 8, 0, 0, 0}), -1);        // mov $8, %r8d alone
  EXPECT_EQ(number_of({0x45, 0x31, 0xc0}), -1);              // xor %r8d, %r8d alone
  EXPECT_EQ(number_of({0x44, 0x31, 0xc0}), -1);              // xor %r8d, %eax
  EXPECT_EQ(number_of({0xb8, 8, 0, 0, 1}), -1);              // no call has such a number
  EXPECT_EQ(number_of({0x48, 0x89, 0xd8, 0x90, 0x90}), -1);  // nothing of the kind
}

// The byte that begins the mov is inside another instruction, behind the one that counts.
TEST(CallNumber, IsNotReadFromTheInsideOfAnInstruction) {
  const bytes between[] = {
      {0x49, 0x8d, 0xb8, 0x90, 0, 0, 0},        // lea 0x90(%r8), %rdi
      {0x41, 0x8b, 0xb8, 0x90, 0, 0, 0},        // mov 0x90(%r8), %edi
      {0x4d, 0x8b, 0xb8, 0x90, 0, 0, 0},        // mov 0x90(%r8), %r15
      {0x49, 0x89, 0xb8, 0x90, 0, 0, 0},        // mov %rdi, 0x90(%r8)
      {0x41, 0x0f, 0xb6, 0xb8, 0x90, 0, 0, 0},  // movzbl 0x90(%r8), %edi
      {0x49, 0x8b, 0xbc, 0xb8, 0x90, 0, 0, 0},  // mov 0x90(%r8, %rdi, 4), %rdi
      {0xc7, 0x44, 0x24, 0xb8, 16, 0, 0, 0},    // movl $16, -72(%rsp)
      {0xc7, 0x45, 0xb8, 16, 0, 0, 0},          // movl $16, -72(%rbp)
  };
  for (const bytes& b : between) {
    const int n = number_of(mov_70 + b);
    EXPECT_TRUE(n == 70 || n == -1) << n << " for " << ::testing::PrintToString(b);
    EXPECT_EQ(number_of(bytes{0x89, 0xf8} + b), -1) << ::testing::PrintToString(b);  // mov %edi, %eax
  }
  EXPECT_EQ(number_of(mov_70 + bytes{0x80, 0xf4, 0x01}), -1);  // xor $1, %ah
  EXPECT_EQ(number_of(mov_70 + bytes{0x66, 0x31, 0xc0}), -1);  // xor %ax, %ax
}

TEST(CallNumber, LooksNoFurtherThanMayBeRead) {
  const unsigned char code[] = {0xf4, 0xf4, 0xf4, 0xb8, 70, 0, 0, 0, 0x0f, 0x05};
  EXPECT_EQ(arch::system_call_number(code + 8, 8), 70);
  for (std::size_t n = 0; n < 8; ++n) EXPECT_EQ(arch::system_call_number(code + 8, n), -1);
}

}  // namespace
}  // namespace urge::test
