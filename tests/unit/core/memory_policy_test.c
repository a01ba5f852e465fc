/* wrap: syscall */
/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>

/* What mbind was asked; it never reaches the kernel. */
struct request {
	void *host;
	unsigned long length, mode, told, flags;
	const unsigned long *nodes;
};

static struct request requests[3];
static size_t request_count;
static size_t refused_from = SIZE_MAX;

long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	va_list arguments;
	struct request request;

	assert_int_equal(number, SYS_mbind);
	va_start(arguments, number);
	request.host = va_arg(arguments, void *);
	request.length = va_arg(arguments, unsigned long);
	request.mode = (unsigned long)va_arg(arguments, int);
	request.nodes = va_arg(arguments, const unsigned long *);
	request.told = va_arg(arguments, unsigned long);
	request.flags = (unsigned long)va_arg(arguments, int);
	va_end(arguments);
	requests[request_count++] = request;
	if (request_count <= refused_from)
		return 0;
	errno = request_count == refused_from + 1 ? EINVAL : EPERM;
	return -1;
}

static int set_up(void **state)
{
	*state = make_three();
	request_count = 0;
	refused_from = SIZE_MAX;
	return 0;
}

static int tear_down(void **state)
{
	lazymem_memory_unref(*state);
	return 0;
}

static void every_region_is_asked_for_the_policy(void **state)
{
	const unsigned long nodes = 5;
	int results[3] = {7, 7, 7};

	assert_int_equal(lazymem_memory_set_policy(*state, MPOL_BIND, &nodes, 3, results), 0);
	assert_int_equal(request_count, 3);
	for (size_t i = 0; i < 3; i++) {
		struct lazymem_region *region = lazymem_memory_region(*state, i);

		assert_ptr_equal(requests[i].host, host_of(lazymem_region_mapping(region)));
		assert_int_equal(requests[i].length, lazymem_region_length(region));
		assert_int_equal(requests[i].mode, MPOL_BIND);
		assert_ptr_equal(requests[i].nodes, &nodes);
		assert_int_equal(requests[i].flags, 0);
		assert_int_equal(results[i], 0);
	}
}

static void kernel_is_told_one_bit_more_than_it_reads(void **state)
{
	const unsigned long nodes = 5;

	assert_int_equal(lazymem_memory_set_policy(*state, MPOL_BIND, &nodes, 3, NULL), 0);
	assert_int_equal(requests[0].told, 4);
}

static void absurd_count_of_bits_does_not_wrap(void **state)
{
	const unsigned long nodes = 5;

	assert_int_equal(lazymem_memory_set_policy(*state, MPOL_BIND, &nodes, ~0ul, NULL), 0);
	assert_true(requests[0].told == ~0ul);
}

static void every_region_is_tried_and_the_first_failure_returned(void **state)
{
	int results[3] = {7, 7, 7};

	refused_from = 1;
	assert_int_equal(lazymem_memory_set_policy(*state, MPOL_DEFAULT, NULL, 0, results),
			 -EINVAL);
	assert_says("region 1 [0x3000+0x2000]: mbind");
	assert_int_equal(results[0], 0);
	assert_int_equal(results[1], -EINVAL);
	assert_int_equal(results[2], -EPERM);
}

#define wrapped(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wrapped(every_region_is_asked_for_the_policy),
		wrapped(kernel_is_told_one_bit_more_than_it_reads),
		wrapped(absurd_count_of_bits_does_not_wrap),
		wrapped(every_region_is_tried_and_the_first_failure_returned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
