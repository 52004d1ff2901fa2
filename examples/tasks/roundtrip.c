/* SPDX-License-Identifier: MIT
 *
 * Writes numbers as text, reads them back and compares to the last bit; sorts, and checks the order.
 * Lives inside snprintf, strtod, strtol and qsort: these use multi-word arithmetic on the stack, the floating
 * point unit, errno, the locale and (qsort) a call back into this file, and all of that must survive being
 * interrupted anywhere and continued later, perhaps on another thread.
 *
 * usage: roundtrip [ROUNDS]     one round is a few conversions of each kind and one sort
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { doubles_per_round = 20, longs_per_round = 40, sorted_count = 240 };

/* Exported on purpose: whoever loads this program can see how far it got. */
volatile unsigned long work_done;

struct roundtrip {
  uint64_t random_state;
  uint64_t checksum;
};

struct entry {
  uint64_t key;
  size_t position; /* before sorting */
};

static uint64_t next_random(struct roundtrip* state) {
  uint64_t x = state->random_state += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static void add_to_checksum(struct roundtrip* state, const char* text) {
  for (; *text; text++) state->checksum = (state->checksum ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
}

static int mismatch(const char* what, const char* text) {
  fprintf(stderr, "roundtrip: round %lu: %s: %s\n", work_done, what, text);
  return 1;
}

/* Any finite double: random bits reach the very large, the very small and the subnormal ones. */
static double random_double(struct roundtrip* state) {
  for (;;) {
    uint64_t bits = next_random(state);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (((bits >> 52) & 0x7ff) != 0x7ff) return value;
  }
}

static int same_double(double left, double right) { return memcmp(&left, &right, sizeof left) == 0; }

static int one_double(struct roundtrip* state) {
  char text[64];
  char* end;
  double value = random_double(state);

  /* 17 significant digits tell any two doubles apart, if both directions round correctly. */
  int length = snprintf(text, sizeof text, "%.17g", value);
  if (length != (int)strlen(text)) return mismatch("snprintf returned another length", text);
  if (!same_double(strtod(text, &end), value) || end != text + length)
    return mismatch("strtod read another decimal number", text);
  add_to_checksum(state, text);

  length = snprintf(text, sizeof text, "%a", value);
  if (!same_double(strtod(text, &end), value) || end != text + length)
    return mismatch("strtod read another hexadecimal number", text);
  return 0;
}

static int one_long(struct roundtrip* state) {
  static const int bases[] = {10, 8, 16};
  static const char* const formats[] = {"%ld;", "%lo;", "%lx;"};
  char text[64];
  char* end;
  uint64_t r = next_random(state);
  size_t kind = r % 3;
  long value = (long)(next_random(state) >> (1 + (r >> 8) % 63)); /* as many short ones as long ones */
  if (kind == 0 && (r >> 32) % 2) value = -value;

  int length = snprintf(text, sizeof text, formats[kind], value);
  errno = 0;
  if (strtol(text, &end, bases[kind]) != value || errno != 0 || end != text + length - 1 || *end != ';')
    return mismatch("strtol read another number", text);
  add_to_checksum(state, text);

  /* Two more digits are out of range for the longest ones, and errno has to say so. */
  if (kind == 0 && (value > LONG_MAX / 10 || value < LONG_MIN / 10)) {
    snprintf(text, sizeof text, "%ld00", value);
    errno = 0;
    if (strtol(text, NULL, 10) != (value < 0 ? LONG_MIN : LONG_MAX) || errno != ERANGE)
      return mismatch("strtol accepted a number out of range", text);
  }
  return 0;
}

static int compare_entries(const void* left, const void* right) {
  const struct entry* a = left;
  const struct entry* b = right;
  if (a->key != b->key) return a->key < b->key ? -1 : 1;
  return (a->position > b->position) - (a->position < b->position);
}

static int one_sort(struct roundtrip* state) {
  uint64_t original[sorted_count];
  struct entry sorted[sorted_count];
  unsigned char seen[sorted_count] = {0};

  for (size_t i = 0; i < sorted_count; i++) {
    original[i] = next_random(state) >> 56; /* few values: equal keys occur */
    sorted[i] = (struct entry){original[i], i};
  }
  qsort(sorted, sorted_count, sizeof sorted[0], compare_entries);

  /* Ordered, and a permutation of what went in: nothing lost, doubled or changed. */
  for (size_t i = 0; i < sorted_count; i++) {
    const struct entry* entry = &sorted[i];
    if (entry->position >= sorted_count || seen[entry->position] || original[entry->position] != entry->key)
      return mismatch("qsort", "an entry was lost or changed");
    if (i > 0 && compare_entries(entry - 1, entry) >= 0) return mismatch("qsort", "entries out of order");
    seen[entry->position] = 1;
    state->checksum = (state->checksum ^ entry->position) * UINT64_C(0x100000001b3);
  }
  return 0;
}

static int one_round(struct roundtrip* state) {
  for (int i = 0; i < doubles_per_round; i++)
    if (one_double(state)) return 1;
  for (int i = 0; i < longs_per_round; i++)
    if (one_long(state)) return 1;
  return one_sort(state);
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
    fprintf(stderr, "usage: roundtrip [ROUNDS]\n");
    return 2;
  }

  struct roundtrip state = {1, UINT64_C(0xcbf29ce484222325)};
  for (long done = 0; rounds == 0 || done < rounds; done++) {
    if (one_round(&state)) return 1;
    work_done = work_done + 1;
  }
  printf("roundtrip rounds=%ld checksum=%016llx\n", rounds, (unsigned long long)state.checksum);
  return 0;
}
