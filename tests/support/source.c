/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The parts of a read; one that has none is one part. */
static size_t part_count(const struct lazymem_read *read)
{
	return read->parts != NULL ? read->part_count : 1;
}

static struct lazymem_read_part part_at(const struct lazymem_read *read, size_t index)
{
	return read->parts != NULL ? read->parts[index]
				   : (struct lazymem_read_part){read->offset, read->length};
}

static bool overlaps(const struct lazymem_read *read, uint64_t start, uint64_t length)
{
	for (size_t i = 0; i < part_count(read); i++) {
		struct lazymem_read_part part = part_at(read, i);

		if (length > 0 && part.offset < start + length && start < part.offset + part.length)
			return true;
	}
	return false;
}

static void copy_parts(const struct source *source, struct lazymem_read *read)
{
	unsigned char *to = read->buffer;

	for (size_t i = 0; i < part_count(read); i++) {
		struct lazymem_read_part part = part_at(read, i);

		memcpy(to, source->image->bytes + part.offset, part.length);
		to += part.length;
	}
}

/* Called with the lock; what the read ends with. */
static int outcome(struct source *source, struct lazymem_read *read)
{
	if (source->error && source->fail_count > 0 &&
	    overlaps(read, source->fail_start, source->fail_length)) {
		source->fail_count--;
		return source->error;
	}
	copy_parts(source, read);
	source->bytes += read->length;
	return 0;
}

static void count_read(struct source *source, const struct lazymem_read *read)
{
	source->reads++;
	if (read->parts != NULL)
		source->part_reads++;
	for (size_t i = 0; i < part_count(read); i++) {
		struct lazymem_read_part part = part_at(read, i);

		for (uint64_t at = part.offset / PAGE; at * PAGE < part.offset + part.length; at++)
			source->page_reads[at]++;
	}
}

static void source_read(void *object, struct lazymem_read *read)
{
	struct source *source = object;
	int error = 0;
	bool held;

	pthread_mutex_lock(&source->lock);
	count_read(source, read);
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

static int source_identity(void *object, struct lazymem_identity *ret_identity)
{
	const struct source *source = object;

	memset(ret_identity, source->options.identity, sizeof(*ret_identity));
	return 0; /* all zeros is none */
}

static void source_readahead(void *object, uint64_t offset, uint64_t length)
{
	struct source *source = object;

	pthread_mutex_lock(&source->lock);
	for (uint64_t at = offset / PAGE; at * PAGE < offset + length; at++)
		source->page_hints[at]++;
	pthread_mutex_unlock(&source->lock);
}

void source_create_with(struct source *source, const struct image *image,
			struct source_options options)
{
	const struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = source_read,
		.extent = source_extent,
		.read_parts = options.takes_parts ? source_read : NULL,
		.identity = source_identity,
		.readahead = source_readahead,
	};
	size_t pages = image->length / PAGE + 1;
	pthread_condattr_t monotonic;

	*source = (struct source){.image = image, .options = options};
	pthread_mutex_init(&source->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&source->changed, &monotonic);
	source->page_reads = calloc(pages, sizeof(*source->page_reads));
	source->page_hints = calloc(pages, sizeof(*source->page_hints));
	assert_non_null(source->page_reads);
	assert_non_null(source->page_hints);
	assert_ok(lazymem_backing_create(&operations, source, image->length, "test source",
					 &source->backing));
}

void source_create(struct source *source, const struct image *image)
{
	source_create_with(source, image, (struct source_options){.takes_parts = false});
}

void source_destroy(struct source *source)
{
	lazymem_backing_unref(source->backing);
	free(source->page_reads);
	free(source->page_hints);
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

uint64_t source_part_reads(struct source *source)
{
	pthread_mutex_lock(&source->lock);
	uint64_t reads = source->part_reads;
	pthread_mutex_unlock(&source->lock);
	return reads;
}

/* The largest count of a 4 KiB page in the range. */
static unsigned most(struct source *source, const unsigned *counts, uint64_t start, uint64_t length)
{
	unsigned largest = 0;

	pthread_mutex_lock(&source->lock);
	for (uint64_t at = start / PAGE; at * PAGE < start + length; at++)
		largest = counts[at] > largest ? counts[at] : largest;
	pthread_mutex_unlock(&source->lock);
	return largest;
}

unsigned source_most_reads(struct source *source, uint64_t start, uint64_t length)
{
	return most(source, source->page_reads, start, length);
}

unsigned source_most_hints(struct source *source, uint64_t start, uint64_t length)
{
	return most(source, source->page_hints, start, length);
}

uint64_t source_hinted(struct source *source)
{
	uint64_t pages = 0;

	pthread_mutex_lock(&source->lock);
	for (uint64_t at = 0; at * PAGE < source->image->length; at++)
		pages += source->page_hints[at] > 0;
	pthread_mutex_unlock(&source->lock);
	return pages;
}
