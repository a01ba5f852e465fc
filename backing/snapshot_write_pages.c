/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_pages.c - pages of the source become chunks of the file.
 *
 * What is known to be zero without reading is not read. The rest comes in
 * pieces; each page of one is equal to the parent's, or zero, or data, in this
 * order of preference: a layer leaves to its parent whatever it can, so that
 * its index is as long as what has changed. Neighbours of one kind are stored
 * together: as they are, at a multiple of the page size, or compressed in
 * chunks. A compressed chunk costs a decompression for each of its pages, so
 * it must save an eighth, else it is stored as it is.
 */
#include "backing/snapshot_write_pages.h"

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_PAGES ((size_t)256)
#define PIECE_SIZE (PIECE_PAGES * LM_SNAPSHOT_PAGE)

void lm_write_pages_destroy(struct lm_write_pages *pages)
{
	lm_codec_context_destroy(&pages->codec);
	free(pages->source);
	free(pages->parent);
	free(pages->packed);
}

int lm_write_pages_begin(const struct lm_write_plan *plan, struct lm_write_index *index,
			 struct lm_write_output *output, struct lm_write_pages *ret_pages)
{
	struct lm_write_pages pages = {.plan = plan, .index = index, .output = output};

	/* aligned, for objects that are read with O_DIRECT */
	pages.source = aligned_alloc(LM_SNAPSHOT_PAGE, PIECE_SIZE);
	pages.packed = malloc(plan->chunk_size);
	if (plan->asked.changed == NULL)
		pages.compared = plan->parent;
	if (pages.compared != NULL)
		pages.parent = aligned_alloc(LM_SNAPSHOT_PAGE, PIECE_SIZE);
	if (pages.source == NULL || pages.packed == NULL ||
	    (pages.compared != NULL && pages.parent == NULL)) {
		lm_write_pages_destroy(&pages);
		lm_error(-ENOMEM, "no memory to read its source");
		return lm_write_failed(plan, -ENOMEM);
	}
	*ret_pages = pages;
	return 0;
}

/* ---- storing ------------------------------------------------------------- */

/* In the index: the next chunk is in the file, from `position` on. */
static int add_stored(struct lm_write_pages *pages, struct lm_chunk chunk,
		      const unsigned char *bytes)
{
	int error = lm_write_index_add_checksums(pages->index, bytes, chunk.count, &chunk.checksum);

	if (error == 0)
		error = lm_write_index_add(pages->index, &chunk);
	return error == 0 ? 0 : lm_write_failed(pages->plan, error);
}

static int store_raw(struct lm_write_pages *pages, uint64_t page, const unsigned char *bytes,
		     size_t count)
{
	struct lm_chunk chunk = {.page = page, .count = (uint32_t)count, .kind = LAZYMEM_CHUNK_RAW};
	int error = lm_output_align(pages->output, LM_SNAPSHOT_PAGE);

	if (error != 0)
		return error;
	chunk.position = lm_output_position(pages->output);
	error = lm_output_put(pages->output, bytes, count * LM_SNAPSHOT_PAGE);
	return error != 0 ? error : add_stored(pages, chunk, bytes);
}

/* At most as many pages as a chunk has. */
static int store_compressed(struct lm_write_pages *pages, uint64_t page, const unsigned char *bytes,
			    size_t count)
{
	const struct lazymem_snapshot_plan *asked = &pages->plan->asked;
	const size_t length = count * LM_SNAPSHOT_PAGE;
	struct lm_chunk chunk = {
		.page = page, .count = (uint32_t)count, .kind = (uint8_t)asked->compression};
	size_t stored = 0;
	int error = lm_codec_compress(&pages->codec, asked->compression, asked->level, bytes,
				      length, pages->packed, length - length / 8, &stored);

	if (error == -ENOSPC)
		return store_raw(pages, page, bytes, count);
	if (error != 0)
		return lm_write_failed(pages->plan, error);
	chunk.position = lm_output_position(pages->output);
	chunk.stored = (uint32_t)stored;
	error = lm_output_put(pages->output, pages->packed, stored);
	return error != 0 ? error : add_stored(pages, chunk, bytes);
}

static int store_data(struct lm_write_pages *pages, uint64_t page, const unsigned char *bytes,
		      size_t count)
{
	const size_t most = pages->plan->chunk_size / LM_SNAPSHOT_PAGE;
	int error = 0;

	if (pages->plan->asked.compression == LAZYMEM_CHUNK_ZERO)
		return store_raw(pages, page, bytes, count);
	while (count > 0 && error == 0) {
		const size_t part = (size_t)lm_min(count, most);

		error = store_compressed(pages, page, bytes, part);
		page += part;
		bytes += part * LM_SNAPSHOT_PAGE;
		count -= part;
	}
	return error;
}

static int leave_out(struct lm_write_pages *pages, enum lazymem_chunk_kind kind, uint64_t page,
		     uint64_t count)
{
	const int error = lm_write_index_add_absent(pages->index, kind, page, count);

	return error == 0 ? 0 : lm_write_failed(pages->plan, error);
}

/* ---- telling pages apart ------------------------------------------------- */

static bool is_zero(const unsigned char *page)
{
	return page[0] == 0 && memcmp(page, page + 1, LM_SNAPSHOT_PAGE - 1) == 0;
}

/* Page `i` of the piece; RAW stands for data, however it will be stored. */
static enum lazymem_chunk_kind kind_of(const struct lm_write_pages *pages, size_t i)
{
	const unsigned char *page = pages->source + i * LM_SNAPSHOT_PAGE;

	if (pages->compared != NULL &&
	    memcmp(page, pages->parent + i * LM_SNAPSHOT_PAGE, LM_SNAPSHOT_PAGE) == 0)
		return LAZYMEM_CHUNK_PARENT;
	return is_zero(page) ? LAZYMEM_CHUNK_ZERO : LAZYMEM_CHUNK_RAW;
}

/* The first `count` pages of the piece are those from `page` on. */
static int store_piece(struct lm_write_pages *pages, uint64_t page, size_t count)
{
	enum lazymem_chunk_kind kind = kind_of(pages, 0);
	size_t start = 0;
	int error = 0;

	while (start < count && error == 0) {
		enum lazymem_chunk_kind following = kind;
		size_t end = start + 1;

		while (end < count && (following = kind_of(pages, end)) == kind)
			end++;
		if (kind == LAZYMEM_CHUNK_RAW)
			error = store_data(pages, page + start,
					   pages->source + start * LM_SNAPSHOT_PAGE, end - start);
		else
			error = leave_out(pages, kind, page + start, end - start);
		start = end;
		kind = following;
	}
	return error;
}

/* ---- reading ------------------------------------------------------------- */

/* The pages at the beginning of the run that are known to be zero, or not, as
 * one extent says it. A page that is partly in a hole is not known to be zero. */
static int look_once(struct lazymem_backing *backing, struct lm_page_run run, uint64_t *ret_count,
		     bool *ret_zero)
{
	struct lazymem_extent extent;
	int error = lazymem_backing_extent(backing, run.page * LM_SNAPSHOT_PAGE,
					   run.count * LM_SNAPSHOT_PAGE, &extent);

	if (error != 0)
		return error;
	*ret_zero = extent.kind == LAZYMEM_EXTENT_ZERO && extent.length >= LM_SNAPSHOT_PAGE;
	*ret_count =
		*ret_zero ? extent.length / LM_SNAPSHOT_PAGE : lm_snapshot_pages(extent.length);
	return 0;
}

/* The same over extents that follow each other, so that an object with many
 * short ones is read in pieces all the same. */
static int look(struct lazymem_backing *backing, struct lm_page_run run, uint64_t *ret_count,
		bool *ret_zero)
{
	bool is_zero_run = false;
	uint64_t count = 0;

	while (count < run.count && count < PIECE_PAGES) {
		const struct lm_page_run rest = {run.page + count, run.count - count};
		uint64_t more = 0;
		bool is_hole = false;
		int error = look_once(backing, rest, &more, &is_hole);

		if (error != 0)
			return error;
		if (count == 0)
			is_zero_run = is_hole;
		else if (is_hole != is_zero_run)
			break;
		count += more;
	}
	*ret_count = count;
	*ret_zero = is_zero_run;
	return 0;
}

static int read_piece(struct lazymem_backing *backing, uint64_t page, uint64_t count, bool is_hole,
		      unsigned char *buffer)
{
	if (is_hole) {
		memset(buffer, 0, count * LM_SNAPSHOT_PAGE);
		return 0;
	}
	return lazymem_backing_read(backing, page * LM_SNAPSHOT_PAGE, buffer,
				    count * LM_SNAPSHOT_PAGE);
}

/* The beginning of the run, as far as source and parent are of one kind each
 * and a piece reaches. */
static int store_beginning(struct lm_write_pages *pages, struct lm_page_run run,
			   uint64_t *ret_count)
{
	struct lazymem_backing *source = pages->plan->asked.source, *parent = pages->compared;
	bool source_zero = false, parent_zero = true;
	uint64_t count = 0;
	int error = look(source, run, &count, &source_zero);

	if (error == 0 && parent != NULL)
		error = look(parent, (struct lm_page_run){run.page, count}, &count, &parent_zero);
	if (error != 0)
		return lm_write_failed(pages->plan, error);
	*ret_count = count;
	if (source_zero && parent_zero)
		return leave_out(pages, parent != NULL ? LAZYMEM_CHUNK_PARENT : LAZYMEM_CHUNK_ZERO,
				 run.page, count);
	count = lm_min(count, PIECE_PAGES);
	*ret_count = count;
	error = read_piece(source, run.page, count, source_zero, pages->source);
	if (error == 0 && parent != NULL)
		error = read_piece(parent, run.page, count, parent_zero, pages->parent);
	if (error != 0)
		return lm_write_failed(pages->plan, error);
	return store_piece(pages, run.page, (size_t)count);
}

static int report_progress(const struct lm_write_pages *pages)
{
	const struct lazymem_snapshot_plan *asked = &pages->plan->asked;
	const uint64_t total = lazymem_backing_length(asked->source);

	if (asked->progress == NULL)
		return 0;
	if (asked->progress(asked->context, lm_min(pages->done * LM_SNAPSHOT_PAGE, total), total) ==
	    0)
		return 0;
	lm_error(-ECANCELED, "cancelled after %llu of %llu pages", (unsigned long long)pages->done,
		 (unsigned long long)pages->plan->pages);
	return lm_write_failed(pages->plan, -ECANCELED);
}

/* The beginning of the run, as far as it has changed, or has not. */
static int store_alike(struct lm_write_pages *pages, struct lm_page_run run, uint64_t *ret_count)
{
	bool is_changed = true;

	if (pages->plan->asked.changed != NULL)
		run.count =
			lm_min(run.count, lm_write_plan_alike(pages->plan, run.page, &is_changed));
	if (is_changed)
		return store_beginning(pages, run, ret_count);
	*ret_count = run.count;
	return leave_out(pages, LAZYMEM_CHUNK_PARENT, run.page, run.count);
}

int lm_write_pages_run(struct lm_write_pages *pages, struct lm_page_run run)
{
	while (run.count > 0) {
		uint64_t count = 0;
		int error = store_alike(pages, run, &count);

		if (error != 0)
			return error;
		run.page += count;
		run.count -= count;
		pages->done += count;
		error = report_progress(pages);
		if (error != 0)
			return error;
	}
	return 0;
}
