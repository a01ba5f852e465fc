/* wrap: ioctl read */
/* SPDX-License-Identifier: MIT
 *
 * job_test.c - the ranges of a job, its limits, and the queue of jobs.
 */
#include "stage.h"

#define PAGES 16
#define LENGTH (PAGES * PAGE)

static int set_up(void **state)
{
	(void)state;
	stage_open(PRIVATE, PAGES, 3);
	return 0;
}

/* Region 1 directly after region 0, as far as the guest can see. */
static int set_up_adjacent(void **state)
{
	set_up(state);
	stage.regions[1].guest = GUEST + LENGTH;
	return 0;
}

static struct lm_job *job_of(uint64_t start, uint64_t length)
{
	struct lm_job *job = lm_job_create(LM_JOB_PREFETCH, 3);

	assert_non_null(job);
	lm_job_add(job, &stage.attachment, start, length);
	return job;
}

static void assert_range(const struct lm_job *job, size_t index, size_t region, size_t first,
			 size_t count)
{
	assert_true(index < job->range_count);
	assert_ptr_equal(job->ranges[index].region, &stage.regions[region]);
	assert_int_equal(job->ranges[index].first, first);
	assert_int_equal(job->ranges[index].count, count);
}

static void range_inside_a_region_is_taken_as_it_is(void **state)
{
	struct lm_job *job = job_of(GUEST + 2 * PAGE, 3 * PAGE);

	(void)state;
	assert_int_equal(job->range_count, 1);
	assert_range(job, 0, 0, 2, 3);
	free(job);
}

static void range_is_widened_to_pages(void **state)
{
	struct lm_job *job = job_of(GUEST + 2 * PAGE + 100, PAGE);

	(void)state;
	assert_range(job, 0, 0, 2, 2);
	free(job);
}

static void one_byte_is_one_page(void **state)
{
	struct lm_job *job = job_of(GUEST + 3 * PAGE - 1, 1);

	(void)state;
	assert_range(job, 0, 0, 2, 1);
	free(job);
}

static void range_is_cut_to_the_region(void **state)
{
	struct lm_job *job = job_of(GUEST - PAGE, LENGTH + 2 * PAGE);

	(void)state;
	assert_int_equal(job->range_count, 1);
	assert_range(job, 0, 0, 0, PAGES);
	free(job);
}

static void range_between_regions_is_nothing(void **state)
{
	struct lm_job *job = job_of(GUEST + LENGTH, PAGE);

	(void)state;
	assert_int_equal(job->range_count, 0);
	free(job);
}

static void range_that_ends_where_a_region_begins_is_nothing(void **state)
{
	struct lm_job *job = job_of(GUEST - 4 * PAGE, 4 * PAGE);

	(void)state;
	assert_int_equal(job->range_count, 0);
	free(job);
}

static void empty_range_is_nothing(void **state)
{
	struct lm_job *job = job_of(GUEST + PAGE, 0);

	(void)state;
	assert_int_equal(job->range_count, 0);
	free(job);
}

static void range_over_adjacent_regions_is_parted(void **state)
{
	struct lm_job *job = job_of(GUEST + LENGTH - 2 * PAGE, 5 * PAGE);

	(void)state;
	assert_int_equal(job->range_count, 2);
	assert_range(job, 0, 0, PAGES - 2, 2);
	assert_range(job, 1, 1, 0, 3);
	free(job);
}

static void range_of_everything_is_every_region(void **state)
{
	struct lm_job *job = job_of(0, UINT64_MAX);

	(void)state;
	assert_int_equal(job->range_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_range(job, i, i, 0, PAGES);
	free(job);
}

static void range_up_to_the_last_byte_does_not_wrap(void **state)
{
	struct lm_job *job;

	(void)state;
	stage.regions[2].guest = UINT64_MAX - LENGTH + 1;
	job = job_of(UINT64_MAX - 2 * PAGE + 1, 2 * PAGE);
	assert_int_equal(job->range_count, 1);
	assert_range(job, 0, 2, PAGES - 2, 2);
	free(job);
}

static void range_in_giant_pages_is_widened_to_them(void **state)
{
	struct lm_job *job;

	(void)state;
	stage_close(NULL);
	stage_open(GIANT, 4, 1);
	job = job_of(GUEST + GIANT_PAGES * PAGE - 1, 2);
	assert_range(job, 0, 0, 0, 2);
	free(job);
}

static void job_of_everything_has_all_pages(void **state)
{
	struct lm_job *job = lm_job_create_all(LM_JOB_FILL, &stage.attachment);

	(void)state;
	assert_non_null(job);
	assert_int_equal(job->kind, LM_JOB_FILL);
	assert_int_equal(job->range_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_range(job, i, i, 0, PAGES);
	free(job);
}

static void capacity_that_overflows_is_refused(void **state)
{
	(void)state;
	assert_null(lm_job_create(LM_JOB_PREFETCH, SIZE_MAX / 8));
}

/* ---- limits -------------------------------------------------------------- */

/* Pages 2 to 5 of region 0, then 7 and 8 of region 1, limited. */
static struct lm_job *limited_job(uint64_t populate_bytes, uint64_t total_bytes)
{
	struct lm_job *job = job_of(GUEST + 2 * PAGE, 4 * PAGE);

	lm_job_add(job, &stage.attachment, GUEST + GUEST_STEP + 7 * PAGE, 2 * PAGE);
	lm_job_limit(job, populate_bytes, total_bytes);
	return job;
}

static void no_limit_changes_nothing(void **state)
{
	struct lm_job *job = limited_job(0, 0);

	(void)state;
	assert_int_equal(job->range_count, 2);
	assert_range(job, 0, 0, 2, 4);
	assert_range(job, 1, 1, 7, 2);
	assert_true(job->ahead_from >= job->range_count);
	free(job);
}

/* Pages in all after a limit of so many bytes. */
static void assert_total(uint64_t bytes, size_t pages)
{
	struct lm_job *job = limited_job(0, bytes);
	size_t sum = 0;

	for (size_t i = 0; i < job->range_count; i++) {
		assert_true(job->ranges[i].count > 0);
		sum += job->ranges[i].count;
	}
	assert_int_equal(sum, pages);
	free(job);
}

static void total_is_rounded_up_to_pages(void **state)
{
	(void)state;
	assert_total(1, 1);
	assert_total(PAGE - 1, 1);
	assert_total(PAGE, 1);
	assert_total(PAGE + 1, 2);
	assert_total(4 * PAGE - 1, 4);
}

static void total_may_end_at_or_in_any_range(void **state)
{
	(void)state;
	assert_total(4 * PAGE, 4);
	assert_total(4 * PAGE + 1, 5);
	assert_total(5 * PAGE, 5);
	assert_total(6 * PAGE - 1, 6);
	assert_total(6 * PAGE, 6);
}

static void total_beyond_everything_is_everything(void **state)
{
	(void)state;
	assert_total(6 * PAGE + 1, 6);
	assert_total(UINT64_MAX, 6);
}

/* Pages that are populated, and pages that are read ahead. */
static void assert_parted(uint64_t populate_bytes, uint64_t total_bytes, size_t populated,
			  size_t ahead)
{
	struct lm_job *job = limited_job(populate_bytes, total_bytes);

	for (size_t i = 0; i < job->range_count; i++) {
		size_t *left = i < job->ahead_from ? &populated : &ahead;

		assert_true(job->ranges[i].count > 0 && job->ranges[i].count <= *left);
		*left -= job->ranges[i].count;
	}
	assert_int_equal(populated, 0);
	assert_int_equal(ahead, 0);
	free(job);
}

static void rest_is_read_ahead(void **state)
{
	(void)state;
	assert_parted(1, 0, 1, 5);
	assert_parted(PAGE, 0, 1, 5);
	assert_parted(PAGE + 1, 0, 2, 4);
	assert_parted(4 * PAGE - 1, 0, 4, 2);
	assert_parted(4 * PAGE, 0, 4, 2);
	assert_parted(4 * PAGE + 1, 0, 5, 1);
	assert_parted(6 * PAGE, 0, 6, 0);
	assert_parted(UINT64_MAX, 0, 6, 0);
}

static void rest_ends_with_the_total(void **state)
{
	(void)state;
	assert_parted(PAGE, 3 * PAGE, 1, 2);
	assert_parted(PAGE, 5 * PAGE, 1, 4);
	assert_parted(4 * PAGE, 5 * PAGE, 4, 1);
	assert_parted(5 * PAGE, 5 * PAGE, 5, 0);
	assert_parted(6 * PAGE, 2 * PAGE, 2, 0);
}

static void range_is_cut_in_two_at_the_limit(void **state)
{
	struct lm_job *job = limited_job(3 * PAGE, 0);

	(void)state;
	assert_int_equal(job->range_count, 3);
	assert_int_equal(job->ahead_from, 1);
	assert_range(job, 0, 0, 2, 3);
	assert_range(job, 1, 0, 5, 1);
	assert_range(job, 2, 1, 7, 2);
	free(job);
}

static void job_of_everything_has_room_for_a_limit(void **state)
{
	struct lm_job *job = lm_job_create_all(LM_JOB_PREFETCH, &stage.attachment);

	(void)state;
	lm_job_limit(job, 5 * PAGE, 0);
	assert_int_equal(job->range_count, 4);
	assert_range(job, 0, 0, 0, 5);
	assert_range(job, 1, 0, 5, PAGES - 5);
	assert_range(job, 3, 2, 0, PAGES);
	free(job);
}

static void job_of_nothing_can_be_limited(void **state)
{
	struct lm_job *job = job_of(GUEST + PAGE, 0);

	(void)state;
	lm_job_limit(job, 1, 1);
	assert_int_equal(job->range_count, 0);
	free(job);
}

static void limit_counts_giant_pages_whole(void **state)
{
	struct lm_job *job;

	(void)state;
	stage_close(NULL);
	stage_open(GIANT, 4, 1);
	job = job_of(GUEST, 4 * GIANT_PAGES * PAGE);
	lm_job_limit(job, 1, GIANT_PAGES * PAGE + 1);
	assert_int_equal(job->range_count, 2);
	assert_range(job, 0, 0, 0, 1);
	assert_range(job, 1, 0, 1, 1);
	free(job);
}

/* ---- the queue ----------------------------------------------------------- */

static struct lm_jobs *queue(void)
{
	return &stage.attachment.jobs;
}

static struct lm_job *append(uint64_t *ret_number)
{
	struct lm_job *job = lm_job_create(LM_JOB_PREFETCH, 0);

	assert_non_null(job);
	*ret_number = lm_jobs_append(queue(), job);
	return job;
}

static void queue_begins_empty(void **state)
{
	(void)state;
	assert_null(lm_jobs_current(queue()));
	assert_int_equal(lm_jobs_queued(queue()), 0);
}

static void jobs_take_their_turn_in_order(void **state)
{
	struct lm_job *jobs[3];
	uint64_t number;

	(void)state;
	for (int i = 0; i < 3; i++)
		jobs[i] = append(&number);
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(lm_jobs_current(queue()), jobs[i]);
		lm_jobs_end_current(queue());
	}
	assert_null(lm_jobs_current(queue()));
}

static void jobs_are_numbered_from_one(void **state)
{
	uint64_t number;

	(void)state;
	append(&number);
	assert_int_equal(number, 1);
	append(&number);
	assert_int_equal(number, 2);
	assert_int_equal(lm_jobs_queued(queue()), 2);
}

static void job_can_follow_when_all_have_ended(void **state)
{
	struct lm_job *job;
	uint64_t number;

	(void)state;
	append(&number);
	lm_jobs_end_current(queue());
	job = append(&number);
	assert_int_equal(number, 2);
	assert_ptr_equal(lm_jobs_current(queue()), job);
}

static void wait_for_an_ended_job_returns_at_once(void **state)
{
	uint64_t number;

	(void)state;
	append(&number);
	lm_jobs_end_current(queue());
	assert_int_equal(lm_jobs_wait(queue(), number, 0), 0);
}

static void wait_for_no_job_returns_at_once(void **state)
{
	(void)state;
	assert_int_equal(lm_jobs_wait(queue(), 0, UINT64_MAX), 0);
}

static void wait_ends_when_the_time_is_up(void **state)
{
	uint64_t number, before = lm_clock_ns();

	(void)state;
	append(&number);
	assert_int_equal(lm_jobs_wait(queue(), number, 5000000), -ETIMEDOUT);
	assert_true(lm_clock_ns() >= before + 5000000);
}

static void wait_of_no_time_only_looks(void **state)
{
	uint64_t number;

	(void)state;
	append(&number);
	assert_int_equal(lm_jobs_wait(queue(), number, 0), -ETIMEDOUT);
}

static void wait_for_a_later_job_goes_on_after_an_earlier_one(void **state)
{
	uint64_t number;

	(void)state;
	append(&number);
	append(&number);
	lm_jobs_end_current(queue());
	assert_int_equal(lm_jobs_wait(queue(), number, 1000000), -ETIMEDOUT);
}

static void *end_soon(void *unused)
{
	(void)unused;
	usleep(5000);
	lm_jobs_end_current(queue());
	return NULL;
}

static void assert_wait_ends(uint64_t timeout_ns)
{
	pthread_t thread;
	uint64_t number;

	append(&number);
	assert_int_equal(pthread_create(&thread, NULL, end_soon, NULL), 0);
	assert_int_equal(lm_jobs_wait(queue(), number, timeout_ns), 0);
	pthread_join(thread, NULL);
}

static void wait_for_ever_ends_with_the_job(void **state)
{
	(void)state;
	assert_wait_ends(UINT64_MAX);
}

static void wait_that_would_overflow_is_for_ever(void **state)
{
	(void)state;
	assert_wait_ends(UINT64_MAX - 1);
}

static void limits_are_lifted_from_every_job(void **state)
{
	struct lm_job *jobs[2];
	uint64_t number;

	(void)state;
	for (int i = 0; i < 2; i++) {
		jobs[i] = append(&number);
		jobs[i]->bytes_per_second = 4096;
		jobs[i]->due = UINT64_MAX;
	}
	lm_jobs_lift_limits(queue());
	for (int i = 0; i < 2; i++) {
		assert_int_equal(jobs[i]->bytes_per_second, 0);
		assert_int_equal(jobs[i]->due, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(range_inside_a_region_is_taken_as_it_is, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(range_is_widened_to_pages, set_up, stage_close),
		cmocka_unit_test_setup_teardown(one_byte_is_one_page, set_up, stage_close),
		cmocka_unit_test_setup_teardown(range_is_cut_to_the_region, set_up, stage_close),
		cmocka_unit_test_setup_teardown(range_between_regions_is_nothing, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(range_that_ends_where_a_region_begins_is_nothing,
						set_up, stage_close),
		cmocka_unit_test_setup_teardown(empty_range_is_nothing, set_up, stage_close),
		cmocka_unit_test_setup_teardown(range_over_adjacent_regions_is_parted,
						set_up_adjacent, stage_close),
		cmocka_unit_test_setup_teardown(range_of_everything_is_every_region, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(range_up_to_the_last_byte_does_not_wrap, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(range_in_giant_pages_is_widened_to_them, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(job_of_everything_has_all_pages, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(capacity_that_overflows_is_refused, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(no_limit_changes_nothing, set_up, stage_close),
		cmocka_unit_test_setup_teardown(total_is_rounded_up_to_pages, set_up, stage_close),
		cmocka_unit_test_setup_teardown(total_may_end_at_or_in_any_range, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(total_beyond_everything_is_everything, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(rest_is_read_ahead, set_up, stage_close),
		cmocka_unit_test_setup_teardown(rest_ends_with_the_total, set_up, stage_close),
		cmocka_unit_test_setup_teardown(range_is_cut_in_two_at_the_limit, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(job_of_everything_has_room_for_a_limit, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(job_of_nothing_can_be_limited, set_up, stage_close),
		cmocka_unit_test_setup_teardown(limit_counts_giant_pages_whole, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(queue_begins_empty, set_up, stage_close),
		cmocka_unit_test_setup_teardown(jobs_take_their_turn_in_order, set_up, stage_close),
		cmocka_unit_test_setup_teardown(jobs_are_numbered_from_one, set_up, stage_close),
		cmocka_unit_test_setup_teardown(job_can_follow_when_all_have_ended, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(wait_for_an_ended_job_returns_at_once, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(wait_for_no_job_returns_at_once, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(wait_ends_when_the_time_is_up, set_up, stage_close),
		cmocka_unit_test_setup_teardown(wait_of_no_time_only_looks, set_up, stage_close),
		cmocka_unit_test_setup_teardown(wait_for_a_later_job_goes_on_after_an_earlier_one,
						set_up, stage_close),
		cmocka_unit_test_setup_teardown(wait_for_ever_ends_with_the_job, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(wait_that_would_overflow_is_for_ever, set_up,
						stage_close),
		cmocka_unit_test_setup_teardown(limits_are_lifted_from_every_job, set_up,
						stage_close),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
