/* wrap: ioctl read lm_worker_call */
/* SPDX-License-Identifier: MIT
 *
 * prefetch_request_test.c - what becomes of a request: the job that is queued,
 * and what is refused.
 */
#include "stage.h"

#include <lazymem/zero.h>

#define PAGES 16

/* Nobody works: what is queued stays, and is looked at. */
int __wrap_lm_worker_call(struct lm_worker *worker, struct lm_command *command);

int __wrap_lm_worker_call(struct lm_worker *worker, struct lm_command *command)
{
	assert_ptr_equal(worker, &stage.worker);
	assert_ptr_equal(command->attachment, &stage.attachment);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	stage_open(PRIVATE, PAGES, 3);
	assert_int_equal(lazymem_memory_create(stage.objects, 3, &stage.attachment.memory), 0);
	lm_slot_own_thread(NULL);
	return 0;
}

static int tear_down(void **state)
{
	lazymem_memory_unref(stage.attachment.memory);
	return stage_close(state);
}

static int prefetch(struct lazymem_guest_range *ranges, size_t count)
{
	struct lazymem_prefetch options = {
		.size = sizeof(options), .ranges = ranges, .range_count = count};

	return lazymem_attachment_prefetch(&stage.attachment, &options);
}

static const struct lm_job *queued(void)
{
	const struct lm_job *job = lm_jobs_current(&stage.attachment.jobs);

	assert_non_null(job);
	return job;
}

static void assert_range(size_t index, size_t region, size_t first, size_t count)
{
	const struct lm_job *job = queued();

	assert_true(index < job->range_count);
	assert_ptr_equal(job->ranges[index].region, &stage.regions[region]);
	assert_int_equal(job->ranges[index].first, first);
	assert_int_equal(job->ranges[index].count, count);
}

/* ---- what is queued ------------------------------------------------------ */

static void no_request_is_everything(void **state)
{
	(void)state;
	assert_int_equal(lazymem_attachment_prefetch(&stage.attachment, NULL), 0);
	assert_int_equal(queued()->range_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_range(i, i, 0, PAGES);
	assert_int_equal(queued()->bytes_per_second, 0);
}

static void ranges_are_queued_in_their_order(void **state)
{
	struct lazymem_guest_range ranges[] = {
		{{GUEST + GUEST_STEP}, PAGE}, {{GUEST + 3 * PAGE}, 2 * PAGE}, {{GUEST}, PAGE}};

	(void)state;
	assert_int_equal(prefetch(ranges, 3), 0);
	assert_int_equal(queued()->range_count, 3);
	assert_range(0, 1, 0, 1);
	assert_range(1, 0, 3, 2);
	assert_range(2, 0, 0, 1);
}

static void range_over_all_regions_has_room_and_a_cut(void **state)
{
	struct lazymem_guest_range ranges[] = {{{0}, UINT64_MAX}, {{0}, UINT64_MAX}};
	struct lazymem_prefetch options = {.size = sizeof(options),
					   .ranges = ranges,
					   .range_count = 2,
					   .populate_bytes = PAGE};

	(void)state;
	assert_int_equal(lazymem_attachment_prefetch(&stage.attachment, &options), 0);
	assert_int_equal(queued()->range_count, 7);
	assert_int_equal(queued()->ahead_from, 1);
	assert_range(0, 0, 0, 1);
	assert_range(6, 2, 0, PAGES);
}

static void limits_and_rate_are_the_jobs(void **state)
{
	struct lazymem_prefetch options = {.size = sizeof(options),
					   .bytes_per_second = 1234,
					   .populate_bytes = PAGE,
					   .total_bytes = 3 * PAGE};

	(void)state;
	assert_int_equal(lazymem_attachment_prefetch(&stage.attachment, &options), 0);
	assert_int_equal(queued()->bytes_per_second, 1234);
	assert_int_equal(queued()->range_count, 2);
	assert_range(0, 0, 0, 1);
	assert_range(1, 0, 1, 2);
}

/* ---- traces -------------------------------------------------------------- */

static int replay(unsigned char identity)
{
	struct lazymem_identity bound;
	struct lazymem_prefetch options = {.size = sizeof(options)};
	struct lazymem_trace *trace = NULL;
	int error;

	memset(&bound, identity, sizeof(bound));
	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	assert_int_equal(
		lazymem_trace_append(trace, (struct lazymem_guest_range){{GUEST + 3 * PAGE}, PAGE}),
		0);
	lazymem_trace_bind(trace, &bound);
	options.trace = trace;
	error = lazymem_attachment_prefetch(&stage.attachment, &options);
	lazymem_trace_destroy(trace);
	return error;
}

static void trace_of_this_image_is_queued(void **state)
{
	(void)state;
	stage.source.identity = 7;
	assert_int_equal(replay(7), 0);
	assert_int_equal(queued()->range_count, 1);
	assert_range(0, 0, 3, 1);
}

static void trace_of_no_image_is_queued(void **state)
{
	(void)state;
	stage.source.identity = 7;
	assert_int_equal(replay(0), 0);
	assert_range(0, 0, 3, 1);
}

/* Beside the regions of the image: one of zeros, as of memory plugged in since. */
static void add_zeros(void)
{
	struct lazymem_region *regions[4] = {stage.objects[0], stage.objects[1], stage.objects[2]};
	struct lazymem_mapping *mapping;
	struct lazymem_backing *zeros;

	assert_int_equal(lazymem_mapping_create_anonymous(PAGE, NULL, &mapping), 0);
	assert_int_equal(lazymem_zero_create(PAGE, &zeros), 0);
	assert_int_equal(lazymem_region_create(mapping, (lazymem_guest_address){UINT64_C(1) << 50},
					       zeros, 0, &regions[3]),
			 0);
	lazymem_mapping_unref(mapping);
	lazymem_backing_unref(zeros);
	lazymem_memory_unref(stage.attachment.memory);
	assert_int_equal(lazymem_memory_create(regions, 4, &stage.attachment.memory), 0);
	lazymem_region_unref(regions[3]);
}

static void trace_of_the_image_of_some_regions_is_queued(void **state)
{
	(void)state;
	stage.source.identity = 7;
	add_zeros();
	assert_int_equal(replay(7), 0);
	assert_range(0, 0, 3, 1);
}

static void trace_of_an_image_of_no_region_is_stale(void **state)
{
	(void)state;
	stage.source.identity = 7;
	add_zeros();
	assert_int_equal(replay(8), -ESTALE);
	assert_null(lm_jobs_current(&stage.attachment.jobs));
}

static void trace_of_another_image_is_stale(void **state)
{
	(void)state;
	stage.source.identity = 7;
	assert_int_equal(replay(8), -ESTALE);
	assert_says("another image");
	assert_null(lm_jobs_current(&stage.attachment.jobs));
}

static void trace_of_an_image_is_stale_where_none_is_known(void **state)
{
	(void)state;
	assert_int_equal(replay(8), -ESTALE);
	assert_says("cannot be told");
	assert_null(lm_jobs_current(&stage.attachment.jobs));
}

/* ---- what is refused ----------------------------------------------------- */

static void range_that_wraps_is_named(void **state)
{
	struct lazymem_guest_range ranges[] = {{{GUEST}, PAGE}, {{UINT64_MAX - PAGE}, 2 * PAGE}};

	(void)state;
	assert_int_equal(prefetch(ranges, 2), -EINVAL);
	assert_says("range 1 ");
	assert_says("0xffffffffffffefff+0x2000");
	assert_null(lm_jobs_current(&stage.attachment.jobs));
}

static void ranges_at_null_are_refused(void **state)
{
	(void)state;
	assert_int_equal(prefetch(NULL, 3), -EINVAL);
	assert_says("3 ranges");
}

static void ranges_and_a_trace_are_refused(void **state)
{
	struct lazymem_guest_range range = {{GUEST}, PAGE};
	struct lazymem_prefetch options = {
		.size = sizeof(options), .ranges = &range, .range_count = 1};
	struct lazymem_trace *trace = NULL;

	(void)state;
	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	options.trace = trace;
	assert_int_equal(lazymem_attachment_prefetch(&stage.attachment, &options), -EINVAL);
	assert_says("not both");
	lazymem_trace_destroy(trace);
}

static void unknown_prefetch_option_is_refused(void **state)
{
	struct {
		struct lazymem_prefetch known;
		uint64_t unknown;
	} options = {.known = {.size = sizeof(options)}, .unknown = 1};

	(void)state;
	assert_int_equal(lazymem_attachment_prefetch(&stage.attachment, &options.known), -E2BIG);
	assert_says("struct lazymem_prefetch");
}

static void wait_tells_the_time_it_waited(void **state)
{
	(void)state;
	lm_jobs_append(&stage.attachment.jobs, lm_job_create(LM_JOB_PREFETCH, 0));
	assert_int_equal(lazymem_attachment_wait(&stage.attachment, 1234), -ETIMEDOUT);
	assert_says("1234 ns");
}

static void worker_does_not_wait_for_itself(void **state)
{
	(void)state;
	lm_slot_own_thread(&stage.worker);
	lm_jobs_append(&stage.attachment.jobs, lm_job_create(LM_JOB_PREFETCH, 0));
	assert_int_equal(lazymem_attachment_wait(&stage.attachment, UINT64_MAX), -EDEADLK);
	assert_says("callback on a worker");
}

static void worker_queues_no_prefetch(void **state)
{
	(void)state;
	lm_slot_own_thread(&stage.worker);
	assert_int_equal(lazymem_attachment_prefetch(&stage.attachment, NULL), -EDEADLK);
	assert_says("callback on a worker");
	assert_null(lm_jobs_current(&stage.attachment.jobs));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_request_is_everything),
		TEST(ranges_are_queued_in_their_order),
		TEST(range_over_all_regions_has_room_and_a_cut),
		TEST(limits_and_rate_are_the_jobs),
		TEST(trace_of_this_image_is_queued),
		TEST(trace_of_no_image_is_queued),
		TEST(trace_of_the_image_of_some_regions_is_queued),
		TEST(trace_of_an_image_of_no_region_is_stale),
		TEST(trace_of_another_image_is_stale),
		TEST(trace_of_an_image_is_stale_where_none_is_known),
		TEST(range_that_wraps_is_named),
		TEST(ranges_at_null_are_refused),
		TEST(ranges_and_a_trace_are_refused),
		TEST(unknown_prefetch_option_is_refused),
		TEST(wait_tells_the_time_it_waited),
		TEST(worker_does_not_wait_for_itself),
		TEST(worker_queues_no_prefetch),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
