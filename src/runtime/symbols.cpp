// SPDX-License-Identifier: MIT
// See symbols.hpp.
#include "runtime/symbols.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "base/lock.hpp"
#include "base/maps.hpp"

namespace urge {

namespace {

struct module {
  std::uintptr_t base = 0, low = 0, high = 0;
  char path[256] = {};
  atomic<const char*> file{nullptr};  // the mapped file, once there is one; written under maps_lock, after bytes
  std::size_t bytes = 0;
  bool tried = false;  // maps_lock
};
constexpr std::size_t max_modules = 128;
module modules[max_modules];
std::size_t n_modules = 0;
raw_lock maps_lock;

int add(dl_phdr_info* info, std::size_t, void*) {
  if (n_modules == max_modules) return 1;
  module& m = modules[n_modules];
  m.path[0] = 0, m.path[sizeof m.path - 1] = 0;
  m.file.store(nullptr, relaxed), m.bytes = 0, m.tried = false;
  m.base = info->dlpi_addr;
  m.low = UINTPTR_MAX, m.high = 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& h = info->dlpi_phdr[i];
    if (h.p_type != PT_LOAD) continue;
    m.low = std::min<std::uintptr_t>(m.low, info->dlpi_addr + h.p_vaddr);
    m.high = std::max<std::uintptr_t>(m.high, info->dlpi_addr + h.p_vaddr + h.p_memsz);
  }
  if (m.high == 0) return 0;
  if (*info->dlpi_name) {
    std::strncpy(m.path, info->dlpi_name, sizeof m.path - 1);
  } else if (const ssize_t n = readlink("/proc/self/exe", m.path, sizeof m.path - 1); n < 0) {
    m.path[0] = 0;
  }
  ++n_modules;
  return 0;
}

void map_file(module& m) noexcept {
  if (m.tried) return;
  m.tried = true;
  const long fd = os::syscall6(SYS_openat, AT_FDCWD, reinterpret_cast<long>(m.path), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  struct stat st;
  if (os::syscall6(SYS_fstat, fd, reinterpret_cast<long>(&st)) == 0 &&
      st.st_size > static_cast<off_t>(sizeof(Elf64_Ehdr))) {
    void* map = reinterpret_cast<void*>(os::syscall6(SYS_mmap, 0, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0));
    if (!os::failed(map)) {
      m.bytes = static_cast<std::size_t>(st.st_size);
      m.file.store(static_cast<const char*>(map), release);  // [symbols.file] release: bytes
    }
  }
  os::syscall6(SYS_close, fd);
}

// The function that holds `at` (an address of the file's own), by .symtab, or .dynsym where that is stripped.
const char* find_function(const module& m, const char* file, std::uintptr_t at, std::uintptr_t& offset) noexcept {
  const auto& header = *reinterpret_cast<const Elf64_Ehdr*>(file);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return nullptr;
  if (header.e_shoff + std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr) > m.bytes) return nullptr;
  const auto* sections = reinterpret_cast<const Elf64_Shdr*>(file + header.e_shoff);
  for (const unsigned wanted : {unsigned{SHT_SYMTAB}, unsigned{SHT_DYNSYM}}) {
    for (unsigned i = 0; i < header.e_shnum; ++i) {
      const Elf64_Shdr& s = sections[i];
      if (s.sh_type != wanted || s.sh_link >= header.e_shnum || s.sh_offset + s.sh_size > m.bytes) continue;
      const auto* symbols = reinterpret_cast<const Elf64_Sym*>(file + s.sh_offset);
      const Elf64_Shdr& strings = sections[s.sh_link];
      for (std::size_t k = 0; k < s.sh_size / sizeof(Elf64_Sym); ++k) {
        const Elf64_Sym& y = symbols[k];
        if (ELF64_ST_TYPE(y.st_info) != STT_FUNC || at < y.st_value || at >= y.st_value + y.st_size) continue;
        if (y.st_name >= strings.sh_size || strings.sh_offset + strings.sh_size > m.bytes) continue;
        offset = at - y.st_value;
        return file + strings.sh_offset + y.st_name;
      }
    }
  }
  return nullptr;
}

}  // namespace

void map_modules() noexcept {
  n_modules = 0;
  dl_iterate_phdr(add, nullptr);
}

namespace {

void print_in(const module& m, raw_print& out, std::uintptr_t pc, names how) noexcept {
  const char* slash = std::strrchr(m.path, '/');
  const char* name = slash ? slash + 1 : m.path;
  std::uintptr_t offset = 0;
  const char* file = m.file.load(acquire);  // [symbols.file] acquire: bytes
  if (const char* function = file ? find_function(m, file, pc - m.base, offset) : nullptr) {
    char* plain = how == names::source ? abi::__cxa_demangle(function, nullptr, nullptr, nullptr) : nullptr;
    out << (plain ? plain : function) << "+";
    if (plain) std::free(plain);  // nothing of malloc's where there is none to free
    out.hex(offset) << " (" << name << ")";
  } else {
    out << name << "+";
    out.hex(pc - m.base);
  }
}

// Where the file's address 0 lies, by the segment that this mapping is a part of: one of code, for neighbours may share
// a page of the file.
std::uintptr_t base_of(const os::file_mapping& at, const module& m, const char* file) noexcept {
  const auto& header = *reinterpret_cast<const Elf64_Ehdr*>(file);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return at.low - at.offset;
  if (header.e_phoff + std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr) > m.bytes) return at.low - at.offset;
  const auto* segments = reinterpret_cast<const Elf64_Phdr*>(file + header.e_phoff);
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const Elf64_Phdr& s = segments[i];
    const std::uint64_t from = s.p_offset & ~std::uint64_t{4095};
    if (s.p_type == PT_LOAD && (s.p_flags & PF_X) && at.offset >= from && at.offset < s.p_offset + s.p_filesz)
      return at.low - at.offset + s.p_offset - s.p_vaddr;
  }
  return at.low - at.offset;
}

// Of a module that was loaded later: it may be gone tomorrow, so nothing of it is kept. Context: maps_lock held.
bool print_in_a_later_one(raw_print& out, std::uintptr_t pc, names how) noexcept {
  static os::file_mapping at;
  static module m;
  at = {};
  if (!os::file_at(pc, at)) return false;
  std::memcpy(m.path, at.path, sizeof m.path);
  m.file.store(nullptr, relaxed), m.bytes = 0, m.tried = false;
  map_file(m);
  const char* file = m.file.load(relaxed);
  m.base = file ? base_of(at, m, file) : at.low - at.offset;
  print_in(m, out, pc, how);
  if (file) os::syscall6(SYS_munmap, reinterpret_cast<long>(file), static_cast<long>(m.bytes));
  return true;
}

}  // namespace

void print_symbol(raw_print& out, std::uintptr_t pc, names how) noexcept {
  // A handler that interrupted the holder on this thread must not wait for it.
  std::unique_lock hold(maps_lock, std::try_to_lock);
  module* const last = modules + n_modules;
  module* const m = std::find_if(modules, last, [pc](const module& k) { return pc >= k.low && pc < k.high; });
  if (m == last) {
    if (!hold || !print_in_a_later_one(out, pc, how)) out << "?";
    return;
  }
  if (hold) {
    map_file(*m);
    hold.unlock();
  }
  print_in(*m, out, pc, how);
}

}  // namespace urge
