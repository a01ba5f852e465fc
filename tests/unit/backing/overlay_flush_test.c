/* wrap: fdatasync lm_queue_datasync pwrite lm_file_write lm_file_discard */
/* SPDX-License-Identifier: MIT
 *
 * overlay_flush_test.c - what a flush of an overlay costs, what it covers, and what is
 * left of the object when one fails.
 */
#include "backing/file_object.h"
#include "backing/queue.h"

#include "overlay_fixture.h"

static unsigned syncs;
static unsigned failing_sync;  /* this one fails; 0: none does */
static uint64_t failing_write; /* a write at this byte of the file fails; 0: none does */
static struct lm_queue *queue;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
void __real_lm_queue_datasync(struct lm_queue *to, struct lm_operation *operation, int fd);
void __wrap_lm_queue_datasync(struct lm_queue *to, struct lm_operation *operation, int fd);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);

int __wrap_fdatasync(int fd)
{
	if (++syncs != failing_sync)
		return __real_fdatasync(fd);
	errno = EIO;
	return -1;
}

void __wrap_lm_queue_datasync(struct lm_queue *to, struct lm_operation *operation, int fd)
{
	syncs++;
	__real_lm_queue_datasync(to, operation, fd);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	if (failing_write == 0 || (uint64_t)offset != failing_write)
		return __real_pwrite(fd, bytes, size, offset);
	errno = ENOSPC;
	return -1;
}

void __real_lm_file_write(void *object, struct lazymem_write *write);
void __wrap_lm_file_write(void *object, struct lazymem_write *write);

/* A write that is held, when one shall be. */
static bool holds;
static void *held_object;
static struct lazymem_write *held;

void __wrap_lm_file_write(void *object, struct lazymem_write *write)
{
	if (!holds) {
		__real_lm_file_write(object, write);
		return;
	}
	holds = false;
	held_object = object;
	held = write;
}

int __real_lm_file_discard(void *object, uint64_t offset, uint64_t length);
int __wrap_lm_file_discard(void *object, uint64_t offset, uint64_t length);

/* A flush that fails while the file makes a hole, when one shall. */
static bool flush_fails_meanwhile;

int __wrap_lm_file_discard(void *object, uint64_t offset, uint64_t length)
{
	if (flush_fails_meanwhile) {
		flush_fails_meanwhile = false;
		syncs = 0;
		failing_sync = 1;
		assert_int_equal(lazymem_backing_flush(overlay), -EIO);
		failing_sync = 0;
	}
	return __real_lm_file_discard(object, offset, length);
}

static int begin(void **state)
{
	assert_int_equal(set_up(state), 0);
	open_overlay();
	syncs = failing_sync = 0;
	failing_write = 0;
	queue = NULL;
	return 0;
}

static int end(void **state)
{
	lm_queue_destroy(queue);
	return tear_down(state);
}

static void need_queue(void)
{
	if (lm_queue_create(8, &queue) != 0)
		skip();
}

static int flush_that_fails(unsigned sync)
{
	int error;

	syncs = 0;
	failing_sync = sync;
	error = lazymem_backing_flush(overlay);
	failing_sync = 0;
	return error;
}

/* ---- what it costs -------------------------------------------------------- */

static void new_blocks_cost_two_flushes_and_old_ones_one(void **state)
{
	(void)state;
	put(PAGE, PAGE);
	flush();
	assert_int_equal(syncs, 2);
	put(PAGE, PAGE);
	flush();
	assert_int_equal(syncs, 3);
	discard(5 * PAGE, PAGE);
	flush();
	assert_int_equal(syncs, 5);
}

static void last_reference_flushes(void **state)
{
	(void)state;
	put(PAGE, PAGE);
	close_overlay();
	assert_int_equal(syncs, 2);
	open_overlay();
	put(PAGE, PAGE); /* in its place: nothing changes in the map */
	close_overlay();
	assert_int_equal(syncs, 3);
	open_overlay();
	assert_holds();
	close_overlay();
	assert_int_equal(syncs, 3); /* nothing was written */
}

struct outcome {
	unsigned count;
	int error;
};

static void note(struct lazymem_write *write, int error)
{
	struct outcome *outcome = write->context;

	outcome->count++;
	outcome->error = error;
}

static void run_until(const struct outcome *outcome)
{
	while (outcome->count == 0)
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
	assert_int_equal(outcome->count, 1);
}

static void flushes_that_come_meanwhile_share_the_next_round(void **state)
{
	struct outcome outcomes[5] = {{0}};
	struct lazymem_write flushes[5];

	(void)state;
	need_queue();
	put(PAGE, PAGE);
	for (size_t i = 0; i < 5; i++) {
		flushes[i] = (struct lazymem_write){
			.complete = note, .context = &outcomes[i], .queue = queue};
		lazymem_backing_submit_flush(overlay, &flushes[i]);
	}
	for (size_t i = 0; i < 5; i++) {
		run_until(&outcomes[i]);
		assert_int_equal(outcomes[i].error, 0);
	}
	assert_int_equal(syncs, 3);
}

/* ---- what it covers ------------------------------------------------------- */

/* Its data may not be there when the map is. */
static void write_that_comes_meanwhile_is_not_in_the_map(void **state)
{
	struct outcome outcome = {0};
	struct lazymem_write under_way = {.complete = note, .context = &outcome};

	(void)state;
	need_queue();
	under_way.queue = queue;
	put(PAGE, PAGE);
	lazymem_backing_submit_flush(overlay, &under_way);
	memcpy(buffer, expected, sizeof(buffer));
	put(3 * PAGE, PAGE);
	run_until(&outcome);
	assert_int_equal(outcome.error, 0);
	memcpy(expected, buffer, sizeof(expected));
	crash();
	assert_holds();
}

static void next_flush_covers_what_came_meanwhile(void **state)
{
	struct outcome outcome = {0};
	struct lazymem_write under_way = {.complete = note, .context = &outcome};

	(void)state;
	need_queue();
	under_way.queue = queue;
	put(PAGE, PAGE);
	lazymem_backing_submit_flush(overlay, &under_way);
	put(3 * PAGE, PAGE);
	run_until(&outcome);
	flush();
	crash();
	assert_holds();
}

/* ---- failures ------------------------------------------------------------- */

static void new_blocks_are_as_before_after_a_flush_that_failed(void **state)
{
	struct lazymem_identity identity;

	(void)state;
	memcpy(buffer, expected, sizeof(buffer));
	put(PAGE, 3 * PAGE);
	put(20 * PAGE + 7, 3);
	discard(9 * PAGE, PAGE);
	assert_int_equal(flush_that_fails(1), -EIO);
	memcpy(expected, buffer, sizeof(expected));
	assert_holds();
	assert_int_equal(lazymem_backing_identity(overlay, &identity), 0);
	flush();
	crash();
	assert_holds();
	put(PAGE, PAGE);
	flush();
	crash();
	assert_holds();
}

/* It may say what is not so any more. */
static void map_of_a_flush_that_failed_is_mended_by_the_next(void **state)
{
	(void)state;
	memcpy(buffer, expected, sizeof(buffer));
	put(PAGE, PAGE);
	assert_int_equal(flush_that_fails(2), -EIO);
	memcpy(expected, buffer, sizeof(expected));
	assert_holds();
	flush();
	crash();
	assert_holds();
}

static void map_that_cannot_be_written_fails_the_flush(void **state)
{
	(void)state;
	memcpy(buffer, expected, sizeof(buffer));
	put(PAGE, PAGE);
	failing_write = 4096;
	assert_int_equal(lazymem_backing_flush(overlay), -ENOSPC);
	failing_write = 0;
	memcpy(expected, buffer, sizeof(expected));
	assert_holds();
	put(2 * PAGE, PAGE);
	flush();
	crash();
	assert_holds();
}

static void old_blocks_stay_written_after_a_flush_that_failed(void **state)
{
	(void)state;
	put(PAGE, PAGE);
	flush();
	put(PAGE + 5, 100);
	assert_int_equal(flush_that_fails(1), -EIO);
	assert_holds();
}

/* No later flush would tell that it was lost. */
static void write_fails_when_a_flush_fails_meanwhile(void **state)
{
	struct outcome outcome = {0};
	struct lazymem_write write = {.offset = 2 * PAGE,
				      .length = PAGE,
				      .buffer = buffer,
				      .complete = note,
				      .context = &outcome};

	(void)state;
	holds = true;
	lazymem_backing_submit_write(overlay, &write);
	assert_int_equal(flush_that_fails(1), -EIO);
	assert_int_equal(outcome.count, 0);
	__real_lm_file_write(held_object, held);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.error, -EIO);
	assert_holds();
}

/* It returns after the flush, so the next one covers it. */
static void discard_outlives_a_flush_that_fails_meanwhile(void **state)
{
	(void)state;
	flush_fails_meanwhile = true;
	discard(4 * PAGE, 2 * PAGE);
	assert_false(flush_fails_meanwhile);
	assert_holds();
	flush();
	crash();
	assert_holds();
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(new_blocks_cost_two_flushes_and_old_ones_one),
		CASE(last_reference_flushes),
		CASE(flushes_that_come_meanwhile_share_the_next_round),
		CASE(write_that_comes_meanwhile_is_not_in_the_map),
		CASE(next_flush_covers_what_came_meanwhile),
		CASE(new_blocks_are_as_before_after_a_flush_that_failed),
		CASE(map_of_a_flush_that_failed_is_mended_by_the_next),
		CASE(map_that_cannot_be_written_fails_the_flush),
		CASE(old_blocks_stay_written_after_a_flush_that_failed),
		CASE(write_fails_when_a_flush_fails_meanwhile),
		CASE(discard_outlives_a_flush_that_fails_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
