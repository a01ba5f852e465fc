/* SPDX-License-Identifier: MIT
 *
 * snapshots.h - stacks of snapshots at random, the memory that they stand for,
 * and guest memory that is restored from them.
 */
#ifndef TEST_SNAPSHOTS_H
#define TEST_SNAPSHOTS_H

#include "harness.h"
#include <lazymem/handler.h>
#include <lazymem/snapshot_write.h>

#define MOST_REGIONS 5

struct snapshots {
	uint64_t length;      /* bytes; need not be whole pages */
	unsigned char *bytes; /* what the topmost one holds, whole pages */
	struct lazymem_snapshot_region regions[MOST_REGIONS];
	size_t region_count;
	size_t parents;              /* files below the topmost one */
	const char *path;            /* of the topmost one */
	struct lazymem_trace *trace; /* of the topmost one; NULL: none */
};

/* Write `parents` + 1 files, the first on its own and each next one over it:
 * pages of text, noise and zeros, of which every layer changes some; any
 * compression that the build has, any size of chunks, any regions. Numbers are
 * taken from *random. */
void snapshots_write(struct snapshots *snapshots, uint64_t length, size_t parents,
		     uint64_t *random);
void snapshots_destroy(struct snapshots *snapshots);

/* The path of the file that has so many below it. The result is static. */
const char *snapshots_path(size_t parents);

/* Guest memory of the same regions, filled from `backing`, and who serves it. */
struct restored {
	const struct snapshots *snapshots;
	struct lazymem_handler *handler;
	struct lazymem_memory *memory;
	struct lazymem_attachment *attachment;
	unsigned char *hosts[MOST_REGIONS]; /* in the order of the snapshot's regions */
};

void restored_begin(struct restored *restored, const struct snapshots *snapshots,
		    struct lazymem_backing *backing, const struct lazymem_attach_options *options);
void restored_end(struct restored *restored);

/* Host memory of a page of the memory. */
unsigned char *restored_page(const struct restored *restored, uint64_t page);

/* Is every byte of the guest memory that of the snapshot, and zero past its end? */
void assert_restored(const struct restored *restored);

#endif
