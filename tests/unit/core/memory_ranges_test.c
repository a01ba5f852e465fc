/* SPDX-License-Identifier: MIT */
#include "core/mapping_operations.h"

#include "model.h"

/* What reached the two adjacent regions [0x1000+0x2000] [0x3000+0x2000]. */
struct call {
	struct lazymem_mapping *mapping;
	size_t start, length;
};

static struct call calls[8];
static size_t call_count;
static struct lazymem_mapping *failing;

static int record(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	(void)state;
	calls[call_count++] = (struct call){mapping, start, length};
	return mapping == failing ? -EIO : 0;
}

static int record_resident(struct lazymem_mapping *mapping, void *state, size_t start,
			   size_t length, size_t *ret_bytes)
{
	*ret_bytes = length / 2;
	return record(mapping, state, start, length);
}

static const struct lm_mapping_operations recording = {record, record, record, record_resident};

static struct lazymem_mapping *mapping_of(struct lazymem_memory *memory, size_t index)
{
	return lazymem_region_mapping(lazymem_memory_region(memory, index));
}

static int set_up(void **state)
{
	struct lazymem_memory *memory = make_three();

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(lm_mapping_attach(mapping_of(memory, i), &recording, NULL), 0);
	call_count = 0;
	failing = NULL;
	*state = memory;
	return 0;
}

static int tear_down(void **state)
{
	for (size_t i = 0; i < 3; i++)
		lm_mapping_detach(mapping_of(*state, i));
	lazymem_memory_unref(*state);
	return 0;
}

static int call_all(struct lazymem_memory *memory, uint64_t address, uint64_t length)
{
	uint64_t bytes = 7;
	const int error = lazymem_memory_sync(memory, AT(address), length);

	assert_int_equal(lazymem_memory_discard(memory, AT(address), length), error);
	assert_int_equal(lazymem_memory_prefetch(memory, AT(address), length), error);
	assert_int_equal(lazymem_memory_resident(memory, AT(address), length, &bytes), error);
	assert_int_equal(bytes, error == 0 ? length / 2 : 7);
	return error;
}

static void range_is_split_between_its_regions(void **state)
{
	assert_int_equal(call_all(*state, 0x2000, 0x2000), 0);
	assert_int_equal(call_count, 8);
	for (size_t i = 0; i < 8; i += 2) {
		assert_ptr_equal(calls[i].mapping, mapping_of(*state, 0));
		assert_int_equal(calls[i].start, 0x1000);
		assert_int_equal(calls[i].length, 0x1000);
		assert_ptr_equal(calls[i + 1].mapping, mapping_of(*state, 1));
		assert_int_equal(calls[i + 1].start, 0);
		assert_int_equal(calls[i + 1].length, 0x1000);
	}
}

static void range_inside_a_region_reaches_that_one_alone(void **state)
{
	assert_int_equal(call_all(*state, 0x8000, 0x1000), 0);
	assert_int_equal(call_count, 4);
	assert_ptr_equal(calls[0].mapping, mapping_of(*state, 2));
}

static void wrong_range_reaches_no_region(void **state)
{
	assert_int_equal(call_all(*state, 0x1000, 0), -EINVAL);
	assert_int_equal(call_all(*state, 0x4000, 0x2000), -EFAULT);
	assert_int_equal(call_all(*state, 0, 0x2000), -EFAULT);
	assert_int_equal(call_all(*state, 0x1000, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(call_all(*state, 0x1001, 0x1000), -EINVAL);
	assert_says("region 0 [0x1000+0x2000]");
	assert_int_equal(call_count, 0);
}

static void end_off_a_page_reaches_no_region_but_for_sync(void **state)
{
	uint64_t bytes = 7;

	assert_int_equal(lazymem_memory_discard(*state, AT(0x2000), 0x1001), -EINVAL);
	assert_says("region 1 [0x3000+0x2000]");
	assert_int_equal(lazymem_memory_prefetch(*state, AT(0x2000), 0x1001), -EINVAL);
	assert_int_equal(lazymem_memory_resident(*state, AT(0x2000), 0x1001, &bytes), -EINVAL);
	assert_int_equal(call_count, 0);
	assert_int_equal(lazymem_memory_sync(*state, AT(0x2000), 0x1001), 0);
	assert_int_equal(call_count, 2);
}

static void first_failure_is_returned_with_its_region(void **state)
{
	failing = mapping_of(*state, 0);
	assert_int_equal(lazymem_memory_sync(*state, AT(0x1000), 0x4000), -EIO);
	assert_says("region 0 [0x1000+0x2000]: ");
	assert_int_equal(call_count, 1);
}

static void resident_is_untouched_when_a_later_region_fails(void **state)
{
	uint64_t bytes = 7;

	failing = mapping_of(*state, 1);
	assert_int_equal(lazymem_memory_resident(*state, AT(0x1000), 0x4000, &bytes), -EIO);
	assert_says("region 1 [0x3000+0x2000]: ");
	assert_int_equal(call_count, 2);
	assert_int_equal(bytes, 7);
}

static void discard_clears_plain_memory_across_regions(void **state)
{
	struct lazymem_memory *memory = make_three();
	uint64_t bytes = 7;

	(void)state;
	memset(host_of(mapping_of(memory, 0)), 1, 0x2000);
	memset(host_of(mapping_of(memory, 1)), 1, 0x2000);
	assert_int_equal(lazymem_memory_discard(memory, AT(0x2000), 0x2000), 0);
	assert_int_equal(lazymem_memory_resident(memory, AT(0x1000), 0x4000, &bytes), 0);
	assert_int_equal(bytes, 0x2000);
	assert_int_equal(host_of(mapping_of(memory, 0))[0xfff], 1);
	assert_int_equal(host_of(mapping_of(memory, 0))[0x1000], 0);
	assert_int_equal(host_of(mapping_of(memory, 1))[0xfff], 0);
	assert_int_equal(host_of(mapping_of(memory, 1))[0x1000], 1);
	lazymem_memory_unref(memory);
}

#define recorded(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		recorded(range_is_split_between_its_regions),
		recorded(range_inside_a_region_reaches_that_one_alone),
		recorded(wrong_range_reaches_no_region),
		recorded(end_off_a_page_reaches_no_region_but_for_sync),
		recorded(first_failure_is_returned_with_its_region),
		recorded(resident_is_untouched_when_a_later_region_fails),
		cmocka_unit_test(discard_clears_plain_memory_across_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
