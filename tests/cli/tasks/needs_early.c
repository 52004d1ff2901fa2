/* SPDX-License-Identifier: MIT
 *
 * Prints how it went for the library that it needs.
 */
#include <stdio.h>

extern const char* early_result;

int main(void) {
  printf("early: %s\n", early_result);
  return 0;
}
