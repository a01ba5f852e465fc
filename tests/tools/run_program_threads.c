/* SPDX-License-Identifier: MIT
 *
 * run_program_threads.c - many threads, several views and files, the kernel's own
 * accesses, and processes that meet.
 */
#include "run_program.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define THREADS 4u

/* ---- several views ---------------------------------------------------------------- */

struct views {
	const struct target *target;
	char *at[THREADS];
};

/* Every thread touches every page first in a view of its own, and writes a word. */
static void write_own_words(size_t number, void *context)
{
	const struct views *views = context;
	const struct target *t = views->target;
	char *at = views->at[number];

	for (size_t offset = 0; offset < t->size; offset += t->page) {
		const size_t own = offset + 8 * number;

		fill(t, at + own, own, 8, WRITTEN + (unsigned)number);
		expect(t, at + offset + 64, offset + 64, t->page - 64, IMAGE);
	}
}

void several_views(struct target *t)
{
	struct views views = {.target = t};

	for (size_t i = 0; i < THREADS; i++)
		views.at[i] = map_whole(t);
	run_threads(THREADS, write_own_words, &views);
	for (size_t i = 0; i < THREADS; i++) {
		for (size_t offset = 0; offset < t->size; offset += t->page) {
			for (size_t j = 0; j < THREADS; j++)
				expect(t, views.at[i] + offset + 8 * j, offset + 8 * j, 8,
				       WRITTEN + (unsigned)j);
			expect(t, views.at[i] + offset + 8 * THREADS, offset + 8 * THREADS,
			       t->page - 8 * THREADS, IMAGE);
		}
	}
}

/* ---- hammer ----------------------------------------------------------------------- */

/* The first three quarters of the pages belong to a thread each, which knows what
 * is in them. The last quarter is discarded page by page, while all read it: what
 * has been zero never becomes the image again. */
struct anvil {
	const struct target *target;
	char *views[2];
	unsigned *contents;
	size_t owned;
	_Atomic size_t begun; /* pages of the rest whose discard has begun, and has ended */
	_Atomic size_t ended;
};

static void discard_page(const struct anvil *anvil, size_t page, uint64_t *random)
{
	const struct target *t = anvil->target;
	const off_t offset = (off_t)(page * t->page);

	if (draw(random, 2) == 0)
		CHECK(madvise(anvil->views[draw(random, 2)] + offset, t->page, MADV_REMOVE) == 0);
	else
		CHECK(fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
				(off_t)t->page) == 0);
}

static void use_own_page(const struct anvil *anvil, size_t number, uint64_t *random)
{
	const struct target *t = anvil->target;
	const size_t page = draw(random, anvil->owned / THREADS) * THREADS + number;
	const size_t offset = page * t->page;
	char *at = anvil->views[draw(random, 2)] + offset;
	const uint64_t what = draw(random, 8);

	if (what == 0) {
		discard_page(anvil, page, random);
		anvil->contents[page] = ZEROS;
	} else if (what < 4) {
		anvil->contents[page] = WRITTEN + (unsigned)draw(random, 50);
		fill(t, at, offset, t->page, anvil->contents[page]);
	} else {
		expect(t, at, offset, t->page, anvil->contents[page]);
	}
}

static void read_common_page(struct anvil *anvil, uint64_t *random)
{
	const struct target *t = anvil->target;
	const size_t rest = t->size / t->page - anvil->owned;
	const size_t page = draw(random, rest);
	const size_t offset = (anvil->owned + page) * t->page;
	const char *at = anvil->views[draw(random, 2)] + offset;
	const bool gone = page < atomic_load(&anvil->ended);
	const bool old = holds(t, at, offset, 64, IMAGE);

	if (gone || (!old && page < atomic_load(&anvil->begun)))
		expect(t, at, offset, t->page, ZEROS);
	else if (page >= atomic_load(&anvil->begun))
		CHECK(old);
}

static void strike(size_t number, void *context)
{
	struct anvil *anvil = context;
	const struct target *t = anvil->target;
	const size_t rest = t->size / t->page - anvil->owned;
	uint64_t random = t->seed * 100 + number;

	while (atomic_load(&anvil->ended) < rest) {
		use_own_page(anvil, number, &random);
		read_common_page(anvil, &random);
		if (number == 0 && draw(&random, 8) == 0) {
			const size_t page = atomic_fetch_add(&anvil->begun, 1);

			discard_page(anvil, anvil->owned + page, &random);
			atomic_store(&anvil->ended, page + 1);
		}
	}
}

void hammer(struct target *t)
{
	const size_t pages = t->size / t->page;
	struct anvil anvil = {.target = t, .owned = pages * 3 / 4 / THREADS * THREADS};

	anvil.contents = calloc(pages, sizeof(*anvil.contents));
	anvil.views[0] = map_whole(t);
	anvil.views[1] = map_whole(t);
	run_threads(THREADS, strike, &anvil);
	for (size_t page = 0; page < pages; page++)
		expect(t, anvil.views[page % 2] + page * t->page, page * t->page, t->page,
		       page < anvil.owned ? anvil.contents[page] : ZEROS);
	free(anvil.contents);
}

/* ---- the kernel's accesses ----------------------------------------------------------- */

struct stream {
	int fd;
	size_t length;
	char *bytes;
};

static void *drain(void *context)
{
	struct stream *stream = context;
	size_t done = 0;

	while (done < stream->length) {
		const ssize_t got = read(stream->fd, stream->bytes + done, stream->length - done);

		CHECK(got > 0);
		done += (size_t)got;
	}
	return NULL;
}

void system_calls(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map_whole(t);
	char *bytes = malloc(part);
	struct stream stream = {.length = part, .bytes = bytes};
	const struct iovec parts[] = {{at + part, t->page}, {at + 3 * part, t->page}};
	const int file = memfd_create("file", MFD_CLOEXEC);
	pthread_t reader;
	int ends[2];

	CHECK(bytes != NULL && file >= 0 && pipe2(ends, O_CLOEXEC) == 0);
	stream.fd = ends[0];
	/* Out of missing pages. */
	CHECK(pthread_create(&reader, NULL, drain, &stream) == 0);
	for (size_t done = 0; done < part;) {
		const ssize_t wrote = write(ends[1], at + done, part - done);

		CHECK(wrote > 0);
		done += (size_t)wrote;
	}
	CHECK(pthread_join(reader, NULL) == 0);
	expect(t, bytes, 0, part, IMAGE);
	CHECK(pwritev(file, parts, 2, 0) == (ssize_t)(2 * t->page));
	CHECK(write(file, at + 6 * part + 10, part) == (ssize_t)part);
	/* And into them. */
	fill(t, bytes, 2 * part, part, WRITTEN);
	CHECK(pwrite(file, bytes, part, 0) == (ssize_t)part);
	CHECK(pread(file, at + 2 * part + 100, part - 200, 100) == (ssize_t)(part - 200));
	expect(t, at + 2 * part, 2 * part, 100, IMAGE);
	expect(t, at + 2 * part + 100, 2 * part + 100, part - 200, WRITTEN);
	expect(t, at + 3 * part - 100, 3 * part - 100, 100, IMAGE);
	/* Behind both, and a system call that is given an address without access. */
	expect(t, at + 6 * part, 6 * part, part, IMAGE);
	CHECK(mprotect(at, t->page, PROT_NONE) == 0);
	CHECK(write(file, at, 1) == -1 && errno == EFAULT);
	free(bytes);
}

/* ---- files and processes ----------------------------------------------------------- */

static void read_in_turn(size_t number, void *context)
{
	struct target *files = context;
	const struct target *t = &files[number % 2];
	char *at = map_whole(t);

	expect(t, at, 0, t->size / 2, IMAGE);
	if (number < 2)
		CHECK(madvise(at + t->size / 2, t->page, MADV_REMOVE) == 0);
}

void two_files(struct target *t)
{
	struct target files[2];
	char *at;

	CHECK(second_target != NULL);
	files[0] = *t;
	files[1] = *second_target;
	run_threads(THREADS, read_in_turn, files);
	for (size_t i = 0; i < 2; i++) {
		t = &files[i];
		at = map_whole(t);
		expect(t, at, 0, t->size / 2, IMAGE);
		expect(t, at + t->size / 2, t->size / 2, t->page, ZEROS);
		fill(t, at, 0, t->page, WRITTEN);
		expect(t, at + t->page, t->page, t->size / 2 - t->page, IMAGE);
	}
	/* One over the other. */
	CHECK(mmap(at, files[0].page, BOTH, MAP_SHARED | MAP_FIXED, files[0].fd, 0) == at);
	expect(&files[0], at, 0, files[0].page, WRITTEN);
	expect(t, at + t->page, t->page, t->page, IMAGE);
}

/* Map, say so, and stay until the end of the input. */
void hold(struct target *t)
{
	char *at = map_whole(t);
	char byte;

	expect(t, at, 0, t->page, IMAGE);
	CHECK(write(STDOUT_FILENO, "mapped\n", 7) == 7);
	CHECK(read(STDIN_FILENO, &byte, 1) == 0);
	expect(t, at, 0, t->size, IMAGE);
}

/* Somebody else has it. */
void refused(struct target *t)
{
	CHECK(mmap(NULL, t->size, BOTH, MAP_SHARED, t->fd, 0) == MAP_FAILED && errno == EBUSY);
	CHECK(mmap(NULL, t->page, PROT_READ, MAP_PRIVATE, t->fd, 0) == MAP_FAILED);
}

/* RUN_PROGRAM_IMAGE is cut in the middle: what was there stays, what was not
 * raises SIGBUS, and EFAULT in the kernel, and is never zeros. */
void image_gone(struct target *t)
{
	const char *image = getenv("RUN_PROGRAM_IMAGE");
	const size_t half = t->size / 2;
	const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	char *at = map_whole(t);
	int pipes[2];

	expect(t, at + half, half, t->page, IMAGE);
	if (image == NULL)
		return;
	CHECK(null >= 0 && pipe2(pipes, O_CLOEXEC) == 0);
	CHECK(truncate(image, (off_t)half) == 0);
	expect(t, at, 0, half, IMAGE);
	expect(t, at + half, half, t->page, IMAGE);
	CHECK(signal_of_read(at + half + t->page) == SIGBUS);
	CHECK(signal_of_read(at + half + t->page) == SIGBUS);
	CHECK(signal_of_write(at + half + 2 * t->page) == SIGBUS);
	CHECK(write(pipes[1], at + half + 3 * t->page, 1) == -1 && errno == EFAULT);
	CHECK(signal_of_read(at + t->size - 1) == SIGBUS);
	expect(t, at, 0, half + t->page, IMAGE);
}
