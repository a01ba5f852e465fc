/* SPDX-License-Identifier: MIT
 *
 * post_copy_guest.h - guest memory that is filled from an NBD export.
 *
 * Results are 0, or -1 after a message.
 */
#ifndef UFFDBENCH_POST_COPY_GUEST_H
#define UFFDBENCH_POST_COPY_GUEST_H

#include "lazy_guest.h"
#include "measurement.h"
#include "post_copy_export.h"

/* Of measurements whose state is the export. */
int post_copy_prepare(const struct measurement *measurement,
		      const struct measurement_setting *setting, void **ret_state);
void post_copy_release(void *state);

/* Connect to the export, and attach; nothing is populated yet. */
int post_copy_guest_open(const struct post_copy_export *export, const char *name, bool memfd,
			 uint64_t length, struct lazy_guest *ret_guest);

/* Populate everything that is not there yet: the stream. The second waits for its end. */
int post_copy_guest_stream(const struct lazy_guest *guest);
int post_copy_guest_wait(const struct lazy_guest *guest);

/* How many pages are not as they were exported; all of them are looked at. */
uint64_t post_copy_count_wrong(const void *memory, uint64_t length);

#endif
