// SPDX-License-Identifier: MIT
// The loader in a storm: dlopen and dlclose with constructors, destructors and TLS, symbols and addresses looked up,
// objects walked, exceptions thrown meanwhile. All of it is under locks of the loader that stopped Gs hold.
#include <dlfcn.h>
#include <link.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "preempt/storm.hpp"

namespace urge::test {
namespace {

class Loading : public Storm {};
INSTANTIATE_TEST_SUITE_P(Settings, Loading, testing::ValuesIn(storm_settings()), name_setting());

constexpr std::uint64_t preemptions = 500;
constexpr int text_length = 37;  // of the module's string

bool look_around() {
  Dl_info info{};
  int objects = 0;
  dl_iterate_phdr(
      [](dl_phdr_info*, std::size_t, void* n) {
        ++*static_cast<int*>(n);
        return 0;
      },
      &objects);
  bool caught = false;
  try {
    throw std::runtime_error("unwinding asks the loader");
  } catch (const std::exception&) {
    caught = true;
  }
  return caught && objects > 2 && dladdr(reinterpret_cast<void*>(&std::strlen), &info) != 0 && info.dli_fname &&
         dlsym(RTLD_DEFAULT, "no_such_symbol_anywhere") == nullptr && dlerror() != nullptr;
}

TEST_P(Loading, OpenAndCloseFromManyGs) {
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t n) {
    if (who % 2) return look_around();
    void* module = dlopen(URGE_MODULE, RTLD_NOW | RTLD_LOCAL);
    if (!module) return false;
    auto* answer = reinterpret_cast<int (*)(int)>(dlsym(module, "module_answer"));
    const int by = static_cast<int>(n % 1000);
    const bool right = answer && answer(by) == text_length + 7 + by;
    return dlclose(module) == 0 && right;
  });
  expect_right(r, preemptions);
}

// A thread_local with a destructor keeps its object loaded until the thread ends; the pool's identities never do.
TEST_P(Loading, ThreadLocalsOfALoadedObject) {
  const auto r = storm(how(), 4, preemptions, [](int who, std::uint64_t n) {
    if (who % 2) return look_around();
    void* module = dlopen(URGE_MODULE, RTLD_NOW | RTLD_LOCAL);
    if (!module) return false;
    auto* touch = reinterpret_cast<int (*)(int)>(dlsym(module, "module_touch"));
    const int with = static_cast<int>(n);
    const bool right = touch && touch(with) == with;
    return dlclose(module) == 0 && right;
  });
  expect_right(r, preemptions);
}

// A G of its own identity: the object's thread_local is destroyed at its end, with the code still there.
TEST_P(Loading, ThreadLocalsEndWithAGOfItsOwnIdentity) {
  const auto r = storm(how(), 4, preemptions / 5, [](int who, std::uint64_t n) {
    if (who % 2) return look_around();
    bool right = false;
    spawn({.own_identity = true}, [&right, n] {
      void* module = dlopen(URGE_MODULE, RTLD_NOW | RTLD_LOCAL);
      auto* touch = module ? reinterpret_cast<int (*)(int)>(dlsym(module, "module_touch")) : nullptr;
      right = touch && touch(static_cast<int>(n)) == static_cast<int>(n);
      if (module) right = dlclose(module) == 0 && right;
    }).join();
    return right;
  });
  expect_right(r, preemptions / 5);
}

}  // namespace
}  // namespace urge::test
