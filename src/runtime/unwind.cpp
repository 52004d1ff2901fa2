// SPDX-License-Identifier: MIT
// See unwind.hpp. Debian's libunwind exports _Unwind_RaiseException and its like: linked in the ordinary way it may
// come before libgcc in the program's symbol resolution and take over its C++ exceptions. Linking a copy with these
// names made local does not work either: libunwind.a is neither -fPIC nor -fPIE. So the shared library is opened
// RTLD_LOCAL, where nobody else finds its names, and the functions used are looked up.
#include "runtime/unwind.hpp"

#include <dlfcn.h>
#include <libunwind-x86_64.h>

#include <cstring>
#include <mutex>

#include "base/lock.hpp"
#include "preempt/preempt.hpp"

namespace urge {

namespace {

constexpr int max_frames = 10'000;

// Written in the first run before any G is, const afterwards.
struct unwinder {
  decltype(&::unw_create_addr_space) create_addr_space = nullptr;
  decltype(&::unw_init_remote) init_remote = nullptr;
  decltype(&::unw_step) step = nullptr;
  decltype(&::unw_get_reg) get_reg = nullptr;
  decltype(&::unw_is_signal_frame) is_signal_frame = nullptr;
  decltype(&::unw_set_caching_policy) set_caching_policy = nullptr;
  int (*search_table)(unw_addr_space_t, unw_word_t, unw_dyn_info_t*, unw_proc_info_t*, int, void*) = nullptr;
  unw_addr_space_t space = nullptr;
};
unwinder lib;
bool loaded = false;
raw_lock one_at_a_time;  // only tried for: libunwind's own lock is never waited for either

struct subject {
  const arch::registers& from;
  const stack& s;
  bool no_table = false;  // a frame was passed that no table describes
};

bool in_module(unw_word_t address, dl_find_object* found) noexcept {
  return _dl_find_object(reinterpret_cast<void*>(address), found) == 0;
}

// --- what libunwind asks us ---

int find_proc_info(unw_addr_space_t space, unw_word_t pc, unw_proc_info_t* info, int whole, void* arg) noexcept {
  auto& of = *static_cast<subject*>(arg);
  // .eh_frame_hdr: version 1, three encodings, then a sorted table of pairs (function, its description), each relative
  // to the header; the linker writes no other kind.
  struct header {
    std::uint8_t version, frame_encoding, count_encoding, table_encoding;
    std::int32_t frame;
    std::uint32_t count;
  };
  dl_find_object found;
  if (in_module(pc, &found) && found.dlfo_eh_frame) {
    const auto* h = static_cast<const header*>(found.dlfo_eh_frame);
    if (h->version == 1 && h->count_encoding == 0x03 && h->table_encoding == 0x3b) {
      unw_dyn_info_t table{};
      table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
      table.start_ip = reinterpret_cast<unw_word_t>(found.dlfo_map_start);
      table.end_ip = reinterpret_cast<unw_word_t>(found.dlfo_map_end);
      table.u.rti.segbase = reinterpret_cast<unw_word_t>(h);
      table.u.rti.table_data = reinterpret_cast<unw_word_t>(h + 1);
      table.u.rti.table_len = h->count;  // in words, of which each pair is one
      if (lib.search_table(space, pc, &table, info, whole, arg) == 0) return 0;
    }
  }
  of.no_table = true;  // libunwind goes on by guesses from here
  return -UNW_ENOINFO;
}
void put_unwind_info(unw_addr_space_t, unw_proc_info_t*, void*) noexcept {}
int no_dynamic_code(unw_addr_space_t, unw_word_t*, void*) noexcept { return -UNW_ENOINFO; }

// A dump looks at stacks that are in use again (backtrace.cpp): what it reads there may be no frame, but is there.
__attribute__((no_sanitize("thread", "address"))) int access_mem(unw_addr_space_t, unw_word_t address,
                                                                 unw_word_t* value, int write, void* arg) noexcept {
  const auto& of = *static_cast<subject*>(arg);
  dl_find_object found;
  const bool on_stack = address >= of.from.sp() - 128 && of.s.holds(address) && of.s.holds(address + sizeof *value);
  if (write != 0 || (!on_stack && !in_module(address, &found))) return -UNW_EINVAL;
  __builtin_memcpy(value, reinterpret_cast<const void*>(address), sizeof *value);
  return 0;
}
int access_reg(unw_addr_space_t, unw_regnum_t n, unw_word_t* value, int write, void* arg) noexcept {
  if (write != 0 || n < 0 || n >= arch::registers::count) return -UNW_EBADREG;
  *value = static_cast<subject*>(arg)->from.value[n];
  return 0;
}
int access_fpreg(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) noexcept { return -UNW_EBADREG; }
int resume(unw_addr_space_t, unw_cursor_t*, void*) noexcept { return -UNW_EINVAL; }
int no_name(unw_addr_space_t, unw_word_t, char*, std::size_t, unw_word_t*, void*) noexcept { return -UNW_ENOINFO; }

template <class F>
bool find(void* library, const char* name, F& into) noexcept {
  into = reinterpret_cast<F>(dlsym(library, name));
  return into != nullptr;
}

}  // namespace

void load_unwinder() noexcept {
  static bool tried = false;
  if (tried) return;
  tried = true;
  void* library = dlopen("libunwind-x86_64.so.8", RTLD_LOCAL | RTLD_NOW);
  if (!library) return;
  if (!find(library, "_Ux86_64_create_addr_space", lib.create_addr_space) ||
      !find(library, "_Ux86_64_init_remote", lib.init_remote) || !find(library, "_Ux86_64_step", lib.step) ||
      !find(library, "_Ux86_64_get_reg", lib.get_reg) ||
      !find(library, "_Ux86_64_is_signal_frame", lib.is_signal_frame) ||
      !find(library, "_Ux86_64_set_caching_policy", lib.set_caching_policy) ||
      !find(library, "_Ux86_64_dwarf_search_unwind_table", lib.search_table))
    return;
  static unw_accessors_t ours = {find_proc_info, put_unwind_info, no_dynamic_code, access_mem,
                                 access_reg,     access_fpreg,    resume,          no_name};
  lib.space = lib.create_addr_space(&ours, 0);
  if (!lib.space) return;
  lib.set_caching_policy(lib.space, UNW_CACHE_NONE);  // modules come and go
  loaded = true;
}

walk_end walk(const arch::registers& from, const stack& s, bool (*visit)(const frame&, void*) noexcept,
              void* arg) noexcept {
  if (!loaded || !s.holds(from.sp()) || !one_at_a_time.try_lock()) return walk_end::lost;
  const std::lock_guard hold(one_at_a_time, std::adopt_lock);
  subject of{from, s};
  unw_cursor_t at;
  if (lib.init_remote(&at, lib.space, &of) != 0) return walk_end::lost;
  // The first frame lies here; its caller is the entry that arch::make has built, which no table describes.
  const auto bottom = reinterpret_cast<unw_word_t>(s.top()) - 256;
  unw_word_t pc = from.pc(), sp = from.sp();
  bool exact = true;  // a return address may lie in the next function; an interrupted one does not
  for (int n = 0; n < max_frames; ++n) {
    if (!visit({exact ? pc : pc - 1, sp, n}, arg)) return walk_end::cut;
    exact = lib.is_signal_frame(&at) > 0;
    const unw_word_t last = sp;
    const int more = lib.step(&at);
    if (more <= 0 || of.no_table || lib.get_reg(&at, UNW_X86_64_RIP, &pc) != 0 ||
        lib.get_reg(&at, UNW_X86_64_RSP, &sp) != 0 || sp <= last || !s.holds(sp))
      return last >= bottom ? walk_end::bottom : walk_end::lost;
  }
  return walk_end::lost;
}

namespace {
bool leaves_libc_alone(const arch::registers& from, const G& g) noexcept {
  return walk(
             from, g.stk, [](const frame& f, void*) noexcept { return !preempt::in_libc(f.pc); }, nullptr) ==
         walk_end::bottom;
}
}  // namespace

bool outside_libc(const G& g) noexcept { return leaves_libc_alone(arch::registers_of_preempted(g.saved), g); }

namespace {
// Blocks of modules loaded with dlopen are allocated at their first use, anywhere: glibc's vector of them, second word
// of the thread's block, with its length before it.
bool has_dynamic_tls(const identity& id) noexcept {
  struct entry {
    std::uintptr_t value, to_free;
  };
  const auto* dtv = *reinterpret_cast<const entry* const*>(id.base + 8);
  const std::uintptr_t n = dtv[-1].value;
  for (std::uintptr_t i = 1; i <= n; ++i)
    if (dtv[i].value != 0 && dtv[i].value != UINTPTR_MAX && !preempt::points_into(id, dtv[i].value)) return true;
  return false;
}
}  // namespace

[[gnu::noinline]] bool is_clean(const G& g) noexcept {
  const arch::registers here = arch::registers_here();
  if (!g.stk.holds(here.sp()) || has_dynamic_tls(*g.own)) return false;
  // What this function and its callers have in registers is in `here`, or was saved by them above sp.
  for (const std::uintptr_t word : here.value)
    if (preempt::points_into(*g.own, word)) return false;
  for (const auto* at = reinterpret_cast<const std::uintptr_t*>(here.sp() & ~std::uintptr_t{7});
       at < reinterpret_cast<const std::uintptr_t*>(g.stk.top()); ++at)
    if (preempt::points_into(*g.own, *at)) return false;
  return leaves_libc_alone(here, g);
}

bool inside_libc(const arch::registers& from, const G& g) noexcept { return !leaves_libc_alone(from, g); }
[[gnu::noinline]] bool inside_libc_here(const G& g) noexcept { return !leaves_libc_alone(arch::registers_here(), g); }

}  // namespace urge
