/* wrap: ioctl read */
/* SPDX-License-Identifier: MIT
 *
 * serve_test.c - from messages to reads: order, twins, neighbours, holes,
 * events, the bound of the backlog, what is recorded, and what comes along.
 */
#include "stage.h"

static void send_page(size_t page)
{
	send_fault(host_of(page), 0);
}

static void receive(void)
{
	lm_serve_messages(&stage.worker, &stage.attachment);
}

/* One round of the worker's loop, as far as faults go. */
static void serve(void)
{
	receive();
	lm_serve_backlog(&stage.worker);
	run_reads();
}

static void assert_read(size_t index, size_t page, size_t count)
{
	assert_true(index < stage.source.reads);
	assert_int_equal(stage.source.offsets[index], page * PAGE);
	assert_int_equal(stage.source.lengths[index], count * PAGE);
}

static int set_up_two(void **state)
{
	(void)state;
	stage_open(PRIVATE, 32, 2);
	return 0;
}

static int set_up_recording(void **state)
{
	stage_private(state);
	return lm_recorder_create(&stage.attachment.recorder, 32);
}

/* ---- faults -------------------------------------------------------------- */

static void fault_brings_its_page(void **state)
{
	(void)state;
	send_page(5);
	serve();
	assert_int_equal(stage.source.reads, 1);
	assert_read(0, 5, 1);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
	assert_true(holds_source(5));
	assert_outcome(LM_COPIED, 1);
}

static void fault_within_a_page_is_for_that_page(void **state)
{
	(void)state;
	send_fault(host_of(5) + 123, 0);
	serve();
	assert_read(0, 5, 1);
}

static void faults_are_served_in_order_of_their_pages(void **state)
{
	(void)state;
	send_page(9);
	send_page(3);
	send_page(6);
	serve();
	assert_read(0, 3, 1);
	assert_read(1, 6, 1);
	assert_read(2, 9, 1);
}

static void neighbours_are_one_read_and_one_copy(void **state)
{
	(void)state;
	send_page(7);
	send_page(5);
	send_page(6);
	serve();
	assert_int_equal(stage.source.reads, 1);
	assert_read(0, 5, 3);
	assert_int_equal(count_of(COPY), 1);
	assert_outcome(LM_COPIED, 3);
}

static void neighbours_are_no_more_than_a_buffer(void **state)
{
	(void)state;
	for (size_t page = 5; page < 11; page++)
		send_page(page);
	serve();
	assert_int_equal(stage.source.reads, 2);
	assert_read(0, 5, BUFFER_PAGES);
	assert_read(1, 5 + BUFFER_PAGES, 2);
}

static void neighbours_in_number_of_two_regions_are_two_reads(void **state)
{
	(void)state;
	send_page(5);
	send_fault((uintptr_t)stage.regions[1].host + 6 * PAGE, 0);
	serve();
	assert_int_equal(stage.source.reads, 2);
	assert_read(0, 5, 1);
	assert_read(1, 32 + 6, 1);
}

static void neighbours_end_before_a_page_that_is_there(void **state)
{
	(void)state;
	set_state(6, 1, LM_PAGE_PRESENT);
	send_page(5);
	send_page(6);
	send_page(7);
	serve();
	assert_read(0, 5, 1);
	assert_read(1, 7, 1);
	assert_int_equal(stage.source.reads, 2);
}

static void twins_are_one_read(void **state)
{
	(void)state;
	send_page(5);
	send_page(5);
	serve();
	assert_int_equal(stage.source.reads, 1);
	assert_int_equal(count_of(COPY), 1);
}

static void twins_are_two_faults(void **state)
{
	(void)state;
	send_page(5);
	send_page(9);
	send_page(5);
	serve();
	assert_int_equal(counter(LM_FAULTS), 3);
	assert_int_equal(counter(LM_COPIED), 2);
	assert_int_equal(counter(LM_COALESCED), 1);
}

static void fault_for_a_page_under_way_joins_it(void **state)
{
	(void)state;
	stage.source.holds = true;
	send_page(5);
	serve();
	send_page(5);
	serve();
	assert_int_equal(stage.source.reads, 1);
	assert_int_equal(stage.worker.backlog_count, 0);
	source_complete(0);
	run_reads();
	assert_int_equal(counter(LM_COPIED), 1);
	assert_int_equal(counter(LM_COALESCED), 1);
}

static void slow_page_holds_up_no_other(void **state)
{
	(void)state;
	stage.source.holds = true;
	send_page(5);
	serve();
	stage.source.holds = false;
	send_page(9);
	serve();
	assert_int_equal(state_of(5), LM_PAGE_CLAIMED);
	assert_int_equal(state_of(9), LM_PAGE_PRESENT);
}

/* It was that of a view, which is about to be unmapped. */
static void address_of_nobody_is_woken_and_that_is_all(void **state)
{
	(void)state;
	send_fault(host_of(0) - 1, 0);
	serve();
	assert_int_equal(stage.source.reads, 0);
	assert_int_equal(kernel.call_count, 1);
	assert_int_equal(call_of(WAKE, 0)->start, host_of(0) - PAGE);
	assert_int_equal(call_of(WAKE, 0)->length, PAGE);
	assert_int_equal(stage.worker.backlog_count, 0);
}

static void all_messages_are_read_at_once(void **state)
{
	(void)state;
	stage.source.holds = true;
	for (size_t i = 0; i < LM_MESSAGE_BATCH + 6; i++)
		send_page(5);
	receive();
	assert_int_equal(counter(LM_FAULTS), LM_MESSAGE_BATCH + 6);
	assert_int_equal(kernel.message_first, kernel.message_count);
}

static void failing_read_of_messages_is_harmless(void **state)
{
	(void)state;
	kernel.read_errors[0] = EINVAL;
	kernel.read_error_count = 1;
	serve();
	assert_int_equal(stage.worker.backlog_count, 0);
	assert_int_equal(pthread_rwlock_trywrlock(&stage.attachment.lock), 0);
	pthread_rwlock_unlock(&stage.attachment.lock);
}

/* ---- pages in other states ----------------------------------------------- */

static void fault_for_a_page_that_is_there_reads_nothing(void **state)
{
	(void)state;
	set_state(5, 1, LM_PAGE_PRESENT);
	answer(ZERO, EEXIST, -EEXIST);
	send_page(5);
	serve();
	assert_int_equal(stage.source.reads, 0);
	assert_call(WAKE, 0, 5, 1);
	assert_outcome(LM_ALREADY_PRESENT, 1);
}

static void fault_for_a_poisoned_page_reads_nothing(void **state)
{
	(void)state;
	set_state(5, 1, LM_PAGE_POISONED);
	send_page(5);
	serve();
	assert_int_equal(stage.source.reads, 0);
	assert_call(POISON, 0, 5, 1);
	assert_outcome(LM_FAILED, 1);
}

static void fault_for_a_discarded_page_is_zeros(void **state)
{
	(void)state;
	discard(5, 1);
	send_page(5);
	serve();
	assert_int_equal(stage.source.reads, 0);
	assert_call(ZERO, 0, 5, 1);
	assert_outcome(LM_ZEROED, 1);
}

static void discard_of_a_page_in_the_backlog_is_seen(void **state)
{
	(void)state;
	send_page(5);
	receive();
	discard(5, 1);
	lm_serve_backlog(&stage.worker);
	assert_int_equal(stage.source.reads, 0);
	assert_call(ZERO, 0, 5, 1);
}

static void fault_during_an_abort_is_poisoned(void **state)
{
	(void)state;
	stage.attachment.aborting = true;
	send_page(5);
	serve();
	assert_int_equal(stage.source.reads, 0);
	assert_call(POISON, 0, 5, 1);
	assert_outcome(LM_FAILED, 1);
}

static void fault_in_a_hole_during_an_abort_is_zeros(void **state)
{
	(void)state;
	stage.attachment.aborting = true;
	stage.source.hole[5] = true;
	send_page(5);
	serve();
	assert_int_equal(count_of(POISON), 0);
	assert_call(ZERO, 0, 5, 1);
}

/* ---- holes --------------------------------------------------------------- */

static void make_hole(size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++)
		stage.source.hole[i] = true;
}

static void hole_is_not_read(void **state)
{
	(void)state;
	make_hole(0, 32);
	send_page(5);
	serve();
	assert_int_equal(stage.source.reads, 0);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
	assert_outcome(LM_ZEROED, 1);
}

static void fault_in_a_hole_brings_sixteen_pages(void **state)
{
	(void)state;
	make_hole(0, 32);
	send_page(5);
	serve();
	assert_int_equal(count_of(ZERO), 1);
	assert_call(ZERO, 0, 5, 16);
	assert_int_equal(state_of(21), LM_PAGE_MISSING);
}

static void zeros_end_where_the_hole_ends(void **state)
{
	(void)state;
	make_hole(0, 8);
	send_page(5);
	serve();
	assert_call(ZERO, 0, 5, 3);
	assert_int_equal(state_of(8), LM_PAGE_MISSING);
}

static void zeros_end_where_the_region_ends(void **state)
{
	(void)state;
	make_hole(0, 32);
	send_page(30);
	serve();
	assert_call(ZERO, 0, 30, 2);
}

static void zeros_end_at_a_page_in_another_state(void **state)
{
	(void)state;
	make_hole(0, 32);
	set_state(7, 1, LM_PAGE_POISONED);
	send_page(5);
	serve();
	assert_call(ZERO, 0, 5, 2);
	assert_int_equal(state_of(7), LM_PAGE_POISONED);
}

static void read_ends_where_a_hole_begins(void **state)
{
	(void)state;
	make_hole(6, 1);
	for (size_t page = 5; page < 8; page++)
		send_page(page);
	serve();
	assert_int_equal(stage.source.reads, 2);
	assert_read(0, 5, 1);
	assert_read(1, 7, 1);
	assert_call(ZERO, 0, 6, 1);
}

/* ---- events -------------------------------------------------------------- */

static void event_is_applied_before_the_faults_of_its_batch(void **state)
{
	(void)state;
	send_page(5);
	send_remove(host_of(4), host_of(6));
	serve();
	assert_int_equal(stage.source.reads, 0);
	assert_call(ZERO, 0, 5, 1);
	assert_int_equal(state_of(4), LM_PAGE_DISCARDED);
}

static void event_revokes_the_page_of_a_read_under_way(void **state)
{
	(void)state;
	stage.source.holds = true;
	send_page(5);
	serve();
	send_remove(host_of(5), host_of(6));
	serve();
	source_complete(0);
	run_reads();
	assert_int_equal(count_of(COPY), 0);
	assert_call(ZERO, 0, 5, 1);
}

static void event_discards_its_range_and_no_more(void **state)
{
	(void)state;
	send_remove(host_of(4), host_of(9));
	serve();
	assert_int_equal(state_of(3), LM_PAGE_MISSING);
	assert_states(4, 5, LM_PAGE_DISCARDED);
	assert_int_equal(state_of(9), LM_PAGE_MISSING);
	assert_int_equal(counter(LM_PAGES_DISCARDED), 5);
}

static void event_is_cut_to_the_region(void **state)
{
	(void)state;
	send_remove(host_of(0) - 8 * PAGE, host_of(2));
	send_remove(host_of(31), host_of(32) + 8 * PAGE);
	serve();
	assert_states(0, 2, LM_PAGE_DISCARDED);
	assert_int_equal(state_of(2), LM_PAGE_MISSING);
	assert_int_equal(state_of(30), LM_PAGE_MISSING);
	assert_int_equal(state_of(31), LM_PAGE_DISCARDED);
}

static void event_over_two_regions_discards_in_both(void **state)
{
	(void)state;
	send_remove((uintptr_t)stage.regions[0].host, (uintptr_t)stage.regions[1].host + PAGE);
	serve();
	assert_states(0, 32, LM_PAGE_DISCARDED);
	assert_int_equal(lm_page_map_get(&stage.regions[1].map, 0), LM_PAGE_DISCARDED);
	assert_int_equal(lm_page_map_get(&stage.regions[1].map, 1), LM_PAGE_MISSING);
}

static void event_counts_poisoned_pages_out(void **state)
{
	(void)state;
	set_state(4, 3, LM_PAGE_POISONED);
	send_remove(host_of(5), host_of(9));
	serve();
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 1);
}

/* ---- the backlog --------------------------------------------------------- */

static void faults_wait_for_a_free_slot(void **state)
{
	(void)state;
	stage.source.holds = true;
	for (size_t i = 0; i < DEMAND_SLOTS + 2; i++)
		send_page(3 * i);
	serve();
	assert_int_equal(stage.source.reads, DEMAND_SLOTS);
	assert_int_equal(stage.worker.backlog_count, 2);
	assert_int_equal(stage.attachment.faults_waiting, 2);
}

static void waiting_fault_takes_the_next_slot(void **state)
{
	(void)state;
	stage.source.holds = true;
	for (size_t i = 0; i < DEMAND_SLOTS + 1; i++)
		send_page(3 * i);
	serve();
	source_complete(0);
	run_reads();
	serve();
	assert_read(DEMAND_SLOTS, 3 * DEMAND_SLOTS, 1);
	assert_int_equal(stage.attachment.faults_waiting, 0);
}

static void fault_under_way_needs_no_slot(void **state)
{
	(void)state;
	stage.source.holds = true;
	for (size_t i = 0; i < DEMAND_SLOTS; i++)
		send_page(3 * i);
	serve();
	send_page(0);
	serve();
	assert_int_equal(stage.worker.backlog_count, 0);
}

static int set_up_large(void **state)
{
	(void)state;
	stage_open(PRIVATE, MOST_PAGES, 1);
	return 0;
}

/* Put `count` faults for every other page in the backlog. */
static void fill_backlog(size_t count)
{
	for (size_t i = 0; i < count;) {
		kernel.message_first = kernel.message_count = 0;
		for (; i < count && kernel.message_count < 512; i++)
			send_page(i);
		receive();
	}
}

static void backlog_is_bounded(void **state)
{
	(void)state;
	fill_backlog(LM_BACKLOG + 10);
	assert_int_equal(stage.worker.backlog_count, LM_BACKLOG);
	assert_int_equal(stage.attachment.faults_waiting, LM_BACKLOG);
}

/* A fault beyond the bound of a backlog whose reads are slow. */
static void overflow_backlog(void)
{
	stage.source.holds = true;
	fill_backlog(LM_BACKLOG);
	kernel.message_first = kernel.message_count = 0;
	send_page(LM_BACKLOG + 7);
	receive();
}

static void fault_beyond_the_bound_sleeps_while_it_is_full(void **state)
{
	(void)state;
	overflow_backlog();
	lm_serve_backlog(&stage.worker);
	assert_true(stage.worker.backlog_count > LM_BACKLOG / 2);
	assert_int_equal(count_of(WAKE), 0); /* it would only come back at once */
	assert_int_equal(state_of(LM_BACKLOG + 7), LM_PAGE_MISSING);
}

static void fault_beyond_the_bound_is_woken_when_half_of_it_is_free(void **state)
{
	(void)state;
	overflow_backlog();
	stage.source.holds = false;
	make_hole(0, MOST_PAGES); /* so that nothing is read any more */
	lm_serve_backlog(&stage.worker);
	assert_int_equal(count_of(WAKE), 1);
	assert_call(WAKE, 0, 0, MOST_PAGES);
	lm_serve_backlog(&stage.worker);
	assert_int_equal(count_of(WAKE), 1); /* once */
}

static void faults_beyond_the_bound_are_coalesced(void **state)
{
	(void)state;
	fill_backlog(LM_BACKLOG);
	kernel.message_first = kernel.message_count = 0;
	send_page(LM_BACKLOG + 7);
	send_page(LM_BACKLOG + 7);
	receive();
	assert_int_equal(counter(LM_COALESCED), 2);
	assert_int_equal(counter(LM_FAULTS), LM_BACKLOG + 2);
}

static void full_backlog_is_served_to_the_end(void **state)
{
	(void)state;
	make_hole(0, MOST_PAGES); /* so that nothing is read */
	fill_backlog(LM_BACKLOG + 10);
	lm_serve_backlog(&stage.worker);
	assert_int_equal(stage.worker.backlog_count, 0);
	assert_int_equal(stage.attachment.faults_waiting, 0);
	assert_states(0, LM_BACKLOG, LM_PAGE_PRESENT);
}

/* ---- what is recorded ---------------------------------------------------- */

static size_t recorded(void)
{
	return atomic_load(&stage.attachment.recorder.count);
}

static void assert_recorded(size_t index, size_t page)
{
	assert_true(index < recorded());
	assert_int_equal(stage.attachment.recorder.touches[index], (GUEST + page * PAGE) | 12);
}

static void faults_are_recorded(void **state)
{
	(void)state;
	send_page(9);
	serve();
	send_page(3);
	serve();
	assert_int_equal(recorded(), 2);
	assert_recorded(0, 9);
	assert_recorded(1, 3);
}

static void merged_neighbours_are_all_recorded(void **state)
{
	(void)state;
	send_page(5);
	send_page(6);
	serve();
	assert_int_equal(recorded(), 2);
	assert_recorded(1, 6);
}

static void fault_in_a_hole_is_recorded_alone(void **state)
{
	(void)state;
	make_hole(0, 32);
	send_page(5);
	serve();
	assert_call(ZERO, 0, 5, 1); /* the others' first touch must be seen */
	assert_int_equal(recorded(), 1);
	assert_recorded(0, 5);
}

static void page_given_back_after_a_failure_is_recorded_once(void **state)
{
	(void)state;
	stage.source.bad[5] = true;
	send_page(5);
	send_page(6);
	serve();
	assert_int_equal(state_of(6), LM_PAGE_MISSING);
	send_page(6);
	serve();
	assert_int_equal(state_of(6), LM_PAGE_PRESENT);
	assert_int_equal(recorded(), 2);
}

static void fault_that_joins_a_prefetch_is_recorded(void **state)
{
	struct lm_slot *slot = claim_slot(5, 2, 0);

	(void)state;
	slot->demand = false;
	stage.source.holds = true;
	lm_slot_advance(slot);
	send_page(6);
	serve();
	assert_int_equal(recorded(), 1);
	assert_recorded(0, 6);
}

static void what_a_fault_asks_for_is_not_read_in_the_background(void **state)
{
	(void)state;
	stage.source.holds = true;
	send_page(4);
	serve();
	assert_int_equal(stage.source.flags[0], 0);
	send_page(4);
	serve();
	assert_int_equal(stage.source.hurries, 0);
	source_complete(0);
	run_reads();
}

static void a_fault_that_joins_a_prefetch_hurries_it_once(void **state)
{
	struct lm_slot *slot = claim_slot(5, 2, 0);

	(void)state;
	slot->demand = false;
	stage.source.holds = true;
	lm_slot_advance(slot);
	assert_int_equal(stage.source.flags[0], LAZYMEM_READ_BACKGROUND);
	send_page(6);
	serve();
	assert_ptr_equal(stage.source.hurried, &slot->read);
	send_page(5);
	serve();
	assert_int_equal(stage.source.hurries, 1);
	source_complete(0);
	run_reads();
}

/* ---- at rest ------------------------------------------------------------- */

static void outcomes_add_up_at_rest(void **state)
{
	(void)state;
	make_hole(20, 4);
	discard(9, 1);
	set_state(11, 1, LM_PAGE_POISONED);
	answer(COPY, EEXIST, -EEXIST);
	for (size_t page = 3; page < 28; page++) {
		send_page(page);
		if (page % 3 == 0)
			send_page(page);
	}
	for (int i = 0; i < 8; i++)
		serve();
	assert_int_equal(stage.attachment.slots_in_use, 0);
	assert_int_equal(counter(LM_FAULTS), 34);
	assert_int_equal(counter(LM_COPIED) + counter(LM_ZEROED) + counter(LM_COALESCED) +
				 counter(LM_ALREADY_PRESENT) + counter(LM_FAILED),
			 34);
}

#define ON_TWO(test) cmocka_unit_test_setup_teardown(test, set_up_two, stage_close)
#define ON_LARGE(test) cmocka_unit_test_setup_teardown(test, set_up_large, stage_close)
#define RECORDING(test) cmocka_unit_test_setup_teardown(test, set_up_recording, stage_close)

/* ---- pages that come along ----------------------------------------------- */

static int set_up_around(void **state)
{
	stage_private(state);
	stage.worker.options.fault_around = BUFFER_PAGES * PAGE;
	return 0;
}

static int set_up_around_recording(void **state)
{
	set_up_around(state);
	return lm_recorder_create(&stage.attachment.recorder, 32);
}

static int set_up_around_giant(void **state)
{
	stage_giant(state);
	stage.worker.options.fault_around = BUFFER_PAGES * PAGE;
	return 0;
}

static void so_many_pages_come_along(void **state)
{
	(void)state;
	send_page(4);
	serve();
	assert_int_equal(stage.source.reads, 1);
	assert_read(0, 4, 4);
	assert_states(4, 4, LM_PAGE_PRESENT);
	assert_int_equal(state_of(8), LM_PAGE_MISSING);
	assert_true(holds_source(7));
}

static void nothing_before_the_fault_comes_along(void **state)
{
	(void)state;
	send_page(6);
	serve();
	assert_read(0, 6, 4);
	assert_states(4, 2, LM_PAGE_MISSING);
}

static void pages_that_come_along_are_prefetched(void **state)
{
	(void)state;
	send_page(4);
	serve();
	assert_outcome(LM_COPIED, 1);
	assert_int_equal(counter(LM_PAGES_POPULATED), 4);
	assert_int_equal(counter(LM_PAGES_PREFETCHED), 3);
}

static void asked_neighbours_bring_no_more(void **state)
{
	(void)state;
	for (size_t page = 6; page < 10; page++)
		send_page(page);
	serve();
	assert_read(0, 6, 4);
	assert_outcome(LM_COPIED, 4);
	assert_int_equal(counter(LM_PAGES_PREFETCHED), 0);
}

static void page_that_is_there_ends_what_comes_along(void **state)
{
	static const enum lm_page_state states[] = {LM_PAGE_PRESENT, LM_PAGE_CLAIMED,
						    LM_PAGE_DISCARDED, LM_PAGE_POISONED};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t page = 4 + i * 4;

		set_state(page + 2, 1, states[i]);
		send_page(page);
		serve();
		assert_read(i, page, 2);
		assert_int_equal(state_of(page + 2), states[i]);
		assert_int_equal(state_of(page + 3), LM_PAGE_MISSING);
	}
}

static void hole_ends_what_comes_along(void **state)
{
	(void)state;
	stage.source.hole[6] = true;
	send_page(4);
	serve();
	assert_read(0, 4, 2);
	assert_states(6, 2, LM_PAGE_MISSING);
}

static void end_of_the_region_ends_what_comes_along(void **state)
{
	(void)state;
	send_page(30); /* two pages before the end */
	serve();
	assert_read(0, 30, 2);
}

static void nothing_comes_along_in_a_recording(void **state)
{
	(void)state;
	send_page(4);
	serve();
	assert_read(0, 4, 1);
}

static void nothing_comes_along_with_a_giant_page(void **state)
{
	(void)state;
	send_page(1);
	serve();
	assert_int_equal(state_of(1), LM_PAGE_PRESENT);
	assert_int_equal(state_of(2), LM_PAGE_MISSING);
}

static void page_along_that_is_bad_keeps_no_fault_waiting(void **state)
{
	(void)state;
	stage.source.bad[6] = true;
	send_page(4);
	serve();
	run_reads();
	assert_int_equal(state_of(4), LM_PAGE_PRESENT);
	assert_states(5, 3, LM_PAGE_MISSING);
	assert_outcome(LM_COPIED, 1);
	assert_null(stage.worker.delayed.first);
}

static void fault_joins_a_page_that_comes_along(void **state)
{
	(void)state;
	stage.source.holds = true;
	send_page(4);
	serve();
	send_page(6);
	serve();
	assert_int_equal(stage.source.reads, 1);
	source_complete(0);
	run_reads();
	assert_int_equal(counter(LM_COPIED), 1);
	assert_int_equal(counter(LM_COALESCED), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_PRIVATE(fault_brings_its_page),
		ON_PRIVATE(fault_within_a_page_is_for_that_page),
		ON_PRIVATE(faults_are_served_in_order_of_their_pages),
		ON_PRIVATE(neighbours_are_one_read_and_one_copy),
		ON_PRIVATE(neighbours_are_no_more_than_a_buffer),
		ON_TWO(neighbours_in_number_of_two_regions_are_two_reads),
		ON_PRIVATE(neighbours_end_before_a_page_that_is_there),
		ON_PRIVATE(twins_are_one_read),
		ON_PRIVATE(twins_are_two_faults),
		ON_PRIVATE(fault_for_a_page_under_way_joins_it),
		ON_PRIVATE(what_a_fault_asks_for_is_not_read_in_the_background),
		ON_PRIVATE(a_fault_that_joins_a_prefetch_hurries_it_once),
		ON_PRIVATE(slow_page_holds_up_no_other),
		ON_PRIVATE(address_of_nobody_is_woken_and_that_is_all),
		ON_PRIVATE(all_messages_are_read_at_once),
		ON_PRIVATE(failing_read_of_messages_is_harmless),
		ON_PRIVATE(fault_for_a_page_that_is_there_reads_nothing),
		ON_PRIVATE(fault_for_a_poisoned_page_reads_nothing),
		ON_PRIVATE(fault_for_a_discarded_page_is_zeros),
		ON_PRIVATE(discard_of_a_page_in_the_backlog_is_seen),
		ON_PRIVATE(fault_during_an_abort_is_poisoned),
		ON_PRIVATE(fault_in_a_hole_during_an_abort_is_zeros),
		ON_PRIVATE(hole_is_not_read),
		ON_PRIVATE(fault_in_a_hole_brings_sixteen_pages),
		ON_PRIVATE(zeros_end_where_the_hole_ends),
		ON_PRIVATE(zeros_end_where_the_region_ends),
		ON_PRIVATE(zeros_end_at_a_page_in_another_state),
		ON_PRIVATE(read_ends_where_a_hole_begins),
		ON_PRIVATE(event_is_applied_before_the_faults_of_its_batch),
		ON_PRIVATE(event_revokes_the_page_of_a_read_under_way),
		ON_PRIVATE(event_discards_its_range_and_no_more),
		ON_PRIVATE(event_is_cut_to_the_region),
		ON_TWO(event_over_two_regions_discards_in_both),
		ON_PRIVATE(event_counts_poisoned_pages_out),
		ON_PRIVATE(faults_wait_for_a_free_slot),
		ON_PRIVATE(waiting_fault_takes_the_next_slot),
		ON_PRIVATE(fault_under_way_needs_no_slot),
		ON_LARGE(backlog_is_bounded),
		ON_LARGE(fault_beyond_the_bound_sleeps_while_it_is_full),
		ON_LARGE(fault_beyond_the_bound_is_woken_when_half_of_it_is_free),
		ON_LARGE(faults_beyond_the_bound_are_coalesced),
		ON_LARGE(full_backlog_is_served_to_the_end),
		RECORDING(faults_are_recorded),
		RECORDING(merged_neighbours_are_all_recorded),
		RECORDING(fault_in_a_hole_is_recorded_alone),
		RECORDING(page_given_back_after_a_failure_is_recorded_once),
		RECORDING(fault_that_joins_a_prefetch_is_recorded),
		ON_PRIVATE(outcomes_add_up_at_rest),
		cmocka_unit_test_setup_teardown(so_many_pages_come_along, set_up_around,
						stage_close),
		cmocka_unit_test_setup_teardown(nothing_before_the_fault_comes_along, set_up_around,
						stage_close),
		cmocka_unit_test_setup_teardown(pages_that_come_along_are_prefetched, set_up_around,
						stage_close),
		cmocka_unit_test_setup_teardown(asked_neighbours_bring_no_more, set_up_around,
						stage_close),
		cmocka_unit_test_setup_teardown(page_that_is_there_ends_what_comes_along,
						set_up_around, stage_close),
		cmocka_unit_test_setup_teardown(hole_ends_what_comes_along, set_up_around,
						stage_close),
		cmocka_unit_test_setup_teardown(end_of_the_region_ends_what_comes_along,
						set_up_around, stage_close),
		cmocka_unit_test_setup_teardown(nothing_comes_along_in_a_recording,
						set_up_around_recording, stage_close),
		cmocka_unit_test_setup_teardown(nothing_comes_along_with_a_giant_page,
						set_up_around_giant, stage_close),
		cmocka_unit_test_setup_teardown(page_along_that_is_bad_keeps_no_fault_waiting,
						set_up_around, stage_close),
		cmocka_unit_test_setup_teardown(fault_joins_a_page_that_comes_along, set_up_around,
						stage_close),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
