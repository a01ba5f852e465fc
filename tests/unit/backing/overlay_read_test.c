/* SPDX-License-Identifier: MIT
 *
 * overlay_read_test.c - which reads of the base and of the file a read of an overlay
 * becomes, over a base that notes what it is asked for.
 */
#include "backing/queue.h"

#include "overlay_fixture.h"

#include <lazymem/inject.h>
#include <pthread.h>

static struct {
	bool takes_parts, on_threads;
	unsigned reads, part_reads, hurried, background;
	struct lazymem_read *held; /* when one shall be: that one */
	bool holds;
	unsigned hurries_at; /* the read with this number is held, and its reader comes to wait */
	struct lazymem_read *reader;
	void *queue; /* of the last read */
	unsigned hints;
} source;

static void answer(struct lazymem_read *read)
{
	unsigned char *to = read->buffer;
	int error = 0;

	if (read->parts == NULL) {
		error = lazymem_backing_read(base, read->offset, to, read->length);
	} else {
		for (size_t i = 0; error == 0 && i < read->part_count; i++) {
			error = lazymem_backing_read(base, read->parts[i].offset, to,
						     read->parts[i].length);
			to += read->parts[i].length;
		}
	}
	lazymem_read_complete(read, error);
}

static void *answer_later(void *argument)
{
	answer(argument);
	return NULL;
}

static void source_read(void *object, struct lazymem_read *read)
{
	pthread_t thread;

	(void)object;
	source.reads++;
	source.part_reads += read->parts != NULL;
	source.background += (read->flags & LAZYMEM_READ_BACKGROUND) != 0;
	source.queue = read->queue;
	if (source.holds || source.reads == source.hurries_at) {
		source.holds = false;
		source.held = read;
		if (source.reader != NULL)
			lazymem_backing_hurry(overlay, source.reader);
		return;
	}
	if (!source.on_threads) {
		answer(read);
		return;
	}
	assert_int_equal(pthread_create(&thread, NULL, answer_later, read), 0);
	pthread_detach(thread);
}

static void source_hurry(void *object, struct lazymem_read *read)
{
	(void)object;
	assert_ptr_equal(read, source.held);
	source.hurried++;
}

static int source_identity(void *object, struct lazymem_identity *ret_identity)
{
	(void)object;
	memset(ret_identity, 3, sizeof(*ret_identity));
	return 0;
}

static void source_readahead(void *object, uint64_t offset, uint64_t length)
{
	(void)object;
	assert_true(offset + length <= LENGTH);
	source.hints++;
}

static void open_over_source(bool takes_parts)
{
	struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = source_read,
		.hurry = source_hurry,
		.identity = source_identity,
		.readahead = source_readahead,
	};
	struct lazymem_backing *below;

	memset(&source, 0, sizeof(source));
	source.takes_parts = takes_parts;
	if (takes_parts)
		operations.read_parts = source_read;
	assert_int_equal(lazymem_backing_create(&operations, NULL, LENGTH, "source", &below), 0);
	assert_int_equal(open_over(below, 0), 0);
	lazymem_backing_unref(below);
}

struct outcome {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned count;
	int error;
};

#define OUTCOME                                                                                    \
	{                                                                                          \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0                          \
	}

static void note(struct lazymem_read *read, int error)
{
	struct outcome *outcome = read->context;

	pthread_mutex_lock(&outcome->lock);
	outcome->error = error;
	outcome->count++;
	pthread_cond_signal(&outcome->changed);
	pthread_mutex_unlock(&outcome->lock);
}

static void await(struct outcome *outcome)
{
	pthread_mutex_lock(&outcome->lock);
	while (outcome->count == 0)
		pthread_cond_wait(&outcome->changed, &outcome->lock);
	pthread_mutex_unlock(&outcome->lock);
}

/* ---- plans ---------------------------------------------------------------- */

static void page_of_the_base_is_one_read_of_it(void **state)
{
	(void)state;
	open_over_source(true);
	assert_int_equal(lazymem_backing_read(overlay, 5 * PAGE, buffer, PAGE), 0);
	assert_memory_equal(buffer, expected + 5 * PAGE, PAGE);
	assert_int_equal(source.reads, 1);
	assert_int_equal(source.part_reads, 0);
}

static void written_and_discarded_pages_do_not_ask_the_base(void **state)
{
	(void)state;
	open_over_source(true);
	put(5 * PAGE, PAGE);
	discard(6 * PAGE, PAGE);
	assert_int_equal(lazymem_backing_read(overlay, 5 * PAGE, buffer, 2 * PAGE), 0);
	assert_memory_equal(buffer, expected + 5 * PAGE, 2 * PAGE);
	assert_int_equal(source.reads, 0);
}

static void parts_go_down_together(void **state)
{
	static const struct lazymem_read_part parts[] = {
		{20 * PAGE, PAGE}, {2 * PAGE, 3 * PAGE}, {30 * PAGE + 5, 100}};
	struct outcome outcome = OUTCOME;
	struct lazymem_read read = {.length = 4 * PAGE + 100,
				    .buffer = buffer,
				    .parts = parts,
				    .part_count = 3,
				    .complete = note,
				    .context = &outcome};

	(void)state;
	open_over_source(true);
	assert_true(lazymem_backing_takes_parts(overlay));
	lazymem_backing_submit(overlay, &read);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.error, 0);
	assert_int_equal(source.reads, 1);
	assert_int_equal(source.part_reads, 1);
	assert_memory_equal(buffer, expected + 20 * PAGE, PAGE);
	assert_memory_equal(buffer + PAGE, expected + 2 * PAGE, 3 * PAGE);
	assert_memory_equal(buffer + 4 * PAGE, expected + 30 * PAGE + 5, 100);
}

static void parts_are_taken_where_the_base_takes_them(void **state)
{
	(void)state;
	open_over_source(false);
	assert_false(lazymem_backing_takes_parts(overlay));
	assert_holds();
}

/* More runs than one batch has transfers. */
static void scattered_blocks_are_read_in_batches(void **state)
{
	(void)state;
	for (int on_threads = 0; on_threads < 2; on_threads++) {
		if (on_threads == 0) {
			open_over_source(true);
			for (size_t block = 0; block < BLOCKS; block += 2)
				put(block * PAGE, PAGE);
			discard(5 * PAGE, PAGE);
		}
		source.on_threads = on_threads;
		assert_holds();
	}
}

static void queue_of_a_read_is_handed_on(void **state)
{
	struct outcome outcome = OUTCOME;
	struct lm_queue *queue;
	struct lazymem_read read = {.offset = 3 * PAGE,
				    .length = 3 * PAGE,
				    .buffer = buffer,
				    .complete = note,
				    .context = &outcome};

	(void)state;
	if (lm_queue_create(8, &queue) != 0)
		skip();
	open_over_source(true);
	put(4 * PAGE, PAGE);
	read.queue = queue;
	lazymem_backing_submit(overlay, &read);
	assert_ptr_equal(source.queue, queue);
	while (outcome.count == 0)
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
	assert_int_equal(outcome.error, 0);
	assert_memory_equal(buffer, expected + 3 * PAGE, 3 * PAGE);
	lm_queue_destroy(queue);
}

static void error_of_the_base_is_passed_on(void **state)
{
	const struct lazymem_inject_range range = {.start = 20 * PAGE, .length = PAGE};
	struct lazymem_backing *failing;

	(void)state;
	assert_int_equal(lazymem_inject_fail(base, range, -EBADMSG, 1, &failing), 0);
	assert_int_equal(open_over(failing, 0), 0);
	lazymem_backing_unref(failing);
	put(19 * PAGE, PAGE);
	put(21 * PAGE, PAGE);
	assert_int_equal(lazymem_backing_read(overlay, 18 * PAGE, buffer, 5 * PAGE), -EBADMSG);
	assert_holds();
}

/* ---- advice --------------------------------------------------------------- */

static void background_read_can_be_hurried(void **state)
{
	struct outcome outcome = OUTCOME;
	struct lazymem_read read = {.offset = 3 * PAGE,
				    .length = PAGE,
				    .buffer = buffer,
				    .flags = LAZYMEM_READ_BACKGROUND,
				    .complete = note,
				    .context = &outcome};
	struct lazymem_read other = {.flags = LAZYMEM_READ_BACKGROUND};

	(void)state;
	open_over_source(true);
	source.holds = true;
	lazymem_backing_submit(overlay, &read);
	assert_int_equal(source.background, 1);
	lazymem_backing_hurry(overlay, &other);
	assert_int_equal(source.hurried, 0);
	lazymem_backing_hurry(overlay, &read);
	assert_int_equal(source.hurried, 1);
	answer(source.held);
	await(&outcome);
	assert_int_equal(outcome.error, 0);
	lazymem_backing_hurry(overlay, &read);
	assert_int_equal(source.hurried, 1);
	assert_memory_equal(buffer, expected + 3 * PAGE, PAGE);
}

/* Of 40 pieces, 32 are the first batch. */
static void background_read_is_hurried_while_it_submits(void **state)
{
	struct outcome outcome = OUTCOME;
	struct lazymem_read read = {.length = LENGTH,
				    .buffer = buffer,
				    .flags = LAZYMEM_READ_BACKGROUND,
				    .complete = note,
				    .context = &outcome};

	(void)state;
	open_over_source(false);
	for (size_t block = 0; block < BLOCKS; block += 2)
		put(block * PAGE, PAGE);
	memset(&source, 0, sizeof(source));
	source.hurries_at = 17;
	source.reader = &read;
	lazymem_backing_submit(overlay, &read);
	assert_int_equal(source.hurried, 1);
	answer(source.held);
	await(&outcome);
	assert_int_equal(outcome.error, 0);
	assert_memory_equal(buffer, expected, LENGTH);
}

static void readahead_leaves_out_what_is_not_in_the_base(void **state)
{
	(void)state;
	open_over_source(true);
	put(3 * PAGE, PAGE);
	discard(5 * PAGE, PAGE);
	lazymem_backing_readahead(overlay, 3 * PAGE, PAGE);
	lazymem_backing_readahead(overlay, 5 * PAGE, PAGE);
	assert_int_equal(source.hints, 0);
	lazymem_backing_readahead(overlay, 0, 10 * PAGE);
	assert_int_equal(source.hints, 3);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(page_of_the_base_is_one_read_of_it),
		CASE(written_and_discarded_pages_do_not_ask_the_base),
		CASE(parts_go_down_together),
		CASE(parts_are_taken_where_the_base_takes_them),
		CASE(scattered_blocks_are_read_in_batches),
		CASE(queue_of_a_read_is_handed_on),
		CASE(error_of_the_base_is_passed_on),
		CASE(background_read_can_be_hurried),
		CASE(background_read_is_hurried_while_it_submits),
		CASE(readahead_leaves_out_what_is_not_in_the_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
