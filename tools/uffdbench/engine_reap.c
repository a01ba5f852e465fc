/* SPDX-License-Identifier: MIT
 *
 * reap: the pages of the recorded set lie in a compact file of their own, made
 * beforehand. When a run starts, the handler reads that file with O_DIRECT
 * (one read; more only where the kernel cuts it), installs it page by page
 * without waking anyone, wakes everyone once, and only then serves the faults
 * that are left, as naive does.
 *
 * The buffer is allocated and touched beforehand too: to the engine's
 * advantage, and so that only its method is measured.
 */
#include "complain.h"
#include "page_source.h"
#include "raw_userfaultfd.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct reap {
	struct fault_loop loop;
	const struct workload *workload;
	int recorded_fd; /* of the compact file: context->own */
	unsigned char *recorded;
	size_t recorded_length;
	struct page_source source; /* of what is not recorded */
};

static int read_recorded(struct reap *reap)
{
	size_t at = 0;
	int fd = open(scratch_path(reap->recorded_fd).text, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (at < reap->recorded_length) {
		ssize_t count =
			pread(fd, reap->recorded + at, reap->recorded_length - at, (off_t)at);

		if (count <= 0) {
			int error = count < 0 ? -errno : -ENODATA;

			close(fd);
			return error;
		}
		at += (size_t)count;
	}
	close(fd);
	reap->source.bytes_read += reap->recorded_length;
	return 0;
}

static int install_recorded(struct fault_loop *loop)
{
	struct reap *reap = loop->context;
	int error = read_recorded(reap);

	for (size_t i = 0; i < reap->workload->recorded_count && error == 0; i++)
		error = raw_userfaultfd_copy(loop->fd, loop->memory + reap->workload->recorded[i],
					     reap->recorded + i * PAGE_BYTES, PAGE_BYTES, false);
	return error != 0 ? error : raw_userfaultfd_wake(loop->fd, loop->memory, loop->length);
}

static int serve(struct fault_loop *loop, size_t offset)
{
	struct reap *reap = loop->context;

	return page_source_serve(&reap->source, loop, offset);
}

static int write_recorded(const struct reap *reap, const struct image *image, const char *directory)
{
	size_t at = 0;

	for (size_t i = 0; i < reap->workload->recorded_count; i++, at += PAGE_BYTES) {
		if (image_page(image, reap->workload->recorded[i],
			       (uint64_t *)(reap->recorded + at)) != 0)
			return -1;
	}
	if (write_all(reap->recorded_fd, reap->recorded, reap->recorded_length, 0, directory) != 0)
		return -1;
	if (fsync(reap->recorded_fd) != 0) {
		complain("cannot write to %s: %s", directory, strerror(errno));
		return -1;
	}
	return 0;
}

static int allocate(struct reap *reap)
{
	void *memory = mmap(NULL, reap->recorded_length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED) {
		complain("no memory for engine reap");
		return -1;
	}
	reap->recorded = memory;
	return page_source_create(&reap->source, "reap");
}

static void release(struct engine_context *context)
{
	struct reap *reap = context->state;

	if (reap == NULL)
		return;
	if (reap->recorded != NULL)
		munmap(reap->recorded, reap->recorded_length);
	page_source_destroy(&reap->source);
	if (reap->recorded_fd >= 0)
		close(reap->recorded_fd);
	free(reap);
}

/* A file system without O_DIRECT is better found out now than in a run. */
static int check_direct(struct reap *reap, const char *directory)
{
	int error = read_recorded(reap);

	if (error == 0)
		return 0;
	complain("engine reap cannot read with O_DIRECT in %s: %s", directory, strerror(-error));
	return -1;
}

static int prepare(struct engine_context *context)
{
	struct reap *reap = calloc(1, sizeof(*reap));

	context->state = reap;
	if (reap == NULL) {
		complain("no memory for engine reap");
		return -1;
	}
	reap->workload = context->workload;
	reap->recorded_length = context->workload->recorded_count * PAGE_BYTES;
	reap->loop = (struct fault_loop){
		.begin = install_recorded,
		.serve = serve,
		.context = reap,
		.name = context->engine->name,
		.length = context->workload->memory,
		.cpu = context->cpus.handler,
	};
	reap->recorded_fd = scratch_open(context->directory);
	if (reap->recorded_fd < 0 || allocate(reap) != 0 ||
	    write_recorded(reap, context->image, context->directory) != 0)
		return -1;
	context->own =
		(struct source_file){reap->recorded_fd, context->directory, reap->recorded_length};
	return check_direct(reap, context->directory);
}

static int start(struct engine_context *context)
{
	struct reap *reap = context->state;

	return page_source_start(&reap->source, &reap->loop, context);
}

static int stop(struct engine_context *context, struct engine_counters *counters)
{
	struct reap *reap = context->state;

	return page_source_stop(&reap->source, &reap->loop, counters);
}

const struct engine engine_reap = {
	.name = "reap",
	.summary = "the recorded set by one O_DIRECT read and one wake, then naive",
	.needs_userfaultfd = true,
	.has_source = true,
	.prefetches = true,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.release = release,
};
