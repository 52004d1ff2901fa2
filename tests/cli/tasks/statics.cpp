// SPDX-License-Identifier: MIT
// Has every kind of global state that a loader might share between two copies of one file, changes each, and says what
// it finds: a copy of its own shows the values that it has set itself.
#include <cstdio>
#include <string>
#include <vector>

inline std::vector<std::string> inline_variable;

inline int& static_of_inline_function() {
  static int n = 0;
  return n;
}

template <class T>
struct holder {
  static int member;
};
template <class T>
int holder<T>::member = 0;

int plain_global = 0;
static thread_local int of_thread = 0;

struct speaker {
  speaker() { std::puts("constructed"); }
  ~speaker() { std::printf("destroyed with %zu\n", inline_variable.size()); }
};
static speaker one;

int main(int argc, char** argv) {
  for (int i = 0; i < argc; ++i) inline_variable.push_back(argv[i]);
  ++static_of_inline_function();
  ++holder<int>::member;
  ++plain_global;
  ++of_thread;
  std::printf("%zu %d %d %d\n", inline_variable.size(), static_of_inline_function(), holder<int>::member, plain_global);
  return 0;
}
