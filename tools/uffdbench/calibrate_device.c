/* SPDX-License-Identifier: MIT
 *
 * Reads of the image that go past the page cache. Only data pages are read at
 * random, and only pages that are in the file count as bytes read in order:
 * holes cost the device nothing. A depth is a number of threads that read one
 * page at a time each.
 */
#include "calibrate.h"
#include "clock.h"
#include "random.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define RANDOM_NS (NS_PER_SECOND / 2)
#define DEPTH 32u
#define SEQUENTIAL_BYTES (1024u * 1024)
#define SEQUENTIAL_LIMIT (256ull * 1024 * 1024)

struct reader {
	pthread_t thread;
	const struct image *image;
	int fd;
	uint64_t seed;
	uint64_t until_ns;
	uint64_t reads;
	bool failed;
};

/* Any data page; each layout has some in every part of the image, but a very
 * small image may have none: then any page. */
static uint64_t choose_offset(const struct image *image, struct random *random)
{
	uint64_t offset = 0;

	for (int attempt = 0; attempt < 1000; attempt++) {
		offset = random_below(random, image->length / PAGE_BYTES) * PAGE_BYTES;
		if (image_kind(image, offset) == PATTERN_KIND_DATA)
			break;
	}
	return offset;
}

static void *read_at_random(void *argument)
{
	struct reader *reader = argument;
	struct random random = {reader->seed};
	void *page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);

	reader->failed = page == NULL;
	while (!reader->failed && clock_ns() < reader->until_ns) {
		uint64_t offset = choose_offset(reader->image, &random);

		if (pread(reader->fd, page, PAGE_BYTES, (off_t)offset) == PAGE_BYTES)
			reader->reads++;
		else
			reader->failed = true;
	}
	free(page);
	return NULL;
}

static double measure_random(const struct image *image, int fd, unsigned depth)
{
	struct reader readers[DEPTH] = {0};
	uint64_t start_ns = clock_ns();
	unsigned started = 0;
	uint64_t reads = 0;
	bool failed = false;

	for (; started < depth; started++) {
		readers[started] = (struct reader){
			.image = image,
			.fd = fd,
			.seed = started,
			.until_ns = start_ns + RANDOM_NS,
		};
		if (pthread_create(&readers[started].thread, NULL, read_at_random,
				   &readers[started]) != 0)
			break;
	}
	for (unsigned i = 0; i < started; i++) {
		pthread_join(readers[i].thread, NULL);
		reads += readers[i].reads;
		failed |= readers[i].failed;
	}
	if (failed || started < depth)
		return -1;
	return (double)reads * (double)NS_PER_SECOND / (double)(clock_ns() - start_ns);
}

static uint64_t count_stored_bytes(const struct image *image, uint64_t start, uint64_t length)
{
	uint64_t bytes = 0;

	for (uint64_t at = 0; at < length; at += PAGE_BYTES) {
		if (image_kind(image, start + at) != PATTERN_KIND_HOLE)
			bytes += PAGE_BYTES;
	}
	return bytes;
}

static double measure_sequential(const struct image *image, int fd)
{
	uint64_t limit = image->length < SEQUENTIAL_LIMIT ? image->length : SEQUENTIAL_LIMIT;
	void *buffer = aligned_alloc(PAGE_BYTES, SEQUENTIAL_BYTES);
	uint64_t start_ns = clock_ns();
	uint64_t at = 0;
	ssize_t count = 1;
	double seconds;

	while (buffer != NULL && at < limit && count > 0) {
		count = pread(fd, buffer, SEQUENTIAL_BYTES, (off_t)at);
		at += count > 0 ? (uint64_t)count : 0;
	}
	free(buffer);
	if (at < limit)
		return -1;
	seconds = (double)(clock_ns() - start_ns) / (double)NS_PER_SECOND;
	return (double)count_stored_bytes(image, 0, limit) / seconds;
}

void calibrate_device(const struct image *image, struct calibration *calibration)
{
	int fd = open(image->path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	calibration->random_depth1 = -1;
	calibration->random_depth32 = -1;
	calibration->sequential_bytes = -1;
	if (fd < 0)
		return;
	calibration->random_depth1 = measure_random(image, fd, 1);
	calibration->random_depth32 = measure_random(image, fd, DEPTH);
	calibration->sequential_bytes = measure_sequential(image, fd);
	close(fd);
}
