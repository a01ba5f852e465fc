/* SPDX-License-Identifier: MIT
 *
 * restore_source.h - what a guest is restored from: a snapshot with its parents, or raw
 * images one over the other and a file with the state of the machine.
 */
#ifndef LAZYVM_RESTORE_SOURCE_H
#define LAZYVM_RESTORE_SOURCE_H

#include "machine_state.h"

struct restore_source {
	struct lazymem_backing *memory; /* all regions, one after the other */
	struct lazymem_backing **parts; /* what that is made of, or some of it */
	size_t part_count;
	struct lazymem_snapshot *snapshot; /* NULL: raw images */
	struct machine_state state;
};

/* A snapshot, and where its parents are, by paths and URIs of exports: those that are not named are
 * looked for where the layers say. 0, or -1 and a sentence in fault_message(). */
int restore_source_open_snapshot(struct restore_source *source, char *const *paths, size_t count);

/* Raw images, the base first, and the state. As above. */
int restore_source_open_images(struct restore_source *source, const char *state, char *const *paths,
			       size_t count);

/* Tolerates one of all zeros. */
void restore_source_close(struct restore_source *source);

#endif
