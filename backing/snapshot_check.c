/* SPDX-License-Identifier: MIT
 *
 * snapshot_check.c - read what a snapshot stores and compare its checksums.
 *
 * A portion is walked chunk by chunk, in pieces: a compressed chunk, or a run
 * of raw pages. Pieces that are stored side by side are read at once. When such
 * a read fails each piece is read for itself, and of a raw one each page, so
 * that damage is told no larger than it is.
 */
#include "backing/snapshot_check.h"

#include "core/checked.h"
#include "core/crc32c.h"
#include "core/error.h"

#include <errno.h>
#include <stdlib.h>

/* What one read brings: a portion of raw pages, or what it has of compressed ones. */
#define STORED_LIMIT ((size_t)LM_PORTION_PAGES * LM_SNAPSHOT_PAGE)

/* Pages of one chunk that are read together. */
struct piece {
	const struct lm_chunk *chunk;
	uint32_t first; /* page of the chunk */
	uint32_t count;
	uint64_t position; /* in the file */
	uint64_t stored;
};

int lm_checker_prepare(struct lm_checker *checker)
{
	checker->codec = (struct lm_codec_context){0};
	checker->stored = aligned_alloc(LM_SNAPSHOT_PAGE, STORED_LIMIT);
	checker->decoded = malloc(LM_CHUNK_PAGES * LM_SNAPSHOT_PAGE);
	if (checker->stored != NULL && checker->decoded != NULL)
		return 0;
	lm_checker_destroy(checker);
	return lm_error(-ENOMEM, "no memory to verify a snapshot");
}

void lm_checker_destroy(struct lm_checker *checker)
{
	lm_codec_context_destroy(&checker->codec);
	free(checker->stored);
	free(checker->decoded);
}

/* ---- portions --------------------------------------------------------------- */

static bool is_stored(const struct lm_chunk *chunk)
{
	return chunk->kind != LAZYMEM_CHUNK_ZERO && chunk->kind != LAZYMEM_CHUNK_PARENT;
}

/* The next piece of at most `most` pages, from page `*skip` of chunk `*index` on;
 * both move behind it. A compressed chunk is one piece, however many those are.
 * False at the end of the file's chunks. */
static bool next_piece(const struct lm_snapshot_file *file, size_t *index, uint32_t *skip,
		       uint32_t most, struct piece *ret_piece)
{
	const struct lm_chunk *chunk;
	struct piece piece;

	while (*index < file->chunk_count && !is_stored(&file->chunks[*index]))
		++*index;
	if (*index == file->chunk_count)
		return false;
	chunk = &file->chunks[*index];
	piece = (struct piece){chunk, *skip, chunk->count - *skip, chunk->position, chunk->stored};
	if (chunk->kind == LAZYMEM_CHUNK_RAW) {
		piece.count = (uint32_t)lm_min(piece.count, most);
		piece.position += *skip * (uint64_t)LM_SNAPSHOT_PAGE;
		piece.stored = piece.count * (uint64_t)LM_SNAPSHOT_PAGE;
	}
	*skip += piece.count;
	if (*skip == chunk->count) {
		*skip = 0;
		++*index;
	}
	*ret_piece = piece;
	return true;
}

/* The next piece of a portion of which `pages` were taken. */
static bool next_of_portion(const struct lm_snapshot_file *file, size_t *index, uint32_t *skip,
			    uint32_t pages, struct piece *ret_piece)
{
	return pages < LM_PORTION_PAGES &&
	       next_piece(file, index, skip, LM_PORTION_PAGES - pages, ret_piece);
}

bool lm_portion_next(const struct lm_snapshot_files *files, struct lm_portion_cursor *cursor,
		     struct lm_portion *ret_portion)
{
	for (; cursor->file < files->count;
	     *cursor = (struct lm_portion_cursor){.file = cursor->file + 1}) {
		const struct lm_snapshot_file *file = &files->files[cursor->file];
		const struct lm_portion portion = {file, cursor->chunk, cursor->skip, NULL};
		struct piece piece;
		uint32_t pages = 0;

		while (next_of_portion(file, &cursor->chunk, &cursor->skip, pages, &piece))
			pages += piece.count;
		if (pages != 0) {
			*ret_portion = portion;
			return true;
		}
		if (cursor->blob < file->blob_count) {
			*ret_portion = portion;
			ret_portion->blob = &file->blobs[cursor->blob++];
			return true;
		}
	}
	return false;
}

/* ---- pages ------------------------------------------------------------------ */

/* Tell of the pages of a piece that do not match, each run of them once. */
static void compare(struct lm_checker *checker, const struct lm_portion *portion,
		    const struct piece *piece, const unsigned char *pages)
{
	const uint32_t *sums = portion->file->sums + piece->chunk->checksum + piece->first;
	uint32_t wrong = 0; /* pages in front of i */

	for (uint32_t i = 0; i <= piece->count; i++) {
		if (i < piece->count &&
		    lm_crc32c(0, pages + i * LM_SNAPSHOT_PAGE, LM_SNAPSHOT_PAGE) != sums[i]) {
			wrong++;
			continue;
		}
		if (wrong != 0)
			checker->damaged(checker->context, portion, piece->chunk,
					 piece->first + i - wrong, wrong, -EBADMSG);
		wrong = 0;
	}
}

/* Decode a piece if need be, and compare it. */
static void check_piece(struct lm_checker *checker, const struct lm_portion *portion,
			const struct piece *piece, const unsigned char *stored)
{
	int error;

	if (piece->chunk->kind == LAZYMEM_CHUNK_RAW) {
		compare(checker, portion, piece, stored);
		return;
	}
	error = lm_codec_decompress(&checker->codec, piece->chunk->kind, stored, piece->stored,
				    checker->decoded, piece->count * LM_SNAPSHOT_PAGE);
	if (error == 0)
		compare(checker, portion, piece, checker->decoded);
	else
		checker->damaged(checker->context, portion, piece->chunk, 0, piece->count, error);
}

/* Read a piece for itself, because a read of it and others has failed; of a raw
 * one page by page. */
static void reread_piece(struct lm_checker *checker, const struct lm_portion *portion,
			 const struct piece *piece)
{
	struct piece part = *piece;

	if (piece->chunk->kind == LAZYMEM_CHUNK_RAW) {
		part.count = 1;
		part.stored = LM_SNAPSHOT_PAGE;
	}
	for (; part.first < piece->first + piece->count; part.first += part.count) {
		const int error = lazymem_backing_read(portion->file->backing, part.position,
						       checker->stored, part.stored);

		if (error == 0)
			check_piece(checker, portion, &part, checker->stored);
		else
			checker->damaged(checker->context, portion, part.chunk, part.first,
					 part.count, error);
		part.position += part.stored;
	}
}

/* Pieces that are stored side by side. */
struct batch {
	struct piece pieces[LM_PORTION_PAGES];
	size_t count;
	uint64_t start;
	uint64_t end;
};

static bool fits(const struct batch *batch, const struct piece *piece)
{
	return batch->count > 0 && piece->position >= batch->end &&
	       piece->position - batch->end < LM_SNAPSHOT_PAGE &&
	       piece->position + piece->stored - batch->start <= STORED_LIMIT;
}

static void check_batch(struct lm_checker *checker, const struct lm_portion *portion,
			const struct batch *batch)
{
	int error;

	if (batch->count == 0)
		return;
	error = lazymem_backing_read(portion->file->backing, batch->start, checker->stored,
				     batch->end - batch->start);
	for (size_t i = 0; i < batch->count; i++) {
		const struct piece *piece = &batch->pieces[i];

		if (error == 0)
			check_piece(checker, portion, piece,
				    checker->stored + (piece->position - batch->start));
		else
			reread_piece(checker, portion, piece);
	}
}

static uint64_t check_pages(struct lm_checker *checker, const struct lm_portion *portion)
{
	struct batch batch = {.count = 0};
	size_t index = portion->chunk;
	uint32_t skip = portion->skip;
	uint32_t pages = 0;
	struct piece piece;

	while (next_of_portion(portion->file, &index, &skip, pages, &piece)) {
		if (!fits(&batch, &piece)) {
			check_batch(checker, portion, &batch);
			batch.count = 0;
			batch.start = piece.position;
		}
		batch.pieces[batch.count++] = piece;
		batch.end = piece.position + piece.stored;
		pages += piece.count;
	}
	check_batch(checker, portion, &batch);
	return pages;
}

/* ---- blobs ------------------------------------------------------------------ */

static void check_blob(struct lm_checker *checker, const struct lm_portion *portion)
{
	const struct lm_snapshot_blob *blob = portion->blob;
	uint32_t sum = 0;
	int error = 0;

	for (uint64_t done = 0; error == 0 && done < blob->length;) {
		const size_t length = (size_t)lm_min(blob->length - done, STORED_LIMIT);

		error = lazymem_backing_read(portion->file->backing, blob->offset + done,
					     checker->stored, length);
		if (error == 0)
			sum = lm_crc32c(sum, checker->stored, length);
		done += length;
	}
	if (error == 0 && sum != blob->checksum)
		error = -EBADMSG;
	if (error != 0)
		checker->damaged(checker->context, portion, NULL, 0, 0, error);
}

uint64_t lm_check_portion(struct lm_checker *checker, const struct lm_portion *portion)
{
	if (portion->blob == NULL)
		return check_pages(checker, portion);
	check_blob(checker, portion);
	return 0;
}
