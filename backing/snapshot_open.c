/* SPDX-License-Identifier: MIT
 *
 * snapshot_open.c - a snapshot and its parents become one backing object.
 *
 * The chain is followed file by file, from the top down. Each parent must be
 * the one that the layer over it was written against: its identity says that the
 * bytes are the same, its length and regions are compared all the same, because
 * everything after this relies on them. A chain that comes back to a file of its
 * own would never end, so every file is held against those above it.
 *
 * What a layer says of its parent is a path of this machine. Where the files are
 * objects it means nothing, so all of them have to be given.
 */
#include "backing/snapshot_object.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN_FLAGS (LAZYMEM_SNAPSHOT_DIRECT | LAZYMEM_SNAPSHOT_CACHED_OR_DIRECT)

/* Where the files are: at paths, some of which the layers tell; or all of them in objects,
 * the topmost first. */
struct places {
	const char *path;
	const struct lazymem_snapshot_options *options;
	struct lazymem_backing *const *objects; /* NULL: paths */
	size_t object_count;
};

/* ---- files ------------------------------------------------------------------ */

static void release_files(void *owner)
{
	struct lm_snapshot_files *files = owner;

	for (size_t i = 0; i < files->count; i++)
		lm_snapshot_unload(&files->files[i]);
	free(files->files);
	free(files->sources);
	free(files);
}

static int reserve(struct lm_snapshot_files *files)
{
	const size_t capacity = files->capacity == 0 ? 4 : 2 * files->capacity;
	struct lm_snapshot_file *larger;

	if (files->count < files->capacity)
		return 0;
	larger = reallocarray(files->files, capacity, sizeof(*larger));
	if (larger == NULL)
		return lm_error(-ENOMEM, "no memory for %zu layers", capacity);
	files->files = larger;
	files->capacity = capacity;
	return 0;
}

/* ---- parents ---------------------------------------------------------------- */

/* nbd://, nbds+unix:// and their like. */
static bool is_nbd_uri(const char *path)
{
	return strncmp(path, "nbd", 3) == 0 && strstr(path, "://") != NULL;
}

/* Where the parent of `file` is, for the caller to free. A file that anybody may have
 * written connects to no server. */
static int find_parent(const struct lm_snapshot_file *file, char **ret_path)
{
	const char *slash = strrchr(file->path, '/');
	const int directory = slash != NULL ? (int)(slash + 1 - file->path) : 0;
	int result;

	if (is_nbd_uri(file->parent_path))
		return lm_error(
			-ENOENT,
			"%s: its parent is %s, which is no file: it has to be opened and given",
			file->path, file->parent_path);
	if (file->parent_path[0] == '/')
		result = asprintf(ret_path, "%s", file->parent_path);
	else
		result = asprintf(ret_path, "%.*s%s", directory, file->path, file->parent_path);
	return result < 0 ? lm_error(-ENOMEM, "%s: no memory", file->path) : 0;
}

static bool have_same_regions(const struct lm_snapshot_file *a, const struct lm_snapshot_file *b)
{
	if (a->region_count != b->region_count)
		return false;
	for (size_t i = 0; i < a->region_count; i++)
		if (a->regions[i].base.value != b->regions[i].base.value ||
		    a->regions[i].length != b->regions[i].length)
			return false;
	return true;
}

static bool are_one_file(const struct lm_snapshot_file *a, const struct lm_snapshot_file *b)
{
	if (a->is_object || b->is_object)
		return a->backing == b->backing;
	return a->device == b->device && a->inode == b->inode;
}

/* Is `parent` the file that was opened for one of those above it? */
static int check_ancestry(const struct lm_snapshot_files *files,
			  const struct lm_snapshot_file *parent)
{
	for (size_t i = 0; i < files->count; i++) {
		if (are_one_file(&files->files[i], parent))
			return lm_error(-ELOOP, "%s: it is an ancestor of itself, through %s",
					parent->path, files->files[files->count - 1].path);
	}
	return 0;
}

/* Is `parent` what the lowest file was written against? */
static int check_parent(const struct lm_snapshot_files *files,
			const struct lm_snapshot_file *parent)
{
	const struct lm_snapshot_file *child = &files->files[files->count - 1];
	const int error = check_ancestry(files, parent);

	if (error != 0)
		return error;
	if (!lm_identity_equal(&parent->header.identity, &child->header.parent))
		return lm_error(-ESTALE, "%s: it is not the parent that %s was written against",
				parent->path, child->path);
	for (size_t i = 0; i < files->count; i++)
		if (lm_identity_equal(&parent->header.identity, &files->files[i].header.identity))
			return lm_error(-ELOOP, "%s: it has the identity of its own descendant %s",
					parent->path, files->files[i].path);
	if (parent->header.memory_length != child->header.memory_length)
		return lm_error(-EBADMSG,
				"%s: its memory has %" PRIu64 " bytes, that of its child %s has "
				"%" PRIu64,
				parent->path, parent->header.memory_length, child->path,
				child->header.memory_length);
	if (!have_same_regions(parent, child))
		return lm_error(-EBADMSG, "%s: its regions are not those of its child %s",
				parent->path, child->path);
	return 0;
}

/* The result of loading the parent of `child`. */
static int name_child(int error, const struct lm_snapshot_file *child)
{
	if (error == 0)
		return 0;
	return lm_error(error, "%s (the parent of %s)", lazymem_error_message(), child->path);
}

/* The parent of the lowest file, which is not checked to be that yet. */
static int load_parent(const struct lm_snapshot_files *files, const struct places *places,
		       struct lm_snapshot_file *ret_parent)
{
	const struct lm_snapshot_file *child = &files->files[files->count - 1];
	const struct lazymem_snapshot_options *options = places->options;
	const size_t index = files->count - 1;
	char *path;
	int error;

	if (places->objects != NULL) {
		if (files->count == places->object_count)
			return lm_error(-ENOENT, "%s: its parent, %s, is not given", child->path,
					child->parent_path);
		return name_child(
			lm_snapshot_load_object(places->objects[files->count], ret_parent), child);
	}
	if (index < options->parent_count)
		return name_child(
			lm_snapshot_load(options->parents[index], options->flags, ret_parent),
			child);
	error = find_parent(child, &path);
	if (error != 0)
		return error;
	error = name_child(lm_snapshot_load(path, options->flags, ret_parent), child);
	free(path);
	return error;
}

/* The parent of the lowest file, which has one. */
static int add_parent(struct lm_snapshot_files *files, const struct places *places)
{
	int error = reserve(files);
	struct lm_snapshot_file parent;

	if (error != 0)
		return error;
	if (files->count == LM_STACK_SOURCES)
		return lm_error(-ELOOP, "%s: more than %d layers", files->files->path,
				LM_STACK_SOURCES);
	error = load_parent(files, places, &parent);
	if (error != 0)
		return error;
	error = check_parent(files, &parent);
	if (error != 0)
		lm_snapshot_unload(&parent);
	else
		files->files[files->count++] = parent;
	return error;
}

/* An object that is none of the files: it was taken for something that it is not. */
static int check_objects(const struct lm_snapshot_files *files, const struct places *places)
{
	if (files->count >= places->object_count)
		return 0;
	return lm_error(-EINVAL, "%s: given as the parent of %s, which has none",
			lazymem_backing_name(places->objects[files->count]),
			files->files[files->count - 1].path);
}

static int load_all(struct lm_snapshot_files *files, const struct places *places)
{
	int error = reserve(files);

	if (error != 0)
		return error;
	if (places->objects != NULL)
		error = lm_snapshot_load_object(places->objects[0], files->files);
	else
		error = lm_snapshot_load(places->path, places->options->flags, files->files);
	if (error != 0)
		return error;
	files->count = 1;
	while (error == 0 && files->files[files->count - 1].parent_path != NULL)
		error = add_parent(files, places);
	return error != 0 ? error : check_objects(files, places);
}

/* ---- the object ------------------------------------------------------------- */

static int make_sources(struct lm_snapshot_files *files)
{
	files->sources = calloc(files->count, sizeof(*files->sources));
	if (files->sources == NULL)
		return lm_error(-ENOMEM, "%s: no memory for its %zu layers", files->files->path,
				files->count);
	for (size_t i = 0; i < files->count; i++) {
		const struct lm_snapshot_file *file = &files->files[i];

		files->sources[i] = (struct lm_stack_source){
			.file = file->backing,
			.sums = file->sums,
			.chunks = file->chunks,
			.chunk_count = file->chunk_count,
		};
		for (size_t j = 0; i != 0 && j < file->chunk_count; j++)
			file->chunks[j].layer = (uint16_t)i;
	}
	return 0;
}

static int make_backing(struct lm_snapshot_files *files, struct lazymem_backing **ret_backing)
{
	struct lm_stack_plan plan = {
		.source_count = files->count,
		.unit_shift = 12,
		.length = files->files->header.memory_length,
		.name = files->files->path,
		.identity = &files->files->header.identity,
		.release = release_files,
		.owner = files,
	};
	int error = make_sources(files);

	plan.sources = files->sources;
	if (error == 0 && files->count > 1)
		error = lm_stack_flatten(plan.sources, plan.source_count, plan.unit_shift,
					 &plan.index, &plan.index_count);
	if (error == 0)
		error = lm_stack_create(&plan, ret_backing);
	if (error != 0)
		free(plan.index);
	return error;
}

static int open_files(const struct places *places, struct lazymem_snapshot *snapshot)
{
	struct lm_snapshot_files *files = calloc(1, sizeof(*files));
	int error;

	if (files == NULL)
		return lm_error(-ENOMEM, "%s: no memory", places->path);
	error = load_all(files, places);
	if (error == 0)
		error = make_backing(files, &snapshot->backing);
	if (error != 0)
		release_files(files);
	else
		snapshot->files = files;
	return error;
}

static int open_snapshot(const struct places *places, struct lazymem_snapshot **ret_snapshot)
{
	struct lazymem_snapshot *snapshot = calloc(1, sizeof(*snapshot));
	int error;

	if (snapshot == NULL)
		return lm_error(-ENOMEM, "%s: no memory", places->path);
	atomic_init(&snapshot->references, 1);
	error = open_files(places, snapshot);
	if (error != 0)
		free(snapshot);
	else
		*ret_snapshot = snapshot;
	return error;
}

static int check_options(const char *path, const struct lazymem_snapshot_options *options)
{
	if ((options->flags & ~KNOWN_FLAGS) != 0)
		return lm_error(-EINVAL, "%s: unknown flag in %#x", path, options->flags);
	if (options->parents == NULL && options->parent_count != 0)
		return lm_error(-EINVAL, "%s: %zu parents, and no paths of them", path,
				options->parent_count);
	for (size_t i = 0; i < options->parent_count; i++)
		if (options->parents[i] == NULL)
			return lm_error(-EINVAL, "%s: no path of parent %zu", path, i);
	return 0;
}

int lazymem_snapshot_open(const char *path, const struct lazymem_snapshot_options *options,
			  struct lazymem_snapshot **ret_snapshot)
{
	struct lazymem_snapshot_options known;
	const struct places places = {.path = path, .options = &known};
	int error;

	if (path == NULL)
		return lm_error(-EINVAL, "no path of a snapshot");
	error = lm_options_copy(options, &known, sizeof(known), "struct lazymem_snapshot_options");
	if (error == 0)
		error = check_options(path, &known);
	return error != 0 ? error : open_snapshot(&places, ret_snapshot);
}

int lazymem_snapshot_open_objects(struct lazymem_backing *const *files, size_t count,
				  struct lazymem_snapshot **ret_snapshot)
{
	struct places places = {.objects = files, .object_count = count};

	if (files == NULL || count == 0)
		return lm_error(-EINVAL, "no object of a snapshot");
	for (size_t i = 0; i < count; i++)
		if (files[i] == NULL)
			return lm_error(-EINVAL, "no object %zu of a snapshot's %zu", i, count);
	places.path = lazymem_backing_name(files[0]);
	return open_snapshot(&places, ret_snapshot);
}
