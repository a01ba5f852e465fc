/* SPDX-License-Identifier: MIT */
#include "directory.h"
#include "complain.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DIRECTORY "/var/tmp"

static char *parent_of(const char *path)
{
	char *copy = strdup(path);
	char *parent = copy != NULL ? strdup(dirname(copy)) : NULL;

	free(copy);
	return parent;
}

char *directory_choose(const struct options *options)
{
	const char *image = options->image != NULL ? options->image : options->guest_image;
	const char *temporary = getenv("TMPDIR");
	char *chosen;

	if (options->directory != NULL)
		chosen = strdup(options->directory);
	else if (image != NULL)
		chosen = parent_of(image);
	else
		chosen = strdup(temporary != NULL && temporary[0] != '\0' ? temporary
									  : DEFAULT_DIRECTORY);
	if (chosen == NULL)
		complain("no memory");
	return chosen;
}
