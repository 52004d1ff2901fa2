// SPDX-License-Identifier: MIT
// A shared object, loaded to be a program. The loader gets a copy of the file with two things changed, so that a task
// has it to itself:
//   - nothing is left of its constructors and destructors for the loader to call. The task calls them, on its G, where
//     they are preempted and limited as all its code, may call exit, and hold no lock of the loader; and those of a
//     task that was stopped are never called, not even when the process ends.
//   - its "unique" symbols (inline variables, statics of inline functions) become ordinary ones: the loader would merge
//     them with those of the next copy.
// dlmopen would do neither: it gives each name space a libc of its own, and there are 16 at most.
// Context: the main thread, before the run; afterwards all is const.
#pragma once
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace urge::cli {

class plugin_image {
 public:
  // Throws std::runtime_error: why it cannot be loaded.
  explicit plugin_image(const std::string& path);
  ~plugin_image() = default;  // never unmapped: threads of the program, or a stopped G's stack, may refer to it
  plugin_image(const plugin_image&) = delete;
  plugin_image& operator=(const plugin_image&) = delete;

  // A function or variable that the object itself defines; null: none.
  void* function(const std::string& name) const { return defined(name, 2 /* STT_FUNC */, 0); }
  void* variable(const std::string& name, std::size_t bytes) const { return defined(name, 1 /* STT_OBJECT */, bytes); }

  using function_address = std::uintptr_t;
  std::vector<function_address> constructors() const;  // in the order in which they are called
  std::vector<function_address> destructors() const;

  bool holds(const void* p) const noexcept {
    const auto a = reinterpret_cast<std::uintptr_t>(p);
    return a >= low_ && a < high_;
  }

  // Lets every reference of the object to the foreign symbol `name` be one to `to`. Returns how many there were.
  unsigned rebind(std::string_view name, const void* to);

 private:
  struct range {
    std::uintptr_t at = 0, bytes = 0;
  };
  struct array : range {
    std::uintptr_t function = 0;  // DT_INIT or DT_FINI; 0: none
  };
  void read_program_headers();
  void load_needed_from_origin();
  void take_over_dynamic();
  void* defined(const std::string& name, unsigned type, std::size_t bytes) const;
  void make_symbols_ordinary();
  void load();
  std::size_t offset_of(std::uintptr_t address) const;  // in the file

  std::string path_;         // absolute
  std::vector<char> bytes_;  // the copy
  std::size_t dynamic_at_ = 0, dynamic_count_ = 0;
  array init_, fini_;
  range relocations_[2], relro_;            // of the file's own
  std::uintptr_t symbols_ = 0, names_ = 0;  // likewise
  void* handle_ = nullptr;
  std::uintptr_t base_ = 0, low_ = UINTPTR_MAX, high_ = 0;
};

}  // namespace urge::cli
