// SPDX-License-Identifier: MIT
// A shared object as a task. Its life is that of a process: constructors, main(argc, argv, environment), then what it
// registered with atexit (destructors of its static C++ objects, too) in reverse order, then its destructors.
//
// The object registers by calling __cxa_atexit with an address inside itself. That function is ours: what lies in a
// plugin goes on that plugin's list, so that it is called when the task ends, once, on the task's G, and never for a
// task that was stopped. libc's own list would be called at the end of the process, or by dlclose, which unmaps the
// code even if a thread of the program still runs there, and does nothing at all for many C++ objects.
#include <unistd.h>

#include <cxxabi.h>

#include <mutex>
#include <stdexcept>

#include "next_function.hpp"
#include "plugin_image.hpp"
#include "stdout_hook.hpp"
#include "task.hpp"

namespace urge::cli {

namespace {

// A program counts in a plain word, as programs do, and knows of no reader: the one race that is meant, so
// ThreadSanitizer is not shown the read. A word is read whole; which value is seen matters to nobody.
__attribute__((no_sanitize("thread"), noinline)) unsigned long read_counter(const volatile unsigned long* counter) {
  return *counter;
}

class plugin_program;
std::vector<plugin_program*> plugins;  // const while Gs run

class plugin_program final : public program {
 public:
  explicit plugin_program(const task_spec& spec) : image_(spec.file) {
    entry_ = image_.function(spec.symbol);
    if (!entry_) throw std::runtime_error("no function '" + spec.symbol + "' in it");
    counter_ = static_cast<const volatile unsigned long*>(image_.variable("work_done", sizeof(unsigned long)));
    destructors_ = image_.destructors();
    // As exec lays them out: text that the program may write to, and a null at the end.
    arguments_ = spec.args;
    arguments_.insert(arguments_.begin(), spec.file);
    for (std::string& a : arguments_) argv_.push_back(a.data());
    argv_.push_back(nullptr);
  }
  plugin_image& image() noexcept { return image_; }

  int main(std::string&) override {
    const int argc = static_cast<int>(arguments_.size());
    using function = int (*)(int, char**, char**);
    for (const auto f : image_.constructors()) reinterpret_cast<function>(f)(argc, argv_.data(), environ);
    return reinterpret_cast<function>(entry_)(argc, argv_.data(), environ);
  }

  void at_exit(bool quick) override {
    // Each is off the list before it is called: it may register others, or call exit.
    for (registered r; take(quick ? at_quick_exit_ : at_exit_, r);) r.function(r.argument);
    if (quick) return;
    while (next_destructor_ != destructors_.size()) reinterpret_cast<void (*)()>(destructors_[next_destructor_++])();
  }

  std::optional<std::uint64_t> work() const override {
    if (!counter_) return std::nullopt;
    return read_counter(counter_);
  }

  void add(bool quick, void (*function)(void*), void* argument) {
    const std::lock_guard hold(lock_);
    (quick ? at_quick_exit_ : at_exit_).push_back({function, argument});
  }

 private:
  struct registered {
    void (*function)(void*) = nullptr;
    void* argument = nullptr;
  };
  bool take(std::vector<registered>& list, registered& r) {
    const std::lock_guard hold(lock_);
    if (list.empty()) return false;
    r = list.back();
    list.pop_back();
    return true;
  }

  plugin_image image_;
  void* entry_ = nullptr;
  const volatile unsigned long* counter_ = nullptr;
  std::vector<std::string> arguments_;
  std::vector<char*> argv_;
  std::vector<plugin_image::function_address> destructors_;
  std::size_t next_destructor_ = 0;
  std::mutex lock_;  // the program may have threads
  std::vector<registered> at_exit_, at_quick_exit_;
};

}  // namespace

std::unique_ptr<program> load_plugin(const task& t) {
  auto* plugin = new plugin_program(t.spec);  // from here on others keep its address: it stays, whatever comes
  if (t.out) redirect_stdout(plugin->image(), t.out);
  plugins.push_back(plugin);
  return std::unique_ptr<program>(plugin);
}

}  // namespace urge::cli

namespace {
constinit urge::cli::next_function<int(void (*)(void*), void*, void*)> next_atexit("__cxa_atexit");
constinit urge::cli::next_function<int(void (*)(void*), void*)> next_at_quick_exit("__cxa_at_quick_exit");
// Before the first dlopen, as in memory_hook.cpp.
[[gnu::constructor]] void find_next() noexcept { (void)next_atexit.get(), (void)next_at_quick_exit.get(); }

// False: the object is no plugin, libc shall keep it.
bool keep(bool quick, void (*function)(void*), void* argument, void* object, int& result) noexcept {
  for (urge::cli::plugin_program* p : urge::cli::plugins) {
    if (!p->image().holds(object)) continue;
    try {
      p->add(quick, function, argument);
      result = 0;
    } catch (const std::bad_alloc&) {
      result = -1;
    }
    return true;
  }
  return false;
}
}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int __cxa_atexit(void (*function)(void*), void* argument, void* object) noexcept {
  int result = 0;
  if (keep(false, function, argument, object, result)) return result;
  return next_atexit.get()(function, argument, object);
}
int __cxa_at_quick_exit(void (*function)(void*), void* object) noexcept {
  int result = 0;
  if (keep(true, function, nullptr, object, result)) return result;
  return next_at_quick_exit.get()(function, object);
}

}  // extern "C"
#pragma GCC visibility pop
