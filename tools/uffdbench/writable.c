/* SPDX-License-Identifier: MIT */
#include "writable.h"
#include "complain.h"

#include <errno.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* May a new file be made beside it? Sets errno. */
static bool parent_is_writable(const char *path)
{
	char *copy = strdup(path);
	struct stat status;
	const char *parent;
	bool writable;

	if (copy == NULL)
		return false;
	parent = dirname(copy);
	writable = stat(parent, &status) == 0;
	if (writable && !S_ISDIR(status.st_mode)) {
		errno = ENOTDIR;
		writable = false;
	}
	writable = writable && access(parent, W_OK | X_OK) == 0;
	free(copy);
	return writable;
}

int writable_check(const char *option, const char *path)
{
	struct stat status;
	bool writable;

	if (stat(path, &status) == 0) {
		writable = !S_ISDIR(status.st_mode) && access(path, W_OK) == 0;
		if (S_ISDIR(status.st_mode))
			errno = EISDIR;
	} else {
		writable = errno == ENOENT && parent_is_writable(path);
	}
	if (writable)
		return 0;
	complain("%s %s cannot be written: %s", option, path, strerror(errno));
	return -1;
}
