/* wrap: ioctl read */
/* SPDX-License-Identifier: MIT
 *
 * prefetch_test.c - jobs in bounded pieces: what is passed over, what a
 * failure narrows down, rates, limits, healing, and the end.
 */
#include "stage.h"

static struct lm_job *job;
static uint64_t due;

/* Queue a job over pages of region 0. */
static void queue_job(enum lm_job_kind kind, size_t page, size_t count)
{
	job = lm_job_create(kind, 1);
	assert_non_null(job);
	lm_job_add(job, &stage.attachment, GUEST + page * PAGE, count * PAGE);
	lm_jobs_append(&stage.attachment.jobs, job);
	due = UINT64_MAX;
}

static bool step(void)
{
	return lm_prefetch_step(&stage.worker, &stage.attachment, &due);
}

static bool is_over(void)
{
	return lm_jobs_current(&stage.attachment.jobs) == NULL;
}

/* Until the job is over, in bounded many steps. */
static void run_job(void)
{
	for (int i = 0; i < 1000 && !is_over(); i++) {
		step();
		run_reads();
		while (stage.worker.delayed.first != NULL) {
			run_delayed();
			run_reads();
		}
	}
	assert_true(is_over());
}

static enum lazymem_verdict give_up(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	return LAZYMEM_POISON;
}

static void assert_read(size_t index, size_t page, size_t count)
{
	assert_true(index < stage.source.reads);
	assert_int_equal(stage.source.offsets[index], page * PAGE);
	assert_int_equal(stage.source.lengths[index], count * PAGE);
}

/* ---- pieces -------------------------------------------------------------- */

static void nothing_queued_is_nothing_to_do(void **state)
{
	(void)state;
	assert_false(step());
}

static void step_starts_one_bounded_piece(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 3, 16);
	assert_true(step());
	assert_int_equal(stage.source.reads, 1);
	assert_read(0, 3, BUFFER_PAGES);
}

static void pieces_follow_each_other(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 3, 10);
	run_job();
	assert_int_equal(stage.source.reads, 3);
	assert_read(1, 7, BUFFER_PAGES);
	assert_read(2, 11, 2);
	assert_states(3, 10, LM_PAGE_PRESENT);
	for (size_t page = 3; page < 13; page++)
		assert_true(holds_source(page));
}

static void nothing_outside_of_the_range_is_touched(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 3, 10);
	run_job();
	assert_states(0, 3, LM_PAGE_MISSING);
	assert_states(13, 19, LM_PAGE_MISSING);
}

static void prefetched_pages_are_counted_as_such(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 3, 10);
	run_job();
	assert_int_equal(counter(LM_PAGES_PREFETCHED), 10);
	assert_int_equal(counter(LM_PAGES_POPULATED), 10);
	assert_outcome(LM_COPIED, 0);
}

static void ranges_follow_each_other(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 0);
	lm_jobs_end_current(&stage.attachment.jobs);
	job = lm_job_create(LM_JOB_PREFETCH, 2);
	assert_non_null(job);
	lm_job_add(job, &stage.attachment, GUEST + 20 * PAGE, 2 * PAGE);
	lm_job_add(job, &stage.attachment, GUEST + 5 * PAGE, 2 * PAGE);
	lm_jobs_append(&stage.attachment.jobs, job);
	run_job();
	assert_read(0, 20, 2);
	assert_read(1, 5, 2);
}

static void giant_pages_are_one_piece_each(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 4 * GIANT_PAGES);
	run_job();
	assert_states(0, 4, LM_PAGE_PRESENT);
	assert_int_equal(count_of(CONTINUE), 4);
}

/* ---- budgets ------------------------------------------------------------- */

static void no_more_pieces_than_the_budget_are_under_way(void **state)
{
	(void)state;
	stage.source.holds = true;
	queue_job(LM_JOB_PREFETCH, 0, 32);
	for (int i = 0; i < PREFETCH_SLOTS; i++)
		assert_true(step());
	assert_false(step());
	assert_int_equal(stage.source.reads, PREFETCH_SLOTS);
	assert_int_equal(job->pieces, PREFETCH_SLOTS);
	assert_int_equal(stage.worker.free_demand.count, DEMAND_SLOTS);
}

/* Let pieces of somebody else use the prefetch budget up. */
static void use_budget_up(void)
{
	for (size_t i = 0; i < PREFETCH_SLOTS; i++)
		claim_slot(30 + i, 1, 0);
}

static void job_without_a_piece_may_borrow_a_slot(void **state)
{
	(void)state;
	stage.source.holds = true;
	use_budget_up();
	queue_job(LM_JOB_PREFETCH, 0, 16);
	assert_true(step());
	assert_int_equal(stage.worker.free_demand.count, DEMAND_SLOTS - 1);
	assert_false(step()); /* one only */
}

static void borrowed_slot_goes_back(void **state)
{
	(void)state;
	use_budget_up();
	queue_job(LM_JOB_PREFETCH, 0, 4);
	step();
	assert_ptr_not_equal(stage.worker.read_prefetch.first, NULL); /* it is no demand */
	run_reads();
	assert_int_equal(stage.worker.free_demand.count, DEMAND_SLOTS);
}

static void nothing_is_borrowed_when_demand_is_busy(void **state)
{
	(void)state;
	use_budget_up();
	claim_slot(20, 1, 1);
	claim_slot(21, 1, 1);
	queue_job(LM_JOB_PREFETCH, 0, 16);
	assert_false(step());
	assert_int_equal(stage.source.reads, 0);
}

/* ---- what is passed over ------------------------------------------------- */

static void pages_that_are_there_are_passed_over(void **state)
{
	(void)state;
	set_state(3, 2, LM_PAGE_PRESENT);
	queue_job(LM_JOB_PREFETCH, 2, 5);
	run_job();
	assert_int_equal(stage.source.reads, 2);
	assert_read(0, 2, 1);
	assert_read(1, 5, 2);
}

static void pages_under_way_are_passed_over(void **state)
{
	(void)state;
	claim_slot(3, 2, 2);
	queue_job(LM_JOB_PREFETCH, 2, 5);
	run_job();
	assert_int_equal(stage.source.reads, 2);
	assert_states(3, 2, LM_PAGE_CLAIMED);
}

static void discarded_pages_are_passed_over(void **state)
{
	(void)state;
	discard(2, 5);
	queue_job(LM_JOB_PREFETCH, 2, 5);
	run_job();
	assert_int_equal(kernel.call_count, 0);
	assert_states(2, 5, LM_PAGE_DISCARDED);
}

/* ---- holes --------------------------------------------------------------- */

static void make_hole(size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++)
		stage.source.hole[i] = true;
}

static void prefetch_fills_holes_with_zeros(void **state)
{
	(void)state;
	make_hole(4, 20);
	queue_job(LM_JOB_PREFETCH, 4, 20);
	run_job();
	assert_int_equal(stage.source.reads, 0);
	assert_int_equal(count_of(ZERO), 1);
	assert_call(ZERO, 0, 4, 20);
	assert_states(4, 20, LM_PAGE_PRESENT);
}

static void fill_leaves_holes_to_the_kernel(void **state)
{
	(void)state;
	make_hole(4, 20);
	queue_job(LM_JOB_FILL, 2, 24);
	run_job();
	assert_int_equal(count_of(ZERO), 0);
	assert_states(2, 2, LM_PAGE_PRESENT);
	assert_states(4, 20, LM_PAGE_MISSING);
	assert_states(24, 2, LM_PAGE_PRESENT);
}

static void piece_ends_where_a_hole_begins(void **state)
{
	(void)state;
	make_hole(4, 20);
	queue_job(LM_JOB_PREFETCH, 2, 4);
	step();
	assert_read(0, 2, 2);
}

/* ---- poison -------------------------------------------------------------- */

static void poison_takes_what_is_missing(void **state)
{
	(void)state;
	set_state(3, 1, LM_PAGE_PRESENT);
	discard(4, 1);
	make_hole(5, 1);
	queue_job(LM_JOB_POISON, 0, 32);
	run_job();
	assert_states(0, 3, LM_PAGE_POISONED);
	assert_int_equal(state_of(3), LM_PAGE_PRESENT);
	assert_int_equal(state_of(4), LM_PAGE_DISCARDED);
	assert_int_equal(state_of(5), LM_PAGE_MISSING);
	assert_states(6, 26, LM_PAGE_POISONED);
	assert_int_equal(stage.source.reads, 0);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 29);
}

static void poison_leaves_poisoned_pages_alone(void **state)
{
	(void)state;
	set_state(3, 1, LM_PAGE_POISONED);
	queue_job(LM_JOB_POISON, 3, 1);
	run_job();
	assert_int_equal(kernel.call_count, 0);
	assert_int_equal(state_of(3), LM_PAGE_POISONED);
}

/* ---- healing ------------------------------------------------------------- */

static void poisoned_page_is_read_again(void **state)
{
	(void)state;
	set_state(3, 2, LM_PAGE_POISONED);
	queue_job(LM_JOB_PREFETCH, 3, 2);
	run_job();
	assert_int_equal(stage.source.reads, 2); /* each alone */
	assert_states(3, 2, LM_PAGE_PRESENT);
	assert_true(holds_source(3) && holds_source(4));
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 0);
}

static void page_that_cannot_be_healed_stays_poisoned(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	stage.source.bad[3] = true;
	set_state(3, 1, LM_PAGE_POISONED);
	queue_job(LM_JOB_PREFETCH, 3, 1);
	run_job();
	assert_int_equal(state_of(3), LM_PAGE_POISONED);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 1);
	assert_int_equal(count_of(POISON), 0); /* it still is */
}

static void piece_ends_before_a_poisoned_page(void **state)
{
	(void)state;
	set_state(5, 1, LM_PAGE_POISONED);
	queue_job(LM_JOB_PREFETCH, 4, 3);
	step();
	assert_read(0, 4, 1);
}

static void poisoned_page_in_a_hole_is_healed_with_bytes(void **state)
{
	(void)state;
	make_hole(3, 3);
	set_state(3, 3, LM_PAGE_POISONED);
	queue_job(LM_JOB_PREFETCH, 3, 3);
	run_job();
	assert_int_equal(count_of(ZERO), 0); /* which would leave the poison */
	assert_int_equal(count_of(COPY), 3);
	assert_states(3, 3, LM_PAGE_PRESENT);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 0);
}

/* ---- failures ------------------------------------------------------------ */

static void failed_piece_is_gone_over_page_by_page(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	stage.source.bad[5] = true;
	queue_job(LM_JOB_PREFETCH, 4, 4);
	run_job();
	assert_read(0, 4, 4);
	for (size_t i = 0; i < 4; i++)
		assert_read(1 + i, 4 + i, 1);
	assert_int_equal(state_of(4), LM_PAGE_PRESENT);
	assert_int_equal(state_of(5), LM_PAGE_MISSING);
	assert_states(6, 2, LM_PAGE_PRESENT);
}

static void pieces_after_the_failed_one_are_whole_again(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	stage.source.bad[5] = true;
	queue_job(LM_JOB_PREFETCH, 4, 12);
	run_job();
	assert_read(stage.source.reads - 1, 12, 4);
	assert_int_equal(stage.source.reads, 1 + 4 + 2);
}

static void two_pieces_that_fail_together_lose_no_page(void **state)
{
	(void)state;
	stage.source.holds = true;
	queue_job(LM_JOB_PREFETCH, 4, 12);
	step();
	step();
	source_complete(-EIO);
	source_complete(-EIO);
	stage.source.holds = false;
	run_job();
	assert_states(4, 12, LM_PAGE_PRESENT);
}

static void later_piece_that_fails_first_loses_no_page(void **state)
{
	(void)state;
	stage.source.holds = true;
	queue_job(LM_JOB_PREFETCH, 4, 12);
	step();
	step();
	lazymem_read_complete(stage.source.held[1], -EIO);
	stage.source.held_count = 1;
	run_reads();
	source_complete(-EIO);
	stage.source.holds = false;
	run_job();
	assert_states(4, 12, LM_PAGE_PRESENT);
}

static void failed_piece_of_zeros_is_gone_over_page_by_page(void **state)
{
	(void)state;
	make_hole(4, 8);
	answer(ZERO, ENOMEM, -ENOMEM);
	queue_job(LM_JOB_PREFETCH, 4, 8);
	run_job();
	assert_call(ZERO, 0, 4, 8);
	assert_call(ZERO, 1, 4, 1);
	assert_states(4, 8, LM_PAGE_PRESENT);
}

static void lasting_failure_of_zeros_comes_to_an_end(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	make_hole(4, 8);
	kernel.always[ZERO] = ENOMEM;
	queue_job(LM_JOB_PREFETCH, 4, 8);
	run_job();
	assert_states(4, 8, LM_PAGE_MISSING);
	assert_int_equal(count_of(ZERO), 1 + 8);
}

static void fill_ends_with_the_first_page_it_cannot_have(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	stage.source.bad[5] = true;
	queue_job(LM_JOB_FILL, 4, 12);
	run_job();
	assert_states(6, 10, LM_PAGE_MISSING);
}

static void prefetch_ends_when_its_source_is_gone(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	memset(stage.source.bad, true, sizeof(stage.source.bad));
	queue_job(LM_JOB_PREFETCH, 0, 32);
	run_job();
	assert_int_equal(stage.source.reads, 4 + 16); /* pieces that failed, then their pages */
}

static void job_that_gave_up_is_not_started_again(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	memset(stage.source.bad, true, sizeof(stage.source.bad));
	queue_job(LM_JOB_PREFETCH, 0, 32);
	stage.source.holds = true;
	step();
	stage.source.holds = false;
	for (int i = 0; job->range < job->range_count; i++) { /* a piece is still under way */
		assert_true(i < 1000);
		step();
		run_reads();
	}
	source_complete(-EIO);
	run_reads();
	assert_int_equal(job->range, job->range_count);
}

/* ---- rate ---------------------------------------------------------------- */

static void piece_waits_for_its_time(void **state)
{
	uint64_t before = lm_clock_ns();

	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 16);
	job->bytes_per_second = BUFFER_PAGES * PAGE; /* a piece a second */
	assert_true(step());
	assert_false(step());
	assert_int_equal(stage.source.reads, 1);
	assert_in_range(due, before + LM_NS_PER_S, lm_clock_ns() + LM_NS_PER_S);
}

static void piece_goes_off_when_it_is_time(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 16);
	job->bytes_per_second = BUFFER_PAGES * PAGE;
	step();
	job->due = lm_clock_ns();
	assert_true(step());
	assert_int_equal(stage.source.reads, 2);
}

static void piece_that_is_late_is_made_up_for(void **state)
{
	uint64_t was_due;

	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 16);
	job->bytes_per_second = BUFFER_PAGES * PAGE; /* a piece a second */
	step();
	was_due = job->due = lm_clock_ns() - LM_NS_PER_S / 2;
	step();
	assert_int_equal(job->due, was_due + LM_NS_PER_S);
}

static void idle_time_is_not_made_up_for(void **state)
{
	uint64_t before = lm_clock_ns();

	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 16);
	job->bytes_per_second = BUFFER_PAGES * PAGE;
	step();
	job->due = before - 5 * LM_NS_PER_S;
	step();
	assert_true(job->due >= before + LM_NS_PER_S);
}

static void earlier_time_of_another_is_kept(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 16);
	job->bytes_per_second = 1;
	step();
	due = 77;
	step();
	assert_int_equal(due, 77);
}

static void zeros_cost_nothing(void **state)
{
	(void)state;
	make_hole(0, 16);
	queue_job(LM_JOB_PREFETCH, 0, 16);
	job->bytes_per_second = 1;
	step();
	assert_int_equal(job->due, 0);
}

static void slowest_rate_does_not_wrap(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 16);
	job->bytes_per_second = 1;
	step();
	assert_true(job->due > lm_clock_ns());
	assert_true(job->due <= lm_clock_ns() + 3600 * LM_NS_PER_S);
}

/* ---- limits -------------------------------------------------------------- */

static void assert_ahead(size_t index, size_t page, size_t count)
{
	assert_true(index < stage.source.aheads);
	assert_int_equal(stage.source.ahead_offsets[index], page * PAGE);
	assert_int_equal(stage.source.ahead_lengths[index], count * PAGE);
}

/* Queue a job of which `populate` pages are populated and the rest read ahead. */
static void queue_limited(size_t page, size_t count, size_t populate)
{
	job = lm_job_create(LM_JOB_PREFETCH, 2);
	assert_non_null(job);
	lm_job_add(job, &stage.attachment, GUEST + page * PAGE, count * PAGE);
	lm_job_limit(job, populate * PAGE, 0);
	lm_jobs_append(&stage.attachment.jobs, job);
	due = UINT64_MAX;
}

static void what_is_beyond_the_limit_is_read_ahead_only(void **state)
{
	(void)state;
	queue_limited(2, 9, 3);
	run_job();
	assert_int_equal(stage.source.reads, 1);
	assert_read(0, 2, 3);
	assert_states(2, 3, LM_PAGE_PRESENT);
	assert_states(5, 6, LM_PAGE_MISSING);
	assert_int_equal(stage.source.aheads, 2); /* no more than a piece at a time */
	assert_ahead(0, 5, BUFFER_PAGES);
	assert_ahead(1, 9, 2);
	assert_int_equal(counter(LM_PAGES_POPULATED), 3);
}

static void pages_that_are_there_are_not_read_ahead(void **state)
{
	(void)state;
	set_state(6, 1, LM_PAGE_PRESENT);
	discard(8, 1);
	queue_limited(4, 6, 1);
	run_job();
	assert_int_equal(stage.source.aheads, 3);
	assert_ahead(0, 5, 1);
	assert_ahead(1, 7, 1);
	assert_ahead(2, 9, 1);
}

static void holes_are_not_read_ahead(void **state)
{
	(void)state;
	make_hole(6, 20);
	queue_limited(4, 26, 1);
	run_job();
	assert_int_equal(stage.source.aheads, 2);
	assert_ahead(0, 5, 1);
	assert_ahead(1, 26, BUFFER_PAGES);
	assert_int_equal(count_of(ZERO), 0);
}

static void reading_ahead_keeps_to_the_rate(void **state)
{
	(void)state;
	queue_limited(0, 32, 4);
	job->bytes_per_second = BUFFER_PAGES * PAGE;
	job->due = 0;
	step();
	run_reads();
	job->due = lm_clock_ns();
	assert_true(step());
	assert_int_equal(stage.source.aheads, 1);
	assert_false(step());
	assert_int_equal(stage.source.aheads, 1);
}

static void failed_piece_before_the_limit_is_gone_over(void **state)
{
	(void)state;
	stage.source.holds = true;
	queue_limited(0, 12, 4);
	step();
	assert_true(step()); /* reads ahead already */
	assert_int_equal(stage.source.aheads, 1);
	source_complete(-EIO);
	stage.source.holds = false;
	run_job();
	assert_states(0, 4, LM_PAGE_PRESENT);
	assert_states(4, 8, LM_PAGE_MISSING);
}

/* ---- the end ------------------------------------------------------------- */

static void job_is_not_over_while_a_piece_is_under_way(void **state)
{
	(void)state;
	stage.source.holds = true;
	queue_job(LM_JOB_PREFETCH, 0, 2);
	assert_true(step());
	assert_false(step());
	assert_false(is_over());
	source_complete(0);
	run_reads();
	assert_true(step());
	assert_true(is_over());
}

static void empty_job_is_over_at_once(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 0);
	assert_true(step());
	assert_true(is_over());
}

static void job_of_pages_that_are_there_is_over_in_two_steps(void **state)
{
	(void)state;
	set_state(0, 32, LM_PAGE_PRESENT);
	queue_job(LM_JOB_PREFETCH, 0, 32);
	assert_true(step());
	assert_true(step());
	assert_true(is_over());
	assert_int_equal(stage.attachment.slots_in_use, 0);
}

static void abort_cuts_a_prefetch_short(void **state)
{
	(void)state;
	queue_job(LM_JOB_PREFETCH, 0, 32);
	stage.attachment.aborting = true;
	assert_true(step());
	assert_true(is_over());
	assert_int_equal(stage.source.reads, 0);
}

static void abort_lets_its_own_job_run(void **state)
{
	(void)state;
	queue_job(LM_JOB_POISON, 0, 32);
	stage.attachment.aborting = true;
	run_job();
	assert_states(0, 32, LM_PAGE_POISONED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_PRIVATE(nothing_queued_is_nothing_to_do),
		ON_PRIVATE(step_starts_one_bounded_piece),
		ON_PRIVATE(pieces_follow_each_other),
		ON_PRIVATE(nothing_outside_of_the_range_is_touched),
		ON_PRIVATE(prefetched_pages_are_counted_as_such),
		ON_PRIVATE(ranges_follow_each_other),
		ON_GIANT(giant_pages_are_one_piece_each),
		ON_PRIVATE(no_more_pieces_than_the_budget_are_under_way),
		ON_PRIVATE(job_without_a_piece_may_borrow_a_slot),
		ON_PRIVATE(borrowed_slot_goes_back),
		ON_PRIVATE(nothing_is_borrowed_when_demand_is_busy),
		ON_PRIVATE(pages_that_are_there_are_passed_over),
		ON_PRIVATE(pages_under_way_are_passed_over),
		ON_PRIVATE(discarded_pages_are_passed_over),
		ON_PRIVATE(prefetch_fills_holes_with_zeros),
		ON_PRIVATE(fill_leaves_holes_to_the_kernel),
		ON_PRIVATE(piece_ends_where_a_hole_begins),
		ON_PRIVATE(poison_takes_what_is_missing),
		ON_PRIVATE(poison_leaves_poisoned_pages_alone),
		ON_PRIVATE(poisoned_page_is_read_again),
		ON_PRIVATE(page_that_cannot_be_healed_stays_poisoned),
		ON_PRIVATE(piece_ends_before_a_poisoned_page),
		ON_PRIVATE(poisoned_page_in_a_hole_is_healed_with_bytes),
		ON_PRIVATE(failed_piece_is_gone_over_page_by_page),
		ON_PRIVATE(pieces_after_the_failed_one_are_whole_again),
		ON_PRIVATE(two_pieces_that_fail_together_lose_no_page),
		ON_PRIVATE(later_piece_that_fails_first_loses_no_page),
		ON_PRIVATE(failed_piece_of_zeros_is_gone_over_page_by_page),
		ON_PRIVATE(lasting_failure_of_zeros_comes_to_an_end),
		ON_PRIVATE(fill_ends_with_the_first_page_it_cannot_have),
		ON_PRIVATE(prefetch_ends_when_its_source_is_gone),
		ON_PRIVATE(job_that_gave_up_is_not_started_again),
		ON_PRIVATE(piece_waits_for_its_time),
		ON_PRIVATE(piece_goes_off_when_it_is_time),
		ON_PRIVATE(piece_that_is_late_is_made_up_for),
		ON_PRIVATE(idle_time_is_not_made_up_for),
		ON_PRIVATE(earlier_time_of_another_is_kept),
		ON_PRIVATE(zeros_cost_nothing),
		ON_PRIVATE(slowest_rate_does_not_wrap),
		ON_PRIVATE(what_is_beyond_the_limit_is_read_ahead_only),
		ON_PRIVATE(pages_that_are_there_are_not_read_ahead),
		ON_PRIVATE(holes_are_not_read_ahead),
		ON_PRIVATE(reading_ahead_keeps_to_the_rate),
		ON_PRIVATE(failed_piece_before_the_limit_is_gone_over),
		ON_PRIVATE(job_is_not_over_while_a_piece_is_under_way),
		ON_PRIVATE(empty_job_is_over_at_once),
		ON_PRIVATE(job_of_pages_that_are_there_is_over_in_two_steps),
		ON_PRIVATE(abort_cuts_a_prefetch_short),
		ON_PRIVATE(abort_lets_its_own_job_run),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
