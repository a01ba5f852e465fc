/* SPDX-License-Identifier: MIT */
#include "parent_path.h"
#include "complain.h"
#include "opening.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The directory that `path` is in, without links; NULL sets errno. */
static char *directory_of(const char *path)
{
	char *copy = strdup(path);
	char *real = copy != NULL ? realpath(dirname(copy), NULL) : NULL;

	free(copy);
	return real;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* Two absolute directories: how long is what they share, up to whole names? */
static size_t shared_length(const char *a, const char *b)
{
	size_t shared = 0;

	for (size_t i = 0;; i++) {
		const int a_ends = a[i] == '/' || a[i] == '\0';
		const int b_ends = b[i] == '/' || b[i] == '\0';

		if (a_ends && b_ends)
			shared = i;
		if (a[i] != b[i] || a[i] == '\0')
			return shared;
	}
}

static size_t count_names(const char *path)
{
	size_t count = 0;

	for (; *path != '\0'; path++)
		count += path[0] == '/' && path[1] != '\0' && path[1] != '/';
	return count;
}

/* "../../b/NAME": up from `from`, down to `to`. */
static char *relative(const char *from, const char *to, const char *name)
{
	const size_t shared = shared_length(from, to);
	const size_t up = count_names(from + shared);
	const char *down = to + shared + strspn(to + shared, "/");
	char *path = malloc(3 * up + strlen(down) + 1 + strlen(name) + 1);
	char *next = path;

	if (path == NULL)
		return NULL;
	for (size_t i = 0; i < up; i++)
		next = stpcpy(next, "../");
	next = stpcpy(next, down);
	if (*down != '\0')
		next = stpcpy(next, "/");
	stpcpy(next, name);
	return path;
}

char *parent_path_from(const char *output, const char *parent)
{
	char *from = directory_of(output);
	char *to = from != NULL ? directory_of(parent) : NULL;
	char *path = NULL;

	if (parent[0] == '/' || opening_is_uri(parent))
		path = strdup(parent);
	else if (from != NULL && to != NULL)
		path = relative(from, to, last_part(parent));
	if (path == NULL)
		complain("the directory of %s: %s", from == NULL ? output : parent,
			 strerror(errno));
	free(from);
	free(to);
	return path;
}
