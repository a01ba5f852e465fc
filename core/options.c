/* SPDX-License-Identifier: MIT
 *
 * options.c - structs that begin with their size, in both directions.
 */
#include "core/options.h"

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* No struct comes near this; a size above it was never set. */
enum { SIZE_LIMIT = 65536 };

static int read_size(const void *record, const char *what, size_t *ret_size)
{
	size_t size;

	memcpy(&size, record, sizeof(size));
	if (size < sizeof(size))
		return lm_error(-EINVAL, "%s: size %zu is below %zu", what, size, sizeof(size));
	if (size > SIZE_LIMIT)
		return lm_error(-E2BIG, "%s: size %zu is above %d", what, size, SIZE_LIMIT);
	*ret_size = size;
	return 0;
}

static bool find_nonzero(const unsigned char *bytes, size_t start, size_t end, size_t *ret_offset)
{
	for (size_t i = start; i < end; i++) {
		if (bytes[i] == 0)
			continue;
		*ret_offset = i;
		return true;
	}
	return false;
}

int lm_options_copy(const void *options, void *known, size_t known_size, const char *what)
{
	size_t size = 0;
	size_t offset = 0;
	int error;

	if (options == NULL) {
		memset(known, 0, known_size);
		return 0;
	}
	error = read_size(options, what, &size);
	if (error)
		return error;
	if (find_nonzero(options, known_size, size, &offset))
		return lm_error(-E2BIG, "%s: byte %zu is set, but only %zu bytes are known", what,
				offset, known_size);
	memset(known, 0, known_size);
	memcpy(known, options, lm_min(size, known_size));
	return 0;
}

int lm_options_return(const void *known, size_t known_size, void *ret_out, const char *what)
{
	size_t size = 0;
	int error = read_size(ret_out, what, &size);

	if (error)
		return error;
	memset(ret_out, 0, size);
	memcpy(ret_out, known, lm_min(size, known_size));
	memcpy(ret_out, &size, sizeof(size));
	return 0;
}
