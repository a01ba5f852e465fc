/* SPDX-License-Identifier: MIT
 *
 * nbd_absent_test.c - what a library without libnbd answers. This build may have
 * it, so the calls have other names here.
 */
#define lazymem_nbd_open absent_open
#define lazymem_nbd_update_extents absent_update_extents
#define lazymem_nbd_give_up absent_give_up
#define lazymem_nbd_get_statistics absent_statistics
#include "backing/nbd_absent.c"

#include <lazymem/zero.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void a_library_without_libnbd_says_so(void **state)
{
	struct lazymem_backing *backing = NULL;

	(void)state;
	assert_int_equal(absent_open("nbd://host/export", NULL, &backing), -EPROTONOSUPPORT);
	assert_non_null(strstr(lazymem_error_message(), "nbd://host/export"));
	assert_non_null(strstr(lazymem_error_message(), "without libnbd"));
	assert_null(backing);
}

static void no_object_is_an_export(void **state)
{
	struct lazymem_nbd_statistics statistics = {.size = sizeof(statistics)};
	struct lazymem_backing *zeros;

	(void)state;
	assert_int_equal(lazymem_zero_create(4096, &zeros), 0);
	assert_int_equal(absent_update_extents(zeros), -EINVAL);
	assert_int_equal(absent_give_up(zeros), -EINVAL);
	assert_int_equal(absent_statistics(zeros, &statistics), -EINVAL);
	lazymem_backing_unref(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_library_without_libnbd_says_so),
		cmocka_unit_test(no_object_is_an_export),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
