/* SPDX-License-Identifier: MIT
 *
 * snapshot_mend.h - make the bytes of damaged snapshots agree with each other
 * again, as far as a fuzzer never would by luck.
 */
#ifndef SNAPSHOT_MEND_H
#define SNAPSHOT_MEND_H

#include <stddef.h>
#include <stdint.h>

/* What to mend. */
enum {
	MEND_SUMS = 0x1,     /* of the header and of the sections */
	MEND_PAGES = 0x2,    /* checksums of what chunks store */
	MEND_ORDER = 0x4,    /* chunks follow each other, and are as long as the memory */
	MEND_FEATURES = 0x8, /* those of the chunks that are there */
	MEND_LINEAGE = 0x10, /* the parent's identity, and the identity in the trace */
	MEND_TRACE = 0x20,   /* count and checksum */
	MEND_BLOBS = 0x40,   /* checksums of blobs */
	MEND_LENGTH = 0x80,  /* the file length in the header */
};

/* All files of an input; each has at least a page. */
void mend_snapshots(uint8_t *bytes, size_t size, unsigned what);

#endif
