// SPDX-License-Identifier: MIT
// What the words that Ps share cost them in simulated time: cache lines that move between CPUs, and sched.lock.
// A line is either one CPU's, who has written it last, or shared by those that have read it since. To read one that has
// been written by another since the last look, or to write one that is not one's own, takes a transfer. Which words lie
// on a line together is read off the real P and the real scheduler. Transfers of different lines do not delay each
// other, nor do those of one line to several CPUs at once.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "sched/sched.hpp"

namespace urge::sim {

class lines {
 public:
  // Words of a P, and of the scheduler, that others read or write.
  enum of_p : unsigned {
    status,
    free_gs,
    queue_head,
    queue_tail,
    spawned_head,
    spawned_tail,
    slice,
    runnext,
    next_when,
    n_of_p
  };
  enum of_all : unsigned { procs, n_queue, n_idle_p, n_spinning, stopping, n_of_all };

  lines(unsigned ps, std::int64_t cost) : ps_(ps), cost_(cost) {
    // The indices of a queue are private; each is the first thing on a line of its own, slots follow.
    const P& p = all_ps[0];
    const std::array<const void*, n_of_p> in_p = {
        &p.status,    &p.free_gs, &p.queue,          line_behind(&p.queue), &p.spawned, line_behind(&p.spawned),
        &p.schedtick, &p.runnext, &p.clock.next_when};
    const std::array<const void*, n_of_all> in_all = {&sched.procs, &sched.n_queue, &sched.n_idle_p, &sched.n_spinning,
                                                      &sched.stopping};
    per_p_ = number(in_p, &p, at_p_.data());
    const unsigned common = number(in_all, &sched, at_all_.data());
    all_.resize(std::size_t{ps} * per_p_ + common);
    seen_.resize(all_.size() * ps);
  }

  std::int64_t read(unsigned who, unsigned p, of_p word) { return read(who, index(p, word)); }
  std::int64_t write(unsigned who, unsigned p, of_p word) { return write(who, index(p, word)); }
  std::int64_t read(unsigned who, of_all word) { return read(who, index(word)); }
  std::int64_t write(unsigned who, of_all word) { return write(who, index(word)); }
  std::uint64_t moved() const { return moved_; }

 private:
  struct line {
    std::uint32_t version = 0;
    std::uint16_t writer = 0;
    bool shared = false;
  };

  static const void* line_behind(const void* word) { return static_cast<const char*>(word) + 64; }

  // Numbers the different lines that the words lie on; returns how many there are.
  template <std::size_t N>
  static unsigned number(const std::array<const void*, N>& words, const void* base, unsigned* out) {
    std::vector<std::ptrdiff_t> found;
    for (const void* word : words) {
      const std::ptrdiff_t at = (static_cast<const char*>(word) - static_cast<const char*>(base)) / 64;
      const auto known = std::find(found.begin(), found.end(), at);
      *out++ = static_cast<unsigned>(known - found.begin());
      if (known == found.end()) found.push_back(at);
    }
    return static_cast<unsigned>(found.size());
  }

  std::size_t index(unsigned p, of_p word) const { return std::size_t{p} * per_p_ + at_p_[word]; }
  std::size_t index(of_all word) const { return std::size_t{ps_} * per_p_ + at_all_[word]; }

  std::int64_t read(unsigned who, std::size_t at) {
    line& l = all_[at];
    std::uint32_t& seen = seen_[who * all_.size() + at];
    if (l.writer == who || seen == l.version) return 0;
    seen = l.version;
    l.shared = true;
    ++moved_;
    return cost_;
  }
  std::int64_t write(unsigned who, std::size_t at) {
    line& l = all_[at];
    ++l.version;
    if (l.writer == who && !l.shared) return 0;
    l.writer = static_cast<std::uint16_t>(who);
    l.shared = false;
    ++moved_;
    return cost_;
  }

  const unsigned ps_;
  const std::int64_t cost_;
  std::array<unsigned, n_of_p> at_p_{};
  std::array<unsigned, n_of_all> at_all_{};
  unsigned per_p_ = 0;
  std::vector<line> all_;
  std::vector<std::uint32_t> seen_;
  std::uint64_t moved_ = 0;
};

// Whoever comes first gets it first. As all that is done under it is done in that order, too, it can be done when it is
// asked for; only the time has to be waited for.
class lock_queue {
 public:
  lock_queue(std::int64_t held, std::int64_t line) : held_(held), line_(line) {}

  // Asked for at `at`; meanwhile `more` lines are brought. Returns after what time it is done.
  std::int64_t pass(unsigned who, std::int64_t at, std::uint64_t more = 0) {
    const std::int64_t from = std::max(at, free_at_);
    waited_ += from - at;
    ++passes_;
    free_at_ = from + held_ + (who == last_ ? 0 : line_) + static_cast<std::int64_t>(more) * line_;
    last_ = who;
    return free_at_ - at;
  }
  std::int64_t waited() const { return waited_; }
  std::uint64_t passes() const { return passes_; }

 private:
  const std::int64_t held_, line_;
  std::int64_t free_at_ = 0, waited_ = 0;
  std::uint64_t passes_ = 0;
  unsigned last_ = UINT32_MAX;
};

}  // namespace urge::sim
