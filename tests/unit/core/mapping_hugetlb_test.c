/* SPDX-License-Identifier: MIT */
#include "core/mapping_operations.h"

#include "model.h"

#include <sys/mman.h>

static struct lazymem_mapping *make_hugetlb(size_t length)
{
	struct lazymem_mapping *mapping = NULL;

	assert_int_equal(lazymem_mapping_create_hugetlb(length, 2 * MIB, NULL, &mapping), 0);
	return mapping;
}

static void page_size_is_that_of_the_pool(void **state)
{
	struct lazymem_mapping *mapping = make_hugetlb(2 * MIB);

	(void)state;
	assert_int_equal(lazymem_mapping_get_kind(mapping), LAZYMEM_MAPPING_HUGETLB);
	assert_int_equal(lazymem_mapping_page_size(mapping), 2 * MIB);
	assert_true(lm_mapping_is_shared(mapping));
	assert_true(has_vm_flag(host_of(mapping), "ht"));
	assert_true(has_vm_flag(host_of(mapping), "dd"));
	lazymem_mapping_unref(mapping);
}

static void alignment_above_the_page_size_is_as_asked(void **state)
{
	const struct lazymem_mapping_options options = {.size = sizeof(options),
							.alignment = 16 * MIB};
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_create_hugetlb(2 * MIB, 2 * MIB, &options, &mapping), 0);
	assert_int_equal((uintptr_t)host_of(mapping) % (16 * MIB), 0);
	host_of(mapping)[2 * MIB - 1] = 1;
	lazymem_mapping_unref(mapping);
}

static void advice_for_huge_pages_is_not_needed(void **state)
{
	struct lazymem_mapping *mapping = make_hugetlb(2 * MIB);

	(void)state;
	assert_int_equal(lazymem_mapping_use_hugepages(mapping), 0);
	assert_false(lm_mapping_wants_hugepages(mapping));
	lazymem_mapping_unref(mapping);
}

static void discard_reads_as_zeros_and_gives_the_page_back(void **state)
{
	struct lazymem_mapping *mapping = make_hugetlb(2 * MIB);
	size_t bytes = 7;

	(void)state;
	memset(host_of(mapping), 1, 2 * MIB);
	assert_int_equal(lazymem_mapping_resident(mapping, 0, 2 * MIB, &bytes), 0);
	assert_int_equal(bytes, 2 * MIB);
	assert_int_equal(lazymem_mapping_discard(mapping, 0, 2 * MIB), 0);
	assert_int_equal(lazymem_mapping_resident(mapping, 0, 2 * MIB, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(host_of(mapping)[MIB], 0);
	lazymem_mapping_unref(mapping);
}

static void ranges_are_in_whole_hugetlb_pages(void **state)
{
	struct lazymem_mapping *mapping = make_hugetlb(2 * MIB);

	(void)state;
	assert_int_equal(lazymem_mapping_discard(mapping, 0, PAGE), -EINVAL);
	assert_says("2097152");
	assert_int_equal(lazymem_mapping_discard(mapping, PAGE, PAGE), -EINVAL);
	lazymem_mapping_unref(mapping);
}

static void sync_and_prefetch_have_nothing_to_do(void **state)
{
	struct lazymem_mapping *mapping = make_hugetlb(2 * MIB);

	(void)state;
	assert_int_equal(lazymem_mapping_sync(mapping, 0, 1), 0);
	assert_int_equal(lazymem_mapping_prefetch(mapping, 0, 2 * MIB), 0);
	lazymem_mapping_unref(mapping);
}

static void adopted_hugetlb_memory_has_the_page_size_of_its_file(void **state)
{
	struct lazymem_mapping *owner = make_hugetlb(2 * MIB), *adopted = NULL;
	uint64_t offset = 0;
	int fd = -1;

	(void)state;
	assert_int_equal(lazymem_mapping_fd(owner, &fd, &offset), 0);
	assert_int_equal(lazymem_mapping_adopt(host_of(owner), 2 * MIB, fd, 0, NULL, &adopted), 0);
	assert_int_equal(lazymem_mapping_page_size(adopted), 2 * MIB);
	assert_false(lm_mapping_is_file(adopted));
	lazymem_mapping_unref(adopted);
	lazymem_mapping_unref(owner);
}

static void region_begins_at_a_multiple_of_the_hugetlb_page(void **state)
{
	struct lazymem_mapping *mapping = make_hugetlb(2 * MIB);
	struct lazymem_region *region = NULL;

	(void)state;
	assert_int_equal(lazymem_region_create(mapping, AT(MIB), NULL, 0, &region), -EINVAL);
	assert_says("region [0x100000+0x200000]");
	assert_int_equal(lazymem_region_create(mapping, AT(4 * MIB), NULL, 0, &region), 0);
	lazymem_region_unref(region);
	lazymem_mapping_unref(mapping);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_size_is_that_of_the_pool),
		cmocka_unit_test(alignment_above_the_page_size_is_as_asked),
		cmocka_unit_test(advice_for_huge_pages_is_not_needed),
		cmocka_unit_test(discard_reads_as_zeros_and_gives_the_page_back),
		cmocka_unit_test(ranges_are_in_whole_hugetlb_pages),
		cmocka_unit_test(sync_and_prefetch_have_nothing_to_do),
		cmocka_unit_test(adopted_hugetlb_memory_has_the_page_size_of_its_file),
		cmocka_unit_test(region_begins_at_a_multiple_of_the_hugetlb_page),
	};
	struct lazymem_mapping *probe = NULL;

	if (lazymem_mapping_create_hugetlb(2 * MIB, 2 * MIB, NULL, &probe) != 0) {
		printf("skipped: %s\n", lazymem_error_message());
		return 77;
	}
	lazymem_mapping_unref(probe);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
