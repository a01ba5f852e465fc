/* SPDX-License-Identifier: MIT
 *
 * Everything that would fail in the program, where nobody expects it, is tried
 * here first: the images are opened as the library will open them, and closed
 * again. Nothing is made or changed.
 */
#include "complain.h"
#include "run.h"
#include "source.h"
#include "traces.h"

#include <errno.h>
#include <lazymem/common.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *run_absolute_path(const char *path)
{
	char *directory = path[0] != '/' ? getcwd(NULL, 0) : strdup("");
	char *absolute = NULL;

	if (directory == NULL)
		complain("%s: the current directory: %s", path, strerror(errno));
	else if (asprintf(&absolute, "%s%s%s", directory, path[0] != '/' ? "/" : "", path) < 0) {
		complain("no memory for the name %s", path);
		absolute = NULL;
	}
	free(directory);
	return absolute;
}

int run_check_permission(void)
{
	if (lazymem_handler_check() == 0)
		return 0;
	complain("%s", lazymem_error_message());
	return EXIT_NO_PERMISSION;
}

/* ---- images -------------------------------------------------------------------- */

static bool is_same_file(const char *path, const char *image)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat(image, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* `path` is a file that is written, or part of an image: not both. */
static int check_distinct(const char *path, const char *image)
{
	if (path == NULL || !is_same_file(path, image))
		return 0;
	complain("%s: is also a file of an image, %s", path, image);
	return -1;
}

/* What is written is no file of any image. */
static int check_written(const struct run_request *request, const char *image)
{
	for (size_t i = 0; i < request->file_count; i++) {
		if (check_distinct(request->files[i].path, image) != 0)
			return -1;
	}
	return check_distinct(request->record, image);
}

static int check_layers(const struct run_request *request, const char *image,
			const struct source *source)
{
	char **paths = source_paths(image);
	int result = 0;

	if (paths == NULL) {
		complain("no memory for the name %s", image);
		return -1;
	}
	for (char **path = paths; *path != NULL && result == 0; path++)
		result = check_written(request, *path);
	source_free_paths(paths);
	if (source->snapshot == NULL)
		return result;
	for (size_t i = 0; i < lazymem_snapshot_layer_count(source->snapshot) && result == 0; i++) {
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

		lazymem_snapshot_layer_at(source->snapshot, i, &layer);
		result = check_written(request, layer.path);
	}
	return result;
}

static int check_image(const struct run_request *request, const char *image,
		       const struct source *source, uint64_t *ret_length)
{
	if (source->format != FORMAT_RAW && source->format != FORMAT_SNAPSHOT) {
		complain("%s: make a snapshot of it first (lazymem create): its format, %s, "
			 "cannot be restored from",
			 image, image_format_names[source->format]);
		return -1;
	}
	*ret_length = lazymem_backing_length(source->backing);
	return check_layers(request, image, source);
}

int run_check_images(const struct run_request *request, uint64_t *lengths)
{
	for (size_t i = 0; i < request->file_count; i++) {
		const char *image = request->files[i].image;
		const struct source_request how = {.path = image, .format = FORMAT_DETECT};
		struct source source = {0};
		int result = source_open(&how, &source);

		if (result == 0)
			result = check_image(request, image, &source, &lengths[i]);
		source_close(&source);
		if (result != 0)
			return EXIT_RUN_FAILED;
	}
	return 0;
}

/* ---- traces -------------------------------------------------------------------- */

/* As the library will save it: a temporary file beside it, which is renamed. */
int run_check_record(const struct run_request *request)
{
	const char *record = request->record;
	struct stat status;
	char *directory;
	int result;

	if (record == NULL)
		return 0;
	for (size_t i = 0; i < request->file_count; i++) {
		const char *path = request->files[i].path;

		if (strcmp(record, path) == 0 || is_same_file(record, path)) {
			complain("%s: is a memory, so no trace can be written there", record);
			return EXIT_RUN_FAILED;
		}
	}
	if (stat(record, &status) == 0 && !S_ISREG(status.st_mode)) {
		complain("%s: is no regular file, so no trace can be written there", record);
		return EXIT_RUN_FAILED;
	}
	directory = strndup(record, (size_t)(strrchr(record, '/') - record) + 1);
	if (directory == NULL) {
		complain("no memory for the name %s", record);
		return EXIT_RUN_FAILED;
	}
	result = access(directory, W_OK | X_OK);
	if (result != 0)
		complain("%s: no trace can be written there: %s", record, strerror(errno));
	free(directory);
	return result == 0 ? 0 : EXIT_RUN_FAILED;
}

/* Of the one image; where there are several, only the library can tell. */
static bool belongs_to_image(const struct lazymem_trace *trace, const struct run_request *request)
{
	const struct source_request image = {.path = request->files[0].image,
					     .format = FORMAT_DETECT};
	const struct lazymem_identity bound = lazymem_trace_identity(trace);
	struct lazymem_identity identity;
	struct source source = {0};
	bool belongs;

	if (identity_is_none(&bound) || request->file_count > 1)
		return true;
	belongs = source_open(&image, &source) == 0 &&
		  lazymem_backing_identity(source.backing, &identity) == 0 &&
		  identity_equal(&bound, &identity);
	source_close(&source);
	return belongs;
}

void run_check_replay(struct run_request *request)
{
	struct lazymem_trace *trace = NULL;

	if (request->replay == NULL)
		return;
	if (lazymem_trace_load(request->replay, &trace) != 0)
		complain("%s; going on without it", lazymem_error_message());
	else if (!belongs_to_image(trace, request))
		complain("%s: is the trace of another image than %s; going on without it",
			 request->replay, request->files[0].image);
	else {
		lazymem_trace_destroy(trace);
		return;
	}
	lazymem_trace_destroy(trace);
	free(request->replay);
	request->replay = NULL;
}
