/* SPDX-License-Identifier: MIT
 *
 * run_program_untouched.c - what is nobody's business: errors of calls that
 * fail, and memory that is not of the file.
 */
#include "run_program.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OLD_ERRNO 4711

/* One line a call: its errno, or what errno is afterwards if it succeeds. */
#define TELL(call)                                                                                 \
	do {                                                                                       \
		errno = OLD_ERRNO;                                                                 \
		const intptr_t result = (intptr_t)(call);                                          \
		printf("%s: %s, errno %d\n", #call, result == -1 ? "fails" : "succeeds", errno);   \
	} while (0)

/* Calls that answer with the error itself. */
#define TELL_ANSWER(call)                                                                          \
	do {                                                                                       \
		errno = OLD_ERRNO;                                                                 \
		const int result = (call);                                                         \
		printf("%s: %d, errno %d\n", #call, result, errno);                                \
	} while (0)

/* `at` is a mapping of `fd`, `size` bytes. */
static void tell_mapping_errors(int fd, char *at, size_t size, size_t page)
{
	const int reader = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char *none = reserve(4 * page);

	CHECK(munmap(none + page, page) == 0);
	TELL(mmap(NULL, size, BOTH, MAP_SHARED, -1, 0));
	TELL(mmap(NULL, size, BOTH, MAP_SHARED, 9999, 0));
	TELL(mmap(NULL, 0, BOTH, MAP_SHARED, fd, 0));
	TELL(mmap(NULL, size, BOTH, MAP_SHARED, fd, 100));
	TELL(mmap(NULL, size, BOTH, MAP_SHARED, fd, -4096));
	TELL(mmap(NULL, size, BOTH, 0, fd, 0));
	TELL(mmap(NULL, size, BOTH, MAP_SHARED_VALIDATE | 0x4000000, fd, 0));
	TELL(mmap(NULL, SIZE_MAX / 2, BOTH, MAP_SHARED, fd, 0));
	TELL(mmap(at + 1, page, BOTH, MAP_SHARED | MAP_FIXED, fd, 0));
	TELL(mmap(at, page, BOTH, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0));
	TELL(mmap(NULL, page, BOTH, MAP_SHARED, reader, 0));
	TELL(munmap(at + 1, page));
	TELL(munmap(at, 0));
	TELL(munmap(none + page, page));
	TELL(mremap(at + 1, page, page, 0));
	TELL(mremap(at, page, 0, 0));
	TELL(mremap(at, page, page, 0x1000));
	TELL(mremap(at, page, page, MREMAP_FIXED, none));
	TELL(mremap(none + page, page, 2 * page, MREMAP_MAYMOVE));
	TELL(mremap(at, 2 * page, page, MREMAP_MAYMOVE | MREMAP_FIXED, at + page));
	TELL(mremap(at, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, at + 100));
	TELL(madvise(at, page, 9999));
	TELL(madvise(at + 1, page, MADV_DONTNEED));
	TELL(madvise(none + page, page, MADV_DONTNEED));
	TELL(madvise(none + page, page, MADV_REMOVE));
	TELL(madvise(none, page, MADV_REMOVE));
	TELL(madvise(at, 0, MADV_REMOVE));
	TELL(madvise(at, SIZE_MAX - page + 1, MADV_REMOVE));
	TELL_ANSWER(posix_madvise(at + 1, page, POSIX_MADV_NORMAL));
	TELL_ANSWER(posix_madvise(at, page, 77));
	TELL_ANSWER(posix_madvise(at, page, POSIX_MADV_DONTNEED));
	CHECK(close(reader) == 0);
}

static void tell_file_errors(int fd, const char *path)
{
	const int reader = open(path, O_RDONLY | O_CLOEXEC);
	int ends[2];

	CHECK(reader >= 0 && pipe2(ends, O_CLOEXEC) == 0);
	TELL(fallocate(9999, 0, 0, 4096));
	TELL(fallocate(reader, 0, 0, 4096));
	TELL(fallocate(reader, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	TELL(fallocate(ends[1], 0, 0, 4096));
	TELL(fallocate(fd, 0, -1, 4096));
	TELL(fallocate(fd, 0, 0, 0));
	TELL(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
	TELL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, -1, 4096));
	TELL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 0));
	TELL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE, 0,
		       4096));
	TELL(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096));
	TELL(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
	TELL(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096));
	TELL(fallocate(fd, 0x1000, 0, 4096));
	TELL_ANSWER(posix_fallocate(9999, 0, 4096));
	TELL_ANSWER(posix_fallocate(reader, 0, 4096));
	TELL_ANSWER(posix_fallocate(ends[1], 0, 4096));
	TELL_ANSWER(posix_fallocate(fd, -1, 4096));
	TELL_ANSWER(posix_fallocate(fd, 0, 0));
	TELL(ftruncate(9999, 0));
	TELL(ftruncate(reader, 0));
	TELL(ftruncate(fd, -1));
	TELL(ftruncate(ends[1], 0));
	CHECK(close(reader) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* What succeeds leaves errno alone. */
static void tell_successes(int fd, char *at, size_t size, size_t page)
{
	char *moved;

	TELL(mmap(at, page, BOTH, MAP_SHARED | MAP_FIXED, fd, (off_t)page));
	TELL(mmap(at, page, BOTH, MAP_PRIVATE | MAP_FIXED | MAP_POPULATE, fd, (off_t)page));
	TELL(moved = mremap(at, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, at + page));
	TELL(madvise(at + 2 * page, page, MADV_REMOVE));
	TELL(madvise(at + 2 * page, page, MADV_DONTNEED));
	TELL(madvise(at + 2 * page, page, MADV_DOFORK));
	TELL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page));
	TELL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5, (off_t)page));
	TELL(fallocate(fd, 0, 0, (off_t)page));
	TELL_ANSWER(posix_fallocate(fd, 0, (off_t)page));
	TELL(ftruncate(fd, (off_t)size));
	TELL(munmap(at + page, size - page));
	CHECK(moved == at + page);
}

static void tell(int fd, const char *path, size_t size, size_t page)
{
	char *at = mmap(NULL, size, BOTH, MAP_SHARED, fd, 0);

	CHECK(at != MAP_FAILED);
	tell_mapping_errors(fd, at, size, page);
	tell_file_errors(fd, path);
	tell_successes(fd, at, size, page);
}

void error_numbers(struct target *t)
{
	char path[64];
	const int other = memfd_create("other", MFD_CLOEXEC);

	CHECK(other >= 0 && ftruncate(other, (off_t)t->size) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", other);
	tell(t->fd, t->path, t->size, t->page);
	tell(other, path, t->size, t->page);
}

/* ---- memory of others ------------------------------------------------------------------- */

static void use_anonymous_memory(const struct target *t, int flags)
{
	const size_t length = 64 * 4096;
	const size_t longer = flags == MAP_PRIVATE ? 2 * length : length;
	char *at = mmap(NULL, length, BOTH, flags | MAP_ANONYMOUS, -1, 0);

	CHECK(at != MAP_FAILED);
	expect(t, at, 0, length, ZEROS);
	fill(t, at, 0, length, WRITTEN);
	at = mremap(at, length, longer, MREMAP_MAYMOVE);
	CHECK(at != MAP_FAILED);
	expect(t, at, 0, length, WRITTEN);
	CHECK(madvise(at, 4096, MADV_DONTNEED) == 0);
	expect(t, at, 0, 4096, flags == MAP_PRIVATE ? ZEROS : WRITTEN);
	CHECK(munmap(at + 4096, 4096) == 0);
	expect(t, at + 8192, 8192, length - 8192, WRITTEN);
	CHECK(munmap(at, longer) == 0);
}

static void use_file(const struct target *t, int fd)
{
	const size_t length = 64 * 4096;
	char *at;

	CHECK(fd >= 0 && ftruncate(fd, (off_t)length) == 0);
	at = mmap(NULL, length, BOTH, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED);
	expect(t, at, 0, length, ZEROS);
	fill(t, at, 0, length, WRITTEN);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096) == 0);
	CHECK(madvise(at + 3 * 4096, 4096, MADV_REMOVE) == 0);
	expect(t, at + 4096, 4096, 4096, ZEROS);
	expect(t, at + 3 * 4096, 3 * 4096, 4096, ZEROS);
	expect(t, at + 2 * 4096, 2 * 4096, 4096, WRITTEN);
	CHECK(ftruncate(fd, 4096) == 0 && ftruncate(fd, (off_t)length) == 0);
	expect(t, at + 4096, 4096, length - 4096, ZEROS);
	at = mremap(at, length, length / 2, 0);
	expect(t, at, 0, 4096, WRITTEN);
	CHECK(munmap(at, length / 2) == 0 && close(fd) == 0);
}

static void use_much(size_t number, void *context)
{
	const struct target *t = context;
	const size_t share = t->size / 4 / t->page * t->page;
	char *at = map(t, number * share, share, BOTH, MAP_SHARED);
	char path[] = "/tmp/run-program-XXXXXX";
	char *bytes;

	for (size_t i = 0; i < 8; i++) {
		const size_t offset = i * (share / 8 / t->page) * t->page;

		use_anonymous_memory(t, MAP_PRIVATE);
		use_anonymous_memory(t, MAP_SHARED);
		use_file(t, memfd_create("other", MFD_CLOEXEC));
		bytes = calloc(1, 200000);
		expect(t, bytes, 0, 200000, ZEROS);
		bytes = realloc(bytes, 2000000);
		expect(t, bytes, 0, 200000, ZEROS);
		free(bytes);
		expect(t, at + offset, number * share + offset, t->page, IMAGE);
	}
	use_file(t, mkostemp(path, O_CLOEXEC));
	CHECK(unlink(path) == 0);
}

void other_memory(struct target *t)
{
	expect(t, map_whole(t), 0, t->page, IMAGE);
	run_threads(4, use_much, t);
}

/* ---- descriptors of others -------------------------------------------------------------- */

/* What is closed stays closed, so that what is written there goes nowhere. */
void closed_output(struct target *t)
{
	const int ends[] = {STDOUT_FILENO, STDERR_FILENO};
	char *at;

	at = map_whole(t);
	expect(t, at, 0, t->page, IMAGE);
	for (size_t i = 0; i < COUNT(ends); i++) {
		if (write(ends[i], "text", 4) != -1 || errno != EBADF)
			exit(2);
	}
	expect(t, at, 0, t->size, IMAGE);
}
