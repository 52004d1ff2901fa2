/* SPDX-License-Identifier: MIT
 *
 * Allocates, resizes and frees blocks of many sizes, and checks every byte of them.
 * Most of its time passes inside malloc, realloc, free and memory filling; a scheduler that cuts the
 * allocator in the middle and lets another task in finds either a lock that is held or a heap in pieces.
 *
 * usage: churn [ROUNDS]     one round is a fixed number of steps, each on a block chosen at random
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { slot_count = 96, steps_per_round = 32, rounds_per_big_block = 32, big_block_size = 192 * 1024 };

/* Exported on purpose: whoever loads this program can see how far it got. */
volatile unsigned long work_done;

struct block {
  unsigned char* data;
  size_t size;
  uint64_t seed;
};

struct churn {
  struct block slots[slot_count];
  uint64_t random_state;
  uint64_t checksum;
};

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static uint64_t next_random(struct churn* churn) {
  churn->random_state += UINT64_C(0x9e3779b97f4a7c15);
  return mix(churn->random_state);
}

/* As many sizes of 8 to 15 bytes as of 4 to 7 KiB: allocators keep small blocks apart from large ones. */
static size_t random_size(struct churn* churn) {
  uint64_t r = next_random(churn);
  size_t magnitude = (size_t)1 << (r % 13);
  return magnitude + (size_t)(r >> 32) % magnitude;
}

/* The pattern of a block: each eight bytes depend on the seed and on their place, so that neither bytes of
 * another block nor bytes of the same block in another place pass for the right ones. */
static uint64_t pattern(uint64_t seed, size_t offset) { return (seed + offset) * UINT64_C(0x9e3779b97f4a7c15) ^ seed; }

/* Fills the bytes from `from`, which need not be a multiple of eight: a block that grew starts anywhere. */
static void fill(struct block* block, size_t from) {
  for (size_t offset = from & ~(size_t)7; offset < block->size; offset += 8) {
    uint64_t word = pattern(block->seed, offset);
    size_t skip = offset < from ? from - offset : 0;
    size_t end = block->size - offset < 8 ? block->size - offset : 8;
    memcpy(block->data + offset + skip, (unsigned char*)&word + skip, end - skip);
  }
}

static int verify(const struct block* block, size_t size, const char* when) {
  for (size_t offset = 0; offset < size; offset += 8) {
    uint64_t word = pattern(block->seed, offset);
    size_t length = size - offset < 8 ? size - offset : 8;
    if (memcmp(block->data + offset, &word, length) != 0) {
      fprintf(stderr, "churn: round %lu: block of %zu bytes differs near byte %zu %s\n", work_done, block->size, offset,
              when);
      return 1;
    }
  }
  return 0;
}

static int out_of_memory(size_t size) {
  fprintf(stderr, "churn: round %lu: no memory for %zu bytes\n", work_done, size);
  return 1;
}

static int allocate(struct churn* churn, struct block* block, size_t size, int zeroed) {
  block->data = zeroed ? calloc(size, 1) : malloc(size);
  if (!block->data) return out_of_memory(size);
  if (zeroed) {
    for (size_t i = 0; i < size; i++) {
      if (block->data[i] != 0) {
        fprintf(stderr, "churn: round %lu: byte %zu of %zu from calloc is not zero\n", work_done, i, size);
        return 1;
      }
    }
  }
  block->size = size;
  block->seed = next_random(churn);
  fill(block, 0);
  return 0;
}

static int resize(struct block* block, size_t size) {
  size_t kept = size < block->size ? size : block->size;
  unsigned char* data = realloc(block->data, size);
  if (!data) return out_of_memory(size);
  block->data = data;
  block->size = size;
  if (verify(block, kept, "after realloc")) return 1;
  fill(block, kept);
  return 0;
}

static int release(struct churn* churn, struct block* block) {
  if (verify(block, block->size, "before free")) return 1;
  churn->checksum = mix(churn->checksum ^ block->seed ^ block->size);
  free(block->data);
  block->data = NULL;
  return 0;
}

/* A block so large that the C library may map it on its own, and move it by remapping when it grows. */
static int big_block(struct churn* churn) {
  struct block block = {0};
  int failed =
      allocate(churn, &block, big_block_size, 0) || resize(&block, big_block_size * 3 / 2) || release(churn, &block);
  free(block.data);
  return failed;
}

static int one_round(struct churn* churn) {
  for (int step = 0; step < steps_per_round; step++) {
    uint64_t choice = next_random(churn);
    struct block* block = &churn->slots[choice % slot_count];
    int failed;
    if (!block->data)
      failed = allocate(churn, block, random_size(churn), (choice >> 32) % 4 == 0);
    else if ((choice >> 32) % 2 == 0)
      failed = resize(block, random_size(churn));
    else
      failed = release(churn, block);
    if (failed) return 1;
  }
  if (work_done % rounds_per_big_block == 0) return big_block(churn);
  return 0;
}

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
    fprintf(stderr, "usage: churn [ROUNDS]\n");
    return 2;
  }

  struct churn churn = {.random_state = 1};
  int failed = 0;
  for (long done = 0; !failed && (rounds == 0 || done < rounds); done++) {
    failed = one_round(&churn);
    work_done = work_done + 1;
  }
  for (int i = 0; i < slot_count; i++) {
    if (!failed && churn.slots[i].data) failed = release(&churn, &churn.slots[i]);
    free(churn.slots[i].data);
  }
  if (failed) return 1;
  printf("churn rounds=%ld checksum=%016llx\n", rounds, (unsigned long long)churn.checksum);
  return 0;
}
