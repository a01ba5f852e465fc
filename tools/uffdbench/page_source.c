/* SPDX-License-Identifier: MIT
 *
 * One pread of a page, one COPY.
 */
#include "page_source.h"

#include "complain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int page_source_create(struct page_source *source, const char *engine)
{
	source->page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	if (source->page == NULL) {
		complain("no memory for engine %s", engine);
		return -1;
	}
	memset(source->page, 0, PAGE_BYTES);
	return 0;
}

void page_source_destroy(struct page_source *source)
{
	free(source->page);
}

int page_source_start(struct page_source *source, struct fault_loop *loop,
		      struct engine_context *context)
{
	source->bytes_read = 0;
	source->fd = open(context->image->path, O_RDONLY | O_CLOEXEC);
	if (source->fd < 0) {
		complain("engine %s cannot open %s: %s", context->engine->name,
			 context->image->name, strerror(errno));
		return -1;
	}
	if (fault_loop_start(loop) != 0) {
		close(source->fd);
		return -1;
	}
	context->memory = loop->memory;
	return 0;
}

int page_source_stop(struct page_source *source, struct fault_loop *loop,
		     struct engine_counters *counters)
{
	int result = fault_loop_stop(loop);

	close(source->fd);
	counters->faults_known = true;
	counters->faults = loop->faults;
	counters->bytes_known = true;
	counters->bytes_read = source->bytes_read;
	return result;
}

int page_source_serve(struct page_source *source, struct fault_loop *loop, size_t offset)
{
	ssize_t count = pread(source->fd, source->page, PAGE_BYTES, (off_t)offset);

	if (count != PAGE_BYTES)
		return count < 0 ? -errno : -ENODATA;
	source->bytes_read += PAGE_BYTES;
	return fault_loop_install(loop, offset, source->page);
}
