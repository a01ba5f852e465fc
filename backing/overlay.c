/* SPDX-License-Identifier: MIT
 *
 * overlay.c - a writable layer over an object that stays as it is.
 *
 * Each block of 4 KiB is in one of three states: as in the base, in our file, or zero.
 * The map of the states, two bits a block, is in memory, and in the file. The holes
 * of the file mean nothing: a discard must read as zero and not as the base, file
 * systems have holes of other sizes than a block, and some make holes of zeros.
 *
 * What the file says after a crash is right because of three orders:
 *
 *  - a block becomes DATA in memory when all 4096 bytes of it have been written,
 *    never before: what a write leaves of a block is first brought up from the base
 *    (overlay_write.c);
 *  - the map in the file is written after the data that it speaks of was flushed,
 *    from a copy that was made before that flush began, and is flushed itself
 *    (overlay_flush.c). So whichever of the two the machine gets to, a block is DATA
 *    in the file only if its bytes are there: before that it is as it was;
 *  - a sector of the map is written as a whole, as disks do, with a checksum of its own.
 *    A state that was written but not flushed may be there or not: then so is the new
 *    content of the block, whose bytes or hole were durable before it.
 *
 * A block that is DATA in the file is overwritten in its place, and a crash leaves of each
 * sector the old bytes or the new ones, as on any disk. A hole that a discard has
 * made before its state is durable reads as zero, which is what was asked for.
 *
 * When a flush fails, the kernel may have dropped pages that it could not write, and
 * later reads of the file would give zeros. So the map in memory goes back to what is
 * durable: blocks that were new are as before, until they are written again; and the
 * writes that were under way fail, since no later flush would tell of their loss.
 *
 * The file is read and written through two objects of file.c: the data from the first
 * block on, and the map. They have open files of their own; the lock is of ours.
 */
#include <lazymem/overlay.h>

#include "backing/overlay_object.h"
#include "core/backing_object.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/little_endian.h"
#include "core/options.h"

#include <errno.h>
#include <inttypes.h>
#include <lazymem/file.h>
#include <stdlib.h>
#include <unistd.h>

#define KNOWN_FLAGS LAZYMEM_OVERLAY_READ_ONLY

/* ---- operations ----------------------------------------------------------- */

static int overlay_extent(void *object, uint64_t offset, uint64_t length,
			  struct lazymem_extent *ret_extent)
{
	const struct lm_overlay *overlay = object;
	enum lm_overlay_state state;
	const uint64_t run = lm_overlay_map_run(&overlay->map, offset, length, &state);

	if (state == LM_OVERLAY_BASE)
		return lazymem_backing_extent(overlay->base, offset, run, ret_extent);
	ret_extent->start = offset;
	ret_extent->length = run;
	ret_extent->kind = state == LM_OVERLAY_ZERO ? LAZYMEM_EXTENT_ZERO : LAZYMEM_EXTENT_DATA;
	return 0;
}

static int overlay_identity(void *object, struct lazymem_identity *ret_identity)
{
	const struct lm_overlay *overlay = object;

	if (atomic_load(&overlay->map.overlaid) != 0)
		return -ENODATA;
	*ret_identity = overlay->map.header.base;
	return 0;
}

static void overlay_readahead(void *object, uint64_t offset, uint64_t length)
{
	const struct lm_overlay *overlay = object;

	while (length != 0) {
		enum lm_overlay_state state;
		const uint64_t run = lm_overlay_map_run(&overlay->map, offset, length, &state);

		if (state != LM_OVERLAY_ZERO)
			lazymem_backing_readahead(state == LM_OVERLAY_DATA ? overlay->data
									   : overlay->base,
						  offset, run);
		offset += run;
		length -= run;
	}
}

/* Also of one that is half open. */
static void overlay_close(void *object)
{
	struct lm_overlay *overlay = object;

	if (overlay->sheets != NULL)
		lm_overlay_flush_last(overlay);
	lm_overlay_free_reads(overlay);
	lm_overlay_free_writes(overlay);
	lazymem_backing_unref(overlay->data);
	lazymem_backing_unref(overlay->sheets);
	lazymem_backing_unref(overlay->base);
	lm_overlay_map_destroy(&overlay->map);
	if (overlay->fd >= 0)
		close(overlay->fd);
	pthread_mutex_destroy(&overlay->lock);
	pthread_cond_destroy(&overlay->lifted);
	free(overlay);
}

/* ---- opening -------------------------------------------------------------- */

static int copy_options(const struct lazymem_overlay_options *options, const char *path,
			struct lazymem_overlay_options *ret_known)
{
	int error = lm_options_copy(options, ret_known, sizeof(*ret_known),
				    "struct lazymem_overlay_options");

	if (error != 0)
		return error;
	if ((ret_known->flags & ~KNOWN_FLAGS) != 0)
		return lm_error(-EINVAL, "overlay %s: unknown flag in %#x", path, ret_known->flags);
	return 0;
}

/* What the overlay is to be bound to. */
static int describe_base(const char *path, struct lazymem_backing *base,
			 const struct lazymem_identity *given, struct lm_overlay_header *ret_wanted)
{
	struct lm_overlay_header wanted = {.length = lazymem_backing_length(base)};
	int error = 0;

	if (wanted.length > LM_OVERLAY_LONGEST)
		return lm_error(-EFBIG, "overlay %s: %s has %" PRIu64 " bytes, more than 2^56",
				path, lazymem_backing_name(base), wanted.length);
	if (given != NULL)
		wanted.base = *given;
	else
		error = lazymem_backing_identity(base, &wanted.base);
	if (error == 0 && lm_identity_is_none(&wanted.base))
		error = lm_error(-ENODATA, "the identity that was given is all zeros");
	if (error != 0)
		return lm_error(error, "overlay %s: nothing to bind it to: %s", path,
				lazymem_error_message());
	*ret_wanted = wanted;
	return 0;
}

static int make_file(const char *path, const struct lm_overlay_header *wanted)
{
	struct lm_overlay_header header = *wanted;
	struct lazymem_identity key;
	int error = lm_identity_create(&key);

	if (error != 0)
		return error;
	header.key = lm_get_u64(key.bytes);
	return lm_overlay_file_create(path, &header);
}

static int check_bound(const char *path, const struct lm_overlay_header *header,
		       const struct lm_overlay_header *wanted, const struct lazymem_backing *base)
{
	if (!lm_identity_equal(&header->base, &wanted->base))
		return lm_error(-ESTALE, "overlay %s: it belongs to another base than %s", path,
				lazymem_backing_name(base));
	if (header->length != wanted->length)
		return lm_error(-EINVAL,
				"overlay %s: it has %" PRIu64 " bytes, but %s has %" PRIu64, path,
				header->length, lazymem_backing_name(base), wanted->length);
	return 0;
}

/* A part of the file as an object of its own. */
static int open_part(const struct lm_overlay *overlay, const char *path, uint64_t start,
		     uint64_t length, struct lazymem_backing **ret_part)
{
	const struct lazymem_file_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_FILE_NO_HOLES | (overlay->is_writable ? LAZYMEM_FILE_WRITABLE : 0),
		.start = start,
		.length = length,
	};

	return lazymem_file_from_fd(overlay->fd, path, &options, ret_part);
}

static int open_parts(struct lm_overlay *overlay, const char *path)
{
	const uint64_t start = lm_overlay_data_start(overlay->length);
	int error =
		open_part(overlay, path, start,
			  lm_overlay_blocks(overlay->length) * LM_OVERLAY_BLOCK, &overlay->data);

	if (error == 0 && overlay->is_writable)
		error = open_part(overlay, path, LM_OVERLAY_HEADER,
				  overlay->map.sectors * LM_OVERLAY_SECTOR, &overlay->sheets);
	return error;
}

static int publish(struct lm_overlay *overlay, const char *path,
		   struct lazymem_backing **ret_backing)
{
	struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = lm_overlay_read,
		.hurry = lm_overlay_hurry,
		.extent = overlay_extent,
		.identity = overlay_identity,
		.readahead = overlay_readahead,
		.close = overlay_close,
	};

	if (lazymem_backing_takes_parts(overlay->base))
		operations.read_parts = lm_overlay_read;
	if (overlay->is_writable) {
		operations.write = lm_overlay_write;
		operations.flush = lm_overlay_flush;
		operations.discard = lm_overlay_discard;
	}
	return lazymem_backing_create(&operations, overlay, overlay->length, path, ret_backing);
}

static struct lm_overlay *create(struct lazymem_backing *base, bool is_writable)
{
	struct lm_overlay *overlay = calloc(1, sizeof(*overlay));

	if (overlay == NULL)
		return NULL;
	overlay->fd = -1;
	overlay->is_writable = is_writable;
	overlay->base = lazymem_backing_ref(base);
	overlay->length = lazymem_backing_length(base);
	overlay->waiting_end = &overlay->waiting;
	overlay->round.waiting_end = &overlay->round.waiting;
	pthread_mutex_init(&overlay->lock, NULL);
	pthread_cond_init(&overlay->lifted, NULL);
	return overlay;
}

/* Find the file, or make it and find it then. */
static int find_file(const char *path, const struct lm_overlay_header *wanted, bool is_writable,
		     int *ret_fd, struct lm_overlay_header *ret_header)
{
	int error = lm_overlay_file_open(path, is_writable, ret_fd, ret_header);

	if (error != -ENOENT || !is_writable)
		return error;
	error = make_file(path, wanted);
	return error != 0 ? error : lm_overlay_file_open(path, true, ret_fd, ret_header);
}

static int open_overlay(struct lm_overlay *overlay, const char *path,
			const struct lm_overlay_header *wanted,
			struct lazymem_backing **ret_backing)
{
	struct lm_overlay_header header;
	int error = find_file(path, wanted, overlay->is_writable, &overlay->fd, &header);

	if (error == 0)
		error = check_bound(path, &header, wanted, overlay->base);
	if (error == 0)
		error = lm_overlay_map_create(&header, overlay->is_writable, &overlay->map);
	if (error == 0)
		error = lm_overlay_file_load(overlay->fd, path, &overlay->map);
	if (error == 0)
		error = open_parts(overlay, path);
	return error != 0 ? error : publish(overlay, path, ret_backing);
}

int lazymem_overlay_open(const char *path, struct lazymem_backing *base,
			 const struct lazymem_overlay_options *options,
			 struct lazymem_backing **ret_backing)
{
	struct lazymem_overlay_options known;
	struct lm_overlay_header wanted;
	struct lm_overlay *overlay;
	int error;

	if (path == NULL || base == NULL)
		return lm_error(-EINVAL, "overlay without %s", path == NULL ? "a path" : "a base");
	error = copy_options(options, path, &known);
	if (error == 0)
		error = describe_base(path, base, known.base_identity, &wanted);
	if (error != 0)
		return error;
	overlay = create(base, (known.flags & LAZYMEM_OVERLAY_READ_ONLY) == 0);
	if (overlay == NULL)
		return lm_error(-ENOMEM, "no memory for overlay %s", path);
	error = open_overlay(overlay, path, &wanted, ret_backing);
	if (error != 0)
		overlay_close(overlay);
	return error;
}

/* ---- what it is ----------------------------------------------------------- */

/* The first byte from `offset` on whose block is in the base, or is not. */
static uint64_t find_state(const struct lm_overlay *overlay, uint64_t offset, bool in_base)
{
	while (offset < overlay->length) {
		enum lm_overlay_state state;
		const uint64_t run =
			lm_overlay_map_run(&overlay->map, offset, overlay->length - offset, &state);

		if ((state == LM_OVERLAY_BASE) == in_base)
			break;
		offset += run;
	}
	return offset;
}

int lazymem_overlay_changed(const struct lazymem_backing *backing, uint64_t from,
			    uint64_t *ret_start, uint64_t *ret_length)
{
	const struct lm_overlay *overlay = lm_backing_object(backing, lm_overlay_read);
	uint64_t start;

	if (overlay == NULL)
		return lm_error(-EINVAL, "%s is no overlay", lazymem_backing_name(backing));
	start = from < overlay->length
			? find_state(overlay, lm_align_down(from, LM_OVERLAY_BLOCK), false)
			: from;
	if (start >= overlay->length)
		return lm_error(-ENOENT,
				"overlay %s: no block was changed from byte %" PRIu64 " on",
				lazymem_backing_name(backing), from);
	*ret_start = start;
	*ret_length = find_state(overlay, start, true) - start;
	return 0;
}

static void fill(const struct lm_overlay_map *map, struct lazymem_overlay_description *description)
{
	description->base = map->header.base;
	description->length = map->header.length;
	description->file_length = lm_overlay_file_length(map->header.length);
	description->written = lm_overlay_map_count(map, LM_OVERLAY_DATA) * LM_OVERLAY_BLOCK;
	description->discarded = lm_overlay_map_count(map, LM_OVERLAY_ZERO) * LM_OVERLAY_BLOCK;
}

int lazymem_overlay_describe(const char *path, struct lazymem_overlay_description *ret_description)
{
	struct lazymem_overlay_description description = {0};
	struct lm_overlay_header header;
	struct lm_overlay_map map;
	int error, fd;

	if (path == NULL)
		return lm_error(-EINVAL, "overlay without a path");
	error = lm_overlay_file_open(path, false, &fd, &header);
	if (error != 0)
		return error;
	error = lm_overlay_map_create(&header, false, &map);
	if (error == 0) {
		error = lm_overlay_file_load(fd, path, &map);
		if (error == 0)
			fill(&map, &description);
		lm_overlay_map_destroy(&map);
	}
	close(fd);
	if (error != 0)
		return error;
	return lm_options_return(&description, sizeof(description), ret_description,
				 "struct lazymem_overlay_description");
}
