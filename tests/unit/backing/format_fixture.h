/* SPDX-License-Identifier: MIT
 *
 * format_fixture.h - the header of a snapshot that is in order, as bytes: for
 * the tests that change one thing in it. Offsets are those of
 * lazymem-snapshot(5), written out here a second time.
 */
#ifndef FORMAT_FIXTURE_H
#define FORMAT_FIXTURE_H

#include "backing/snapshot_format.h"
#include "core/crc32c.h"
#include "core/little_endian.h"

#include <errno.h>
#include <lazymem/common.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE ((size_t)4096)
#define FILE_LENGTH (40 * PAGE)
#define MEMORY_LENGTH (9 * PAGE + 100) /* 10 pages */

/* The message of the last failure contains `part`. */
static inline void assert_says(const char *part)
{
	if (strstr(lazymem_error_message(), part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, lazymem_error_message());
}

/* A header that is in order: one region, 4 chunks, 6 checksums, two blobs. */
static inline struct lm_snapshot_header good_header(void)
{
	struct lm_snapshot_header header = {
		.memory_length = MEMORY_LENGTH,
		.file_length = FILE_LENGTH,
	};

	memset(header.identity.bytes, 0x11, sizeof(header.identity.bytes));
	header.sections[LM_SECTION_REGIONS] = (struct lm_section){true, 0x9000, 16, 1};
	header.sections[LM_SECTION_CHUNKS] = (struct lm_section){true, 0x9010, 4 * 32, 2};
	header.sections[LM_SECTION_CHECKSUMS] = (struct lm_section){true, 0x9090, 6 * 4, 3};
	header.sections[LM_SECTION_BLOBS] = (struct lm_section){true, 0x9100, 2 * 280, 4};
	return header;
}

/* The same with a parent. */
static inline struct lm_snapshot_header good_layer(void)
{
	struct lm_snapshot_header header = good_header();

	header.features = LM_FEATURE_PARENT;
	memset(header.parent.bytes, 0x22, sizeof(header.parent.bytes));
	header.sections[LM_SECTION_PARENT] = (struct lm_section){true, 0x9400, 11, 5};
	return header;
}

#endif
