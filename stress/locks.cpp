// SPDX-License-Identifier: MIT
// Claim: Gs that live in locks of the standard library get on, and what the locks guard stays exact, although holders
// are preempted all the time. These are the kernel's locks, not ours: a G that waits for one keeps its thread asleep on
// a futex, and its P until sysmon takes it away by signal.
// Each pair of words that a lock guards is equal whenever it is free; a G that finds them different counts as torn.
// The time-keeper is a plain thread: at the end it wakes whoever waits for a condition or an answer, for the G that
// should have may never have got a P (with preemption off this must fail by its figures, and not hang).
#include <urge/go.hpp>

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "stress/storm.hpp"

namespace urge::stress {

namespace {

enum kind : std::size_t { plain, recursive, shared_read, shared_write, put, take, question, answer, kinds };
constexpr const char* names[kinds] = {"mutex", "recursive", "shared_read", "shared_write",
                                      "put",   "take",      "question",    "answer"};

// Written by holders of the lock beside it; the strings are for malloc's sake.
struct pair {
  std::uint64_t first = 0, second = 0;
  std::string text;

  void change() {
    ++first;
    text = "a text that is too long to be kept inside the string itself " + std::to_string(first);
    ++second;
  }
  bool whole() const { return first == second && (first == 0 || text.ends_with(' ' + std::to_string(first))); }
};

struct mail {
  std::uint64_t question = 0;
  std::promise<std::uint64_t> answer;
};

struct locks {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> torn{0};

  std::mutex plain_lock;
  pair plain_words;
  std::recursive_mutex recursive_lock;
  pair recursive_words;
  std::shared_mutex shared_lock;
  pair shared_words;

  std::mutex queue_lock;
  std::condition_variable not_empty, not_full;
  std::deque<std::uint64_t> queue;
  std::uint64_t sum_in = 0, sum_out = 0;  // queue_lock

  std::mutex mail_lock;
  std::condition_variable mail_came;
  std::deque<mail> letters;

  bool over() const { return stop.load(std::memory_order_relaxed); }
  void must(bool right) {
    if (!right) torn.fetch_add(1, std::memory_order_relaxed);
  }

  void nested(int depth) {
    const std::lock_guard hold(recursive_lock);
    must(recursive_words.whole());
    if (depth == 0) return recursive_words.change();
    nested(depth - 1);
    must(recursive_words.whole());
  }
  bool put_one(std::uint64_t n) {
    std::unique_lock hold(queue_lock);
    not_full.wait(hold, [&] { return queue.size() < 4 || over(); });
    if (over()) return false;
    queue.push_back(n), sum_in += n;
    not_empty.notify_one();
    return true;
  }
  bool take_one() {
    std::unique_lock hold(queue_lock);
    not_empty.wait(hold, [&] { return !queue.empty() || over(); });
    if (over()) return false;
    sum_out += queue.front(), queue.pop_front();
    not_full.notify_one();
    return true;
  }
  bool ask(std::uint64_t n) {
    std::future<std::uint64_t> coming;
    {
      const std::lock_guard hold(mail_lock);
      if (over()) return false;
      letters.push_back({n, {}});
      coming = letters.back().answer.get_future();
    }
    mail_came.notify_one();
    try {
      must(coming.get() == n * n);
      return true;
    } catch (const std::future_error&) {  // nobody answers any more
      return false;
    }
  }
  bool reply() {
    std::optional<mail> letter;
    {
      std::unique_lock hold(mail_lock);
      mail_came.wait(hold, [&] { return !letters.empty() || over(); });
      if (letters.empty()) return false;
      letter = std::move(letters.front());
      letters.pop_front();
    }
    letter->answer.set_value(letter->question * letter->question);
    return true;
  }

  // One round; false: it is over.
  bool turn(kind k, std::uint64_t n) {
    switch (k) {
      case plain: {
        const std::lock_guard hold(plain_lock);
        must(plain_words.whole());
        plain_words.change();
        return true;
      }
      case recursive:
        return nested(3), true;
      case shared_read: {
        const std::shared_lock hold(shared_lock);
        must(shared_words.whole());
        return true;
      }
      case shared_write: {
        const std::unique_lock hold(shared_lock);
        must(shared_words.whole());
        shared_words.change();
        return true;
      }
      case put:
        return put_one(n);
      case take:
        return take_one();
      case question:
        return ask(n);
      case answer:
        return reply();
      case kinds:
        break;
    }
    return false;
  }

  // Context: the time-keeper. Under each lock once, so that nobody looks at `stop` before it is set and sleeps after.
  void end() {
    stop.store(true);
    { const std::lock_guard hold(queue_lock); }
    not_empty.notify_all(), not_full.notify_all();
    std::deque<mail> unanswered;
    {
      const std::lock_guard hold(mail_lock);
      unanswered.swap(letters);
    }
    mail_came.notify_all();
  }  // promises that are dropped tell their futures so
};

}  // namespace

std::vector<check> lock_storm(const parameters& p) {
  constexpr std::size_t gs_each = 2;
  locks here;
  std::vector<counter> rounds(kinds * gs_each);
  run(
      [&] {
        std::vector<join_handle<void>> gs;
        for (std::size_t g = 0; g < rounds.size(); ++g)
          gs.push_back(spawn({.name = names[g % kinds]}, [&, g] {
            for (std::uint64_t n = 1; !here.over() && here.turn(static_cast<kind>(g % kinds), n); ++n) rounds[g].up();
          }));
        std::jthread keeper([&] {
          wait_out(p, demand::under_locks);
          here.end();
        });
        for (auto& g : gs) g.join();
      },
      p.how);

  std::vector<check> checks;
  std::uint64_t done[kinds] = {};
  for (std::size_t g = 0; g < rounds.size(); ++g) done[g % kinds] += rounds[g].n.load();
  for (std::size_t k = 0; k < kinds; ++k)
    checks.push_back({std::string("rounds_") + names[k], static_cast<double>(done[k]), 2});
  std::uint64_t left = 0;
  for (const std::uint64_t n : here.queue) left += n;
  const auto differ = [&](const char* name, std::uint64_t a, std::uint64_t b) {
    checks.push_back({name, static_cast<double>(a > b ? a - b : b - a), 0, false});
  };
  differ("mutex_differs_by", here.plain_words.first, done[plain]);
  differ("recursive_differs_by", here.recursive_words.first, done[recursive]);
  differ("shared_differs_by", here.shared_words.first, done[shared_write]);
  differ("queue_differs_by", here.sum_in, here.sum_out + left);
  checks.push_back({"torn", static_cast<double>(here.torn.load()), 0, false});
  for (check& c : stop_checks(p, snapshot(), demand::under_locks)) checks.push_back(std::move(c));
  return checks;
}

}  // namespace urge::stress
