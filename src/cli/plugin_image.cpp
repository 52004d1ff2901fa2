// SPDX-License-Identifier: MIT
// See plugin_image.hpp. Reads ELF as far as is needed for it; what it does not understand it leaves to the loader,
// whose message is the best there is.
#include "plugin_image.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <span>
#include <stdexcept>
#include <utility>

namespace urge::cli {

namespace {

constexpr Elf64_Sxword ignored_tag = 0x6000fff0;  // in the range for operating systems; the loader skips it

[[noreturn]] void fail(const char* call) { throw std::runtime_error(std::string(call) + ": " + std::strerror(errno)); }

std::vector<char> read_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (!file) fail("open");
  std::vector<char> bytes;
  char part[65536];
  while (const std::size_t n = std::fread(part, 1, sizeof part, file)) bytes.insert(bytes.end(), part, part + n);
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  if (failed) fail("read");
  return bytes;
}

template <class T>
std::span<T> view(std::vector<char>& bytes, std::size_t at, std::size_t count) {
  if (at > bytes.size() || count > (bytes.size() - at) / sizeof(T)) return {};
  return {reinterpret_cast<T*>(bytes.data() + at), count};
}

}  // namespace

plugin_image::plugin_image(const std::string& path) {
  bytes_ = read_file(path);
  char real[PATH_MAX];
  path_ = ::realpath(path.c_str(), real) ? real : path;
  const auto header = view<Elf64_Ehdr>(bytes_, 0, 1);
  if (!header.empty() && std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) == 0 &&
      header[0].e_ident[EI_CLASS] == ELFCLASS64 && header[0].e_type == ET_DYN) {
    read_program_headers();
    load_needed_from_origin();
    take_over_dynamic();
    make_symbols_ordinary();
  }
  load();
  bytes_ = {};
}

void plugin_image::read_program_headers() {
  const auto& header = view<Elf64_Ehdr>(bytes_, 0, 1)[0];
  for (const auto& p : view<Elf64_Phdr>(bytes_, header.e_phoff, header.e_phnum)) {
    if (p.p_type == PT_LOAD) {
      low_ = std::min<std::uintptr_t>(low_, p.p_vaddr);
      high_ = std::max<std::uintptr_t>(high_, p.p_vaddr + p.p_memsz);
    } else if (p.p_type == PT_GNU_RELRO) {
      relro_ = {p.p_vaddr, p.p_memsz};
    } else if (p.p_type == PT_DYNAMIC && !view<Elf64_Dyn>(bytes_, p.p_offset, p.p_filesz / sizeof(Elf64_Dyn)).empty()) {
      dynamic_at_ = p.p_offset, dynamic_count_ = p.p_filesz / sizeof(Elf64_Dyn);
    }
  }
}

std::size_t plugin_image::offset_of(std::uintptr_t address) const {
  auto& bytes = const_cast<std::vector<char>&>(bytes_);
  const auto& header = view<Elf64_Ehdr>(bytes, 0, 1)[0];
  for (const auto& p : view<Elf64_Phdr>(bytes, header.e_phoff, header.e_phnum))
    if (p.p_type == PT_LOAD && address >= p.p_vaddr && address < p.p_vaddr + p.p_filesz)
      return address - p.p_vaddr + p.p_offset;
  return SIZE_MAX;
}

// The copy has no directory, so what it needs from $ORIGIN is loaded before it; the loader then finds it by name.
void plugin_image::load_needed_from_origin() {
  std::size_t names = SIZE_MAX, search = SIZE_MAX;
  const auto dynamic = view<Elf64_Dyn>(bytes_, dynamic_at_, dynamic_count_);
  for (const auto& d : dynamic) {
    if (d.d_tag == DT_STRTAB) names = offset_of(d.d_un.d_ptr);
    if (d.d_tag == DT_RUNPATH || (d.d_tag == DT_RPATH && search == SIZE_MAX)) search = d.d_un.d_val;
    if (d.d_tag == DT_NULL) break;
  }
  if (names == SIZE_MAX || search == SIZE_MAX) return;
  const auto name_at = [&](std::size_t at) -> std::string {
    const auto rest = view<char>(bytes_, names + at, 1);
    return rest.empty() ? "" : std::string(rest.data(), ::strnlen(rest.data(), bytes_.size() - names - at));
  };
  const std::string origin = path_.substr(0, path_.rfind('/'));
  std::string list = name_at(search) + ":";
  for (std::size_t end; (end = list.find(':')) != std::string::npos; list.erase(0, end + 1)) {
    std::string folder = list.substr(0, end);
    bool at_origin = false;
    for (const std::string_view token : {"${ORIGIN}", "$ORIGIN"})
      for (std::size_t at; (at = folder.find(token)) != std::string::npos; at_origin = true)
        folder.replace(at, token.size(), origin);
    if (!at_origin) continue;
    for (const auto& d : dynamic) {
      if (d.d_tag == DT_NULL) break;
      if (d.d_tag != DT_NEEDED) continue;
      const std::string file = folder + "/" + name_at(d.d_un.d_val);
      if (::access(file.c_str(), R_OK) == 0 && !::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL))
        throw std::runtime_error(::dlerror());
    }
  }
}

void plugin_image::take_over_dynamic() {
  for (auto& d : view<Elf64_Dyn>(bytes_, dynamic_at_, dynamic_count_)) {
    switch (d.d_tag) {
      case DT_NULL:
        return;
      case DT_INIT:
        init_.function = d.d_un.d_ptr, d.d_tag = ignored_tag;
        break;
      case DT_FINI:
        fini_.function = d.d_un.d_ptr, d.d_tag = ignored_tag;
        break;
      case DT_INIT_ARRAY:
        init_.at = d.d_un.d_ptr;
        break;
      case DT_FINI_ARRAY:
        fini_.at = d.d_un.d_ptr;
        break;
      case DT_INIT_ARRAYSZ:
        init_.bytes = std::exchange(d.d_un.d_val, 0);
        break;
      case DT_FINI_ARRAYSZ:
        fini_.bytes = std::exchange(d.d_un.d_val, 0);
        break;
      case DT_RELA:
        relocations_[0].at = d.d_un.d_ptr;
        break;
      case DT_RELASZ:
        relocations_[0].bytes = d.d_un.d_val;
        break;
      case DT_JMPREL:
        relocations_[1].at = d.d_un.d_ptr;
        break;
      case DT_PLTRELSZ:
        relocations_[1].bytes = d.d_un.d_val;
        break;
      case DT_SYMTAB:
        symbols_ = d.d_un.d_ptr;
        break;
      case DT_STRTAB:
        names_ = d.d_un.d_ptr;
        break;
      default:
        break;
    }
  }
}

void plugin_image::make_symbols_ordinary() {
  const auto& header = view<Elf64_Ehdr>(bytes_, 0, 1)[0];
  for (const auto& s : view<Elf64_Shdr>(bytes_, header.e_shoff, header.e_shnum)) {
    if (s.sh_type != SHT_DYNSYM) continue;
    for (auto& y : view<Elf64_Sym>(bytes_, s.sh_offset, s.sh_size / sizeof(Elf64_Sym)))
      if (ELF64_ST_BIND(y.st_info) == STB_GNU_UNIQUE) y.st_info = ELF64_ST_INFO(STB_GLOBAL, ELF64_ST_TYPE(y.st_info));
  }
}

void plugin_image::load() {
  // The file stays open: the loader tells objects apart by names, and a number used again would be a name used again.
  const int fd = ::memfd_create(path_.substr(path_.rfind('/') + 1, 200).c_str(), MFD_CLOEXEC);
  if (fd < 0) fail("memfd_create");
  for (std::size_t done = 0; done < bytes_.size();) {
    const ssize_t n = ::write(fd, bytes_.data() + done, bytes_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write to a memfd");
    done += static_cast<std::size_t>(n);
  }
  const std::string name = "/proc/self/fd/" + std::to_string(fd);
  handle_ = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle_) {
    std::string why = ::dlerror();
    if (const auto at = why.find(name); at != std::string::npos) why.replace(at, name.size(), path_);
    ::close(fd);
    throw std::runtime_error(why);
  }
  link_map* map = nullptr;
  if (::dlinfo(handle_, RTLD_DI_LINKMAP, &map) != 0) throw std::runtime_error(::dlerror());
  // What backtraces and debuggers shall call it, and read the symbols from. The loader frees it at dlclose, if ever.
  map->l_name = ::strdup(path_.c_str());
  base_ = map->l_addr;
  low_ += base_, high_ += base_;
}

void* plugin_image::defined(const std::string& name, unsigned type, std::size_t bytes) const {
  void* at = ::dlsym(handle_, name.c_str());
  if (!at || !holds(at)) return nullptr;
  Dl_info info;
  void* entry = nullptr;
  if (::dladdr1(at, &info, &entry, RTLD_DL_SYMENT) == 0 || !entry) return nullptr;
  const auto* symbol = static_cast<const Elf64_Sym*>(entry);
  return ELF64_ST_TYPE(symbol->st_info) == type && (bytes == 0 || symbol->st_size == bytes) ? at : nullptr;
}

std::vector<plugin_image::function_address> plugin_image::constructors() const {
  std::vector<function_address> all;
  if (init_.function) all.push_back(base_ + init_.function);
  const auto* entries = reinterpret_cast<const function_address*>(base_ + init_.at);
  for (std::size_t i = 0; i < init_.bytes / sizeof *entries; ++i) all.push_back(entries[i]);
  return all;
}

std::vector<plugin_image::function_address> plugin_image::destructors() const {
  std::vector<function_address> all;
  const auto* entries = reinterpret_cast<const function_address*>(base_ + fini_.at);
  for (std::size_t i = fini_.bytes / sizeof *entries; i-- > 0;) all.push_back(entries[i]);
  if (fini_.function) all.push_back(base_ + fini_.function);
  return all;
}

unsigned plugin_image::rebind(std::string_view name, const void* to) {
  const auto* symbols = reinterpret_cast<const Elf64_Sym*>(base_ + symbols_);
  const auto* names = reinterpret_cast<const char*>(base_ + names_);
  constexpr std::uintptr_t page = 4096;
  unsigned n = 0;
  for (const range& r : relocations_) {
    const auto* all = reinterpret_cast<const Elf64_Rela*>(base_ + r.at);
    for (std::size_t i = 0; i < r.bytes / sizeof *all; ++i) {
      const auto type = ELF64_R_TYPE(all[i].r_info);
      if (type != R_X86_64_GLOB_DAT && type != R_X86_64_JUMP_SLOT && type != R_X86_64_64) continue;
      const Elf64_Sym& y = symbols[ELF64_R_SYM(all[i].r_info)];
      if (y.st_shndx != SHN_UNDEF || name != names + y.st_name) continue;
      const std::uintptr_t slot = base_ + all[i].r_offset;
      void* around = reinterpret_cast<void*>(slot & ~(page - 1));
      if (::mprotect(around, page, PROT_READ | PROT_WRITE) != 0) fail("mprotect of a symbol table");
      const std::uintptr_t addend = type == R_X86_64_64 ? static_cast<std::uintptr_t>(all[i].r_addend) : 0;
      *reinterpret_cast<std::uintptr_t*>(slot) = reinterpret_cast<std::uintptr_t>(to) + addend;
      const std::uintptr_t relro = base_ + relro_.at;  // read-only since it was loaded
      if (slot >= relro && slot < relro + relro_.bytes) ::mprotect(around, page, PROT_READ);
      ++n;
    }
  }
  return n;
}

}  // namespace urge::cli
