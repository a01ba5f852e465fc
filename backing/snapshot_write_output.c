/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_output.c - a buffer in front of the new file. What is put may
 * be a few bytes or a megabyte; what reaches the kernel is a megabyte, but for
 * the last write.
 */
#include "backing/snapshot_write_output.h"

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_SIZE ((size_t)1 << 20)

int lm_output_begin(struct lm_replacement *replacement, uint64_t start,
		    struct lm_write_output *ret_output)
{
	unsigned char *buffer = malloc(BUFFER_SIZE);

	if (buffer == NULL)
		return lm_error(-ENOMEM, "%s %s: no memory to write it", replacement->what,
				replacement->path);
	*ret_output = (struct lm_write_output){replacement, buffer, 0, start};
	return 0;
}

void lm_output_destroy(struct lm_write_output *output)
{
	free(output->buffer);
	output->buffer = NULL;
}

uint64_t lm_output_position(const struct lm_write_output *output)
{
	return output->start + output->used;
}

int lm_output_flush(struct lm_write_output *output)
{
	const int error =
		lm_replace_write(output->replacement, output->buffer, output->used, output->start);

	if (error != 0)
		return error;
	output->start += output->used;
	output->used = 0;
	return 0;
}

int lm_output_put(struct lm_write_output *output, const void *bytes, size_t length)
{
	const unsigned char *from = bytes;

	while (length > 0) {
		const size_t part = (size_t)lm_min(length, BUFFER_SIZE - output->used);

		memcpy(output->buffer + output->used, from, part);
		output->used += part;
		from += part;
		length -= part;
		if (output->used == BUFFER_SIZE) {
			const int error = lm_output_flush(output);

			if (error != 0)
				return error;
		}
	}
	return 0;
}

int lm_output_align(struct lm_write_output *output, size_t alignment)
{
	static const unsigned char zeros[4096];
	const uint64_t over = lm_output_position(output) & (alignment - 1);

	return over == 0 ? 0 : lm_output_put(output, zeros, alignment - (size_t)over);
}
