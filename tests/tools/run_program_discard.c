/* SPDX-License-Identifier: MIT
 *
 * run_program_discard.c - pages that are given back, cut off, made, and asked for.
 */
#include "run_program.h"

#include <fcntl.h>
#include <linux/mman.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

void dontneed(struct target *t)
{
	const size_t part = t->size / 8;
	const size_t page = t->page;
	char *at = map_whole(t);
	char *private = map(t, 0, t->size, BOTH, MAP_PRIVATE);

	/* Shared: what was written stays, what is missing comes from the image. */
	fill(t, at, 0, part, WRITTEN);
	expect(t, at + part, part, part, IMAGE);
	CHECK(madvise(at, 4 * part, MADV_DONTNEED) == 0);
	expect(t, at, 0, part, WRITTEN);
	expect(t, at + part, part, 3 * part, IMAGE);
	/* Private: back to what the file has. */
	fill(t, private, 0, page, WRITTEN + 1);
	fill(t, private + 5 * part, 5 * part, part, WRITTEN + 1);
	CHECK(madvise(private, t->size, MADV_DONTNEED) == 0);
	expect(t, private, 0, page, WRITTEN);
	expect(t, private + 5 * part, 5 * part, part, IMAGE);
	expect(t, private + 7 * part, 7 * part, part, IMAGE);
	CHECK(posix_madvise(at, t->size, POSIX_MADV_DONTNEED) == 0);
	CHECK(posix_madvise(at, t->size, POSIX_MADV_WILLNEED) == 0);
	CHECK(madvise(at, t->size, MADV_RANDOM) == 0);
	expect(t, at, 0, part, WRITTEN);
	expect(t, at + part, part, t->size - part, IMAGE);
}

void remove_pages(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map_whole(t);
	char *private = map(t, 0, t->size, BOTH, MAP_PRIVATE);
	uint64_t before;

	/* Pages that are there, in both views. */
	expect(t, at, 0, 2 * part, IMAGE);
	expect(t, private, 0, 2 * part, IMAGE);
	before = occupied(t);
	CHECK(madvise(at, part, MADV_REMOVE) == 0);
	CHECK(before - occupied(t) == part);
	expect(t, at, 0, part, ZEROS);
	expect(t, private, 0, part, ZEROS);
	expect(t, at + part, part, part, IMAGE);
	/* Pages that are missing. */
	CHECK(madvise(at + 4 * part, part, MADV_REMOVE) == 0);
	expect(t, private + 4 * part, 4 * part, part, ZEROS);
	expect(t, at + 4 * part, 4 * part, part, ZEROS);
	expect(t, at + 3 * part, 3 * part, part, IMAGE);
	expect(t, at + 5 * part, 5 * part, part, IMAGE);
	/* Written again, and discarded again. */
	fill(t, at, 0, part, WRITTEN);
	fill(t, at + 4 * part, 4 * part, part, WRITTEN);
	expect(t, private, 0, part, WRITTEN);
	CHECK(madvise(at + 4 * part, part, MADV_REMOVE) == 0);
	expect(t, at + 4 * part, 4 * part, part, ZEROS);
	/* Not where it is private, or read only. */
	CHECK(madvise(private + 6 * part, part, MADV_REMOVE) == -1 && errno == EACCES);
	CHECK(mprotect(at, t->size, PROT_READ) == 0);
	CHECK(madvise(at, 0, MADV_REMOVE) == 0);
	expect(t, private + 6 * part, 6 * part, 2 * part, IMAGE);
	/* All of it. */
	CHECK(mprotect(at, t->size, BOTH) == 0);
	CHECK(madvise(at, t->size, MADV_REMOVE) == 0);
	CHECK(occupied(t) == 0);
	expect(t, at, 0, t->size, ZEROS);
}

void punch(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map_whole(t);
	char *private = map(t, 0, t->size, BOTH, MAP_PRIVATE);
	uint64_t before;

	expect(t, private, 0, 2 * part, IMAGE);
	expect(t, at, 0, 2 * part, IMAGE);
	fill(t, private, 0, t->page, WRITTEN);
	before = occupied(t);
	CHECK(fallocate(t->fd, PUNCH, 0, (off_t)part) == 0);
	CHECK(before - occupied(t) == part);
	CHECK(fallocate(t->fd, PUNCH, (off_t)(3 * part), (off_t)part) == 0);
	CHECK(before - occupied(t) >= part);
	/* What is private of a page may stay, which depends on the file system. */
	expect(t, at, 0, part, ZEROS);
	expect(t, private + t->page, t->page, part - t->page, ZEROS);
	expect(t, private + 3 * part, 3 * part, part, ZEROS);
	expect(t, at + 3 * part, 3 * part, part, ZEROS);
	expect(t, at + part, part, 2 * part, IMAGE);
	fill(t, at + 3 * part, 3 * part, t->page, WRITTEN);
	expect(t, private + 3 * part, 3 * part, t->page, WRITTEN);
	CHECK(fallocate(t->fd, PUNCH, (off_t)(4 * part), (off_t)t->size) == 0);
	expect(t, private + 4 * part, 4 * part, t->size - 4 * part, ZEROS);
	CHECK(fallocate(t->fd, PUNCH, 0, (off_t)t->size) == 0);
	CHECK(occupied(t) == 0);
	expect(t, map_whole(t), 0, t->size, ZEROS);
}

/* Ranges that begin and end inside of pages. */
void punch_edges(struct target *t)
{
	const size_t page = t->page;
	const size_t ends[][2] = {
		{100, 200},                               /* in one page */
		{page + 4000, 2 * page + 8},              /* parts of two */
		{3 * page + 1, 5 * page - 1},             /* and a whole one between */
		{5 * page + 10, 6 * page},                /* to the end of a page */
		{t->size - 2 * page, t->size - page + 3}, /* from the start of one */
	};
	char *at = map_whole(t);
	size_t before = 0;

	/* Pages of the first two are there, those of the others are not. */
	expect(t, at, 0, 2 * page, IMAGE);
	for (size_t i = 0; i < COUNT(ends); i++) {
		const size_t from = ends[i][0];
		const size_t to = ends[i][1];

		CHECK(fallocate(t->fd, PUNCH, (off_t)from, (off_t)(to - from)) == 0);
	}
	for (size_t i = 0; i < COUNT(ends); i++) {
		expect(t, at + before, before, ends[i][0] - before, IMAGE);
		expect(t, at + ends[i][0], ends[i][0], ends[i][1] - ends[i][0], ZEROS);
		before = ends[i][1];
	}
	expect(t, at + before, before, t->size - before, IMAGE);
}

void allocate(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map_whole(t);
	const char *end;

	expect(t, at, 0, part / 2, IMAGE);
	CHECK(posix_fallocate(t->fd, 0, (off_t)part) == 0);
	CHECK(posix_fallocate(t->fd, (off_t)(2 * part + 5), (off_t)part) == 0);
	CHECK(fallocate(t->fd, 0, (off_t)(5 * part), (off_t)part) == 0);
	expect(t, at, 0, 7 * part, IMAGE);
	CHECK(fallocate(t->fd, PUNCH, 0, (off_t)part) == 0);
	CHECK(fallocate(t->fd, 0, 0, (off_t)(2 * part)) == 0);
	CHECK(occupied(t) >= 2 * part);
	expect(t, at, 0, part, ZEROS);
	expect(t, at + part, part, part, IMAGE);
	/* Beyond the end, first without and then with a longer file. */
	CHECK(fallocate(t->fd, FALLOC_FL_KEEP_SIZE, (off_t)t->size, (off_t)t->page) == 0);
	CHECK(open_target(t->path, "0", "0").size == t->size);
	CHECK(fallocate(t->fd, 0, (off_t)t->size, (off_t)(2 * t->page)) == 0);
	end = map(t, t->size - t->page, 3 * t->page, BOTH, MAP_SHARED);
	expect(t, end, t->size - t->page, t->page, IMAGE);
	expect(t, end + t->page, 0, 2 * t->page, ZEROS);
	expect(t, at + 2 * part, 2 * part, t->size - 2 * part, IMAGE);
}

void truncate_file(struct target *t)
{
	const size_t half = t->size / 2 / t->page * t->page;
	const bool whole_pages = t->page > 4096; /* hugetlbfs takes no others */
	const size_t odd = whole_pages ? half - t->page : half - t->page - 1000;
	char *at = map_whole(t);

	expect(t, at + half, half, t->page, IMAGE);
	CHECK(ftruncate(t->fd, (off_t)half) == 0);
	CHECK(signal_of_read(at + half) == SIGBUS);
	CHECK(signal_of_read(at + t->size - 1) == SIGBUS);
	expect(t, at, 0, t->page, IMAGE);
	CHECK(ftruncate(t->fd, (off_t)t->size) == 0);
	expect(t, at + half, half, t->size - half, ZEROS);
	/* Inside of a page that is missing. */
	CHECK(ftruncate(t->fd, (off_t)odd) == 0);
	CHECK(ftruncate(t->fd, (off_t)(t->size + t->page)) == 0);
	expect(t, at + odd, odd, half - odd, ZEROS);
	expect(t, at, 0, odd, IMAGE);
	fill(t, at + odd, odd, t->size - odd, WRITTEN);
	expect(t, map_whole(t) + odd, odd, t->size - odd, WRITTEN);
	CHECK(ftruncate(t->fd, (off_t)t->size) == 0);
	CHECK(ftruncate(t->fd, 0) == 0 && occupied(t) == 0);
	CHECK(ftruncate(t->fd, (off_t)t->size) == 0);
	expect(t, at, 0, t->size, ZEROS);
}

void populate_advice(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map_whole(t);
	char *private = map(t, 0, t->size, BOTH, MAP_PRIVATE);

	if (madvise(at, part, MADV_POPULATE_READ) != 0)
		return; /* before Linux 5.14 */
	expect(t, at, 0, part, IMAGE);
	CHECK(madvise(at + 2 * part, part, MADV_POPULATE_WRITE) == 0);
	CHECK(madvise(private + 3 * part, part, MADV_POPULATE_READ) == 0);
	CHECK(madvise(private + 4 * part, part, MADV_POPULATE_WRITE) == 0);
	expect(t, private, 0, t->size, IMAGE);
	expect(t, at, 0, t->size, IMAGE);
}

/* One call over two views, what lies between them, and a hole. */
void spanning_advice(struct target *t)
{
	const size_t part = t->size / 8;
	char *room = reserve(8 * part);

	CHECK(mmap(room, 2 * part, BOTH, MAP_SHARED | MAP_FIXED, t->fd, 0) == room);
	CHECK(mmap(room + 2 * part, part, BOTH, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	      room + 2 * part);
	CHECK(mmap(room + 3 * part, 2 * part, BOTH, MAP_PRIVATE | MAP_FIXED, t->fd,
		   (off_t)(4 * part)) == room + 3 * part);
	fill(t, room, 0, part, WRITTEN);
	fill(t, room + 2 * part, 0, part, WRITTEN);
	fill(t, room + 3 * part, 4 * part, part, WRITTEN);
	CHECK(madvise(room + part, 4 * part, MADV_DONTNEED) == 0);
	expect(t, room, 0, part, WRITTEN);
	expect(t, room + part, part, part, IMAGE);
	expect(t, room + 2 * part, 0, part, ZEROS);
	expect(t, room + 3 * part, 4 * part, 2 * part, IMAGE);
	/* A hole in the range: an error, with the rest done. */
	fill(t, room + 3 * part, 4 * part, part, WRITTEN);
	CHECK(munmap(room + 2 * part, part) == 0);
	CHECK(madvise(room, 4 * part, MADV_DONTNEED) == -1 && errno == ENOMEM);
	expect(t, room + 3 * part, 4 * part, part, IMAGE);
	/* Two views side by side, of different parts. */
	CHECK(mmap(room + 2 * part, part, BOTH, MAP_SHARED | MAP_FIXED, t->fd, (off_t)(6 * part)) ==
	      room + 2 * part);
	CHECK(madvise(room + part, 2 * part, MADV_REMOVE) == 0);
	expect(t, room, 0, part, WRITTEN);
	expect(t, room + part, part, part, ZEROS);
	expect(t, room + 2 * part, 6 * part, part, ZEROS);
	/* The second of two is private: the first is done. */
	CHECK(madvise(room, 4 * part, MADV_REMOVE) == -1 && errno == EACCES);
	expect(t, room, 0, part, ZEROS);
	expect(t, room + 4 * part, 5 * part, part, IMAGE);
}

/* A child may be without the memory, but sees nothing wrong in it. */
void do_fork(struct target *t)
{
	char *at = map_whole(t);
	int status;
	pid_t child;

	expect(t, at, 0, t->page, IMAGE);
	CHECK(madvise(at, t->size, MADV_DONTFORK) == 0);
	CHECK(madvise(at, t->size, MADV_DOFORK) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		for (size_t offset = 0; offset < t->size; offset += t->page) {
			if (signal_of_read(at + offset) == 0)
				expect(t, at + offset, offset, t->page, IMAGE);
		}
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	expect(t, at, 0, t->size, IMAGE);
}
