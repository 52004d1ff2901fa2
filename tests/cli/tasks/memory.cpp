// SPDX-License-Identifier: MIT
// Programs that want memory: each symbol is one, called as a main. All keep what they get, so that no compiler can
// think that it is not needed.
#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

namespace {
void* volatile last;
constexpr std::size_t piece = 100'000;

void* from(const std::string& function) {
  void* p = nullptr;
  if (function == "malloc") return std::malloc(piece);
  if (function == "calloc") return std::calloc(piece / 10, 10);
  if (function == "realloc") return std::realloc(std::malloc(10), piece);
  if (function == "reallocarray") return reallocarray(nullptr, piece / 10, 10);
  if (function == "memalign") return memalign(64, piece);
  if (function == "aligned_alloc") return std::aligned_alloc(64, piece);
  if (function == "posix_memalign") return posix_memalign(&p, 64, piece) == 0 ? p : nullptr;
  if (function == "valloc") return valloc(piece);
  if (function == "pvalloc") return pvalloc(piece);
  if (function == "new") return ::operator new(piece, std::nothrow);
  if (function == "new_aligned") return ::operator new(piece, std::align_val_t(256), std::nothrow);
  if (function == "strdup") return strdup(std::string(piece, 'x').c_str());
  return nullptr;
}
}  // namespace

#define PROGRAM extern "C" [[gnu::visibility("default")]] int

// From the function that is named, as often as is said; then it says that it has it.
PROGRAM hoard(int, char** argv) {
  for (int i = 0; i < std::atoi(argv[2]); ++i) {
    last = from(argv[1]);
    if (!last) break;
  }
  std::printf("%s hoarded\n", argv[1]);
  return 0;
}

// Gives back what it takes: never much at a time.
PROGRAM churn(int, char**) {
  for (int i = 0; i < 2000; ++i) {
    last = std::malloc(piece);
    last = std::realloc(last, 2 * piece);
    std::free(last);
    delete[] new (std::nothrow) char[piece];
  }
  std::puts("churned");
  return 0;
}

// Takes every refusal for something to be tried again.
PROGRAM stubborn(int, char**) {
  for (;;) {
    try {
      last = new char[piece];
    } catch (const std::bad_alloc&) {
    }
  }
}

// May not be left with its lock held; once it is refused it gives the lock up, and goes on without memory.
PROGRAM locked(int, char**) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  while (void* p = std::malloc(piece)) last = p;
  std::puts("refused");
  std::fflush(stdout);
  pthread_mutex_unlock(&lock);
  for (;;) asm volatile("");
}

// It is libc that wants more, with the stream locked.
PROGRAM stream(int, char**) {
  char* text = nullptr;
  std::size_t length = 0;
  std::FILE* f = open_memstream(&text, &length);
  const std::string line(piece, 'x');
  for (;;) std::fputs(line.c_str(), f);
}

// A child of fork is no task.
PROGRAM forks(int, char**) {
  const pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 200; ++i) last = std::malloc(piece);
    _exit(last ? 7 : 8);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::printf("child %d\n", WEXITSTATUS(status));
  return 0;
}
