/* SPDX-License-Identifier: MIT
 *
 * seed_file.h - what the programs that write seeds have in common.
 */
#ifndef SEED_FILE_H
#define SEED_FILE_H

#include <stddef.h>
#include <stdio.h>

/* A new file of the corpus. 0, or -1 after a message. */
static inline int write_seed(const char *directory, const char *name, const void *bytes,
			     size_t length)
{
	char path[4096];
	FILE *file = NULL;
	size_t written = 0;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) < sizeof(path))
		file = fopen(path, "we");
	if (file != NULL) {
		written = fwrite(bytes, 1, length, file);
		if (fclose(file) != 0)
			written = 0;
	}
	if (file != NULL && written == length)
		return 0;
	fprintf(stderr, "%s/%s: cannot be written\n", directory, name);
	return -1;
}

#endif
