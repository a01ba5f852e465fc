/* SPDX-License-Identifier: MIT
 *
 * snapshot_check.h - one portion of a snapshot's verification: what
 * snapshot_verify.c hands to its threads, and snapshot_check.c reads and
 * compares.
 */
#ifndef LM_SNAPSHOT_CHECK_H
#define LM_SNAPSHOT_CHECK_H

#include "backing/codec.h"
#include "backing/snapshot_object.h"

#define LM_PORTION_PAGES 256 /* one read of 1 MiB, when they lie side by side */

/* Either stored pages, LM_PORTION_PAGES of them or the rest of their file, from
 * page `skip` of a chunk on; or a blob. */
struct lm_portion {
	const struct lm_snapshot_file *file;
	size_t chunk;
	uint32_t skip;
	const struct lm_snapshot_blob *blob; /* NULL: pages */
};

/* Where the next portion begins. All zeros: with the first one. */
struct lm_portion_cursor {
	size_t file;
	size_t chunk;
	uint32_t skip;
	size_t blob;
};

/* Take the next portion; false when there is none. Portions end where the file
 * does, and their pages at LM_PORTION_PAGES. */
bool lm_portion_next(const struct lm_snapshot_files *files, struct lm_portion_cursor *cursor,
		     struct lm_portion *ret_portion);

/* What a thread keeps from one portion to the next, and whom it tells. */
struct lm_checker {
	struct lm_codec_context codec;
	unsigned char *stored;  /* as much as one read brings, aligned to a page */
	unsigned char *decoded; /* LM_CHUNK_PAGES pages */

	/* `count` pages of `chunk` from page `first` of it on, or a blob, are
	 * damaged. */
	void (*damaged)(void *context, const struct lm_portion *portion,
			const struct lm_chunk *chunk, uint32_t first, uint32_t count, int error);
	void *context;
};

/* The context and whom it tells are the caller's to fill in. -ENOMEM. */
int lm_checker_prepare(struct lm_checker *checker);
void lm_checker_destroy(struct lm_checker *checker);

/* Read and compare all of it. Returns the number of pages, 0 for a blob. */
uint64_t lm_check_portion(struct lm_checker *checker, const struct lm_portion *portion);

#endif
