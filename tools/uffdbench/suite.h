/* SPDX-License-Identifier: MIT
 *
 * suite.h - measurements that belong together, and are asked for by one option.
 */
#ifndef UFFDBENCH_SUITE_H
#define UFFDBENCH_SUITE_H

#include "measurement.h"

struct suite {
	const char *option; /* without the dashes */
	uint64_t memory;    /* bytes, where the options do not say */
	const char *least;  /* memory, as people write it, and in bytes */
	uint64_t least_bytes;
	const struct measurement *const *measurements; /* NULL ends them */
};

extern const struct suite suite_dirty;
extern const struct suite suite_post_copy;

/* NULL for an unknown name. */
const struct measurement *suite_find(const struct suite *suite, const char *name);

#endif
