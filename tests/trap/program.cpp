// SPDX-License-Identifier: MIT
// See program.hpp. Reads /proc/self/exe: names of hidden and local symbols are in the file only.
#include "trap/program.hpp"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "base/raw_print.hpp"

namespace urge::trap {

namespace {

constexpr std::string_view words_name = "urge_tls", sysmon_name = "_ZN4urge6sysmon12_GLOBAL__N_14loopEPv",
                           run_name = "_ZN4urge6detail8run_mainERNS0_4taskERKNS_7optionsE";

[[noreturn]] void refuse(std::string_view what) noexcept {
  raw_print(2) << "urge trap: this program has urge, but " << what << "\n";
  ::_exit(125);
}

// Its first call is for the program.
int first_base(dl_phdr_info* info, std::size_t, void* base) noexcept {
  *static_cast<std::uintptr_t*>(base) = info->dlpi_addr;
  return 1;
}

// The thread-local storage of the program itself ends where the thread base points (ELF TLS, variant II).
std::intptr_t from_thread_base(const char* file, const Elf64_Ehdr& header, std::uintptr_t in_block) noexcept {
  const auto* parts = reinterpret_cast<const Elf64_Phdr*>(file + header.e_phoff);
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const Elf64_Phdr& h = parts[i];
    if (h.p_type != PT_TLS) continue;
    if (h.p_vaddr % h.p_align != 0) refuse("its TLS begins at no multiple of its alignment");
    return static_cast<std::intptr_t>(in_block) -
           static_cast<std::intptr_t>((h.p_memsz + h.p_align - 1) / h.p_align * h.p_align);
  }
  refuse("no TLS");
}

program look(const char* file) noexcept {
  program found;
  const auto& header = *reinterpret_cast<const Elf64_Ehdr*>(file);
  const auto* sections = reinterpret_cast<const Elf64_Shdr*>(file + header.e_shoff);
  std::uintptr_t base = 0, sysmon = 0;
  bool can_run = false;
  dl_iterate_phdr(first_base, &base);
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB) continue;
    const auto* symbols = reinterpret_cast<const Elf64_Sym*>(file + sections[i].sh_offset);
    const char* names = file + sections[sections[i].sh_link].sh_offset;
    for (std::size_t k = 0; k < sections[i].sh_size / sizeof(Elf64_Sym); ++k) {
      const Elf64_Sym& y = symbols[k];
      if (y.st_shndx == SHN_UNDEF) continue;
      if (ELF64_ST_TYPE(y.st_info) == STT_TLS && names + y.st_name == words_name)
        found.has_urge = true, found.words = from_thread_base(file, header, y.st_value);
      else if (ELF64_ST_TYPE(y.st_info) == STT_FUNC && names + y.st_name == sysmon_name)
        sysmon = base + y.st_value;
      else if (ELF64_ST_TYPE(y.st_info) == STT_FUNC && names + y.st_name == run_name)
        can_run = true;
    }
  }
  found.has_urge = found.has_urge && can_run;  // else it has single parts of the archive
  if (found.has_urge && sysmon == 0) refuse("not the function that sysmon's thread runs");
  found.sysmon = reinterpret_cast<void* (*)(void*)>(sysmon);
  return found;
}

}  // namespace

program find_urge() noexcept {
  const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0) return {};
  program found;
  if (::fstat(fd, &st) == 0) {
    const auto bytes = static_cast<std::size_t>(st.st_size);
    void* map = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED) {
      found = look(static_cast<const char*>(map));
      ::munmap(map, bytes);
    }
  }
  ::close(fd);
  return found;
}

}  // namespace urge::trap
