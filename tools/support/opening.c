/* SPDX-License-Identifier: MIT */
#include "opening.h"

#include <lazymem/file.h>
#include <lazymem/nbd.h>
#include <string.h>

bool opening_is_uri(const char *name)
{
	const char *colon = strstr(name, "://");

	return strncmp(name, "nbd", 3) == 0 && colon != NULL &&
	       strcspn(name, "/") > (size_t)(colon - name);
}

int opening_image(const char *name, struct lazymem_backing **ret_image)
{
	return opening_is_uri(name) ? lazymem_nbd_open(name, NULL, ret_image)
				    : lazymem_file_open(name, NULL, ret_image);
}

/* What zeros a snapshot has, its index knows. */
static int open_part(const char *name, struct lazymem_backing **ret_file)
{
	const struct lazymem_file_options file = {.size = sizeof(file),
						  .flags = LAZYMEM_FILE_NO_HOLES};
	const struct lazymem_nbd_options export = {.size = sizeof(export),
						   .flags = LAZYMEM_NBD_LAZY_EXTENTS};

	return opening_is_uri(name) ? lazymem_nbd_open(name, &export, ret_file)
				    : lazymem_file_open(name, &file, ret_file);
}

int opening_snapshot(const char *const *names, size_t count, struct lazymem_backing **files,
		     struct lazymem_snapshot **ret_snapshot)
{
	const struct lazymem_snapshot_options options = {
		.size = sizeof(options),
		.parents = names + 1,
		.parent_count = count - 1,
	};
	bool has_uri = false;
	int error = 0;

	for (size_t i = 0; i < count; i++)
		has_uri |= opening_is_uri(names[i]);
	if (!has_uri)
		return lazymem_snapshot_open(names[0], &options, ret_snapshot);
	for (size_t i = 0; i < count && error == 0; i++)
		if (files[i] == NULL)
			error = open_part(names[i], &files[i]);
	if (error == 0)
		error = lazymem_snapshot_open_objects(files, count, ret_snapshot);
	return error;
}

void opening_close(struct lazymem_backing *const *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		lazymem_backing_unref(files[i]);
}
