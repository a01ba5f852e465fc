/* SPDX-License-Identifier: MIT */
#include "file_bytes.h"
#include "complain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads up to the end, which a stream tells only when it comes. */
static int read_all(FILE *file, char **bytes, size_t *length)
{
	size_t room = 0;

	for (;;) {
		if (*length == room) {
			char *grown = realloc(*bytes, room == 0 ? 65536 : room * 2);

			if (grown == NULL)
				return -ENOMEM;
			*bytes = grown;
			room = room == 0 ? 65536 : room * 2;
		}
		*length += fread(*bytes + *length, 1, room - *length, file);
		if (ferror(file) != 0)
			return errno == 0 ? -EIO : -errno;
		if (feof(file) != 0)
			return 0;
	}
}

int file_bytes_read(const char *path, void **ret_bytes, size_t *ret_length)
{
	FILE *file = fopen(path, "re");
	char *bytes = NULL;
	size_t length = 0;
	int error;

	errno = file == NULL ? errno : 0;
	error = file == NULL ? -errno : read_all(file, &bytes, &length);
	if (file != NULL)
		fclose(file);
	if (error != 0) {
		complain("%s: %s", path, strerror(-error));
		free(bytes);
		return -1;
	}
	*ret_bytes = bytes;
	*ret_length = length;
	return 0;
}
