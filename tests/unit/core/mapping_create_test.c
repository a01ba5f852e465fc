/* wrap: memfd_create ftruncate fcntl */
/* SPDX-License-Identifier: MIT */
#include "core/mapping_operations.h"

#include "model.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static int memfd_error, ftruncate_error, seal_error;

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __real_ftruncate(int fd, off_t length);
int __wrap_ftruncate(int fd, off_t length);
int __real_fcntl(int fd, int command, int argument);
int __wrap_fcntl(int fd, int command, int argument);

int __wrap_memfd_create(const char *name, unsigned flags)
{
	if (memfd_error == 0)
		return __real_memfd_create(name, flags);
	errno = memfd_error;
	return -1;
}

int __wrap_ftruncate(int fd, off_t length)
{
	if (ftruncate_error == 0)
		return __real_ftruncate(fd, length);
	errno = ftruncate_error;
	return -1;
}

int __wrap_fcntl(int fd, int command, int argument)
{
	if (seal_error == 0 || command != F_ADD_SEALS)
		return __real_fcntl(fd, command, argument);
	errno = seal_error;
	return -1;
}

static int tear_down(void **state)
{
	(void)state;
	memfd_error = ftruncate_error = seal_error = 0;
	return 0;
}

static struct lazymem_mapping *make_memfd(size_t length)
{
	struct lazymem_mapping *mapping = NULL;

	assert_int_equal(lazymem_mapping_create_memfd(length, NULL, &mapping), 0);
	return mapping;
}

static int fd_of(struct lazymem_mapping *mapping)
{
	uint64_t offset = 1;
	int fd = -1;

	assert_int_equal(lazymem_mapping_fd(mapping, &fd, &offset), 0);
	assert_int_equal(offset, 0);
	return fd;
}

static void anonymous_memory_reads_as_zeros(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(2 * PAGE);

	(void)state;
	for (size_t i = 0; i < 2 * PAGE; i++)
		assert_int_equal(host_of(mapping)[i], 0);
	lazymem_mapping_unref(mapping);
}

static void anonymous_memory_may_exceed_ram(void **state)
{
	size_t twice = 2 * (size_t)sysconf(_SC_PHYS_PAGES) * PAGE;
	struct lazymem_mapping *mapping = make_mapping(twice);

	(void)state;
	host_of(mapping)[twice - 1] = 1;
	lazymem_mapping_unref(mapping);
}

static void memfd_is_shared_and_tells_its_descriptor(void **state)
{
	struct lazymem_mapping *mapping = make_memfd(2 * PAGE);
	unsigned char byte = 0;

	(void)state;
	assert_int_equal(lazymem_mapping_get_kind(mapping), LAZYMEM_MAPPING_MEMFD);
	assert_true(lm_mapping_is_shared(mapping));
	assert_false(lm_mapping_is_file(mapping));
	host_of(mapping)[PAGE] = 9;
	assert_int_equal(pread(fd_of(mapping), &byte, 1, (off_t)PAGE), 1);
	assert_int_equal(byte, 9);
	lazymem_mapping_unref(mapping);
}

static void memfd_can_neither_shrink_nor_grow_nor_be_sealed_further(void **state)
{
	struct lazymem_mapping *mapping = make_memfd(2 * PAGE);
	const int fd = fd_of(mapping);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)PAGE), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, (off_t)(3 * PAGE)), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fcntl(fd, F_GET_SEALS, 0), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	lazymem_mapping_unref(mapping);
}

static void memfd_is_closed_on_exec(void **state)
{
	struct lazymem_mapping *mapping = make_memfd(PAGE);

	(void)state;
	assert_true(fcntl(fd_of(mapping), F_GETFD, 0) & FD_CLOEXEC);
	lazymem_mapping_unref(mapping);
}

static void memfd_is_closed_with_its_last_reference(void **state)
{
	struct lazymem_mapping *mapping = make_memfd(PAGE);
	const int fd = fd_of(mapping);

	(void)state;
	lazymem_mapping_unref(mapping);
	assert_int_equal(fcntl(fd, F_GETFD, 0), -1);
	assert_int_equal(errno, EBADF);
}

static void memfd_lies_at_a_multiple_of_2_mib(void **state)
{
	struct lazymem_mapping *mapping = make_memfd(2 * MIB + PAGE);

	(void)state;
	assert_int_equal((uintptr_t)host_of(mapping) % (2 * MIB), 0);
	host_of(mapping)[2 * MIB] = 1;
	lazymem_mapping_unref(mapping);
}

static void memfd_has_the_name_that_was_given(void **state)
{
	const struct lazymem_mapping_options options = {.size = sizeof(options), .name = "ram0"};
	struct lazymem_mapping *mapping = NULL;
	char path[64], target[128] = "";

	(void)state;
	assert_int_equal(lazymem_mapping_create_memfd(PAGE, &options, &mapping), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd_of(mapping));
	assert_true(readlink(path, target, sizeof(target) - 1) > 0);
	assert_non_null(strstr(target, "memfd:ram0"));
	assert_int_equal(lazymem_mapping_sync(mapping, 0, 0), -EINVAL);
	assert_says("mapping ram0");
	lazymem_mapping_unref(mapping);
}

static void memfd_name_has_a_limit(void **state)
{
	char name[251];
	struct lazymem_mapping_options options = {.size = sizeof(options), .name = name};
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[250] = '\0';
	assert_int_equal(lazymem_mapping_create_memfd(PAGE, &options, &mapping), -EINVAL);
	assert_says("250 bytes");
	assert_null(mapping);
	name[249] = '\0';
	assert_int_equal(lazymem_mapping_create_memfd(PAGE, &options, &mapping), 0);
	lazymem_mapping_unref(mapping);
}

static void memfd_longer_than_any_file_is_refused(void **state)
{
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_create_memfd((size_t)1 << 63, NULL, &mapping), -EINVAL);
	assert_says("9223372036854775808");
	assert_null(mapping);
}

static void failures_on_the_way_to_a_memfd_are_returned(void **state)
{
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	memfd_error = EMFILE;
	assert_int_equal(lazymem_mapping_create_memfd(PAGE, NULL, &mapping), -EMFILE);
	memfd_error = 0;
	ftruncate_error = ENOSPC;
	assert_int_equal(lazymem_mapping_create_memfd(PAGE, NULL, &mapping), -ENOSPC);
	assert_says("4096 bytes");
	ftruncate_error = 0;
	seal_error = EBUSY;
	assert_int_equal(lazymem_mapping_create_memfd(PAGE, NULL, &mapping), -EBUSY);
	assert_says("sealing");
	assert_null(mapping);
}

static void size_of_no_hugetlb_page_is_refused(void **state)
{
	static const size_t wrong[] = {0, 3, PAGE, 3 * MIB};
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(lazymem_mapping_create_hugetlb(6 * MIB, wrong[i], NULL, &mapping),
				 -EINVAL);
	assert_says("3145728");
	assert_null(mapping);
}

static void hugetlb_page_that_the_machine_lacks_is_named(void **state)
{
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_create_hugetlb(8 * MIB, 8 * MIB, NULL, &mapping), -EINVAL);
	assert_says("no hugetlb pages of 8388608 bytes");
	assert_null(mapping);
}

static void hugetlb_length_must_be_whole_pages(void **state)
{
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_create_hugetlb(3 * MIB, 2 * MIB, NULL, &mapping), -EINVAL);
	assert_says("length 3145728");
	assert_null(mapping);
}

static void hugetlb_pool_that_is_too_small_is_named(void **state)
{
	struct lazymem_mapping *mapping = NULL;
	const size_t more_than_any_pool = (size_t)1 << 40;

	(void)state;
	assert_int_equal(
		lazymem_mapping_create_hugetlb(more_than_any_pool, 2 * MIB, NULL, &mapping),
		-ENOMEM);
	assert_says("524288 hugetlb pages of 2097152 bytes");
	assert_says("vm.nr_hugepages");
	assert_null(mapping);
}

#define wrapped(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wrapped(anonymous_memory_reads_as_zeros),
		wrapped(anonymous_memory_may_exceed_ram),
		wrapped(memfd_is_shared_and_tells_its_descriptor),
		wrapped(memfd_can_neither_shrink_nor_grow_nor_be_sealed_further),
		wrapped(memfd_is_closed_on_exec),
		wrapped(memfd_is_closed_with_its_last_reference),
		wrapped(memfd_lies_at_a_multiple_of_2_mib),
		wrapped(memfd_has_the_name_that_was_given),
		wrapped(memfd_name_has_a_limit),
		wrapped(memfd_longer_than_any_file_is_refused),
		wrapped(failures_on_the_way_to_a_memfd_are_returned),
		wrapped(size_of_no_hugetlb_page_is_refused),
		wrapped(hugetlb_page_that_the_machine_lacks_is_named),
		wrapped(hugetlb_length_must_be_whole_pages),
		wrapped(hugetlb_pool_that_is_too_small_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
