/* SPDX-License-Identifier: MIT
 *
 * The hostile memfds are sound ones with a few bytes changed. Their layout is in
 * the design note of settings.c: what is at which offset is repeated here on
 * purpose, so that a layout that changes by accident is noticed.
 */
#include "settings.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)
#define SETTINGS ((off_t)4096)
#define STORED_SIZE (SETTINGS + 8)
#define STORED_LENGTH (SETTINGS + 16)
#define STORED_COUNT (SETTINGS + 24)
#define STORED_PREFETCH (SETTINGS + 28)
#define STORED_COMPLETE (SETTINGS + 32)
#define STORED_ZERO (SETTINGS + 36)
#define MEMORIES (SETTINGS + 40)
#define MEMORY_BYTES 32
#define MEMORY_LENGTH 16
#define MEMORY_PAGE 24
#define STRINGS (MEMORIES + 2 * MEMORY_BYTES)

static struct run_memory memories[] = {
	{"/dev/shm/a", "/images/base,/images/diff", 5, 77, 3 * GIB / 2, 4096},
	{"/dev/hugepages/b", "/images/snapshot", 6, UINT64_MAX, 4 << 20, 2 << 20},
};

static const struct run_settings sound = {.memories = memories,
					  .memory_count = 2,
					  .record = "/traces/record",
					  .replay = "/traces/replay",
					  .prefetch = RUN_PREFETCH_ALL,
					  .complete = true};

static int store(const struct run_settings *settings)
{
	int fd = -1;

	assert_int_equal(run_settings_store(settings, &fd), 0);
	return fd;
}

/* Its bytes in another memfd, which is as long as `length` says, and sealed with
 * `seals`. Closes fd. */
static int copy(int fd, off_t length, unsigned seals)
{
	const int copied = memfd_create("copy", MFD_ALLOW_SEALING);
	struct stat status;
	char *bytes;

	assert_true(copied >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	bytes = malloc((size_t)status.st_size);
	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, (size_t)status.st_size, 0), status.st_size);
	assert_int_equal(pwrite(copied, bytes, (size_t)status.st_size, 0), status.st_size);
	free(bytes);
	close(fd);
	assert_int_equal(ftruncate(copied, length >= 0 ? length : status.st_size + length), 0);
	assert_int_equal(fcntl(copied, F_ADD_SEALS, seals), 0);
	return copied;
}

/* Closes fd. Nothing is given back. */
static void assert_refused(int fd)
{
	struct run_settings settings = {.memory_count = 99};
	struct run_board *board = NULL;

	assert_int_equal(run_settings_load(fd, &settings, &board), -1);
	assert_null(board);
	assert_int_equal(settings.memory_count, 99);
	close(fd);
}

static void assert_refused_with(off_t offset, const void *bytes, size_t length)
{
	const int fd = store(&sound);

	assert_int_equal(pwrite(fd, bytes, length, offset), length);
	assert_refused(fd);
}

static void assert_refused_with_32(off_t offset, uint32_t value)
{
	assert_refused_with(offset, &value, sizeof(value));
}

static void assert_refused_with_64(off_t offset, uint64_t value)
{
	assert_refused_with(offset, &value, sizeof(value));
}

/* ---- round trip ------------------------------------------------------------------- */

static void test_what_is_stored_is_loaded(void **state)
{
	struct run_settings settings;
	struct run_board *board;
	const int fd = store(&sound);

	(void)state;
	assert_int_equal(run_settings_load(fd, &settings, &board), 0);
	close(fd);
	assert_int_equal(settings.memory_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(settings.memories[i].path, memories[i].path);
		assert_string_equal(settings.memories[i].image, memories[i].image);
		assert_int_equal(settings.memories[i].device, memories[i].device);
		assert_true(settings.memories[i].inode == memories[i].inode);
		assert_int_equal(settings.memories[i].length, memories[i].length);
		assert_int_equal(settings.memories[i].page_size, memories[i].page_size);
	}
	assert_string_equal(settings.record, "/traces/record");
	assert_string_equal(settings.replay, "/traces/replay");
	assert_int_equal(settings.prefetch, RUN_PREFETCH_ALL);
	assert_true(settings.complete);
}

static void test_what_is_not_set_is_null(void **state)
{
	const struct run_settings plain = {.memories = memories, .memory_count = 1};
	struct run_settings settings;
	struct run_board *board;
	const int fd = store(&plain);

	(void)state;
	assert_int_equal(run_settings_load(fd, &settings, &board), 0);
	close(fd);
	assert_int_equal(settings.memory_count, 1);
	assert_null(settings.record);
	assert_null(settings.replay);
	assert_int_equal(settings.prefetch, RUN_PREFETCH_NONE);
	assert_false(settings.complete);
}

static void test_the_descriptor_is_inherited_and_out_of_the_way(void **state)
{
	const int fd = store(&sound);

	(void)state;
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	assert_true(fd >= 100);
	close(fd);
}

static void test_the_length_cannot_change(void **state)
{
	const int fd = store(&sound);

	(void)state;
	assert_int_not_equal(ftruncate(fd, 0), 0);
	assert_int_not_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
}

static void test_too_many_memories_are_not_stored(void **state)
{
	struct run_memory many[65];
	const struct run_settings settings = {.memories = many, .memory_count = 65};
	int fd = -1;

	(void)state;
	for (size_t i = 0; i < 65; i++)
		many[i] = memories[0];
	assert_int_equal(run_settings_store(&settings, &fd), -1);
	assert_int_equal(fd, -1);
}

static void test_memories_begin_at_whole_gibibytes(void **state)
{
	(void)state;
	assert_int_equal(run_memory_base(&sound, 0), 0);
	assert_int_equal(run_memory_base(&sound, 1), 2 * GIB);
	assert_int_equal(run_memory_base(&sound, 2), 3 * GIB);
}

/* ---- refused ---------------------------------------------------------------------- */

static void test_a_descriptor_that_is_none_is_refused(void **state)
{
	int ends[2];

	(void)state;
	assert_refused(-1);
	assert_int_equal(pipe(ends), 0);
	close(ends[1]);
	assert_refused(ends[0]);
	assert_refused(open("/dev/null", O_RDWR));
}

static void test_a_memfd_that_can_be_cut_off_is_refused(void **state)
{
	(void)state;
	assert_refused(copy(store(&sound), 1 << 16, 0));
	assert_refused(copy(store(&sound), 1 << 16, F_SEAL_GROW));
}

static void test_every_other_length_is_refused(void **state)
{
	const unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW;

	(void)state;
	for (off_t length = 0; length <= STRINGS; length += 8)
		assert_refused(copy(store(&sound), length, seals));
	assert_refused(copy(store(&sound), -1, seals));
	assert_refused(copy(store(&sound), -20, seals));
	assert_refused(copy(store(&sound), 1 << 16, seals));
	assert_refused(copy(store(&sound), 1 << 24, seals));
}

static void test_a_header_that_is_not_ours_is_refused(void **state)
{
	(void)state;
	assert_refused_with(SETTINGS, "LZMRUN0", 8);
	assert_refused_with_64(STORED_SIZE, sizeof(struct run_board) + 8);
	assert_refused_with_64(STORED_LENGTH, 0);
	assert_refused_with_64(STORED_LENGTH, UINT64_MAX);
	assert_refused_with_32(STORED_COUNT, 0);
	assert_refused_with_32(STORED_COUNT, 1);
	assert_refused_with_32(STORED_COUNT, 3);
	assert_refused_with_32(STORED_COUNT, 64);
	assert_refused_with_32(STORED_COUNT, UINT32_MAX);
	assert_refused_with_32(STORED_PREFETCH, RUN_PREFETCH_ALL + 1);
	assert_refused_with_32(STORED_COMPLETE, 2);
	assert_refused_with_32(STORED_ZERO, 1);
}

static void test_memories_that_cannot_be_are_refused(void **state)
{
	const off_t second = MEMORIES + MEMORY_BYTES;

	(void)state;
	assert_refused_with_64(MEMORIES + MEMORY_LENGTH, 0);
	assert_refused_with_64(MEMORIES + MEMORY_LENGTH, 4097);
	assert_refused_with_64(MEMORIES + MEMORY_LENGTH, UINT64_MAX - 4095);
	assert_refused_with_64(second + MEMORY_LENGTH, 4096);
	assert_refused_with_64(second + MEMORY_PAGE, 0);
	assert_refused_with_64(second + MEMORY_PAGE, 2048);
	assert_refused_with_64(second + MEMORY_PAGE, 12288);
	assert_refused_with_64(second + MEMORY_PAGE, UINT64_C(1) << 63);
}

static void test_strings_that_are_not_sound_are_refused(void **state)
{
	const int fd = store(&sound);
	struct stat status;

	(void)state;
	assert_int_equal(fstat(fd, &status), 0);
	close(fd);
	assert_refused_with(status.st_size - 1, "x", 1); /* no end */
	assert_refused_with(STRINGS, "x", 1);            /* no absolute path */
	assert_refused_with(STRINGS, "", 1);             /* none at all */
	assert_refused_with(STRINGS + 5, "", 1);         /* one string more */
	/* one string less: "/dev/shm/a" NUL "/images" */
	assert_refused_with(STRINGS + 10, "x", 1);
	/* "/traces/replay" NUL is the last one */
	assert_refused_with(status.st_size - 15, "x", 1);
}

/* ---- board ------------------------------------------------------------------------- */

static void test_the_board_is_shared_and_begins_empty(void **state)
{
	struct run_settings settings;
	struct run_board *one, *other, copied;
	const int fd = store(&sound);

	(void)state;
	assert_int_equal(run_settings_load(fd, &settings, &one), 0);
	assert_int_equal(run_settings_load(fd, &settings, &other), 0);
	close(fd);
	run_board_read(one, &copied);
	assert_int_equal(atomic_load(&copied.owner), 0);
	assert_int_equal(atomic_load(&copied.phase), RUN_WAITING);
	assert_int_equal(copied.statistics.faults, 0);

	atomic_store(&one->owner, 1234);
	atomic_store(&one->phase, RUN_SERVING);
	one->first_ns = 11;
	one->statistics.faults = 22;
	one->statistics.latency[LAZYMEM_HISTOGRAM_BUCKETS - 1] = 33;
	atomic_store(&one->turn, 2);
	run_board_read(other, &copied);
	assert_int_equal(atomic_load(&copied.turn), 2);
	assert_int_equal(atomic_load(&copied.owner), 1234);
	assert_int_equal(atomic_load(&copied.phase), RUN_SERVING);
	assert_int_equal(copied.first_ns, 11);
	assert_int_equal(copied.statistics.faults, 22);
	assert_int_equal(copied.statistics.latency[LAZYMEM_HISTOGRAM_BUCKETS - 1], 33);
}

#define ROUNDS 20000u

/* The owner of a board that keeps two of its words equal, but not while it writes. */
static void write_rounds(struct run_board *board)
{
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		atomic_fetch_add(&board->turn, 1);
		__atomic_store_n(&board->start_ns, round, __ATOMIC_RELAXED);
		__atomic_store_n(&board->statistics.latency[319], round, __ATOMIC_RELEASE);
		atomic_fetch_add(&board->turn, 1);
	}
	_exit(0);
}

static void test_a_copy_is_of_one_moment(void **state)
{
	struct run_settings settings;
	struct run_board *board, copied = {.start_ns = 0};
	const int fd = store(&sound);
	pid_t writer;

	(void)state;
	assert_int_equal(run_settings_load(fd, &settings, &board), 0);
	close(fd);
	writer = fork();
	assert_true(writer >= 0);
	if (writer == 0)
		write_rounds(board);
	while (copied.start_ns < ROUNDS) {
		run_board_read(board, &copied);
		assert_int_equal(copied.start_ns, copied.statistics.latency[319]);
	}
}

static void test_a_writer_that_died_does_not_hold_up_a_reader(void **state)
{
	struct run_settings settings;
	struct run_board *board, copied;
	const int fd = store(&sound);

	(void)state;
	assert_int_equal(run_settings_load(fd, &settings, &board), 0);
	close(fd);
	board->statistics.faults = 5;
	atomic_store(&board->turn, 3);
	run_board_read(board, &copied);
	assert_int_equal(copied.statistics.faults, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_stored_is_loaded),
		cmocka_unit_test(test_what_is_not_set_is_null),
		cmocka_unit_test(test_the_descriptor_is_inherited_and_out_of_the_way),
		cmocka_unit_test(test_the_length_cannot_change),
		cmocka_unit_test(test_too_many_memories_are_not_stored),
		cmocka_unit_test(test_memories_begin_at_whole_gibibytes),
		cmocka_unit_test(test_a_descriptor_that_is_none_is_refused),
		cmocka_unit_test(test_a_memfd_that_can_be_cut_off_is_refused),
		cmocka_unit_test(test_every_other_length_is_refused),
		cmocka_unit_test(test_a_header_that_is_not_ours_is_refused),
		cmocka_unit_test(test_memories_that_cannot_be_are_refused),
		cmocka_unit_test(test_strings_that_are_not_sound_are_refused),
		cmocka_unit_test(test_the_board_is_shared_and_begins_empty),
		cmocka_unit_test(test_a_copy_is_of_one_moment),
		cmocka_unit_test(test_a_writer_that_died_does_not_hold_up_a_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
