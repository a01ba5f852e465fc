/* SPDX-License-Identifier: MIT
 *
 * snapshot_rules.h - what lazymem-snapshot(5) says of the bytes of a file, as
 * requirements on those that were accepted.
 */
#ifndef SNAPSHOT_RULES_H
#define SNAPSHOT_RULES_H

#include <stddef.h>
#include <stdint.h>

/* `file` has at least a page; `file_length` is how long the file is said to be. */
void require_header(const uint8_t *file, uint64_t file_length);

/* The bytes of a section of a file whose header is in order. */
void require_regions(const uint8_t *file, const uint8_t *bytes, size_t length);
void require_chunks(const uint8_t *file, const uint8_t *bytes, size_t length);
void require_parent_path(const uint8_t *bytes, size_t length);
void require_blobs(const uint8_t *file, const uint8_t *bytes, size_t length);

/* All of it, checksums of the sections included. */
void require_snapshot(const uint8_t *file, size_t size);

#endif
