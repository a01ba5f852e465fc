/* SPDX-License-Identifier: MIT */
#include "parent_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* In an empty directory with: a/, a/b/, ab/, link -> a/b */
static char work[] = "/tmp/parent-path.XXXXXX";

static int enter(void **state)
{
	(void)state;
	return mkdtemp(work) == NULL || chdir(work) != 0 || mkdir("a", 0755) != 0 ||
	       mkdir("a/b", 0755) != 0 || mkdir("ab", 0755) != 0 || symlink("a/b", "link") != 0;
}

static int leave(void **state)
{
	(void)state;
	return unlink("link") != 0 || rmdir("ab") != 0 || rmdir("a/b") != 0 || rmdir("a") != 0 ||
	       chdir("/") != 0 || rmdir(work) != 0;
}

static void assert_path(const char *output, const char *parent, const char *expected)
{
	char *path = parent_path_from(output, parent);

	assert_non_null(path);
	assert_string_equal(path, expected);
	free(path);
}

static void test_in_the_same_directory(void **state)
{
	(void)state;
	assert_path("new", "base", "base");
	assert_path("a/new", "a/base", "base");
	assert_path("a/../new", "./base", "base");
}

static void test_up_and_down(void **state)
{
	(void)state;
	assert_path("new", "a/b/base", "a/b/base");
	assert_path("a/b/new", "base", "../../base");
	assert_path("ab/new", "a/base", "../a/base");
	assert_path("a/new", "ab/base", "../ab/base");
	assert_path("a/b/new", "a/base", "../base");
}

static void test_a_link_to_a_directory_is_followed(void **state)
{
	(void)state;
	assert_path("link/new", "a/base", "../base");
	assert_path("a/new", "link/base", "b/base");
}

static void test_from_and_to_the_root(void **state)
{
	char expected[256];

	(void)state;
	assert_path("/new", "/base", "/base");
	snprintf(expected, sizeof(expected), "%s/base", work + 1);
	assert_path("/new", "base", expected);
}

static void test_an_absolute_name_stays(void **state)
{
	char absolute[256];

	(void)state;
	snprintf(absolute, sizeof(absolute), "%s/a/base", work);
	assert_path("a/new", absolute, absolute);
}

static void test_a_directory_that_is_not_there(void **state)
{
	(void)state;
	assert_null(parent_path_from("nosuch/new", "base"));
	assert_null(parent_path_from("new", "nosuch/base"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_the_same_directory),
		cmocka_unit_test(test_up_and_down),
		cmocka_unit_test(test_a_link_to_a_directory_is_followed),
		cmocka_unit_test(test_from_and_to_the_root),
		cmocka_unit_test(test_an_absolute_name_stays),
		cmocka_unit_test(test_a_directory_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
