// SPDX-License-Identifier: MIT
// A prime sieve of Gs and channels: each prime filters its multiples out of what the one before it lets through.
#include <urge/urge.hpp>

#include <cstdio>

int main() {
  urge::run([] {
    urge::chan<int> numbers(16);
    urge::go([numbers]() mutable {
      for (int n = 2; n < 2000; ++n) numbers.send(n);
      numbers.close();
    });
    int primes = 0, last = 0;
    while (auto prime = numbers.recv()) {
      ++primes, last = *prime;
      urge::chan<int> rest(16);
      urge::go([from = numbers, rest, p = *prime]() mutable {
        for (int n : from)
          if (n % p != 0) rest.send(n);
        rest.close();
      });
      numbers = rest;
    }
    std::printf("%d primes below 2000, the last is %d\n", primes, last);
  });
}
