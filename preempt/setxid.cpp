// SPDX-License-Identifier: MIT
// The user and group of the process. The kernel keeps them per thread; libc makes all threads follow by a signal to
// each of those it knows, and waits until each has marked its `struct pthread`. The thread of an M runs under another
// block than its own, marks that one, and libc would signal it again for ever. So while a run is on these functions
// fail with EPERM, and say why; before `run` and behind it, and in a child of fork or vfork, they are libc's.
// Context: any thread.
#include <grp.h>
#include <unistd.h>

#include <cerrno>

#include "base/raw_print.hpp"
#include "preempt/preempt.hpp"
#include "preempt/real.hpp"
#include "sched/sanitizer.hpp"

#if !URGE_ASAN && !URGE_TSAN

namespace urge::preempt {

namespace {

template <class F, class... A>
int unless_a_run_is_on(const char* name, real<F>& f, A... a) noexcept {
  if (sched.on.load(relaxed) && !os::forked.load(relaxed) && !os::in_child()) {
    raw_print(2) << "urge: " << name
                 << ": refused while a run is on, for libc would wait for ever: call it before urge::run\n";
    errno = EPERM;
    return -1;
  }
  return f.get()(a...);
}

constinit real<int(uid_t)> real_setuid{"setuid"}, real_seteuid{"seteuid"};
constinit real<int(gid_t)> real_setgid{"setgid"}, real_setegid{"setegid"};
constinit real<int(uid_t, uid_t)> real_setreuid{"setreuid"};
constinit real<int(gid_t, gid_t)> real_setregid{"setregid"};
constinit real<int(uid_t, uid_t, uid_t)> real_setresuid{"setresuid"};
constinit real<int(gid_t, gid_t, gid_t)> real_setresgid{"setresgid"};
constinit real<int(std::size_t, const gid_t*)> real_setgroups{"setgroups"};
constinit real<int(const char*, gid_t)> real_initgroups{"initgroups"};

}  // namespace

void find_setxid_functions() noexcept {
  for (auto* f : {&real_setuid, &real_seteuid, &real_setgid, &real_setegid}) f->get();
  for (auto* f : {&real_setreuid, &real_setregid}) f->get();
  for (auto* f : {&real_setresuid, &real_setresgid}) f->get();
  real_setgroups.get(), real_initgroups.get();
}

}  // namespace urge::preempt

extern "C" {
using namespace urge::preempt;
#define URGE_EXPORT __attribute__((visibility("default")))

URGE_EXPORT int setuid(uid_t u) noexcept { return unless_a_run_is_on("setuid", real_setuid, u); }
URGE_EXPORT int seteuid(uid_t u) noexcept { return unless_a_run_is_on("seteuid", real_seteuid, u); }
URGE_EXPORT int setgid(gid_t g) noexcept { return unless_a_run_is_on("setgid", real_setgid, g); }
URGE_EXPORT int setegid(gid_t g) noexcept { return unless_a_run_is_on("setegid", real_setegid, g); }
URGE_EXPORT int setreuid(uid_t r, uid_t e) noexcept { return unless_a_run_is_on("setreuid", real_setreuid, r, e); }
URGE_EXPORT int setregid(gid_t r, gid_t e) noexcept { return unless_a_run_is_on("setregid", real_setregid, r, e); }
URGE_EXPORT int setresuid(uid_t r, uid_t e, uid_t s) noexcept {
  return unless_a_run_is_on("setresuid", real_setresuid, r, e, s);
}
URGE_EXPORT int setresgid(gid_t r, gid_t e, gid_t s) noexcept {
  return unless_a_run_is_on("setresgid", real_setresgid, r, e, s);
}
URGE_EXPORT int setgroups(std::size_t n, const gid_t* list) noexcept {
  return unless_a_run_is_on("setgroups", real_setgroups, n, list);
}
URGE_EXPORT int initgroups(const char* user, gid_t group) {
  return unless_a_run_is_on("initgroups", real_initgroups, user, group);
}
}

#else
namespace urge::preempt {
void find_setxid_functions() noexcept {}
}  // namespace urge::preempt
#endif
