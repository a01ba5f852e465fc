/* wrap: ioctl */
/* SPDX-License-Identifier: MIT
 *
 * pagemap_test.c - whether a range has pages.
 */
#include "uffd/pagemap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE ((size_t)4096)
#define LENGTH (PAGE << 14)

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

static bool old_kernel;

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	if (!old_kernel)
		return __real_ioctl(fd, request, argument);
	errno = ENOTTY;
	return -1;
}

static int set_up(void **state)
{
	void *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	old_kernel = false;
	*state = memory;
	return memory == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
	return munmap(*state, LENGTH);
}

static int has_pages(const void *host, size_t length)
{
	const int answer = lm_pagemap_has_pages(host, length);

	if (answer < 0)
		skip(); /* Linux before 6.7, or no /proc */
	return answer;
}

static void memory_that_nobody_touched_has_none(void **state)
{
	assert_int_equal(has_pages(*state, LENGTH), 0);
}

static void a_touched_page_is_found_wherever_it_is(void **state)
{
	static const size_t places[] = {0, LENGTH / 2 + PAGE, LENGTH - PAGE};
	volatile char *memory = *state;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		memory[places[i]] = 1;
		assert_int_equal(has_pages(*state, LENGTH), 1);
		assert_int_equal(madvise(*state, LENGTH, MADV_DONTNEED), 0);
	}
}

static void pages_beside_the_range_do_not_count(void **state)
{
	volatile char *memory = *state;

	memory[0] = 1;
	memory[9 * PAGE] = 1;
	assert_int_equal(has_pages((char *)*state + PAGE, 8 * PAGE), 0);
	assert_int_equal(has_pages((char *)*state + PAGE, 9 * PAGE), 1);
}

static void a_page_that_was_only_read_counts(void **state)
{
	const volatile char *memory = *state;

	assert_int_equal(memory[3 * PAGE], 0);
	assert_int_equal(has_pages(*state, LENGTH), 1);
}

static void an_older_kernel_cannot_tell(void **state)
{
	old_kernel = true;
	assert_int_equal(lm_pagemap_has_pages(*state, LENGTH), -ENOTTY);
}

static void each_page_is_told_by_itself(void **state)
{
	unsigned char there[LENGTH / PAGE];
	volatile char *memory = *state;

	memory[0] = 1;
	memory[5 * PAGE] = 1;
	(void)memory[7 * PAGE]; /* a zero page */
	assert_int_equal(lm_pagemap_there(*state, LENGTH, there), 0);
	for (size_t page = 0; page < LENGTH / PAGE; page++)
		assert_int_equal(there[page], page == 0 || page == 5 || page == 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_that_nobody_touched_has_none),
		TEST(a_touched_page_is_found_wherever_it_is),
		TEST(pages_beside_the_range_do_not_count),
		TEST(a_page_that_was_only_read_counts),
		TEST(an_older_kernel_cannot_tell),
		TEST(each_page_is_told_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
