/* SPDX-License-Identifier: MIT */
#include "core/options.h"

#include "model.h"

struct known {
	size_t size;
	uint64_t first;
};

struct newer {
	size_t size;
	uint64_t first;
	uint64_t second;
};

static void null_gives_zeros(void **state)
{
	struct known known = {1, 2};

	(void)state;
	assert_int_equal(lm_options_copy(NULL, &known, sizeof(known), "options"), 0);
	assert_int_equal(known.size, 0);
	assert_int_equal(known.first, 0);
}

static void same_size_is_copied(void **state)
{
	const struct known options = {sizeof(options), 7};
	struct known known = {0};

	(void)state;
	assert_int_equal(lm_options_copy(&options, &known, sizeof(known), "options"), 0);
	assert_int_equal(known.first, 7);
}

static void shorter_struct_is_filled_up_with_zeros(void **state)
{
	const struct newer options = {sizeof(struct known), 7, 8};
	struct newer known = {0};

	(void)state;
	assert_int_equal(lm_options_copy(&options, &known, sizeof(known), "options"), 0);
	assert_int_equal(known.first, 7);
	assert_int_equal(known.second, 0);
}

static void unknown_tail_of_zeros_is_accepted(void **state)
{
	const struct newer options = {sizeof(options), 7, 0};
	struct known known = {0};

	(void)state;
	assert_int_equal(lm_options_copy(&options, &known, sizeof(known), "options"), 0);
	assert_int_equal(known.first, 7);
}

static void unknown_tail_that_is_set_is_refused_by_name(void **state)
{
	const struct newer options = {sizeof(options), 7, (uint64_t)1 << 63};
	struct known known = {3, 4};

	(void)state;
	assert_int_equal(lm_options_copy(&options, &known, sizeof(known), "struct x"), -E2BIG);
	assert_says("struct x: byte 23 is set");
	assert_int_equal(known.size, 3);
	assert_int_equal(known.first, 4);
}

static void size_below_itself_is_refused(void **state)
{
	const struct known options = {sizeof(size_t) - 1, 7};
	struct known known = {3, 4};

	(void)state;
	assert_int_equal(lm_options_copy(&options, &known, sizeof(known), "struct x"), -EINVAL);
	assert_says("struct x: size 7");
	assert_int_equal(known.first, 4);
}

static void size_of_itself_alone_is_enough(void **state)
{
	const struct known options = {sizeof(size_t), 7};
	struct known known = {3, 4};

	(void)state;
	assert_int_equal(lm_options_copy(&options, &known, sizeof(known), "struct x"), 0);
	assert_int_equal(known.first, 0);
}

static void absurd_size_is_refused_unread(void **state)
{
	const struct known options = {SIZE_MAX, 7};
	struct known known = {3, 4};

	(void)state;
	assert_int_equal(lm_options_copy(&options, &known, sizeof(known), "struct x"), -E2BIG);
	assert_int_equal(known.first, 4);
}

static void return_keeps_the_callers_size(void **state)
{
	const struct known known = {0, 7};
	struct known out = {sizeof(out), 1};

	(void)state;
	assert_int_equal(lm_options_return(&known, sizeof(known), &out, "statistics"), 0);
	assert_int_equal(out.size, sizeof(out));
	assert_int_equal(out.first, 7);
}

static void return_zeroes_what_is_longer(void **state)
{
	const struct known known = {0, 7};
	struct newer out = {sizeof(out), 1, 2};

	(void)state;
	assert_int_equal(lm_options_return(&known, sizeof(known), &out, "statistics"), 0);
	assert_int_equal(out.first, 7);
	assert_int_equal(out.second, 0);
}

static void return_leaves_alone_what_lies_behind_a_shorter_struct(void **state)
{
	const struct newer known = {0, 7, 8};
	struct newer out = {sizeof(struct known), 1, 2};

	(void)state;
	assert_int_equal(lm_options_return(&known, sizeof(known), &out, "statistics"), 0);
	assert_int_equal(out.first, 7);
	assert_int_equal(out.second, 2);
}

static void return_refuses_a_size_below_itself(void **state)
{
	const struct known known = {0, 7};
	struct known out = {0, 1};

	(void)state;
	assert_int_equal(lm_options_return(&known, sizeof(known), &out, "statistics"), -EINVAL);
	assert_int_equal(out.first, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_gives_zeros),
		cmocka_unit_test(same_size_is_copied),
		cmocka_unit_test(shorter_struct_is_filled_up_with_zeros),
		cmocka_unit_test(unknown_tail_of_zeros_is_accepted),
		cmocka_unit_test(unknown_tail_that_is_set_is_refused_by_name),
		cmocka_unit_test(size_below_itself_is_refused),
		cmocka_unit_test(size_of_itself_alone_is_enough),
		cmocka_unit_test(absurd_size_is_refused_unread),
		cmocka_unit_test(return_keeps_the_callers_size),
		cmocka_unit_test(return_zeroes_what_is_longer),
		cmocka_unit_test(return_leaves_alone_what_lies_behind_a_shorter_struct),
		cmocka_unit_test(return_refuses_a_size_below_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
