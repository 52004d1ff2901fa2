// SPDX-License-Identifier: MIT
// Which Gs hold a lock of pthread: these definitions stand before libc's in the program's symbol order, and count in
// the G. A recursive or shared mutex knows its owner by the thread id in the identity, so
//   a G that stops by itself while it holds one takes its identity along, as if a signal had stopped it;
//   one that is to be killed is first let out, or the lock would stay locked for good.
// The count is raised before the call and lowered behind it, so a stop in between finds it too high, never too low. It
// is the G's own word. A lock that another G unlocks, as semaphores made of mutexes do, leaves one G with a count that
// stays: that one carries an identity until its end, and can be killed only after a second.
// pthread_cond_wait gives its mutex up inside libc: the count stays, as the mutex is locked again when it returns.
// Locks that libc takes for itself (stdio, malloc) are not seen here: see outside_libc.
// Context: any thread.
#include <pthread.h>

#include <cstdio>
#include <ctime>

#include "preempt/preempt.hpp"
#include "preempt/real.hpp"
#include "sched/sanitizer.hpp"

#if !URGE_ASAN && !URGE_TSAN

namespace urge::preempt {

namespace {

void count(std::uint32_t by) noexcept {
  if (G* g = current_g()) add_own(g->pthread_locks, by);
}
void uncount() noexcept {
  G* g = current_g();
  if (!g || g->pthread_locks.load(relaxed) == 0) return;
  add_own(g->pthread_locks, ~std::uint32_t{0});
  // A G that lives in such sections may never be stopped outside of one.
  if (g->doomed.load(relaxed) == doom::wanted && g->pthread_locks.load(relaxed) == 0) [[unlikely]]
    hook.unlocked(*g);
}

// EOWNERDEAD (130) comes with the lock.
template <class F, class... A>
int lock(real<F>& f, A... a) noexcept {
  count(1);
  const int error = f.get()(a...);
  if (error != 0 && error != EOWNERDEAD) uncount();
  return error;
}
template <class F, class... A>
int unlock(real<F>& f, A... a) noexcept {
  const int error = f.get()(a...);
  if (error == 0) uncount();
  return error;
}

using mutex = pthread_mutex_t;
using rwlock = pthread_rwlock_t;
constinit real<int(mutex*)> mutex_lock{"pthread_mutex_lock"}, mutex_trylock{"pthread_mutex_trylock"},
    mutex_unlock{"pthread_mutex_unlock"};
constinit real<int(mutex*, const timespec*)> mutex_timedlock{"pthread_mutex_timedlock"};
constinit real<int(mutex*, clockid_t, const timespec*)> mutex_clocklock{"pthread_mutex_clocklock"};
constinit real<int(rwlock*)> rdlock{"pthread_rwlock_rdlock"}, wrlock{"pthread_rwlock_wrlock"},
    tryrdlock{"pthread_rwlock_tryrdlock"}, trywrlock{"pthread_rwlock_trywrlock"}, rwunlock{"pthread_rwlock_unlock"};
constinit real<int(rwlock*, const timespec*)> timedrdlock{"pthread_rwlock_timedrdlock"},
    timedwrlock{"pthread_rwlock_timedwrlock"};
constinit real<int(rwlock*, clockid_t, const timespec*)> clockrdlock{"pthread_rwlock_clockrdlock"},
    clockwrlock{"pthread_rwlock_clockwrlock"};
// Of C11, whose mtx_t is a pthread_mutex_t: in libc they do not come by pthread's.
constinit real<int(void*)> c11_lock{"mtx_lock"}, c11_trylock{"mtx_trylock"}, c11_unlock{"mtx_unlock"};
constinit real<int(void*, const timespec*)> c11_timedlock{"mtx_timedlock"};
constinit real<void(FILE*)> file_lock{"flockfile"}, file_unlock{"funlockfile"};
constinit real<int(FILE*)> file_trylock{"ftrylockfile"};

}  // namespace

void find_lock_functions() noexcept {
  for (auto* f : {&mutex_lock, &mutex_trylock, &mutex_unlock}) f->get();
  for (auto* f : {&c11_lock, &c11_trylock, &c11_unlock}) f->get();
  for (auto* f : {&rdlock, &wrlock, &tryrdlock, &trywrlock, &rwunlock}) f->get();
  for (auto* f : {&timedrdlock, &timedwrlock}) f->get();
  for (auto* f : {&clockrdlock, &clockwrlock}) f->get();
  for (auto* f : {&file_lock, &file_unlock}) f->get();
  mutex_timedlock.get(), mutex_clocklock.get(), c11_timedlock.get(), file_trylock.get();
}

}  // namespace urge::preempt

extern "C" {
using namespace urge::preempt;
#define URGE_EXPORT __attribute__((visibility("default")))

URGE_EXPORT int pthread_mutex_lock(pthread_mutex_t* m) noexcept { return lock(mutex_lock, m); }
URGE_EXPORT int pthread_mutex_trylock(pthread_mutex_t* m) noexcept { return lock(mutex_trylock, m); }
URGE_EXPORT int pthread_mutex_timedlock(pthread_mutex_t* m, const timespec* t) noexcept {
  return lock(mutex_timedlock, m, t);
}
URGE_EXPORT int pthread_mutex_clocklock(pthread_mutex_t* m, clockid_t c, const timespec* t) noexcept {
  return lock(mutex_clocklock, m, c, t);
}
URGE_EXPORT int pthread_mutex_unlock(pthread_mutex_t* m) noexcept { return unlock(mutex_unlock, m); }

URGE_EXPORT int mtx_lock(void* m) noexcept { return lock(c11_lock, m); }
URGE_EXPORT int mtx_trylock(void* m) noexcept { return lock(c11_trylock, m); }
URGE_EXPORT int mtx_timedlock(void* m, const timespec* t) noexcept { return lock(c11_timedlock, m, t); }
URGE_EXPORT int mtx_unlock(void* m) noexcept { return unlock(c11_unlock, m); }

URGE_EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t* l) noexcept { return lock(rdlock, l); }
URGE_EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t* l) noexcept { return lock(wrlock, l); }
URGE_EXPORT int pthread_rwlock_tryrdlock(pthread_rwlock_t* l) noexcept { return lock(tryrdlock, l); }
URGE_EXPORT int pthread_rwlock_trywrlock(pthread_rwlock_t* l) noexcept { return lock(trywrlock, l); }
URGE_EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t* l, const timespec* t) noexcept {
  return lock(timedrdlock, l, t);
}
URGE_EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t* l, const timespec* t) noexcept {
  return lock(timedwrlock, l, t);
}
URGE_EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t* l, clockid_t c, const timespec* t) noexcept {
  return lock(clockrdlock, l, c, t);
}
URGE_EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t* l, clockid_t c, const timespec* t) noexcept {
  return lock(clockwrlock, l, c, t);
}
URGE_EXPORT int pthread_rwlock_unlock(pthread_rwlock_t* l) noexcept { return unlock(rwunlock, l); }

URGE_EXPORT void flockfile(FILE* f) noexcept {
  count(1);
  file_lock.get()(f);
}
URGE_EXPORT int ftrylockfile(FILE* f) noexcept { return lock(file_trylock, f); }
URGE_EXPORT void funlockfile(FILE* f) noexcept {
  file_unlock.get()(f);
  uncount();
}
}

#else
namespace urge::preempt {
void find_lock_functions() noexcept {}
}  // namespace urge::preempt
#endif
