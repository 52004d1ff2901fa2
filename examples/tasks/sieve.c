/* SPDX-License-Identifier: MIT
 *
 * Counts the primes up to a limit with a sieve, counts them once more in another way, prints and ends.
 * A short task among endless ones: tight loops over memory, no calls in them, and an exact result that is
 * the same whether it ran alone or in many small pieces.
 *
 * usage: sieve [LIMIT]     1000000000 if not given
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One byte for each odd number; a segment fits into the first-level cache of any processor. */
enum { segment_size = 24 * 1024 };

static const uint64_t max_limit = UINT64_C(1000000000000);

/* Exported on purpose: whoever loads this program can see how far it got (in segments). */
volatile unsigned long work_done;

static uint64_t square_root(uint64_t n) {
  uint64_t low = 0;
  uint64_t high = UINT64_C(1) << 32;
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    if (middle * middle <= n)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* Where the multiples of a small odd prime go on: an index into the next segment. */
struct stride {
  uint64_t prime;
  uint64_t next;
};

/* The odd primes up to `limit`, the square root of the real limit. */
static struct stride* small_primes(uint64_t limit, size_t* count) {
  unsigned char* composite = calloc(limit + 1, 1);
  struct stride* strides = malloc((limit / 2 + 1) * sizeof *strides);
  *count = 0;
  if (!composite || !strides) {
    free(composite);
    free(strides);
    return NULL;
  }
  for (uint64_t p = 3; p <= limit; p += 2) {
    if (composite[p]) continue;
    /* Index i of the first segment stands for 2 i + 1; crossing off starts at p^2. */
    strides[(*count)++] = (struct stride){p, (p * p - 1) / 2};
    for (uint64_t multiple = p * p; multiple <= limit; multiple += 2 * p) composite[multiple] = 1;
  }
  free(composite);
  return strides;
}

/* Returns the number of primes up to limit (2 at least), or 0 if there is no memory. */
static uint64_t count_by_sieve(uint64_t limit) {
  size_t stride_count;
  struct stride* strides = small_primes(square_root(limit), &stride_count);
  unsigned char* composite = malloc(segment_size);
  if (!strides || !composite) {
    free(strides);
    free(composite);
    return 0;
  }

  uint64_t primes = 0;
  uint64_t odd_numbers = (limit + 1) / 2;
  for (uint64_t start = 0; start < odd_numbers; start += segment_size) {
    uint64_t size = odd_numbers - start < segment_size ? odd_numbers - start : segment_size;
    memset(composite, 0, segment_size);
    for (size_t i = 0; i < stride_count; i++) {
      uint64_t prime = strides[i].prime;
      uint64_t index = strides[i].next;
      for (; index < segment_size; index += prime) composite[index] = 1;
      strides[i].next = index - segment_size;
    }
    for (uint64_t i = 0; i < size; i++) primes += !composite[i];
    work_done = work_done + 1;
  }
  free(strides);
  free(composite);
  return primes; /* 1 was counted as a prime and 2 was not: even */
}

/* The same number without a list of primes: for each v = limit / i, how many of 2..v survive the sieve by the
 * primes so far.  Those up to the root are in low[v], the others in high[limit / v].  0 if no memory. */
static uint64_t count_by_quotients(uint64_t limit) {
  uint64_t root = square_root(limit);
  uint64_t* low = malloc((root + 1) * sizeof *low);
  uint64_t* high = malloc((root + 1) * sizeof *high);
  if (!low || !high) {
    free(low);
    free(high);
    return 0;
  }
  low[0] = 0;
  for (uint64_t i = 1; i <= root; i++) {
    low[i] = i - 1;
    high[i] = limit / i - 1;
  }
  for (uint64_t p = 2; p <= root; p++) {
    if (low[p] == low[p - 1]) continue; /* not a prime */
    uint64_t before = low[p - 1];
    for (uint64_t i = 1; i <= root && i * p * p <= limit; i++) {
      uint64_t survivors = i * p <= root ? high[i * p] : low[limit / (i * p)];
      high[i] -= survivors - before;
    }
    for (uint64_t v = root; v >= p * p; v--) low[v] -= low[v / p] - before;
  }
  uint64_t primes = high[1];
  free(low);
  free(high);
  return primes;
}

int main(int argc, char** argv) {
  uint64_t limit = 1000000000;
  if (argc > 1) {
    char* end;
    errno = 0;
    limit = strtoull(argv[1], &end, 10);
    if (errno || end == argv[1] || *end || limit < 2 || limit > max_limit) {
      fprintf(stderr, "usage: sieve [LIMIT], LIMIT from 2 to %llu\n", (unsigned long long)max_limit);
      return 2;
    }
  }

  uint64_t primes = count_by_sieve(limit);
  uint64_t expected = count_by_quotients(limit);
  if (primes == 0 || expected == 0) {
    fprintf(stderr, "sieve: no memory\n");
    return 1;
  }
  if (primes != expected) {
    fprintf(stderr, "sieve: counted %llu primes up to %llu, not %llu\n", (unsigned long long)primes,
            (unsigned long long)limit, (unsigned long long)expected);
    return 1;
  }
  printf("sieve limit=%llu primes=%llu\n", (unsigned long long)limit, (unsigned long long)primes);
  return 0;
}
