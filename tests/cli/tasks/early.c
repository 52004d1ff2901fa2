/* SPDX-License-Identifier: MIT
 *
 * A library whose constructor, which runs while a plugin that needs it is loaded, has tried to make a file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

const char* early_result = "was not called";

__attribute__((constructor)) static void try_to_make_a_file(void) {
  const char* path = getenv("URGE_TEST_EARLY");
  early_result = path && open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) >= 0 ? "ok" : strerrorname_np(errno);
}
