// SPDX-License-Identifier: MIT
// A shared object that Loading.* opens and closes: a constructor and destructor that use malloc, TLS with and without
// a destructor. Not linked to urge. Context: a G that may be stopped anywhere in here, the constructors included.
#include <cstdlib>
#include <string>

namespace {

struct alive {
  std::string text = "constructed when the object is loaded";
  void* memory = std::malloc(3000);
  ~alive() { std::free(memory); }
} global;

thread_local std::string per_thread = "one for each thread that asks";
thread_local int plain = 7;

}  // namespace

extern "C" __attribute__((visibility("default"))) int module_answer(int n) {
  plain += n;
  const int sum = plain;
  plain -= n;
  return static_cast<int>(global.text.size()) + sum;
}
extern "C" __attribute__((visibility("default"))) void module_faults() {
  *static_cast<volatile int*>(nullptr) = 1;  // in the frame of this function
}
extern "C" __attribute__((visibility("default"))) int module_touch(int n) {
  per_thread = std::to_string(n);
  return std::atoi(per_thread.c_str());
}
