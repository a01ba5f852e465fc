/* SPDX-License-Identifier: MIT */
#include "source.h"
#include "complain.h"
#include "opening.h"

#include <errno.h>
#include <fcntl.h>
#include <lazymem/common.h>
#include <lazymem/layered.h>
#include <lazymem/nbd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC_MAX 8

const char *const image_format_names[] = {
	[FORMAT_RAW] = "raw",
	[FORMAT_ELF] = "elf",
	[FORMAT_CLOUD_HYPERVISOR] = "cloud-hypervisor",
	[FORMAT_QEMU] = "qemu",
	[FORMAT_SNAPSHOT] = "snapshot",
	[FORMAT_TRACE] = "trace",
	[FORMAT_OVERLAY] = "overlay",
	[FORMAT_DETECT] = NULL,
};

static const struct magic {
	char bytes[MAGIC_MAX];
	size_t length;
	enum image_format format;
} magics[] = {
	{"\177ELF", 4, FORMAT_ELF},       {"QEVM", 4, FORMAT_QEMU},
	{"LZMSNAPS", 8, FORMAT_SNAPSHOT}, {"LZMTRACE", 8, FORMAT_TRACE},
	{"LZMOVERL", 8, FORMAT_OVERLAY},
};

static enum image_format format_of(const char *bytes, size_t length)
{
	for (size_t i = 0; i < sizeof(magics) / sizeof(*magics); i++) {
		if (length >= magics[i].length &&
		    memcmp(bytes, magics[i].bytes, magics[i].length) == 0)
			return magics[i].format;
	}
	return FORMAT_RAW;
}

static int detect_file(const char *path, enum image_format *ret_format)
{
	char bytes[MAGIC_MAX];
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const ssize_t length = fd >= 0 ? pread(fd, bytes, sizeof(bytes), 0) : -1;

	if (length < 0)
		complain("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (length < 0)
		return -1;
	*ret_format = format_of(bytes, (size_t)length);
	return 0;
}

/* What an export begins with. One that is shorter is a raw image, as a file is. */
static int detect_export(const char *uri, enum image_format *ret_format)
{
	const struct lazymem_nbd_options options = {.size = sizeof(options),
						    .flags = LAZYMEM_NBD_LAZY_EXTENTS};
	char bytes[MAGIC_MAX] = {0};
	struct lazymem_backing *export;
	int error = lazymem_nbd_open(uri, &options, &export);

	if (error == 0) {
		error = lazymem_backing_read(export, 0, bytes, sizeof(bytes));
		lazymem_backing_unref(export);
	}
	if (error != 0) {
		complain("%s", lazymem_error_message());
		return -1;
	}
	*ret_format = format_of(bytes, sizeof(bytes));
	if (*ret_format != FORMAT_TRACE && *ret_format != FORMAT_OVERLAY)
		return 0;
	complain("%s: holds a file of format %s, which is read by its path only", uri,
		 image_format_names[*ret_format]);
	return -1;
}

int source_detect(const char *path, enum image_format *ret_format)
{
	return opening_is_uri(path) ? detect_export(path, ret_format)
				    : detect_file(path, ret_format);
}

/* ---- names ------------------------------------------------------------------ */

static size_t count_commas(const char *path)
{
	size_t count = 0;

	for (; *path != '\0'; path++)
		count += *path == ',';
	return count;
}

/* A file whose own name has commas in it is that file. */
char **source_paths(const char *path)
{
	const bool is_one = opening_is_uri(path) || access(path, F_OK) == 0;
	const size_t commas = is_one ? 0 : count_commas(path);
	char **paths = calloc(commas + 2, sizeof(*paths));

	for (size_t i = 0; paths != NULL && i <= commas; i++) {
		const size_t length = commas == 0 ? strlen(path) : strcspn(path, ",");

		paths[i] = strndup(path, length);
		if (paths[i] == NULL) {
			source_free_paths(paths);
			return NULL;
		}
		path += length + 1;
	}
	return paths;
}

void source_free_paths(char **paths)
{
	for (char **path = paths; path != NULL && *path != NULL; path++)
		free(*path);
	free(paths);
}

/* ---- opening ------------------------------------------------------------------ */

/* NULL after a message. */
static struct lazymem_backing *open_file(const char *path)
{
	struct lazymem_backing *backing = NULL;
	if (opening_image(path, &backing) != 0)
		complain("%s", lazymem_error_message());
	return backing;
}

static int open_raw(const char *path, struct source *source)
{
	source->backing = open_file(path);
	return source->backing != NULL ? 0 : -1;
}

static int open_layers(char *const *paths, size_t count, struct source *source)
{
	struct lazymem_backing **layers = calloc(count, sizeof(struct lazymem_backing *));
	size_t opened = 0;
	int result = -1;

	if (layers == NULL) {
		complain("no memory for %zu layers", count);
		return -1;
	}
	while (opened < count && (layers[opened] = open_file(paths[opened])) != NULL)
		opened++;
	if (opened == count) {
		result = lazymem_layered_create(layers, count, &source->backing);
		if (result != 0)
			complain("%s", lazymem_error_message());
	}
	for (size_t i = 0; i < opened; i++)
		lazymem_backing_unref(layers[i]);
	free(layers);
	return result == 0 ? 0 : -1;
}

static int take_snapshot_regions(struct source *source)
{
	source->region_count = lazymem_snapshot_region_count(source->snapshot);
	source->regions = calloc(source->region_count, sizeof(*source->regions));
	if (source->regions == NULL) {
		complain("no memory for %zu regions", source->region_count);
		return -1;
	}
	for (size_t i = 0; i < source->region_count; i++)
		source->regions[i] = lazymem_snapshot_region_at(source->snapshot, i);
	return 0;
}

int source_open_snapshot(const char *path, const struct parent_names *parents,
			 struct lazymem_snapshot **ret_snapshot)
{
	const char *names[1 + SOURCE_MOST_PARENTS] = {path};
	struct lazymem_backing *files[1 + SOURCE_MOST_PARENTS] = {NULL};
	size_t count = 1;
	int error;

	for (size_t i = 0; parents != NULL && i < parents->count; i++)
		names[count++] = parents->names[i];
	error = opening_snapshot(names, count, files, ret_snapshot);
	opening_close(files, count);
	if (error != 0)
		complain("%s", lazymem_error_message());
	return error == 0 ? 0 : -1;
}

static int open_snapshot(const struct source_request *request, const char *path,
			 struct source *source)
{
	if (source_open_snapshot(path, request->parents, &source->snapshot) != 0)
		return -1;
	source->backing = lazymem_backing_ref(lazymem_snapshot_backing(source->snapshot));
	return take_snapshot_regions(source);
}

int source_take_regions(const struct lazymem_snapshot_region *regions, size_t count,
			struct source *source)
{
	if (count == 0)
		return 0;
	source->regions = calloc(count, sizeof(*regions));
	if (source->regions == NULL) {
		complain("no memory for %zu regions", count);
		return -1;
	}
	memcpy(source->regions, regions, count * sizeof(*regions));
	source->region_count = count;
	return 0;
}

static int open_foreign(const struct source_request *request, const char *path,
			struct source *source)
{
	struct lazymem_backing *file = open_file(path);
	int result = -1;

	if (file == NULL)
		return -1;
	if (source->format == FORMAT_ELF)
		result = import_elf(file, source);
	else if (source->format == FORMAT_QEMU)
		result = import_mapped_ram(file, request, source);
	else
		result = import_cloud_hypervisor(file, request->state, source);
	lazymem_backing_unref(file);
	return result;
}

/* Files are layers only where each is a raw image. */
static int check_layers(char *const *paths, size_t count)
{
	for (size_t i = 0; i < count && count > 1; i++) {
		enum image_format format;

		if (source_detect(paths[i], &format) != 0)
			return -1;
		if (format == FORMAT_RAW)
			continue;
		complain("%s: a file of format %s is no raw image, and so no layer", paths[i],
			 image_format_names[format]);
		return -1;
	}
	return 0;
}

static int open_format(const struct source_request *request, char *const *paths, size_t count,
		       struct source *source)
{
	switch (source->format) {
	case FORMAT_RAW:
		if (check_layers(paths, request->format == FORMAT_DETECT ? count : 0) != 0)
			return -1;
		if (source_take_regions(request->regions, request->region_count, source) != 0)
			return -1;
		return count == 1 ? open_raw(paths[0], source) : open_layers(paths, count, source);
	case FORMAT_SNAPSHOT:
		return open_snapshot(request, paths[0], source);
	case FORMAT_TRACE:
		complain("%s: is a trace, and no memory image", paths[0]);
		return -1;
	case FORMAT_OVERLAY:
		complain("%s: is an overlay, which has no memory without its base; see lazymem "
			 "commit",
			 paths[0]);
		return -1;
	default:
		return open_foreign(request, paths[0], source);
	}
}

static int open_paths(const struct source_request *request, char *const *paths,
		      struct source *source)
{
	size_t count = 0;

	while (paths[count] != NULL)
		count++;
	source->format = request->format;
	if (count > 1 && request->format != FORMAT_RAW && request->format != FORMAT_DETECT) {
		complain("%s: %s: %s", request->path, image_format_names[request->format],
			 strerror(ENOENT));
		return -1;
	}
	if (count > 1)
		source->format = FORMAT_RAW;
	else if (source->format == FORMAT_DETECT && source_detect(paths[0], &source->format) != 0)
		return -1;
	if (request->region_count > 0 && source->format != FORMAT_RAW &&
	    source->format != FORMAT_QEMU) {
		complain("--region does not go with %s: its format, %s, says where its memory is",
			 request->path, image_format_names[source->format]);
		return -1;
	}
	if (request->parents != NULL && request->parents->count > 0 &&
	    source->format != FORMAT_SNAPSHOT) {
		complain("--parent does not go with %s: a file of format %s has none",
			 request->path, image_format_names[source->format]);
		return -1;
	}
	return open_format(request, paths, count, source);
}

int source_open(const struct source_request *request, struct source *ret_source)
{
	struct source source = {0};
	char **paths = source_paths(request->path);
	int result = -1;

	if (paths == NULL)
		complain("no memory for the name %s", request->path);
	else
		result = open_paths(request, paths, &source);
	source_free_paths(paths);
	if (result == 0)
		*ret_source = source;
	else
		source_close(&source);
	return result;
}

void source_close(struct source *source)
{
	lazymem_backing_unref(source->backing);
	lazymem_snapshot_unref(source->snapshot);
	free(source->regions);
	*source = (struct source){0};
}
