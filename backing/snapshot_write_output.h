/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_output.h - bytes one after the other into the new file, in
 * large writes.
 */
#ifndef LM_SNAPSHOT_WRITE_OUTPUT_H
#define LM_SNAPSHOT_WRITE_OUTPUT_H

#include "core/replace_file.h"

struct lm_write_output {
	struct lm_replacement *replacement;
	unsigned char *buffer;
	size_t used;
	uint64_t start; /* where the buffer's first byte goes */
};

/* Begin at `start` in the file. -ENOMEM. */
int lm_output_begin(struct lm_replacement *replacement, uint64_t start,
		    struct lm_write_output *ret_output);

/* What was not flushed is lost. */
void lm_output_destroy(struct lm_write_output *output);

/* Where the next byte goes. */
uint64_t lm_output_position(const struct lm_write_output *output);

int lm_output_put(struct lm_write_output *output, const void *bytes, size_t length);

/* Zeros up to the next multiple of `alignment`, a power of two up to 4096. */
int lm_output_align(struct lm_write_output *output, size_t alignment);

int lm_output_flush(struct lm_write_output *output);

#endif
