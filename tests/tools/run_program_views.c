/* SPDX-License-Identifier: MIT
 *
 * run_program_views.c - the ways to map a file.
 */
#include "run_program.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every second page of a view is written, the others are only read. */
static void write_even_pages(const struct target *t, char *at)
{
	for (size_t offset = 0; offset < t->size; offset += 2 * t->page)
		fill(t, at + offset, offset, t->page, WRITTEN);
}

static void expect_even_pages_written(const struct target *t, const char *at)
{
	for (size_t offset = 0; offset < t->size; offset += t->page)
		expect(t, at + offset, offset, t->page,
		       offset / t->page % 2 == 0 ? WRITTEN : IMAGE);
}

void shared_view(struct target *t)
{
	char *at = map_whole(t);
	char *again;

	/* The first access to a page is a write to a part of it. */
	for (size_t offset = 0; offset < t->size; offset += t->page)
		fill(t, at + offset + 8, offset + 8, 8, WRITTEN + 1);
	for (size_t offset = 0; offset < t->size; offset += t->page) {
		expect(t, at + offset, offset, 8, IMAGE);
		expect(t, at + offset + 8, offset + 8, 8, WRITTEN + 1);
		expect(t, at + offset + 16, offset + 16, t->page - 16, IMAGE);
		fill(t, at + offset + 8, offset + 8, 8, IMAGE);
	}
	expect(t, at, 0, t->size, IMAGE);
	write_even_pages(t, at);
	again = map_whole(t);
	expect_even_pages_written(t, again);
	CHECK(munmap(at, t->size) == 0 && munmap(again, t->size) == 0);
	at = map(t, 0, t->size, PROT_READ, MAP_SHARED);
	expect_even_pages_written(t, at);
}

void private_view(struct target *t)
{
	char *at = map(t, 0, t->size, BOTH, MAP_PRIVATE);
	char *shared = map_whole(t);
	const size_t page = t->page;

	fill(t, at + 64, 64, 8, WRITTEN);
	expect(t, at, 0, 64, IMAGE);
	expect(t, at + 72, 72, page - 72, IMAGE);
	expect(t, shared, 0, page, IMAGE);
	write_even_pages(t, at);
	expect(t, shared, 0, t->size, IMAGE);
	expect_even_pages_written(t, at);
	/* What is clean shows what is written to the file. */
	fill(t, shared + page, page, page, WRITTEN + 1);
	expect(t, at + page, page, page, WRITTEN + 1);
	fill(t, shared, 0, page, WRITTEN + 1);
	expect(t, at, 0, page, WRITTEN);
	CHECK(munmap(at, t->size) == 0);
	at = map(t, 0, t->size, BOTH, MAP_PRIVATE);
	expect(t, at, 0, 2 * page, WRITTEN + 1);
	expect(t, at + 2 * page, 2 * page, t->size - 2 * page, IMAGE);
}

void read_only(struct target *t)
{
	struct target reader = *t;
	char *at;

	reader.fd = open(t->path, O_RDONLY | O_CLOEXEC);
	CHECK(reader.fd >= 0);
	at = map(&reader, 0, t->size, PROT_READ, MAP_SHARED);
	expect(t, at, 0, t->size / 2, IMAGE);
	CHECK(signal_of_write(at) == SIGSEGV);
	CHECK(mmap(NULL, t->size, BOTH, MAP_SHARED, reader.fd, 0) == MAP_FAILED && errno == EACCES);
	CHECK(mmap(NULL, t->size, PROT_WRITE, MAP_SHARED, reader.fd, 0) == MAP_FAILED &&
	      errno == EACCES);
	expect(t, at, 0, t->size, IMAGE);
	at = map(&reader, 0, t->size, BOTH, MAP_PRIVATE);
	write_even_pages(t, at);
	expect_even_pages_written(t, at);
	expect(t, map(&reader, 0, t->size, PROT_READ, MAP_SHARED), 0, t->size, IMAGE);
	CHECK(close(reader.fd) == 0);
	reader.fd = open(t->path, O_WRONLY | O_CLOEXEC);
	CHECK(mmap(NULL, t->size, PROT_WRITE, MAP_SHARED, reader.fd, 0) == MAP_FAILED &&
	      errno == EACCES);
}

/* Two halves of a file, swapped, with room on both sides. */
void reservation(struct target *t)
{
	const size_t half = t->size / 2 / t->page * t->page;
	const size_t rest = t->size - half;
	char *room = reserve(t->size + 4 * t->page);
	char *first = (char *)(((uintptr_t)room + 2 * t->page - 1) / t->page * t->page);
	char *second = first + rest;

	CHECK(mmap(first, rest, BOTH, MAP_SHARED | MAP_FIXED, t->fd, (off_t)half) == first);
	CHECK(mmap(second, half, BOTH, MAP_PRIVATE | MAP_FIXED, t->fd, 0) == second);
	CHECK(signal_of_read(first - 1) == SIGSEGV);
	CHECK(signal_of_read(second + half) == SIGSEGV);
	expect(t, second, 0, half, IMAGE);
	expect(t, first, half, rest, IMAGE);
	CHECK(mmap(first, rest, BOTH, MAP_SHARED | MAP_FIXED_NOREPLACE, t->fd, 0) == MAP_FAILED &&
	      errno == EEXIST);
	CHECK(munmap(first, rest) == 0);
	CHECK(mmap(first, rest, BOTH, MAP_SHARED | MAP_FIXED_NOREPLACE, t->fd, (off_t)half) ==
	      first);
	expect(t, first, half, rest, IMAGE);
}

void fixed_over(struct target *t)
{
	const size_t page = t->page;
	const size_t part = t->size / 8;
	char *at = map_whole(t);
	const char *other = map_whole(t);

	expect(t, at, 0, part / 2 / page * page, IMAGE);
	/* By anonymous memory, over what is there and what is missing. */
	CHECK(mmap(at + part, part, BOTH, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	      at + part);
	expect(t, at + part, 0, part, ZEROS);
	fill(t, at + part, part, part, WRITTEN);
	expect(t, other + part, part, part, IMAGE);
	expect(t, at, 0, part, IMAGE);
	expect(t, at + 2 * part, 2 * part, part, IMAGE);
	/* By another part of the file. */
	CHECK(mmap(at + 4 * part, part, BOTH, MAP_SHARED | MAP_FIXED, t->fd, (off_t)(6 * part)) ==
	      at + 4 * part);
	fill(t, at + 4 * part, 6 * part, page, WRITTEN);
	expect(t, at + 6 * part, 6 * part, page, WRITTEN);
	expect(t, at + 4 * part + page, 6 * part + page, part - page, IMAGE);
	expect(t, other + 4 * part, 4 * part, 2 * part, IMAGE);
	expect(t, at + 3 * part, 3 * part, part, IMAGE);
	expect(t, at + 5 * part, 5 * part, part, IMAGE);
	/* By itself, privately. */
	CHECK(mmap(at, t->size, BOTH, MAP_PRIVATE | MAP_FIXED, t->fd, 0) == at);
	expect(t, at, 0, 6 * part, IMAGE);
	write_even_pages(t, at);
	expect(t, other + 7 * part, 7 * part, t->size - 7 * part, IMAGE);
}

static void expect_resident(char *at, size_t length)
{
	unsigned char *pages = calloc(length / 4096, 1);

	CHECK(pages != NULL && mincore(at, length, pages) == 0);
	for (size_t i = 0; i < length / 4096; i++)
		CHECK((pages[i] & 1) == 1);
	free(pages);
}

void populate_flag(struct target *t)
{
	const size_t half = t->size / 2 / t->page * t->page;
	char *at = map(t, 0, half, BOTH, MAP_SHARED | MAP_POPULATE);

	expect_resident(at, half);
	expect(t, at, 0, half, IMAGE);
	at = map(t, half, t->size - half, BOTH, MAP_PRIVATE | MAP_POPULATE);
	expect_resident(at, t->size - half);
	expect(t, at, half, t->size - half, IMAGE);
	expect(t, map(t, 0, t->size, PROT_READ, MAP_SHARED | MAP_POPULATE), 0, t->size, IMAGE);
	/* What is private and writable is populated with copies. */
	fill(t, map_whole(t) + half, half, t->page, WRITTEN);
	expect(t, at, half, t->page, IMAGE);
}

void locked(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map(t, 0, part, BOTH, MAP_SHARED | MAP_LOCKED);

	expect_resident(at, part);
	expect(t, at, 0, part, IMAGE);
	CHECK(munmap(at, part) == 0);
	at = map_whole(t);
	CHECK(mlock(at + part, part) == 0);
	expect_resident(at + part, part);
	CHECK(mlock2(at + 2 * part, part, MLOCK_ONFAULT) == 0);
	expect(t, at, 0, 3 * part, IMAGE);
	CHECK(munlock(at, t->size) == 0);
	if (geteuid() != 0)
		return; /* the limit is for all of the process */
	CHECK(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
	expect_resident(at, t->size);
	expect(t, at, 0, t->size, IMAGE);
	expect(t, map(t, 0, t->size, BOTH, MAP_PRIVATE), 0, t->size, IMAGE);
	CHECK(munlockall() == 0);
}

void part_of_file(struct target *t)
{
	const size_t from = t->size / 4;
	char *at = map(t, from, t->size / 2, BOTH, MAP_SHARED);
	char *last = map(t, t->size - t->page, t->page, BOTH, MAP_SHARED);

	expect(t, at, from, t->size / 2, IMAGE);
	expect(t, last, t->size - t->page, t->page, IMAGE);
	fill(t, last, t->size - t->page, t->page, WRITTEN);
	at = map_whole(t);
	expect(t, at, 0, t->size - t->page, IMAGE);
	expect(t, at + t->size - t->page, t->size - t->page, t->page, WRITTEN);
	/* A length that is no multiple of the page size covers the page. */
	at = mmap(NULL, t->page + 1, BOTH, MAP_SHARED, t->fd, (off_t)(2 * t->page));
	if (at == MAP_FAILED)
		return; /* hugetlbfs of older kernels */
	expect(t, at, 2 * t->page, 2 * t->page, IMAGE);
}

void beyond_file(struct target *t)
{
	char *at = map(t, 0, t->size + 4 * t->page, BOTH, MAP_SHARED);
	char *private = map(t, t->size - t->page, 3 * t->page, BOTH, MAP_PRIVATE);

	CHECK(signal_of_read(at + t->size) == SIGBUS);
	CHECK(signal_of_read(private + t->page) == SIGBUS);
	expect(t, at, 0, t->size, IMAGE);
	expect(t, private, t->size - t->page, t->page, IMAGE);
	CHECK(signal_of_write(at + t->size + 2 * t->page) == SIGBUS);
	/* Nothing but what is beyond. */
	at = map(t, t->size + t->page, 2 * t->page, BOTH, MAP_SHARED);
	CHECK(signal_of_read(at) == SIGBUS);
	CHECK(ftruncate(t->fd, (off_t)(t->size + 2 * t->page)) == 0);
	expect(t, at, 0, t->page, ZEROS);
	CHECK(signal_of_read(at + t->page) == SIGBUS);
	expect(t, private, t->size - t->page, t->page, IMAGE);
	expect(t, private + t->page, 0, 2 * t->page, ZEROS);
}

static void expect_path(const struct target *t, const char *path, size_t offset)
{
	struct target other = *t;
	char *at;

	other.fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(other.fd >= 0);
	at = map(&other, 0, t->size, BOTH, MAP_SHARED);
	expect(t, at + offset, offset, t->size / 8, IMAGE);
	CHECK(munmap(at, t->size) == 0 && close(other.fd) == 0);
}

/* Where RUN_PROGRAM_ALIAS is set, it names the same file by yet another path. */
void other_paths(struct target *t)
{
	const char *alias = getenv("RUN_PROGRAM_ALIAS");
	const size_t part = t->size / 8;
	struct target copy = *t;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s.link", t->path);
	CHECK(link(t->path, path) == 0);
	expect_path(t, path, 0);
	CHECK(unlink(path) == 0 && symlink(t->path, path) == 0);
	expect_path(t, path, part);
	CHECK(unlink(path) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", t->fd);
	expect_path(t, path, 2 * part);
	if (alias != NULL)
		expect_path(t, alias, 3 * part);
	copy.fd = dup(t->fd);
	expect(t, map_whole(&copy), 0, 5 * part, IMAGE);
	snprintf(path, sizeof(path), "%s.moved", t->path);
	CHECK(rename(t->path, path) == 0);
	expect_path(t, path, 5 * part);
	CHECK(rename(path, t->path) == 0);
}

void large_file_names(struct target *t)
{
	const size_t page = t->page;
	char *at = mmap64(NULL, t->size, BOTH, MAP_SHARED, t->fd, 0);

	CHECK(at != MAP_FAILED);
	expect(t, at, 0, 8 * page < t->size ? 4 * page : page, IMAGE);
	CHECK(fallocate64(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off64_t)page,
			  (off64_t)page) == 0);
	expect(t, at + page, page, page, ZEROS);
	CHECK(posix_fallocate64(t->fd, 0, (off64_t)(2 * page)) == 0);
	expect(t, at + page, page, page, ZEROS);
	CHECK(ftruncate64(t->fd, (off64_t)(4 * page)) == 0);
	CHECK(ftruncate64(t->fd, (off64_t)t->size) == 0);
	expect(t, at, 0, page, IMAGE);
	expect(t, at + 2 * page, 2 * page, 2 * page, IMAGE);
	expect(t, at + 4 * page, 4 * page, t->size - 4 * page, ZEROS);
}

void protection(struct target *t)
{
	const size_t page = t->page;
	char *at = map(t, 0, t->size, PROT_NONE, MAP_SHARED);

	CHECK(signal_of_read(at) == SIGSEGV);
	CHECK(mprotect(at, 2 * page, PROT_READ) == 0);
	expect(t, at, 0, 2 * page, IMAGE);
	CHECK(signal_of_write(at + page) == SIGSEGV);
	CHECK(signal_of_read(at + 2 * page) == SIGSEGV);
	CHECK(mprotect(at + page, t->size - page, BOTH) == 0);
	expect(t, at, 0, t->size, IMAGE);
	fill(t, at + page, page, page, WRITTEN);
	CHECK(mprotect(at, t->size, PROT_NONE) == 0);
	CHECK(signal_of_read(at + page) == SIGSEGV);
	CHECK(mprotect(at, t->size, PROT_READ) == 0);
	expect(t, at, 0, page, IMAGE);
	expect(t, at + page, page, page, WRITTEN);
	at = map(t, 0, t->size, PROT_WRITE, MAP_SHARED);
	fill(t, at, 0, page, WRITTEN);
	expect(t, at, 0, 2 * page, WRITTEN);
}

/* RUN_PROGRAM_PAGES pages, spread over the file, from the last to the first. */
void some_pages(struct target *t)
{
	const char *wanted = getenv("RUN_PROGRAM_PAGES");
	const size_t pages = wanted == NULL ? 4 : strtoul(wanted, NULL, 0);
	const size_t stride = t->size / t->page / pages * t->page;
	char *at = map_whole(t);

	for (size_t i = pages; i-- > 0;)
		expect(t, at + i * stride, i * stride, t->page, IMAGE);
}

/* Flags that change nothing of the content. */
void other_flags(struct target *t)
{
	const int flags[] = {
		MAP_SHARED_VALIDATE,
		MAP_SHARED | MAP_NORESERVE,
		MAP_PRIVATE | MAP_NORESERVE,
		MAP_SHARED | MAP_32BIT,
		MAP_SHARED_VALIDATE | MAP_POPULATE,
		MAP_PRIVATE | MAP_DENYWRITE | MAP_STACK,
	};
	const size_t part = t->size / 8;

	for (size_t i = 0; i < COUNT(flags); i++) {
		char *at = map(t, i * part, part, BOTH | PROT_EXEC, flags[i]);

		expect(t, at, i * part, part, IMAGE);
		at = map(t, i * part, part, PROT_READ, flags[i]);
		expect(t, at, i * part, part, IMAGE);
		CHECK(signal_of_write(at) == SIGSEGV);
	}
}

/* A view for each page, from the last to the first, and more of some. */
void many_views(struct target *t)
{
	const size_t pages = t->size / t->page;
	char **views = calloc(2 * pages, sizeof(*views));

	CHECK(views != NULL);
	for (size_t i = 2 * pages; i-- > 0;)
		views[i] = map(t, i % pages * t->page, t->page, BOTH,
			       i % 3 == 0 ? MAP_PRIVATE : MAP_SHARED);
	for (size_t i = 0; i < 2 * pages; i += 2)
		expect(t, views[i], i % pages * t->page, t->page, IMAGE);
	for (size_t i = 0; i < 2 * pages; i += 4)
		CHECK(munmap(views[i], t->page) == 0);
	for (size_t i = 1; i < 2 * pages; i += 2)
		expect(t, views[i], i % pages * t->page, t->page, IMAGE);
	free(views);
}
