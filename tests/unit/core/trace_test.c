/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <lazymem/trace.h>

static int set_up(void **state)
{
	struct lazymem_trace *trace = NULL;
	const int error = lazymem_trace_create(PAGE, &trace);

	*state = trace;
	return error;
}

static int tear_down(void **state)
{
	lazymem_trace_destroy(*state);
	return 0;
}

static int append(struct lazymem_trace *trace, uint64_t start, uint64_t length)
{
	const struct lazymem_guest_range range = {AT(start), length};

	return lazymem_trace_append(trace, range);
}

static void page_size_is_a_power_of_two_from_4_kib_to_1_gib(void **state)
{
	static const size_t wrong[] = {0, 1, 2048, 6144, (size_t)1 << 31};
	static const size_t right[] = {4096, 65536, (size_t)1 << 30};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct lazymem_trace *trace = NULL;

		assert_int_equal(lazymem_trace_create(wrong[i], &trace), -EINVAL);
		assert_null(trace);
	}
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		struct lazymem_trace *trace = NULL;

		assert_int_equal(lazymem_trace_create(right[i], &trace), 0);
		assert_int_equal(lazymem_trace_page_size(trace), right[i]);
		lazymem_trace_destroy(trace);
	}
	lazymem_trace_destroy(NULL);
}

static void new_trace_is_empty(void **state)
{
	assert_int_equal(lazymem_trace_count(*state), 0);
	assert_int_equal(lazymem_trace_length(*state), 0);
}

static void ranges_keep_their_order(void **state)
{
	assert_int_equal(append(*state, 0x5000, 0x1000), 0);
	assert_int_equal(append(*state, 0x1000, 0x2000), 0);
	assert_int_equal(lazymem_trace_count(*state), 2);
	assert_int_equal(lazymem_trace_range(*state, 0).start.value, 0x5000);
	assert_int_equal(lazymem_trace_range(*state, 1).start.value, 0x1000);
	assert_int_equal(lazymem_trace_range(*state, 1).length, 0x2000);
	assert_int_equal(lazymem_trace_length(*state), 0x3000);
}

static void range_that_follows_is_joined(void **state)
{
	assert_int_equal(append(*state, 0x1000, 0x1000), 0);
	assert_int_equal(append(*state, 0x2000, 0x1000), 0);
	assert_int_equal(lazymem_trace_count(*state), 1);
	assert_int_equal(lazymem_trace_range(*state, 0).length, 0x2000);
	assert_int_equal(lazymem_trace_length(*state), 0x2000);
}

static void range_before_the_last_one_is_not_joined(void **state)
{
	assert_int_equal(append(*state, 0x2000, 0x1000), 0);
	assert_int_equal(append(*state, 0x1000, 0x1000), 0);
	assert_int_equal(append(*state, 0x3000, 0x1000), 0);
	assert_int_equal(lazymem_trace_count(*state), 3);
}

static void range_up_to_the_end_of_the_address_space_is_followed_by_none(void **state)
{
	assert_int_equal(append(*state, UINT64_MAX - 0xfff, 0x1000), 0);
	assert_int_equal(append(*state, 0, 0x1000), 0);
	assert_int_equal(lazymem_trace_count(*state), 2);
}

static void many_ranges_find_room(void **state)
{
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(append(*state, (1000 - i) * 0x2000, 0x1000), 0);
	assert_int_equal(lazymem_trace_count(*state), 1000);
	assert_int_equal(lazymem_trace_range(*state, 999).start.value, 0x2000);
	assert_int_equal(lazymem_trace_length(*state), 1000 * 0x1000);
}

static void ranges_off_a_page_or_empty_are_refused(void **state)
{
	assert_int_equal(append(*state, 0x1001, 0x1000), -EINVAL);
	assert_says("[0x1001+0x1000]");
	assert_int_equal(append(*state, 0x1000, 0x1001), -EINVAL);
	assert_int_equal(append(*state, 0x1000, 0), -EINVAL);
	assert_int_equal(lazymem_trace_count(*state), 0);
}

static void range_that_wraps_is_refused(void **state)
{
	assert_int_equal(append(*state, UINT64_MAX - 0xfff, 0x2000), -EOVERFLOW);
	assert_says("[0xfffffffffffff000+0x2000]");
	assert_int_equal(lazymem_trace_count(*state), 0);
}

static void length_above_64_bits_is_refused(void **state)
{
	assert_int_equal(append(*state, 0, (uint64_t)1 << 63), 0);
	assert_int_equal(append(*state, (uint64_t)1 << 63, (uint64_t)1 << 63), -EOVERFLOW);
	assert_int_equal(append(*state, 0, (uint64_t)1 << 63), -EOVERFLOW);
	assert_int_equal(lazymem_trace_count(*state), 1);
	assert_true(lazymem_trace_length(*state) == (uint64_t)1 << 63);
}

static void trace_is_bound_until_it_is_bound_to_zeros(void **state)
{
	const struct lazymem_identity image = {{1, 2, 3, [31] = 4}}, none = {{0}};
	struct lazymem_identity bound = lazymem_trace_identity(*state);

	assert_memory_equal(&bound, &none, sizeof(none));
	lazymem_trace_bind(*state, &image);
	bound = lazymem_trace_identity(*state);
	assert_memory_equal(&bound, &image, sizeof(image));
	lazymem_trace_bind(*state, &none);
	bound = lazymem_trace_identity(*state);
	assert_memory_equal(&bound, &none, sizeof(none));
}

#define on_a_trace(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_size_is_a_power_of_two_from_4_kib_to_1_gib),
		on_a_trace(new_trace_is_empty),
		on_a_trace(ranges_keep_their_order),
		on_a_trace(range_that_follows_is_joined),
		on_a_trace(range_before_the_last_one_is_not_joined),
		on_a_trace(range_up_to_the_end_of_the_address_space_is_followed_by_none),
		on_a_trace(many_ranges_find_room),
		on_a_trace(ranges_off_a_page_or_empty_are_refused),
		on_a_trace(range_that_wraps_is_refused),
		on_a_trace(length_above_64_bits_is_refused),
		on_a_trace(trace_is_bound_until_it_is_bound_to_zeros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
