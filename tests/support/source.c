/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool overlaps(const struct lazymem_read *read, uint64_t start, uint64_t length)
{
	return length > 0 && read->offset < start + length && start < read->offset + read->length;
}

/* Called with the lock; what the read ends with. */
static int outcome(struct source *source, struct lazymem_read *read)
{
	if (source->error && source->fail_count > 0 &&
	    overlaps(read, source->fail_start, source->fail_length)) {
		source->fail_count--;
		return source->error;
	}
	memcpy(read->buffer, source->image->bytes + read->offset, read->length);
	source->bytes += read->length;
	return 0;
}

static void source_read(void *object, struct lazymem_read *read)
{
	struct source *source = object;
	int error = 0;
	bool held;

	pthread_mutex_lock(&source->lock);
	source->reads++;
	for (uint64_t at = read->offset / PAGE; at * PAGE < read->offset + read->length; at++)
		source->page_reads[at]++;
	held = overlaps(read, source->hold_start, source->hold_length);
	if (held) {
		read->scratch.pointer = source->held;
		source->held = read;
		source->held_count++;
		pthread_cond_broadcast(&source->changed);
	} else {
		error = outcome(source, read);
	}
	pthread_mutex_unlock(&source->lock);
	if (!held)
		lazymem_read_complete(read, error);
}

static int source_extent(void *object, uint64_t offset, uint64_t length,
			 struct lazymem_extent *ret_extent)
{
	struct source *source = object;
	bool hole = image_letter(source->image, offset) == 'h';
	uint64_t end = offset / PAGE * PAGE + PAGE;

	while (end < offset + length && (image_letter(source->image, end) == 'h') == hole)
		end += PAGE;
	if (end > offset + length)
		end = offset + length;
	*ret_extent = (struct lazymem_extent){
		.start = offset,
		.length = end - offset,
		.kind = hole ? LAZYMEM_EXTENT_ZERO : LAZYMEM_EXTENT_DATA,
	};
	return 0;
}

void source_create(struct source *source, const struct image *image)
{
	static const struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = source_read,
		.extent = source_extent,
	};
	pthread_condattr_t monotonic;

	*source = (struct source){.image = image};
	pthread_mutex_init(&source->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&source->changed, &monotonic);
	source->page_reads = calloc(image->length / PAGE + 1, sizeof(*source->page_reads));
	assert_non_null(source->page_reads);
	assert_ok(lazymem_backing_create(&operations, source, image->length, "test source",
					 &source->backing));
}

void source_destroy(struct source *source)
{
	lazymem_backing_unref(source->backing);
	free(source->page_reads);
	pthread_cond_destroy(&source->changed);
	pthread_mutex_destroy(&source->lock);
}

void source_hold(struct source *source, uint64_t start, uint64_t length)
{
	pthread_mutex_lock(&source->lock);
	source->hold_start = start;
	source->hold_length = length;
	pthread_mutex_unlock(&source->lock);
}

void source_release(struct source *source)
{
	struct lazymem_read *read;

	pthread_mutex_lock(&source->lock);
	source->hold_length = 0;
	while ((read = source->held) != NULL) {
		source->held = read->scratch.pointer;
		source->held_count--;
		int error = outcome(source, read);
		pthread_mutex_unlock(&source->lock);
		lazymem_read_complete(read, error);
		pthread_mutex_lock(&source->lock);
	}
	pthread_mutex_unlock(&source->lock);
}

bool source_await_held(struct source *source, unsigned count)
{
	uint64_t deadline = now_ns() + SOON_NS;
	struct timespec until = {
		.tv_sec = (time_t)(deadline / 1000000000u),
		.tv_nsec = (long)(deadline % 1000000000u),
	};
	int late = 0;

	pthread_mutex_lock(&source->lock);
	while (source->held_count < count && late == 0)
		late = pthread_cond_timedwait(&source->changed, &source->lock, &until);
	bool enough = source->held_count >= count;
	pthread_mutex_unlock(&source->lock);
	return enough;
}

void source_fail(struct source *source, uint64_t start, uint64_t length, int error, uint64_t count)
{
	pthread_mutex_lock(&source->lock);
	source->fail_start = start;
	source->fail_length = length;
	source->fail_count = count;
	source->error = error;
	pthread_mutex_unlock(&source->lock);
}

uint64_t source_reads(struct source *source)
{
	pthread_mutex_lock(&source->lock);
	uint64_t reads = source->reads;
	pthread_mutex_unlock(&source->lock);
	return reads;
}

unsigned source_most_reads(struct source *source, uint64_t start, uint64_t length)
{
	unsigned most = 0;

	pthread_mutex_lock(&source->lock);
	for (uint64_t at = start / PAGE; at * PAGE < start + length; at++)
		most = source->page_reads[at] > most ? source->page_reads[at] : most;
	pthread_mutex_unlock(&source->lock);
	return most;
}
