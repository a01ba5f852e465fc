/* SPDX-License-Identifier: MIT
 *
 * machine_state.h - all that a machine is beside its guest memory, as named
 * blobs. They are what a snapshot keeps, and what a migration sends.
 *
 * Every blob has the same frame: a version, and records of a type and a length.
 * Whoever reads one trusts none of them: a blob that is cut off, of another
 * version, or with a record or a flag that is not known, is refused as a whole.
 */
#ifndef LAZYVM_MACHINE_STATE_H
#define LAZYVM_MACHINE_STATE_H

#include <lazymem/snapshot_write.h>
#include <stddef.h>
#include <stdint.h>

/* One more than the last blob that could be needed: "machine", "vm", and one
 * for each vCPU. */
#define MACHINE_STATE_BLOBS_MAX 80
#define MACHINE_STATE_BLOB_BYTES_MAX ((size_t)1 << 20)

struct machine_state {
	struct lazymem_snapshot_blob_source *blobs; /* as a snapshot's plan takes them */
	size_t count;
};

/* Add a blob: the bytes become those of the list (allocated with malloc), also when it
 * fails; the name is copied. 0, or -1 after a message: no memory, a name twice. */
int machine_state_add(struct machine_state *state, const char *name, void *bytes, size_t length);

/* NULL: there is none of that name. */
const struct lazymem_snapshot_blob_source *machine_state_find(const struct machine_state *state,
							      const char *name);

/* All blobs of a snapshot. 0, or -1 after a message. */
int machine_state_from_snapshot(struct machine_state *state,
				const struct lazymem_snapshot *snapshot);

/* As one file, and back: for guest memory that is kept as a raw image. 0, or -1 after a
 * message. */
int machine_state_write_file(const struct machine_state *state, const char *path);
int machine_state_read_file(struct machine_state *state, const char *path);

/* Tolerates one of all zeros, and leaves one. */
void machine_state_free(struct machine_state *state);

#endif
