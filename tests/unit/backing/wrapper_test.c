/* wrap: malloc calloc */
/* SPDX-License-Identifier: MIT
 *
 * wrapper_test.c - the common part of the wrappers: ranges, counts, children,
 * and what happens without memory.
 */
#include "inject_fixture.h"

#include "backing/wrapper.h"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool no_memory;
static unsigned allocations;

void *__wrap_malloc(size_t size)
{
	allocations++;
	return no_memory ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
}

static bool hits(uint64_t start, uint64_t length, uint64_t offset, size_t read_length)
{
	const struct lm_wrapper wrapper = {.range = {.start = start, .length = length}};
	const struct lazymem_read read = {.offset = offset, .length = read_length};

	return lm_wrapper_hits(&wrapper, &read);
}

static void a_read_hits_when_it_overlaps(void **state)
{
	(void)state;
	assert_false(hits(10, 5, 0, 10));
	assert_true(hits(10, 5, 0, 11));
	assert_true(hits(10, 5, 10, 1));
	assert_true(hits(10, 5, 14, 1));
	assert_false(hits(10, 5, 15, 1));
	assert_true(hits(10, 5, 0, 100));
	assert_true(hits(0, 0, 15, 1));
	assert_true(hits(77, 0, 15, 1));
	assert_true(hits(10, UINT64_MAX, UINT64_MAX - 1, 1));
	assert_true(hits(UINT64_MAX - 1, 1, 0, SIZE_MAX));
	assert_false(hits(UINT64_MAX - 1, 5, 0, 100));
}

static void a_count_runs_out_unless_it_is_endless(void **state)
{
	_Atomic uint64_t count = 2, endless = UINT64_MAX;

	(void)state;
	assert_true(lm_wrapper_take(&count));
	assert_true(lm_wrapper_take(&count));
	assert_false(lm_wrapper_take(&count));
	assert_false(lm_wrapper_take(&count));
	assert_true(lm_wrapper_take(&endless));
	assert_int_equal(endless, UINT64_MAX);
}

static void nothing_is_wrapped_without_memory(void **state)
{
	struct lazymem_backing *wrapped = NULL;
	int fail, shorten;

	(void)state;
	no_memory = true;
	fail = lazymem_inject_fail(inner, everything, -EIO, 1, &wrapped);
	shorten = lazymem_inject_shorten(inner, everything, 1, &wrapped);
	no_memory = false;
	assert_int_equal(fail, -ENOMEM);
	assert_int_equal(shorten, -ENOMEM);
	assert_null(wrapped);
}

static void a_read_fails_without_memory(void **state)
{
	struct lazymem_backing *wrapped;
	int error;

	(void)state;
	assert_int_equal(lazymem_inject_shorten(inner, everything, 0, &wrapped), 0);
	no_memory = true;
	error = lazymem_backing_read(wrapped, 0, buffer, 1);
	no_memory = false;
	assert_int_equal(error, -ENOMEM);
	assert_reads(wrapped, 0, 1);
	lazymem_backing_unref(wrapped);
}

static void children_are_used_again(void **state)
{
	struct lazymem_backing *wrapped;

	(void)state;
	assert_int_equal(lazymem_inject_shorten(inner, everything, 0, &wrapped), 0);
	assert_reads(wrapped, 0, 1);
	allocations = 0;
	for (int i = 0; i < 100; i++)
		assert_reads(wrapped, 0, 1);
	assert_int_equal(allocations, 0);
	lazymem_backing_unref(wrapped);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_read_hits_when_it_overlaps),
		cmocka_unit_test(a_count_runs_out_unless_it_is_endless),
		TEST(nothing_is_wrapped_without_memory),
		TEST(a_read_fails_without_memory),
		TEST(children_are_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
