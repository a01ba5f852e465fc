/* SPDX-License-Identifier: MIT */
#include "core/mapping_operations.h"

#include "model.h"

#include <fcntl.h>
#include <sys/mman.h>

static int open_again(int fd, int flags)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags);
	assert_true(again >= 0);
	return again;
}

static struct lazymem_mapping *map_file(int fd, uint64_t offset, size_t length, bool shared)
{
	struct lazymem_mapping *mapping = NULL;

	assert_int_equal(lazymem_mapping_create_file(fd, offset, length, shared, NULL, &mapping),
			 0);
	return mapping;
}

static int refuse_file(int fd, uint64_t offset, size_t length, bool shared)
{
	struct lazymem_mapping *mapping = NULL;
	const int error = lazymem_mapping_create_file(fd, offset, length, shared, NULL, &mapping);

	assert_null(mapping);
	return error;
}

/* ---- files --------------------------------------------------------------- */

static void mapping_shows_the_bytes_of_the_file(void **state)
{
	const int fd = make_file(2 * PAGE, 'f');
	struct lazymem_mapping *mapping = map_file(fd, 0, 2 * PAGE, true);

	(void)state;
	assert_int_equal(lazymem_mapping_get_kind(mapping), LAZYMEM_MAPPING_FILE_SHARED);
	assert_int_equal(host_of(mapping)[0], 'f');
	assert_int_equal(host_of(mapping)[2 * PAGE - 1], 'f');
	lazymem_mapping_unref(mapping);
	close(fd);
}

static void descriptor_may_be_closed_afterwards(void **state)
{
	const int fd = make_file(PAGE, 'f');
	struct lazymem_mapping *mapping = map_file(fd, 0, PAGE, true);
	uint64_t offset = 7;
	int own = -1;

	(void)state;
	close(fd);
	assert_int_equal(lazymem_mapping_fd(mapping, &own, &offset), 0);
	assert_int_not_equal(own, fd);
	assert_true(fcntl(own, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(offset, 0);
	lazymem_mapping_unref(mapping);
}

static void offset_is_where_the_mapping_begins(void **state)
{
	const int fd = make_file(2 * PAGE, 'f');
	struct lazymem_mapping *mapping;
	uint64_t offset = 0;
	int own = -1;

	(void)state;
	assert_int_equal(pwrite(fd, "x", 1, (off_t)PAGE), 1);
	mapping = map_file(fd, PAGE, PAGE, true);
	assert_int_equal(host_of(mapping)[0], 'x');
	assert_int_equal(lazymem_mapping_fd(mapping, &own, &offset), 0);
	assert_int_equal(offset, PAGE);
	lazymem_mapping_unref(mapping);
	close(fd);
}

static void write_to_a_shared_mapping_reaches_the_file(void **state)
{
	const int fd = make_file(PAGE, 'f');
	struct lazymem_mapping *mapping = map_file(fd, 0, PAGE, true);
	char byte = 0;

	(void)state;
	host_of(mapping)[5] = 'w';
	assert_int_equal(lazymem_mapping_sync(mapping, 0, PAGE), 0);
	assert_int_equal(pread(fd, &byte, 1, 5), 1);
	assert_int_equal(byte, 'w');
	lazymem_mapping_unref(mapping);
	close(fd);
}

static void write_to_a_private_mapping_stays_private(void **state)
{
	const int fd = make_file(PAGE, 'f');
	const int readable = open_again(fd, O_RDONLY | O_CLOEXEC);
	struct lazymem_mapping *mapping = map_file(readable, 0, PAGE, false);
	char byte = 0;

	(void)state;
	assert_int_equal(lazymem_mapping_get_kind(mapping), LAZYMEM_MAPPING_FILE_PRIVATE);
	host_of(mapping)[5] = 'w';
	assert_int_equal(lazymem_mapping_sync(mapping, 0, PAGE), 0);
	assert_int_equal(pread(fd, &byte, 1, 5), 1);
	assert_int_equal(byte, 'f');
	lazymem_mapping_unref(mapping);
	close(readable);
	close(fd);
}

static void last_page_may_be_partial(void **state)
{
	const int fd = make_file(PAGE + 1, 'f');
	struct lazymem_mapping *mapping = map_file(fd, 0, 2 * PAGE, true);

	(void)state;
	assert_int_equal(host_of(mapping)[PAGE], 'f');
	assert_int_equal(host_of(mapping)[PAGE + 1], 0);
	lazymem_mapping_unref(mapping);
	close(fd);
}

static void range_past_the_end_is_refused(void **state)
{
	const int fd = make_file(PAGE, 'f');

	(void)state;
	assert_int_equal(refuse_file(fd, 0, 2 * PAGE, true), -ERANGE);
	assert_says("8192 bytes at offset 0");
	assert_says("its end at 4096");
	assert_int_equal(refuse_file(fd, PAGE, PAGE, true), -ERANGE);
	assert_int_equal(refuse_file(fd, UINT64_MAX - PAGE + 1, PAGE, true), -ERANGE);
	close(fd);
}

static void empty_file_holds_no_range(void **state)
{
	const int fd = make_file(0, 'f');

	(void)state;
	assert_int_equal(refuse_file(fd, 0, PAGE, true), -ERANGE);
	close(fd);
}

static void offset_and_length_must_be_whole_pages(void **state)
{
	const int fd = make_file(4 * PAGE, 'f');

	(void)state;
	assert_int_equal(refuse_file(fd, 1, PAGE, true), -EINVAL);
	assert_says("offset 1");
	assert_int_equal(refuse_file(fd, 0, PAGE + 1, true), -EINVAL);
	assert_int_equal(refuse_file(fd, 0, 0, true), -EINVAL);
	close(fd);
}

static void closed_descriptor_is_refused(void **state)
{
	(void)state;
	assert_int_equal(refuse_file(-1, 0, PAGE, true), -EBADF);
	assert_says("descriptor -1");
	assert_int_equal(refuse_file(999999, 0, PAGE, true), -EBADF);
}

static void path_descriptor_is_refused(void **state)
{
	const int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	(void)state;
	assert_int_equal(refuse_file(fd, 0, PAGE, false), -EBADF);
	close(fd);
}

static void directory_is_refused(void **state)
{
	const int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(refuse_file(fd, 0, PAGE, false), -EISDIR);
	assert_says("is a directory");
	close(fd);
}

static void pipe_is_refused(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(refuse_file(ends[0], 0, PAGE, false), -EINVAL);
	assert_says("neither a regular file nor a block device");
	close(ends[0]);
	close(ends[1]);
}

static void shared_writing_needs_a_writable_descriptor(void **state)
{
	const int fd = make_file(PAGE, 'f');
	const int readable = open_again(fd, O_RDONLY | O_CLOEXEC);
	const struct lazymem_mapping_options reading = {.size = sizeof(reading),
							.protection = PROT_READ};
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(refuse_file(readable, 0, PAGE, true), -EACCES);
	assert_says("reading only");
	assert_int_equal(lazymem_mapping_create_file(readable, 0, PAGE, true, &reading, &mapping),
			 0);
	lazymem_mapping_unref(mapping);
	close(readable);
	close(fd);
}

static void writing_only_descriptor_is_refused(void **state)
{
	const int fd = make_file(PAGE, 'f');
	const int writable = open_again(fd, O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(refuse_file(writable, 0, PAGE, true), -EACCES);
	assert_says("writing only");
	close(writable);
	close(fd);
}

/* ---- adopted memory ------------------------------------------------------ */

static unsigned char *map_pages(size_t count, int flags, int fd)
{
	void *host = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	assert_ptr_not_equal(host, MAP_FAILED);
	return host;
}

static struct lazymem_mapping *adopt(void *host, size_t length, int fd)
{
	struct lazymem_mapping *mapping = NULL;

	assert_int_equal(lazymem_mapping_adopt(host, length, fd, 0, NULL, &mapping), 0);
	assert_int_equal(lazymem_mapping_get_kind(mapping), LAZYMEM_MAPPING_ADOPTED);
	assert_ptr_equal(host_of(mapping), host);
	return mapping;
}

static int refuse_adoption(void *host, size_t length, int fd, uint64_t offset)
{
	struct lazymem_mapping *mapping = NULL;
	const int error = lazymem_mapping_adopt(host, length, fd, offset, NULL, &mapping);

	assert_null(mapping);
	return error;
}

static void adopted_anonymous_memory_is_private(void **state)
{
	unsigned char *host = map_pages(2, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct lazymem_mapping *mapping = adopt(host, 2 * PAGE, -1);

	(void)state;
	assert_false(lm_mapping_is_shared(mapping));
	assert_false(lm_mapping_is_file(mapping));
	assert_true(has_vm_flag(host, "dd"));
	lazymem_mapping_unref(mapping);
	munmap(host, 2 * PAGE);
}

static void adopted_memfd_is_shared_memory(void **state)
{
	const int fd = memfd_create("adopted", MFD_CLOEXEC);
	struct lazymem_mapping *mapping;
	unsigned char *host;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(2 * PAGE)), 0);
	host = map_pages(2, MAP_SHARED, fd);
	mapping = adopt(host, 2 * PAGE, fd);
	close(fd);
	assert_true(lm_mapping_is_shared(mapping));
	assert_false(lm_mapping_is_file(mapping));
	host[PAGE] = 1;
	assert_int_equal(lazymem_mapping_discard(mapping, PAGE, PAGE), 0);
	assert_int_equal(host[PAGE], 0);
	lazymem_mapping_unref(mapping);
	munmap(host, 2 * PAGE);
}

static void adopted_regular_file_is_a_shared_file(void **state)
{
	FILE *file = fopen("mapping_file_test.tmp", "w+e");
	struct lazymem_mapping *mapping;
	unsigned char *host;

	(void)state;
	assert_non_null(file);
	unlink("mapping_file_test.tmp");
	assert_int_equal(ftruncate(fileno(file), (off_t)PAGE), 0);
	host = map_pages(1, MAP_SHARED, fileno(file));
	mapping = adopt(host, PAGE, fileno(file));
	assert_true(lm_mapping_is_shared(mapping));
	assert_true(lm_mapping_is_file(mapping));
	host[0] = 'f';
	assert_int_equal(lazymem_mapping_discard(mapping, 0, PAGE), 0);
	assert_int_equal(host[0], 0);
	lazymem_mapping_unref(mapping);
	munmap(host, PAGE);
	fclose(file);
}

static void unmapped_memory_is_refused(void **state)
{
	unsigned char *host = map_pages(3, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)state;
	munmap(host + PAGE, PAGE);
	assert_int_equal(refuse_adoption(host, 3 * PAGE, -1, 0), -EFAULT);
	assert_says("is not all mapped");
	munmap(host, 3 * PAGE);
}

static void adopted_range_must_be_whole_pages(void **state)
{
	unsigned char *host = map_pages(2, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)state;
	assert_int_equal(refuse_adoption(NULL, PAGE, -1, 0), -EINVAL);
	assert_int_equal(refuse_adoption(host + 1, PAGE, -1, 0), -EINVAL);
	assert_int_equal(refuse_adoption(host, PAGE + 1, -1, 0), -EINVAL);
	assert_int_equal(refuse_adoption(host, 0, -1, 0), -EINVAL);
	munmap(host, 2 * PAGE);
}

static void adopted_range_must_lie_in_its_file(void **state)
{
	const int fd = memfd_create("adopted", MFD_CLOEXEC);
	unsigned char *host = map_pages(2, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)PAGE), 0);
	assert_int_equal(refuse_adoption(host, 2 * PAGE, fd, 0), -ERANGE);
	assert_int_equal(refuse_adoption(host, PAGE, fd, PAGE), -ERANGE);
	assert_int_equal(refuse_adoption(host, PAGE, fd, 1), -EINVAL);
	munmap(host, 2 * PAGE);
	close(fd);
}

static void adoption_ignores_alignment_and_protection(void **state)
{
	unsigned char *host = map_pages(1, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	const struct lazymem_mapping_options options = {
		.size = sizeof(options), .alignment = 3, .protection = PROT_READ};
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_adopt(host, PAGE, -1, 0, &options, &mapping), 0);
	lazymem_mapping_unref(mapping);
	munmap(host, PAGE);
}

static void adoption_refuses_unknown_flags(void **state)
{
	unsigned char *host = map_pages(1, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	const struct lazymem_mapping_options options = {.size = sizeof(options), .flags = 1u << 31};
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_adopt(host, PAGE, -1, 0, &options, &mapping), -EINVAL);
	assert_says("0x80000000");
	assert_null(mapping);
	munmap(host, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapping_shows_the_bytes_of_the_file),
		cmocka_unit_test(descriptor_may_be_closed_afterwards),
		cmocka_unit_test(offset_is_where_the_mapping_begins),
		cmocka_unit_test(write_to_a_shared_mapping_reaches_the_file),
		cmocka_unit_test(write_to_a_private_mapping_stays_private),
		cmocka_unit_test(last_page_may_be_partial),
		cmocka_unit_test(range_past_the_end_is_refused),
		cmocka_unit_test(empty_file_holds_no_range),
		cmocka_unit_test(offset_and_length_must_be_whole_pages),
		cmocka_unit_test(closed_descriptor_is_refused),
		cmocka_unit_test(path_descriptor_is_refused),
		cmocka_unit_test(directory_is_refused),
		cmocka_unit_test(pipe_is_refused),
		cmocka_unit_test(shared_writing_needs_a_writable_descriptor),
		cmocka_unit_test(writing_only_descriptor_is_refused),
		cmocka_unit_test(adopted_anonymous_memory_is_private),
		cmocka_unit_test(adopted_memfd_is_shared_memory),
		cmocka_unit_test(adopted_regular_file_is_a_shared_file),
		cmocka_unit_test(unmapped_memory_is_refused),
		cmocka_unit_test(adopted_range_must_be_whole_pages),
		cmocka_unit_test(adopted_range_must_lie_in_its_file),
		cmocka_unit_test(adoption_ignores_alignment_and_protection),
		cmocka_unit_test(adoption_refuses_unknown_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
