/* SPDX-License-Identifier: MIT
 *
 * page_source.h - the image, read one page at a time: how naive serves every
 * fault, and reap those outside its recorded set.
 */
#ifndef UFFDBENCH_PAGE_SOURCE_H
#define UFFDBENCH_PAGE_SOURCE_H

#include "engine.h"
#include "fault_loop.h"

#include <stdint.h>

struct page_source {
	unsigned char *page;
	int fd; /* of the image, during a run */
	uint64_t bytes_read;
};

/* The page is touched beforehand. 0, or -1 after a message. */
int page_source_create(struct page_source *source, const char *engine);
void page_source_destroy(struct page_source *source);

/* Open the image and start the loop; stop it and close the image. */
int page_source_start(struct page_source *source, struct fault_loop *loop,
		      struct engine_context *context);
int page_source_stop(struct page_source *source, struct fault_loop *loop,
		     struct engine_counters *counters);

/* Read the page at `offset` and install it. 0 or a negative errno value. */
int page_source_serve(struct page_source *source, struct fault_loop *loop, size_t offset);

#endif
