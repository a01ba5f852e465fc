/* wrap: msync madvise mincore fallocate */
/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <fcntl.h>
#include <sys/mman.h>

/* Errors to answer with, once each. */
static int msync_error, madvise_error, mincore_error, fallocate_error;
static size_t msync_length;
static int msync_flags;

int __real_msync(void *host, size_t length, int flags);
int __wrap_msync(void *host, size_t length, int flags);
int __real_madvise(void *host, size_t length, int advice);
int __wrap_madvise(void *host, size_t length, int advice);
int __real_mincore(void *host, size_t length, unsigned char *pages);
int __wrap_mincore(void *host, size_t length, unsigned char *pages);
int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);

static bool is_refused(int *error)
{
	if (*error == 0)
		return false;
	errno = *error;
	*error = 0;
	return true;
}

int __wrap_msync(void *host, size_t length, int flags)
{
	msync_length = length;
	msync_flags = flags;
	return is_refused(&msync_error) ? -1 : __real_msync(host, length, flags);
}

int __wrap_madvise(void *host, size_t length, int advice)
{
	return is_refused(&madvise_error) ? -1 : __real_madvise(host, length, advice);
}

int __wrap_mincore(void *host, size_t length, unsigned char *pages)
{
	return is_refused(&mincore_error) ? -1 : __real_mincore(host, length, pages);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
	return is_refused(&fallocate_error) ? -1 : __real_fallocate(fd, mode, offset, length);
}

static int tear_down(void **state)
{
	(void)state;
	msync_error = madvise_error = mincore_error = fallocate_error = 0;
	msync_length = 0;
	msync_flags = 0;
	return 0;
}

static struct lazymem_mapping *make_memfd(size_t length)
{
	struct lazymem_mapping *mapping = NULL;

	assert_int_equal(lazymem_mapping_create_memfd(length, NULL, &mapping), 0);
	return mapping;
}

static struct lazymem_mapping *make_file_mapping(size_t length, bool shared)
{
	const int fd = make_file(length, 'f');
	struct lazymem_mapping *mapping = NULL;

	assert_int_equal(lazymem_mapping_create_file(fd, 0, length, shared, NULL, &mapping), 0);
	close(fd);
	return mapping;
}

static size_t resident(struct lazymem_mapping *mapping)
{
	size_t bytes = 0;

	assert_int_equal(
		lazymem_mapping_resident(mapping, 0, lazymem_mapping_span(mapping).length, &bytes),
		0);
	return bytes;
}

/* ---- sync ---------------------------------------------------------------- */

static void sync_of_a_shared_file_waits_for_whole_pages(void **state)
{
	struct lazymem_mapping *mapping = make_file_mapping(2 * PAGE, true);

	(void)state;
	assert_int_equal(lazymem_mapping_sync(mapping, PAGE, 1), 0);
	assert_int_equal(msync_flags, MS_SYNC);
	assert_int_equal(msync_length, PAGE);
	lazymem_mapping_unref(mapping);
}

static void sync_of_anything_else_has_nothing_to_do(void **state)
{
	struct lazymem_mapping *mappings[] = {make_mapping(PAGE), make_memfd(PAGE),
					      make_file_mapping(PAGE, false)};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(lazymem_mapping_sync(mappings[i], 0, PAGE), 0);
		lazymem_mapping_unref(mappings[i]);
	}
	assert_int_equal(msync_length, 0);
}

static void failed_sync_is_reported(void **state)
{
	struct lazymem_mapping *mapping = make_file_mapping(PAGE, true);

	(void)state;
	msync_error = EIO;
	assert_int_equal(lazymem_mapping_sync(mapping, 0, PAGE), -EIO);
	assert_says("msync of [0x0+0x1000]");
	lazymem_mapping_unref(mapping);
}

/* ---- discard ------------------------------------------------------------- */

static void discarded_memory_reads_as_zeros_and_takes_none(void **state)
{
	struct lazymem_mapping *mappings[] = {make_mapping(3 * PAGE), make_memfd(3 * PAGE)};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		unsigned char *host = host_of(mappings[i]);

		memset(host, 1, 3 * PAGE);
		assert_int_equal(resident(mappings[i]), 3 * PAGE);
		assert_int_equal(lazymem_mapping_discard(mappings[i], PAGE, PAGE), 0);
		assert_int_equal(resident(mappings[i]), 2 * PAGE);
		assert_int_equal(host[PAGE - 1], 1);
		assert_int_equal(host[PAGE], 0);
		assert_int_equal(host[2 * PAGE - 1], 0);
		assert_int_equal(host[2 * PAGE], 1);
		lazymem_mapping_unref(mappings[i]);
	}
}

static void discarded_private_file_memory_reads_as_the_file(void **state)
{
	struct lazymem_mapping *mapping = make_file_mapping(PAGE, false);

	(void)state;
	host_of(mapping)[0] = 'w';
	assert_int_equal(lazymem_mapping_discard(mapping, 0, PAGE), 0);
	assert_int_equal(host_of(mapping)[0], 'f');
	lazymem_mapping_unref(mapping);
}

static void discard_of_a_shared_file_makes_a_hole_in_it(void **state)
{
	struct lazymem_mapping *mapping = make_file_mapping(3 * PAGE, true);
	uint64_t offset = 0;
	int fd = -1;

	(void)state;
	assert_int_equal(lazymem_mapping_discard(mapping, PAGE, PAGE), 0);
	assert_int_equal(host_of(mapping)[PAGE - 1], 'f');
	assert_int_equal(host_of(mapping)[PAGE], 0);
	assert_int_equal(host_of(mapping)[2 * PAGE], 'f');
	assert_int_equal(lazymem_mapping_fd(mapping, &fd, &offset), 0);
	assert_int_equal(lseek(fd, 0, SEEK_HOLE), PAGE);
	assert_int_equal(lseek(fd, 0, SEEK_END), 3 * PAGE);
	lazymem_mapping_unref(mapping);
}

static void discard_of_a_file_that_is_read_only_is_refused(void **state)
{
	const struct lazymem_mapping_options options = {.size = sizeof(options),
							.protection = PROT_READ};
	const int fd = make_file(PAGE, 'f');
	struct lazymem_mapping *mapping = NULL;
	char path[64];
	int read_only;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read_only >= 0);
	assert_int_equal(lazymem_mapping_create_file(read_only, 0, PAGE, true, &options, &mapping),
			 0);
	assert_int_equal(lazymem_mapping_discard(mapping, 0, PAGE), -EACCES);
	assert_says("open for reading only");
	assert_int_equal(host_of(mapping)[0], 'f');
	lazymem_mapping_unref(mapping);
	close(read_only);
	close(fd);
}

static void failed_discard_is_reported(void **state)
{
	struct lazymem_mapping *anonymous = make_mapping(PAGE), *memfd = make_memfd(PAGE);

	(void)state;
	madvise_error = ENOMEM;
	assert_int_equal(lazymem_mapping_discard(anonymous, 0, PAGE), -ENOMEM);
	assert_says("MADV_DONTNEED of [0x0+0x1000]");
	fallocate_error = ENOSPC;
	assert_int_equal(lazymem_mapping_discard(memfd, 0, PAGE), -ENOSPC);
	assert_says("hole of [0x0+0x1000]");
	lazymem_mapping_unref(anonymous);
	lazymem_mapping_unref(memfd);
}

static void interrupted_discard_goes_on(void **state)
{
	struct lazymem_mapping *mapping = make_memfd(PAGE);

	(void)state;
	host_of(mapping)[0] = 1;
	fallocate_error = EINTR;
	assert_int_equal(lazymem_mapping_discard(mapping, 0, PAGE), 0);
	assert_int_equal(host_of(mapping)[0], 0);
	lazymem_mapping_unref(mapping);
}

/* ---- prefetch ------------------------------------------------------------ */

static void prefetch_succeeds_for_every_kind(void **state)
{
	struct lazymem_mapping *mappings[] = {make_mapping(PAGE), make_memfd(PAGE),
					      make_file_mapping(PAGE, true),
					      make_file_mapping(PAGE, false)};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(lazymem_mapping_prefetch(mappings[i], 0, PAGE), 0);
		lazymem_mapping_unref(mappings[i]);
	}
}

static void prefetch_without_swap_has_nothing_to_do(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);

	(void)state;
	madvise_error = EBADF;
	assert_int_equal(lazymem_mapping_prefetch(mapping, 0, PAGE), 0);
	madvise_error = EIO;
	assert_int_equal(lazymem_mapping_prefetch(mapping, 0, PAGE), -EIO);
	assert_says("MADV_WILLNEED");
	lazymem_mapping_unref(mapping);
}

/* ---- resident ------------------------------------------------------------ */

static void untouched_memory_is_not_resident(void **state)
{
	struct lazymem_mapping *anonymous = make_mapping(2 * PAGE), *memfd = make_memfd(2 * PAGE);

	(void)state;
	assert_int_equal(resident(anonymous), 0);
	assert_int_equal(resident(memfd), 0);
	lazymem_mapping_unref(anonymous);
	lazymem_mapping_unref(memfd);
}

static void resident_counts_across_its_chunks(void **state)
{
	const size_t length = 40 * MIB;
	struct lazymem_mapping *mapping = make_mapping(length);
	unsigned char *host = host_of(mapping);

	(void)state;
	host[0] = host[16 * MIB - PAGE] = host[16 * MIB] = host[length - 1] = 1;
	assert_int_equal(resident(mapping), 4 * PAGE);
	lazymem_mapping_unref(mapping);
}

static void resident_tries_again_when_the_kernel_is_short(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);
	size_t bytes = 7;

	(void)state;
	mincore_error = EAGAIN;
	assert_int_equal(resident(mapping), 0);
	mincore_error = ENOMEM;
	assert_int_equal(lazymem_mapping_resident(mapping, 0, PAGE, &bytes), -ENOMEM);
	assert_says("mincore of [0x0+0x1000]");
	assert_int_equal(bytes, 7);
	lazymem_mapping_unref(mapping);
}

#define wrapped(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wrapped(sync_of_a_shared_file_waits_for_whole_pages),
		wrapped(sync_of_anything_else_has_nothing_to_do),
		wrapped(failed_sync_is_reported),
		wrapped(discarded_memory_reads_as_zeros_and_takes_none),
		wrapped(discarded_private_file_memory_reads_as_the_file),
		wrapped(discard_of_a_shared_file_makes_a_hole_in_it),
		wrapped(discard_of_a_file_that_is_read_only_is_refused),
		wrapped(failed_discard_is_reported),
		wrapped(interrupted_discard_goes_on),
		wrapped(prefetch_succeeds_for_every_kind),
		wrapped(prefetch_without_swap_has_nothing_to_do),
		wrapped(untouched_memory_is_not_resident),
		wrapped(resident_counts_across_its_chunks),
		wrapped(resident_tries_again_when_the_kernel_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
