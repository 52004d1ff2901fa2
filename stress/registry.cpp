// SPDX-License-Identifier: MIT
// The list of scenarios, and what they share.
#include "stress/scenario.hpp"

namespace urge::stress {

std::vector<check> hogs(const parameters&);
std::vector<check> hog_and_timer(const parameters&);
std::vector<check> spawn_chain(const parameters&);
std::vector<check> crowd(const parameters&);
std::vector<check> crowd_malloc(const parameters&);
std::vector<check> dropped_calls(const parameters&);
std::vector<check> third_party(const parameters&);
std::vector<check> lock_storm(const parameters&);

std::span<const scenario> all() {
  static constexpr scenario list[] = {
      {"hogs", "eight endless Gs share the Ps evenly, and each is preempted again and again", hogs},
      {"hog_and_timer", "a G that sleeps 1 ms at a time keeps waking although endless Gs fill every P", hog_and_timer},
      {"spawn_chain", "Gs that start their own successors for ever do not keep the others of their P waiting",
       spawn_chain},
      {"crowd", "thousands of endless Gs all get their turns, on a handful of threads", crowd},
      {"crowd_malloc", "the same with Gs that allocate and share a std::mutex", crowd_malloc},
      {"dropped_calls", "calls that are given up after a millisecond leave a bounded amount behind", dropped_calls},
      {"third_party", "libraries that are stopped everywhere give the answers that they give alone", third_party},
      {"lock_storm", "Gs in locks of the standard library get on, and what these guard stays exact", lock_storm},
  };
  return list;
}

double jain(std::span<const double> shares) {
  double sum = 0, squares = 0;
  for (double s : shares) sum += s, squares += s * s;
  return squares == 0 ? 0 : sum * sum / (static_cast<double>(shares.size()) * squares);
}

std::uint64_t work(std::uint64_t x) {
  for (int i = 0; i < 20'000; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
  return x;
}

}  // namespace urge::stress
