/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <lazymem/common.h>

static void version_is_that_of_the_header(void **state)
{
	char expected[32];

	(void)state;
	snprintf(expected, sizeof(expected), "%d.%d.%d", LAZYMEM_VERSION_MAJOR,
		 LAZYMEM_VERSION_MINOR, LAZYMEM_VERSION_PATCH);
	assert_string_equal(lazymem_version(), expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_is_that_of_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
