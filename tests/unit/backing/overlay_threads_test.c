/* SPDX-License-Identifier: MIT
 *
 * overlay_threads_test.c - threads that write and discard bytes of their own beside
 * each other, in blocks that they share, while others read and flush: no byte of
 * anybody is lost, neither at the end nor in what is left after a kill.
 */
#include "backing/queue.h"

#include "overlay_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#ifdef __SANITIZE_THREAD__
#define PHASES 20
#else
#define PHASES 150
#endif

#define ROUNDS 50 /* of each writer in a phase */

#define WRITERS 4
#define STRIPE 700 /* bytes of one, then those of the next: blocks are shared */

static atomic_bool over;
static pthread_barrier_t phases; /* the writers, and who looks at what they have done */

static uint64_t below(uint64_t *seed, uint64_t limit)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (*seed * UINT64_C(0x2545f4914f6cdd1d) >> 32) % limit;
}

static void completed(struct lazymem_write *write, int error)
{
	atomic_store((atomic_int *)write->context, error);
}

static void write_stripe(struct lm_queue *queue, uint64_t offset, size_t length)
{
	atomic_int error = 1;
	struct lazymem_write write = {.offset = offset,
				      .length = length,
				      .buffer = expected + offset,
				      .complete = completed,
				      .context = &error,
				      .queue = queue};

	if (queue == NULL) {
		assert_int_equal(lazymem_backing_write(overlay, offset, expected + offset, length),
				 0);
		return;
	}
	lazymem_backing_submit_write(overlay, &write);
	while (atomic_load(&error) == 1)
		assert_true(lm_queue_run(queue, 1000000) >= 0);
	assert_int_equal(error, 0);
}

static void change(struct lm_queue *queue, size_t number, uint64_t *seed)
{
	const size_t stripes = LENGTH / STRIPE / WRITERS;

	for (unsigned round = 0; round < ROUNDS; round++) {
		const uint64_t offset = (below(seed, stripes) * WRITERS + number) * STRIPE;

		if (below(seed, 4) == 0) {
			const int error = lazymem_backing_discard(overlay, offset, STRIPE);

			if (error == 0)
				memset(expected + offset, 0, STRIPE);
			else
				assert_int_equal(error, -EBUSY);
		} else {
			memset(expected + offset, (int)below(seed, 256), STRIPE);
			write_stripe(queue, offset, STRIPE);
		}
	}
}

static void *change_in_phases(void *argument)
{
	const size_t number = (size_t)argument;
	uint64_t seed = number + 77;
	struct lm_queue *queue = NULL;

	if (number % 2 == 0 && lm_queue_create(4, &queue) != 0)
		queue = NULL;
	for (size_t phase = 0; phase < PHASES; phase++) {
		pthread_barrier_wait(&phases);
		change(queue, number, &seed);
		pthread_barrier_wait(&phases);
	}
	lm_queue_destroy(queue);
	return NULL;
}

static void *flush_on_and_on(void *argument)
{
	(void)argument;
	while (!atomic_load(&over))
		assert_int_equal(lazymem_backing_flush(overlay), 0);
	return NULL;
}

static void *read_on_and_on(void *argument)
{
	unsigned char *bytes = malloc(LENGTH);

	(void)argument;
	while (!atomic_load(&over))
		assert_int_equal(lazymem_backing_read(overlay, 0, bytes, LENGTH), 0);
	free(bytes);
	return NULL;
}

/* After each phase all is discarded, so that every block is brought up anew. */
static void nobody_loses_a_byte(void **state)
{
	pthread_t writers[WRITERS], others[3];

	(void)state;
	open_overlay();
	atomic_store(&over, false);
	pthread_barrier_init(&phases, NULL, WRITERS + 1);
	assert_int_equal(pthread_create(&others[0], NULL, flush_on_and_on, NULL), 0);
	assert_int_equal(pthread_create(&others[1], NULL, flush_on_and_on, NULL), 0);
	assert_int_equal(pthread_create(&others[2], NULL, read_on_and_on, NULL), 0);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, change_in_phases, (void *)i), 0);
	for (size_t phase = 0; phase < PHASES; phase++) {
		if (phase > 0)
			discard(0, LENGTH);
		pthread_barrier_wait(&phases);
		pthread_barrier_wait(&phases);
		assert_holds();
	}
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&over, true);
	for (size_t i = 0; i < 3; i++)
		pthread_join(others[i], NULL);
	pthread_barrier_destroy(&phases);
	flush();
	crash();
	assert_holds();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_loses_a_byte, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
