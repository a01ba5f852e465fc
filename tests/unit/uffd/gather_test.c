/* wrap: ioctl read */
/* SPDX-License-Identifier: MIT
 *
 * gather_test.c - several runs that one read brings: what goes into it, what
 * becomes of each run when it is there or has failed, and who is woken when.
 */
#include "stage.h"

static struct lm_job *job;
static uint64_t due;

static int set_up(void **state)
{
	(void)state;
	stage_open_in_parts(PRIVATE, 32, 1);
	return 0;
}

static int set_up_two(void **state)
{
	(void)state;
	stage_open_in_parts(PRIVATE, 32, 2);
	return 0;
}

static int set_up_large(void **state)
{
	(void)state;
	stage_open_in_parts(PRIVATE, MOST_PAGES, 1);
	return 0;
}

static int set_up_giant(void **state)
{
	(void)state;
	stage_open_in_parts(GIANT, 4, 1);
	return 0;
}

/* ---- jobs */

struct run {
	size_t page, count;
};

static void queue_kind(enum lm_job_kind kind, const struct run *runs, size_t count)
{
	job = lm_job_create(kind, count);
	assert_non_null(job);
	for (size_t i = 0; i < count; i++)
		lm_job_add(job, &stage.attachment, GUEST + runs[i].page * PAGE,
			   runs[i].count * PAGE);
	lm_jobs_append(&stage.attachment.jobs, job);
	due = UINT64_MAX;
}

#define QUEUE(...)                                                                                 \
	queue_kind(LM_JOB_PREFETCH, (const struct run[]){__VA_ARGS__},                             \
		   sizeof((const struct run[]){__VA_ARGS__}) / sizeof(struct run))

static bool step(void)
{
	return lm_prefetch_step(&stage.worker, &stage.attachment, &due);
}

static bool is_over(void)
{
	return lm_jobs_current(&stage.attachment.jobs) == NULL;
}

static void run_all(void)
{
	run_reads();
	while (stage.worker.delayed.first != NULL) {
		run_delayed();
		run_reads();
	}
}

static void run_job(void)
{
	for (int i = 0; i < 1000 && !is_over(); i++) {
		step();
		run_all();
	}
	assert_true(is_over());
}

static enum lazymem_verdict give_up(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	return LAZYMEM_POISON;
}

static size_t free_gathers(void)
{
	size_t count = 0;

	for (const struct lm_gather *at = stage.worker.free_gathers; at != NULL; at = at->next)
		count++;
	return count;
}

static void assert_at_rest(void)
{
	assert_int_equal(free_gathers(), LM_GATHERS);
	assert_int_equal(stage.attachment.slots_in_use, 0);
	assert_int_equal(stage.worker.prefetch_bytes, 0);
	for (size_t i = 0; i < sizeof(stage.worker.used) / sizeof(stage.worker.used[0]); i++)
		assert_int_equal(stage.worker.used[i], 0);
}

static void assert_parts(size_t index, size_t page, size_t parts, size_t pages)
{
	assert_true(index < stage.source.reads);
	assert_int_equal(stage.source.offsets[index], page * PAGE);
	assert_int_equal(stage.source.part_counts[index], parts);
	assert_int_equal(stage.source.lengths[index], pages * PAGE);
}

static void make_hole(size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++)
		stage.source.hole[i] = true;
}

static void assert_arrived(size_t page, size_t count)
{
	assert_states(page, count, LM_PAGE_PRESENT);
	for (size_t i = page; i < page + count; i++)
		assert_true(holds_source(i));
}

/* ---- what goes into it --------------------------------------------------- */

static void runs_are_read_at_once(void **state)
{
	(void)state;
	QUEUE({20, 1}, {3, 1}, {10, 2});
	run_job();
	assert_int_equal(stage.source.reads, 1);
	assert_parts(0, 20, 3, 4);
	assert_arrived(20, 1);
	assert_arrived(3, 1);
	assert_arrived(10, 2);
	assert_at_rest();
}

static void one_read_is_counted_with_all_its_bytes(void **state)
{
	(void)state;
	QUEUE({20, 1}, {3, 1}, {10, 2});
	run_job();
	assert_int_equal(counter(LM_READS), 1);
	assert_int_equal(counter(LM_BYTES_READ), 4 * PAGE);
	assert_int_equal(counter(LM_PAGES_PREFETCHED), 4);
	assert_int_equal(counter(LM_PAGES_POPULATED), 4);
	assert_int_equal(counter(LM_RETRIES), 0);
}

static void buffer_bounds_a_gather(void **state)
{
	(void)state;
	QUEUE({0, 1}, {2, 1}, {4, 1}, {6, 1}, {8, 1}, {10, 1});
	run_job();
	assert_int_equal(stage.source.reads, 2);
	assert_parts(0, 0, 4, 4);
	assert_parts(1, 8, 2, 2);
}

static void run_is_cut_where_the_buffer_ends(void **state)
{
	(void)state;
	QUEUE({0, 3}, {10, 3});
	run_job();
	assert_int_equal(stage.source.reads, 2);
	assert_parts(0, 0, 2, 4);
	assert_parts(1, 11, 1, 2);
	assert_arrived(10, 3);
}

static void page_that_is_named_twice_is_read_once(void **state)
{
	(void)state;
	QUEUE({3, 2}, {4, 2}, {3, 1});
	run_job();
	assert_int_equal(stage.source.reads, 1);
	assert_parts(0, 3, 2, 3);
	assert_arrived(3, 3);
}

static void pages_that_are_there_or_gone_are_passed_over(void **state)
{
	(void)state;
	set_state(4, 1, LM_PAGE_PRESENT);
	discard(6, 1);
	QUEUE({3, 5});
	run_job();
	assert_int_equal(stage.source.reads, 1);
	assert_parts(0, 3, 3, 3);
	assert_int_equal(state_of(6), LM_PAGE_DISCARDED);
}

static void zeros_in_between_are_no_parts(void **state)
{
	(void)state;
	make_hole(4, 2);
	QUEUE({3, 4});
	run_job();
	assert_int_equal(stage.source.reads, 1);
	assert_parts(0, 3, 2, 2);
	assert_int_equal(count_of(ZERO), 1);
	assert_call(ZERO, 0, 4, 2);
	assert_states(3, 4, LM_PAGE_PRESENT);
	assert_at_rest();
}

static void fill_leaves_holes_between_runs(void **state)
{
	(void)state;
	make_hole(4, 2);
	queue_kind(LM_JOB_FILL, &(struct run){3, 4}, 1);
	run_job();
	assert_parts(0, 3, 2, 2);
	assert_int_equal(count_of(ZERO), 0);
	assert_states(4, 2, LM_PAGE_MISSING);
}

/* The worker serves nobody meanwhile. */
static void zeros_of_one_step_are_bounded(void **state)
{
	size_t zeroed = 0;

	(void)state;
	make_hole(0, MOST_PAGES);
	QUEUE({0, MOST_PAGES});
	step();
	for (size_t i = 0; i < count_of(ZERO); i++)
		zeroed += call_of(ZERO, i)->length / PAGE;
	assert_in_range(zeroed, 1, 512);
	run_job();
	assert_states(0, MOST_PAGES, LM_PAGE_PRESENT);
}

static void single_zeros_of_one_step_are_bounded(void **state)
{
	(void)state;
	for (size_t page = 0; page < MOST_PAGES; page++)
		set_state(page, 1, page % 2 ? LM_PAGE_PRESENT : LM_PAGE_MISSING);
	make_hole(0, MOST_PAGES);
	QUEUE({0, MOST_PAGES});
	step();
	assert_in_range(count_of(ZERO), 1, 512);
}

static void poisoned_page_is_read_alone(void **state)
{
	(void)state;
	set_state(5, 1, LM_PAGE_POISONED);
	QUEUE({3, 1}, {5, 1}, {7, 1});
	run_job();
	assert_int_equal(stage.source.reads, 3);
	assert_parts(1, 5, 0, 1);
	assert_arrived(5, 1);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 0);
	assert_at_rest();
}

static void regions_of_one_object_share_a_read(void **state)
{
	(void)state;
	job = lm_job_create(LM_JOB_PREFETCH, 2);
	lm_job_add(job, &stage.attachment, GUEST + 3 * PAGE, PAGE);
	lm_job_add(job, &stage.attachment, GUEST + GUEST_STEP + 4 * PAGE, PAGE);
	lm_jobs_append(&stage.attachment.jobs, job);
	run_job();
	assert_int_equal(stage.source.reads, 1);
	assert_parts(0, 3, 2, 2);
	assert_int_equal(count_of(WAKE), 2); /* once in each */
	assert_int_equal(lm_page_map_get(&stage.regions[1].map, 4), LM_PAGE_PRESENT);
	assert_int_equal(*(unsigned char *)lm_lazy_region_host(&stage.regions[1], 4),
			 byte_of(32 + 4));
}

/* Region 1 gets an object of its own, as long as is said; its bytes begin anew. */
static struct lazymem_backing *replace_object(uint64_t length)
{
	struct lazymem_backing_operations operations = source_operations();
	struct lazymem_backing *other;

	assert_int_equal(
		lazymem_backing_create(&operations, &stage.source, length, "other", &other), 0);
	stage.regions[1].backing = other;
	stage.regions[1].backing_offset = 0;
	return other;
}

static void regions_of_two_objects_do_not(void **state)
{
	struct lazymem_backing *other = replace_object(32 * PAGE);

	(void)state;
	job = lm_job_create(LM_JOB_PREFETCH, 3);
	lm_job_add(job, &stage.attachment, GUEST + 3 * PAGE, PAGE);
	lm_job_add(job, &stage.attachment, GUEST + GUEST_STEP + 4 * PAGE, PAGE);
	lm_job_add(job, &stage.attachment, GUEST + 5 * PAGE, PAGE);
	lm_jobs_append(&stage.attachment.jobs, job);
	run_job();
	assert_int_equal(stage.source.reads, 3);
	assert_int_equal(*(unsigned char *)lm_lazy_region_host(&stage.regions[1], 4), byte_of(4));
	assert_arrived(3, 1);
	assert_arrived(5, 1);
	assert_at_rest();
	lazymem_backing_unref(other);
}

static void last_page_that_ends_inside_is_read_alone(void **state)
{
	struct lazymem_backing *other = replace_object(31 * PAGE + 100);
	const char *last = lm_lazy_region_host(&stage.regions[1], 31);

	(void)state;
	job = lm_job_create(LM_JOB_PREFETCH, 1);
	lm_job_add(job, &stage.attachment, GUEST + GUEST_STEP + 29 * PAGE, 3 * PAGE);
	lm_jobs_append(&stage.attachment.jobs, job);
	run_job();
	assert_int_equal(stage.source.reads, 2);
	assert_parts(0, 29, 1, 2);
	assert_int_equal(stage.source.part_counts[1], 0);
	assert_int_equal((unsigned char)last[99], byte_of(31));
	assert_int_equal(last[100], 0);
	assert_int_equal(last[PAGE - 1], 0);
	lazymem_backing_unref(other);
}

static void pages_larger_than_the_buffer_go_one_by_one(void **state)
{
	(void)state;
	QUEUE({0, 4 * GIANT_PAGES});
	run_job();
	for (size_t i = 0; i < stage.source.reads; i++)
		assert_int_equal(stage.source.part_counts[i], 0);
	assert_states(0, 4, LM_PAGE_PRESENT);
	assert_at_rest();
}

/* Each reads a buffer at a time, however large its page. */
static void pages_larger_than_the_buffer_use_the_whole_budget(void **state)
{
	(void)state;
	stage.source.holds = true;
	QUEUE({0, 4 * GIANT_PAGES});
	for (int i = 0; i < PREFETCH_SLOTS; i++)
		assert_true(step());
	assert_int_equal(stage.source.reads, PREFETCH_SLOTS);
}

/* ---- installing ---------------------------------------------------------- */

static void all_are_woken_once_at_the_end(void **state)
{
	(void)state;
	QUEUE({20, 1}, {3, 1}, {10, 2});
	run_job();
	assert_int_equal(count_of(COPY), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(call_of(COPY, i)->mode, UFFDIO_COPY_MODE_DONTWAKE);
	assert_int_equal(count_of(WAKE), 1);
	assert_call(WAKE, 0, 3, 18);
	assert_int_equal(kernel.calls[kernel.call_count - 1].verb, WAKE);
}

static void runs_are_woken_apart_while_a_fault_waits_in_between(void **state)
{
	(void)state;
	stage.source.holds = true;
	send_fault(host_of(7), 0);
	lm_serve_messages(&stage.worker, &stage.attachment);
	lm_serve_backlog(&stage.worker);
	QUEUE({10, 1}, {3, 1});
	step();
	source_complete(0); /* of the fault: read, and not installed yet */
	source_complete(0);
	stage.worker.read_demand = (struct lm_slot_list){NULL, NULL, 0};
	run_reads();
	assert_int_equal(count_of(WAKE), 2);
	assert_call(WAKE, 0, 10, 1);
	assert_call(WAKE, 1, 3, 1);
}

static void page_discarded_in_flight_is_not_installed(void **state)
{
	(void)state;
	stage.source.holds = true;
	QUEUE({3, 3}, {10, 1});
	step();
	discard(4, 1);
	source_complete(0);
	run_reads();
	assert_arrived(3, 1);
	assert_int_equal(state_of(4), LM_PAGE_DISCARDED);
	assert_arrived(5, 1);
	assert_arrived(10, 1);
	for (size_t i = 0; i < count_of(COPY); i++)
		assert_true(call_of(COPY, i)->start != host_of(4));
	assert_at_rest();
}

static void run_discarded_in_flight_is_over(void **state)
{
	(void)state;
	stage.source.holds = true;
	QUEUE({3, 2}, {10, 1});
	step();
	discard(0, 32);
	source_complete(0);
	run_reads();
	assert_int_equal(count_of(COPY), 0);
	assert_states(0, 32, LM_PAGE_DISCARDED);
	assert_at_rest();
}

static void fault_joins_the_run_it_is_for(void **state)
{
	struct lm_slot *slot;

	(void)state;
	stage.source.holds = true;
	QUEUE({3, 1}, {10, 2});
	step();
	send_fault(host_of(11), 0);
	lm_serve_messages(&stage.worker, &stage.attachment);
	lm_serve_backlog(&stage.worker);
	slot = lm_slot_find(&stage.worker, &stage.regions[0], 11);
	assert_non_null(slot);
	assert_int_equal(slot->joined, 1);
	source_complete(0);
	run_reads();
	assert_outcome(LM_COALESCED, 1);
	assert_null(lm_slot_find(&stage.worker, &stage.regions[0], 11));
	assert_int_equal(stage.source.reads, 1);
	assert_at_rest();
}

static void a_gather_is_read_in_the_background_until_a_fault_joins_it(void **state)
{
	(void)state;
	stage.source.holds = true;
	QUEUE({3, 1}, {10, 2});
	step();
	assert_int_equal(stage.source.flags[0], LAZYMEM_READ_BACKGROUND);
	send_fault(host_of(11), 0);
	send_fault(host_of(10), 0);
	lm_serve_messages(&stage.worker, &stage.attachment);
	assert_int_equal(stage.source.hurries, 0);
	lm_serve_backlog(&stage.worker);
	assert_ptr_equal(stage.source.hurried, stage.source.held[0]);
	assert_int_equal(stage.source.hurries, 1); /* they are in one slot */
	source_complete(0);
	run_reads();
	assert_at_rest();
}

static uint64_t counted_at_wake;

static void look_at_wake(enum verb verb)
{
	if (verb == WAKE)
		counted_at_wake = counter(LM_COALESCED);
}

/* Its latency is what its thread sees. */
static void fault_is_counted_when_its_thread_was_woken(void **state)
{
	(void)state;
	stage.source.holds = true;
	QUEUE({3, 1}, {10, 2});
	step();
	send_fault(host_of(3), 0);
	lm_serve_messages(&stage.worker, &stage.attachment);
	lm_serve_backlog(&stage.worker);
	counted_at_wake = 77;
	kernel.on_call = look_at_wake;
	source_complete(0);
	run_reads();
	assert_int_equal(counted_at_wake, 0);
	assert_outcome(LM_COALESCED, 1);
	assert_at_rest();
}

static void postponed_run_keeps_its_part_of_the_buffer(void **state)
{
	(void)state;
	stage.source.holds = true;
	QUEUE({3, 1}, {10, 2}, {20, 12});
	step();
	answer(COPY, 0, PAGE);
	answer(COPY, EAGAIN, -EAGAIN);
	source_complete(0);
	run_reads();
	assert_int_equal(state_of(10), LM_PAGE_CLAIMED);
	assert_int_equal(free_gathers(), LM_GATHERS - 1);
	stage.source.holds = false;
	for (int i = 0; i < 3; i++) {
		step(); /* other gathers read meanwhile */
		run_reads();
	}
	assert_arrived(20, 12);
	run_delayed();
	assert_arrived(10, 2);
	assert_int_equal(call_of(COPY, count_of(COPY) - 1)->mode, 0); /* wakes by itself */
	run_job();
	assert_at_rest();
}

/* ---- failing ------------------------------------------------------------- */

static void failed_gather_loses_the_bad_run_only(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	stage.source.bad[10] = true;
	QUEUE({3, 1}, {10, 1}, {20, 2});
	run_job();
	assert_arrived(3, 1);
	assert_int_equal(state_of(10), LM_PAGE_MISSING);
	assert_arrived(20, 2);
	assert_int_equal(stage.source.reads, 1 + 3);
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(stage.source.part_counts[i], 0);
	assert_at_rest();
}

static void bad_page_in_a_run_is_found(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	stage.source.bad[21] = true;
	QUEUE({3, 1}, {20, 3}, {28, 4});
	run_job();
	assert_arrived(3, 1);
	assert_arrived(20, 1);
	assert_int_equal(state_of(21), LM_PAGE_MISSING);
	assert_arrived(22, 1);
	assert_arrived(28, 4);
	assert_at_rest();
}

static void bad_pages_in_two_runs_are_found(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	stage.source.bad[4] = stage.source.bad[21] = true;
	QUEUE({3, 2}, {20, 2}, {28, 4});
	run_job();
	assert_arrived(3, 1);
	assert_arrived(20, 1);
	assert_arrived(28, 4);
	assert_int_equal(state_of(4), LM_PAGE_MISSING);
	assert_int_equal(state_of(21), LM_PAGE_MISSING);
	assert_at_rest();
}

static void gather_that_fails_once_loses_nothing(void **state)
{
	(void)state;
	stage.source.holds = true;
	QUEUE({3, 1}, {10, 2});
	step();
	source_complete(-EIO);
	stage.source.holds = false;
	run_job();
	assert_arrived(3, 1);
	assert_arrived(10, 2);
	assert_at_rest();
}

static void fault_that_joined_a_gather_that_fails_is_woken(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	memset(stage.source.bad, true, sizeof(stage.source.bad));
	stage.source.holds = true;
	QUEUE({3, 1}, {10, 2});
	step();
	send_fault(host_of(3), 0);
	lm_serve_messages(&stage.worker, &stage.attachment);
	lm_serve_backlog(&stage.worker);
	stage.source.holds = false;
	source_complete(-EIO);
	run_all();
	assert_int_equal(state_of(3), LM_PAGE_MISSING); /* and asks again, as demand */
	assert_call(WAKE, 0, 3, 1);
	assert_outcome(LM_COALESCED, 1);
	run_job();
	assert_at_rest();
}

static void gather_that_fails_in_an_abort_is_not_read_again(void **state)
{
	(void)state;
	stage.source.holds = true;
	QUEUE({3, 1}, {10, 2});
	step();
	stage.attachment.aborting = true;
	source_complete(-EIO);
	run_reads();
	assert_int_equal(stage.source.reads, 1);
	assert_int_equal(state_of(3), LM_PAGE_MISSING);
	assert_states(10, 2, LM_PAGE_MISSING);
	assert_at_rest();
}

static void refused_populate_of_one_run_keeps_no_other(void **state)
{
	(void)state;
	stage.attachment.on_failure = give_up;
	answer(COPY, ENOMEM, -ENOMEM);
	QUEUE({3, 1}, {10, 2});
	run_job();
	assert_int_equal(state_of(3), LM_PAGE_MISSING);
	assert_arrived(10, 2);
	assert_at_rest();
}

/* ---- budgets ------------------------------------------------------------- */

static void hold_all_gathers(void)
{
	stage.source.holds = true;
	QUEUE({0, 24});
	for (size_t i = 0; i < LM_GATHERS; i++)
		assert_true(step());
	assert_int_equal(free_gathers(), 0);
}

static void no_more_gathers_than_there_are(void **state)
{
	(void)state;
	hold_all_gathers();
	assert_false(step());
	assert_int_equal(stage.source.reads, LM_GATHERS);
	source_complete(0);
	run_reads();
	assert_true(step());
	assert_int_equal(stage.source.reads, LM_GATHERS + 1);
}

static void job_without_a_gather_goes_on_in_pieces(void **state)
{
	(void)state;
	hold_all_gathers();
	job->range = job->range_count; /* somebody else's */
	stage.source.held_count = 0;
	job->pieces = 0;
	lm_jobs_end_current(&stage.attachment.jobs);
	stage.source.holds = false;
	QUEUE({24, 8});
	run_job();
	assert_arrived(24, 8);
	for (size_t i = LM_GATHERS; i < stage.source.reads; i++)
		assert_int_equal(stage.source.part_counts[i], 0);
}

static void gather_waits_for_its_time(void **state)
{
	uint64_t before = lm_clock_ns();

	(void)state;
	QUEUE({0, 1}, {2, 1}, {4, 1}, {6, 1}, {8, 1});
	job->bytes_per_second = BUFFER_PAGES * PAGE; /* a buffer a second */
	assert_true(step());
	assert_false(step());
	assert_int_equal(stage.source.reads, 1);
	assert_in_range(due, before + LM_NS_PER_S, lm_clock_ns() + LM_NS_PER_S);
}

static void job_is_not_over_while_a_gather_is_under_way(void **state)
{
	(void)state;
	stage.source.holds = true;
	QUEUE({0, 1}, {2, 1});
	assert_true(step());
	assert_false(step());
	assert_false(is_over());
	source_complete(0);
	run_reads();
	assert_true(step());
	assert_true(is_over());
}

#define ON(set_up, test) cmocka_unit_test_setup_teardown(test, set_up, stage_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON(set_up, runs_are_read_at_once),
		ON(set_up, one_read_is_counted_with_all_its_bytes),
		ON(set_up, buffer_bounds_a_gather),
		ON(set_up, run_is_cut_where_the_buffer_ends),
		ON(set_up, page_that_is_named_twice_is_read_once),
		ON(set_up, pages_that_are_there_or_gone_are_passed_over),
		ON(set_up, zeros_in_between_are_no_parts),
		ON(set_up, fill_leaves_holes_between_runs),
		ON(set_up_large, zeros_of_one_step_are_bounded),
		ON(set_up_large, single_zeros_of_one_step_are_bounded),
		ON(set_up, poisoned_page_is_read_alone),
		ON(set_up_two, regions_of_one_object_share_a_read),
		ON(set_up_two, regions_of_two_objects_do_not),
		ON(set_up_two, last_page_that_ends_inside_is_read_alone),
		ON(set_up_giant, pages_larger_than_the_buffer_go_one_by_one),
		ON(set_up_giant, pages_larger_than_the_buffer_use_the_whole_budget),
		ON(set_up, all_are_woken_once_at_the_end),
		ON(set_up, runs_are_woken_apart_while_a_fault_waits_in_between),
		ON(set_up, page_discarded_in_flight_is_not_installed),
		ON(set_up, run_discarded_in_flight_is_over),
		ON(set_up, fault_joins_the_run_it_is_for),
		ON(set_up, a_gather_is_read_in_the_background_until_a_fault_joins_it),
		ON(set_up, fault_is_counted_when_its_thread_was_woken),
		ON(set_up, postponed_run_keeps_its_part_of_the_buffer),
		ON(set_up, failed_gather_loses_the_bad_run_only),
		ON(set_up, bad_page_in_a_run_is_found),
		ON(set_up, bad_pages_in_two_runs_are_found),
		ON(set_up, gather_that_fails_once_loses_nothing),
		ON(set_up, fault_that_joined_a_gather_that_fails_is_woken),
		ON(set_up, gather_that_fails_in_an_abort_is_not_read_again),
		ON(set_up, refused_populate_of_one_run_keeps_no_other),
		ON(set_up, no_more_gathers_than_there_are),
		ON(set_up, job_without_a_gather_goes_on_in_pieces),
		ON(set_up, gather_waits_for_its_time),
		ON(set_up, job_is_not_over_while_a_gather_is_under_way),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
