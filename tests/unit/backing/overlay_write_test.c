/* wrap: pwrite lm_file_write */
/* SPDX-License-Identifier: MIT
 *
 * overlay_write_test.c - writes of an overlay that share a block, that fail, and that
 * meet discards, while the file or the base lets them wait.
 */
#include "backing/file_object.h"

#include "overlay_fixture.h"

#include <lazymem/inject.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static bool write_fails;

/* Writes of the file that are held. */
static bool holds;
static struct {
	void *object;
	struct lazymem_write *write;
} held[8];
static size_t held_count;

ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
void __real_lm_file_write(void *object, struct lazymem_write *write);
void __wrap_lm_file_write(void *object, struct lazymem_write *write);

/* The first half of it is written, then nothing. */
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	if (!write_fails)
		return __real_pwrite(fd, bytes, size, offset);
	if (size > 1)
		return __real_pwrite(fd, bytes, size / 2, offset);
	errno = ENOSPC;
	return -1;
}

void __wrap_lm_file_write(void *object, struct lazymem_write *write)
{
	if (!holds) {
		__real_lm_file_write(object, write);
		return;
	}
	held[held_count].object = object;
	held[held_count++].write = write;
}

static void release(int error)
{
	holds = false;
	for (size_t i = 0; i < held_count; i++) {
		if (error != 0)
			lazymem_write_complete(held[i].write, error);
		else
			__real_lm_file_write(held[i].object, held[i].write);
	}
	held_count = 0;
}

static int begin(void **state)
{
	assert_int_equal(set_up(state), 0);
	open_overlay();
	write_fails = holds = false;
	return 0;
}

struct order {
	struct lazymem_write write;
	unsigned char bytes[3 * PAGE];
	atomic_uint count;
	int error;
};

static void note(struct lazymem_write *write, int error)
{
	struct order *order = write->context;

	order->error = error;
	atomic_fetch_add(&order->count, 1);
}

static void submit(struct order *order, uint64_t offset, size_t length, unsigned char byte)
{
	memset(order->bytes, byte, length);
	order->write = (struct lazymem_write){.offset = offset,
					      .length = length,
					      .buffer = order->bytes,
					      .complete = note,
					      .context = order};
	lazymem_backing_submit_write(overlay, &order->write);
}

/* ---- the file lets them wait ---------------------------------------------- */

static void blocks_are_as_before_until_all_of_the_write_is_there(void **state)
{
	struct order order = {.count = 0};

	(void)state;
	holds = true;
	submit(&order, 4 * PAGE, 2 * PAGE, 3);
	assert_int_equal(order.count, 0);
	assert_holds();
	release(0);
	assert_int_equal(order.count, 1);
	assert_int_equal(order.error, 0);
	memset(expected + 4 * PAGE, 3, 2 * PAGE);
	assert_holds();
}

static void part_of_a_block_waits_for_the_first_write_of_all_of_it(void **state)
{
	struct order whole = {.count = 0}, part = {.count = 0};

	(void)state;
	holds = true;
	submit(&whole, 4 * PAGE, PAGE, 3);
	submit(&part, 4 * PAGE + 10, 20, 4);
	assert_int_equal(held_count, 1);
	release(0);
	assert_int_equal(whole.count, 1);
	assert_int_equal(part.count, 1);
	assert_int_equal(part.error, 0);
	memset(expected + 4 * PAGE, 3, PAGE);
	memset(expected + 4 * PAGE + 10, 4, 20);
	assert_holds();
}

static void who_waited_goes_on_when_the_first_write_fails(void **state)
{
	struct order whole = {.count = 0}, parts[3] = {{.count = 0}};

	(void)state;
	holds = true;
	submit(&whole, 4 * PAGE, PAGE, 3);
	for (size_t i = 0; i < 3; i++)
		submit(&parts[i], 4 * PAGE + 10 + 20 * i, 20, (unsigned char)(4 + i));
	release(-EIO);
	assert_int_equal(whole.error, -EIO);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(parts[i].count, 1);
		assert_int_equal(parts[i].error, 0);
		memset(expected + 4 * PAGE + 10 + 20 * i, (int)(4 + i), 20);
	}
	assert_holds();
}

/* Waiting for it could be for ever: the write may be in a queue of this thread. */
static void part_of_a_block_that_is_being_written_cannot_be_discarded(void **state)
{
	struct order whole = {.count = 0};

	(void)state;
	holds = true;
	submit(&whole, 4 * PAGE, PAGE, 3);
	assert_int_equal(lazymem_backing_discard(overlay, 4 * PAGE + 10, 20), -EBUSY);
	assert_int_equal(lazymem_backing_discard(overlay, 3 * PAGE, PAGE + 1), -EBUSY);
	assert_int_equal(lazymem_backing_discard(overlay, 4 * PAGE, PAGE), 0);
	release(0);
	assert_int_equal(lazymem_backing_discard(overlay, 4 * PAGE + 10, 20), 0);
}

/* ---- failures ------------------------------------------------------------- */

static void first_write_that_fails_leaves_its_blocks_as_they_were(void **state)
{
	(void)state;
	memset(buffer, 9, 4 * PAGE);
	write_fails = true;
	assert_int_equal(lazymem_backing_write(overlay, PAGE, buffer, 4 * PAGE), -ENOSPC);
	assert_int_equal(lazymem_backing_write(overlay, 7 * PAGE + 3, buffer, PAGE), -ENOSPC);
	write_fails = false;
	assert_holds();
	put(2 * PAGE, PAGE);
	assert_holds();
}

static void part_is_not_written_when_the_base_cannot_be_read(void **state)
{
	const struct lazymem_inject_range range = {.start = 3 * PAGE, .length = PAGE};
	struct lazymem_backing *failing;

	(void)state;
	close_overlay();
	assert_int_equal(lazymem_inject_fail(base, range, -EIO, 2, &failing), 0);
	assert_int_equal(open_over(failing, 0), 0);
	memset(buffer, 9, 2 * PAGE);
	assert_int_equal(lazymem_backing_write(overlay, 3 * PAGE + 1, buffer, 5), -EIO);
	assert_int_equal(lazymem_backing_discard(overlay, 2 * PAGE, PAGE + 5), -EIO);
	lazymem_backing_unref(failing);
	assert_holds();
	put(3 * PAGE + 1, 5);
	assert_holds();
}

/* ---- a base that is slow -------------------------------------------------- */

/* A base whose reads wait until they are let go. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_held;
	unsigned waiting;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gated_read(void *object, struct lazymem_read *read)
{
	(void)object;
	pthread_mutex_lock(&gate.lock);
	gate.waiting++;
	pthread_cond_broadcast(&gate.changed);
	while (gate.is_held)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	lazymem_read_complete(read,
			      lazymem_backing_read(base, read->offset, read->buffer, read->length));
}

static int gated_identity(void *object, struct lazymem_identity *ret_identity)
{
	(void)object;
	memset(ret_identity, 3, sizeof(*ret_identity));
	return 0;
}

static void open_over_gate(void)
{
	static const struct lazymem_backing_operations operations = {
		.size = sizeof(operations), .read = gated_read, .identity = gated_identity};
	struct lazymem_backing *gated;

	close_overlay();
	assert_int_equal(unlink(path), 0);
	gate.is_held = true;
	gate.waiting = 0;
	assert_int_equal(lazymem_backing_create(&operations, NULL, LENGTH, "gate", &gated), 0);
	assert_int_equal(open_over(gated, 0), 0);
	lazymem_backing_unref(gated);
}

static void *write_part(void *argument)
{
	submit(argument, 4 * PAGE + 10, 20, 4);
	return NULL;
}

/* A thread lifts a block, and waits for its base. */
static pthread_t begin_lifting(struct order *part)
{
	pthread_t thread;

	open_over_gate();
	assert_int_equal(pthread_create(&thread, NULL, write_part, part), 0);
	pthread_mutex_lock(&gate.lock);
	while (gate.waiting == 0)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	return thread;
}

static void let_go(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.is_held = false;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void write_waits_for_the_block_to_be_lifted(void **state)
{
	struct order part = {.count = 0}, whole = {.count = 0}, beside = {.count = 0};
	pthread_t thread;

	(void)state;
	thread = begin_lifting(&part);
	submit(&beside, 5 * PAGE, PAGE, 6);
	assert_int_equal(beside.count, 1);
	submit(&whole, 3 * PAGE, 2 * PAGE, 5);
	assert_int_equal(whole.count, 0);
	let_go();
	pthread_join(thread, NULL);
	assert_int_equal(part.count, 1);
	assert_int_equal(whole.count, 1);
	assert_int_equal(whole.error, 0);
	memset(expected + 3 * PAGE, 5, 2 * PAGE);
	memset(expected + 5 * PAGE, 6, PAGE);
	/* of the bytes that both wrote, either may be there */
	assert_int_equal(lazymem_backing_read(overlay, 0, buffer, sizeof(buffer)), 0);
	assert_true(buffer[4 * PAGE + 10] == 4 || buffer[4 * PAGE + 10] == 5);
	memset(buffer + 4 * PAGE + 10, 5, 20);
	assert_memory_equal(buffer, expected, sizeof(buffer));
}

static void *discard_block(void *argument)
{
	*(int *)argument = lazymem_backing_discard(overlay, 4 * PAGE, PAGE);
	return NULL;
}

/* It would be the base again. */
static void discard_waits_for_the_block_to_be_lifted(void **state)
{
	const struct timespec while_ago = {.tv_nsec = 20000000};
	struct order part = {.count = 0};
	pthread_t lifting, discarding;
	int error = 1;

	(void)state;
	lifting = begin_lifting(&part);
	assert_int_equal(pthread_create(&discarding, NULL, discard_block, &error), 0);
	nanosleep(&while_ago, NULL); /* let it come so far */
	let_go();
	pthread_join(lifting, NULL);
	pthread_join(discarding, NULL);
	assert_int_equal(error, 0);
	assert_int_equal(part.error, 0);
	assert_int_equal(lazymem_backing_read(overlay, 4 * PAGE, buffer, PAGE), 0);
	for (size_t i = 0; i < PAGE; i++)
		assert_true(buffer[i] == 0 || (i >= 10 && i < 30 && buffer[i] == 4));
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(blocks_are_as_before_until_all_of_the_write_is_there),
		CASE(part_of_a_block_waits_for_the_first_write_of_all_of_it),
		CASE(who_waited_goes_on_when_the_first_write_fails),
		CASE(part_of_a_block_that_is_being_written_cannot_be_discarded),
		CASE(first_write_that_fails_leaves_its_blocks_as_they_were),
		CASE(part_is_not_written_when_the_base_cannot_be_read),
		CASE(write_waits_for_the_block_to_be_lifted),
		CASE(discard_waits_for_the_block_to_be_lifted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
