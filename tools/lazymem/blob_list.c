/* SPDX-License-Identifier: MIT */
#include "complain.h"
#include "file_bytes.h"
#include "writing.h"

#include <stdlib.h>
#include <string.h>

/* Takes the name and the bytes, also when it fails. */
static int add(struct blob_list *list, char *name, void *bytes, size_t length)
{
	struct lazymem_snapshot_blob_source *grown =
		reallocarray(list->blobs, list->count + 1, sizeof(*grown));

	if (grown != NULL)
		list->blobs = grown;
	if (grown == NULL || name == NULL) {
		complain("no memory for %zu blobs", list->count + 1);
		free(name);
		free(bytes);
		return -1;
	}
	list->blobs[list->count++] = (struct lazymem_snapshot_blob_source){name, bytes, length};
	return 0;
}

int blob_list_add_all(struct blob_list *list, const struct lazymem_snapshot *snapshot)
{
	for (size_t i = 0; i < lazymem_snapshot_blob_count(snapshot); i++) {
		const char *name = lazymem_snapshot_blob_name(snapshot, i);
		void *bytes;
		size_t length;

		if (lazymem_snapshot_blob(snapshot, name, &bytes, &length) != 0) {
			complain("%s", lazymem_error_message());
			return -1;
		}
		if (add(list, strdup(name), bytes, length) != 0)
			return -1;
	}
	return 0;
}

int blob_list_add_file(struct blob_list *list, const char *name, const char *path)
{
	void *bytes;
	size_t length;

	if (file_bytes_read(path, &bytes, &length) != 0)
		return -1;
	return add(list, strdup(name), bytes, length);
}

void blob_list_free(struct blob_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free((void *)(uintptr_t)list->blobs[i].name);
		free((void *)(uintptr_t)list->blobs[i].bytes);
	}
	free(list->blobs);
	*list = (struct blob_list){0};
}
