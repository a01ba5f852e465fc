/* wrap: lm_queue_wake */
/* SPDX-License-Identifier: MIT
 *
 * worker_test.c - the end of a worker, while a thread that has completed a
 * read is about to wake it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backing/queue.h"

#include <lazymem/handler.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE ((size_t)4096)

static _Thread_local bool is_source; /* of the thread that completes reads */
static sem_t waking, may_wake;

void __real_lm_queue_wake(struct lm_queue *queue);
void __wrap_lm_queue_wake(struct lm_queue *queue);

/* The slot has been handed over; its thread is held up before it wakes the worker. */
void __wrap_lm_queue_wake(struct lm_queue *queue)
{
	if (is_source) {
		sem_post(&waking);
		sem_wait(&may_wake);
	}
	__real_lm_queue_wake(queue);
}

static pthread_t source_thread;

static void *complete(void *read)
{
	is_source = true;
	memset(((struct lazymem_read *)read)->buffer, 0x5a, PAGE);
	lazymem_read_complete(read, 0);
	return NULL;
}

static void read_elsewhere(void *unused, struct lazymem_read *read)
{
	(void)unused;
	if (pthread_create(&source_thread, NULL, complete, read) != 0)
		abort();
}

static struct lazymem_handler *handler;
static atomic_bool destroyed;

static void *destroy(void *unused)
{
	int error = lazymem_handler_destroy(handler);

	(void)unused;
	atomic_store(&destroyed, true);
	return error == 0 ? handler : NULL;
}

static struct lazymem_attachment *attach(struct lazymem_memory **ret_memory)
{
	static const struct lazymem_backing_operations operations = {.size = sizeof(operations),
								     .read = read_elsewhere};
	struct lazymem_attachment *attachment = NULL;
	struct lazymem_mapping *mapping = NULL;
	struct lazymem_backing *backing = NULL;
	struct lazymem_region *region = NULL;

	assert_int_equal(lazymem_backing_create(&operations, NULL, PAGE, "elsewhere", &backing), 0);
	assert_int_equal(lazymem_mapping_create_anonymous(PAGE, NULL, &mapping), 0);
	assert_int_equal(
		lazymem_region_create(mapping, (lazymem_guest_address){0}, backing, 0, &region), 0);
	assert_int_equal(lazymem_memory_create(&region, 1, ret_memory), 0);
	assert_int_equal(lazymem_handler_create(NULL, &handler), 0);
	assert_int_equal(lazymem_handler_attach(handler, *ret_memory, NULL, &attachment), 0);
	lazymem_region_unref(region);
	lazymem_mapping_unref(mapping);
	lazymem_backing_unref(backing);
	return attachment;
}

static void handler_outlives_a_wake_under_way(void **state)
{
	const struct timespec quiet = {.tv_nsec = 100000000};
	struct lazymem_memory *memory = NULL;
	struct lazymem_attachment *attachment = attach(&memory);
	pthread_t destroyer;
	void *result = NULL;

	(void)state;
	assert_int_equal(lazymem_attachment_prefetch(attachment, NULL), 0);
	sem_wait(&waking);
	assert_int_equal(lazymem_attachment_finish(attachment), 0); /* which wakes the worker */
	assert_int_equal(pthread_create(&destroyer, NULL, destroy, NULL), 0);
	nanosleep(&quiet, NULL);
	assert_false(atomic_load(&destroyed));
	sem_post(&may_wake);
	pthread_join(destroyer, &result);
	assert_non_null(result);
	pthread_join(source_thread, NULL);
	lazymem_memory_unref(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handler_outlives_a_wake_under_way),
	};

	if (lazymem_handler_check() != 0) {
		print_message("skipped: %s\n", lazymem_error_message());
		return 77;
	}
	sem_init(&waking, 0, 0);
	sem_init(&may_wake, 0, 0);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
