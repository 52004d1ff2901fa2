/* SPDX-License-Identifier: MIT
 *
 * Steps a random number generator forwards, then backwards, and checks that it is back where it began.
 * The inner loop is a handful of instructions on registers, without a call and without a memory access:
 * nothing but a signal can take the processor away, and a register lost in the attempt spoils the result.
 *
 * usage: spin [ROUNDS]     one round is 12000 steps forwards and as many back
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MULTIPLIER UINT64_C(0xd1342543de82ef95)
#define INVERSE UINT64_C(0x572b5ee77a54e3bd) /* MULTIPLIER * INVERSE is 1 modulo 2^64 */
#define INCREMENT UINT64_C(0x9e3779b97f4a7c15)

enum { steps_each_way = 12000 };

/* Exported on purpose: whoever loads this program can see how far it got. */
volatile unsigned long work_done;

/* 0 without an argument (endless), the number of rounds with one, -1 if it is not a positive number. */
static long parse_rounds(int argc, char** argv) {
  if (argc < 2) return 0;
  char* end;
  errno = 0;
  long rounds = strtol(argv[1], &end, 10);
  return errno || end == argv[1] || *end || rounds < 1 ? -1 : rounds;
}

int main(int argc, char** argv) {
  long rounds = parse_rounds(argc, argv);
  if (rounds < 0) {
    fprintf(stderr, "usage: spin [ROUNDS]\n");
    return 2;
  }

  uint64_t x = 1;
  for (long done = 0; rounds == 0 || done < rounds; done++) {
    uint64_t start = x;
    /* The shift keeps a compiler from folding many steps into one, as it could with the other two. */
    for (int step = 0; step < steps_each_way; step++) x = (x ^ (x >> 32)) * MULTIPLIER + INCREMENT;
    uint64_t turning_point = x;
    for (int step = 0; step < steps_each_way; step++) {
      x = (x - INCREMENT) * INVERSE;
      x ^= x >> 32;
    }
    if (x != start) {
      fprintf(stderr, "spin: round %lu: came back to %016llx, not %016llx\n", work_done, (unsigned long long)x,
              (unsigned long long)start);
      return 1;
    }
    x = turning_point;
    work_done = work_done + 1;
  }
  printf("spin rounds=%ld checksum=%016llx\n", rounds, (unsigned long long)x);
  return 0;
}
