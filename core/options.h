/* SPDX-License-Identifier: MIT
 *
 * options.h - the rule for structs that begin with their size.
 */
#ifndef LM_OPTIONS_H
#define LM_OPTIONS_H

#include <stddef.h>

/* Copy a caller's options struct into `known` (known_size bytes, which starts
 * with a size_t). NULL gives all zeros. A shorter one is filled up with zeros;
 * of a longer one the tail must be zero. `what` names the struct in messages.
 * -EINVAL when the size is below sizeof(size_t), -E2BIG when the unknown
 * tail is not zero or the size is absurd (above 64 KiB, so never set). */
int lm_options_copy(const void *options, void *known, size_t known_size, const char *what);

/* The other direction, for statistics: copy at most the caller's size, which
 * ret_out begins with, zero what is longer, and keep the caller's size. -EINVAL
 * and -E2BIG for the size, as above. */
int lm_options_return(const void *known, size_t known_size, void *ret_out, const char *what);

#endif
