/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct run_memory memories[] = {{.page_size = 4096}, {.page_size = 2 << 20}};
static const struct run_settings one = {.memories = memories, .memory_count = 1};
static const struct run_settings mixed = {.memories = memories, .memory_count = 2};

/* 90 faults of 1 us and 11 of a millisecond; the first after 2 ms; 3 s in all. */
static struct run_board a_run(void)
{
	struct run_board board = {
		.phase = RUN_ENDED,
		.start_ns = 5000000000,
		.first_ns = 5002000000,
		.now_ns = 8000000000,
		.statistics = {.faults = 101,
			       .pages_total = 131072,
			       .pages_populated = 25600,
			       .pages_prefetched = 25000,
			       .bytes_read = 50 << 20},
	};

	board.statistics.latency[63] = 90;  /* [960, 1024) */
	board.statistics.latency[143] = 11; /* [983040, 1048576) */
	return board;
}

/* What is printed, in place of standard error. */
static void assert_prints(const struct run_board *board, const struct run_settings *settings,
			  const char *expected)
{
	const int fd = memfd_create("errors", 0);
	const int before = dup(STDERR_FILENO);
	char text[2048] = "";

	assert_true(fd >= 0 && before >= 0);
	dup2(fd, STDERR_FILENO);
	run_print_summary(board, settings);
	dup2(before, STDERR_FILENO);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	close(fd);
	close(before);
	assert_string_equal(text, expected);
}

static void test_a_run(void **state)
{
	const struct run_board board = a_run();

	(void)state;
	assert_prints(&board, &one,
		      "lazymem run: 101 faults, p50 1.02 \xc2\xb5s, p99 1.05 ms; first after "
		      "2.00 ms\n"
		      "lazymem run: 100 MiB of 512 MiB loaded in 25600 pages (25000 of them "
		      "prefetched), 50.0 MiB read, 3.00 s\n");
}

static void test_pages_of_several_sizes_are_not_turned_into_bytes(void **state)
{
	struct run_board board = a_run();

	(void)state;
	board.statistics.faults = 0;
	assert_prints(&board, &mixed,
		      "lazymem run: 0 faults\n"
		      "lazymem run: loaded 25600 pages (25000 of them prefetched), 50.0 MiB read, "
		      "3.00 s\n");
}

static void test_troubles_are_told(void **state)
{
	struct run_board board = a_run();

	(void)state;
	board.statistics.faults = 0;
	board.statistics.pages_poisoned = 3;
	board.statistics.retries = 15;
	board.not_traced = ESTALE;
	assert_prints(&board, &one,
		      "lazymem run: 0 faults\n"
		      "lazymem run: 100 MiB of 512 MiB loaded in 25600 pages (25000 of them "
		      "prefetched), 50.0 MiB read, 3.00 s\n"
		      "lazymem run: 3 pages could not be read; an access raises SIGBUS\n"
		      "lazymem run: 15 reads and populates were tried again\n"
		      "lazymem run: a trace was not replayed: Stale file handle\n");
}

static void test_a_program_that_maps_nothing(void **state)
{
	const struct run_board board = {.phase = RUN_WAITING};

	(void)state;
	assert_prints(&board, &one, "lazymem run: no memory has been mapped\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_run),
		cmocka_unit_test(test_pages_of_several_sizes_are_not_turned_into_bytes),
		cmocka_unit_test(test_troubles_are_told),
		cmocka_unit_test(test_a_program_that_maps_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
