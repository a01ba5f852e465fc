/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <lazymem/common.h>

static const uint64_t top = UINT64_MAX;

static void add_reaches_the_last_address(void **state)
{
	lazymem_guest_address sum = {0};

	(void)state;
	assert_int_equal(lazymem_guest_address_add(AT(top - 5), 5, &sum), 0);
	assert_true(sum.value == top);
}

static void add_refuses_to_wrap(void **state)
{
	lazymem_guest_address sum = {7};

	(void)state;
	assert_int_equal(lazymem_guest_address_add(AT(top - 4), 5, &sum), -EOVERFLOW);
	assert_says("0xfffffffffffffffb + 0x5");
	assert_int_equal(sum.value, 7);
}

static void subtract_reaches_zero(void **state)
{
	lazymem_guest_address difference = {7};

	(void)state;
	assert_int_equal(lazymem_guest_address_subtract(AT(5), 5, &difference), 0);
	assert_int_equal(difference.value, 0);
}

static void subtract_refuses_to_wrap(void **state)
{
	lazymem_guest_address difference = {7};

	(void)state;
	assert_int_equal(lazymem_guest_address_subtract(AT(5), 6, &difference), -EOVERFLOW);
	assert_says("0x5 - 0x6");
	assert_int_equal(difference.value, 7);
}

static void offset_is_the_distance_from_the_base(void **state)
{
	uint64_t offset = 7;

	(void)state;
	assert_int_equal(lazymem_guest_address_offset(AT(0x3000), AT(0x1000), &offset), 0);
	assert_int_equal(offset, 0x2000);
	assert_int_equal(lazymem_guest_address_offset(AT(0x1000), AT(0x1000), &offset), 0);
	assert_int_equal(offset, 0);
}

static void offset_below_the_base_is_refused(void **state)
{
	uint64_t offset = 7;

	(void)state;
	assert_int_equal(lazymem_guest_address_offset(AT(0xfff), AT(0x1000), &offset), -EOVERFLOW);
	assert_says("0xfff lies below its base 0x1000");
	assert_int_equal(offset, 7);
}

static void align_up_rounds_and_keeps_multiples(void **state)
{
	lazymem_guest_address aligned = {7};

	(void)state;
	assert_int_equal(lazymem_guest_address_align_up(AT(0x1001), 0x1000, &aligned), 0);
	assert_int_equal(aligned.value, 0x2000);
	assert_int_equal(lazymem_guest_address_align_up(AT(0x2000), 0x1000, &aligned), 0);
	assert_int_equal(aligned.value, 0x2000);
	assert_int_equal(lazymem_guest_address_align_up(AT(top), 1, &aligned), 0);
	assert_true(aligned.value == top);
}

static void align_up_refuses_to_wrap(void **state)
{
	lazymem_guest_address aligned = {7};

	(void)state;
	assert_int_equal(lazymem_guest_address_align_up(AT(top), 2, &aligned), -EOVERFLOW);
	assert_int_equal(aligned.value, 7);
}

static void align_down_rounds_and_keeps_multiples(void **state)
{
	lazymem_guest_address aligned = {7};

	(void)state;
	assert_int_equal(lazymem_guest_address_align_down(AT(0x1fff), 0x1000, &aligned), 0);
	assert_int_equal(aligned.value, 0x1000);
	assert_int_equal(lazymem_guest_address_align_down(AT(0x1000), 0x1000, &aligned), 0);
	assert_int_equal(aligned.value, 0x1000);
}

static void alignment_must_be_a_power_of_two(void **state)
{
	static const uint64_t wrong[] = {0, 3, 0x1800, UINT64_MAX};
	lazymem_guest_address aligned = {7};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(lazymem_guest_address_align_up(AT(0), wrong[i], &aligned),
				 -EINVAL);
		assert_int_equal(lazymem_guest_address_align_down(AT(0), wrong[i], &aligned),
				 -EINVAL);
		assert_says("no power of two");
	}
	assert_int_equal(aligned.value, 7);
}

static void mask_keeps_the_bits_asked_for(void **state)
{
	(void)state;
	assert_int_equal(lazymem_guest_address_mask(AT(0x1234), 0xfff).value, 0x234);
}

static void compare_orders_the_whole_range(void **state)
{
	(void)state;
	assert_true(lazymem_guest_address_compare(AT(0), AT(top)) < 0);
	assert_true(lazymem_guest_address_compare(AT(top), AT(0)) > 0);
	assert_int_equal(lazymem_guest_address_compare(AT(top), AT(top)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(add_reaches_the_last_address),
		cmocka_unit_test(add_refuses_to_wrap),
		cmocka_unit_test(subtract_reaches_zero),
		cmocka_unit_test(subtract_refuses_to_wrap),
		cmocka_unit_test(offset_is_the_distance_from_the_base),
		cmocka_unit_test(offset_below_the_base_is_refused),
		cmocka_unit_test(align_up_rounds_and_keeps_multiples),
		cmocka_unit_test(align_up_refuses_to_wrap),
		cmocka_unit_test(align_down_rounds_and_keeps_multiples),
		cmocka_unit_test(alignment_must_be_a_power_of_two),
		cmocka_unit_test(mask_keeps_the_bits_asked_for),
		cmocka_unit_test(compare_orders_the_whole_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
