/* SPDX-License-Identifier: MIT
 *
 * snapshots.h - snapshots of a machine that runs: a whole one first, and then
 * layers, each over the one before it.
 */
#ifndef LAZYVM_SNAPSHOTS_H
#define LAZYVM_SNAPSHOTS_H

#include "machine.h"

/* The files of the last snapshot, by absolute paths or URIs: its own first, then its parents. The next
 * is a layer over it. */
struct snapshots {
	char **files;
	size_t count;                         /* 0: none yet */
	struct lazymem_backing *const *parts; /* of the last so many files; the caller's */
	size_t part_count;
};

struct snapshot_result {
	bool is_layer;
	uint64_t pause_ns;     /* how long the guest stood still */
	uint64_t bytes_paused; /* copied in the pause */
	uint64_t bytes;        /* of pages in the snapshot that the guest has written */
};

/* Begin with the snapshot that the guest was restored from. Where its files are objects, `parts` are
 * these, and stay until the end. 0, or -1 and a sentence in fault_message(). */
int snapshots_begin(struct snapshots *snapshots, const struct lazymem_snapshot *parent,
		    struct lazymem_backing *const *parts, size_t part_count);

/* Write a snapshot of the machine, which goes on meanwhile but for a short
 * pause. 0, or -1 and a sentence in fault_message(). */
int snapshots_write(struct snapshots *snapshots, struct machine *machine, const char *path,
		    struct snapshot_result *ret_result);

void snapshots_free(struct snapshots *snapshots);

#endif
