/* wrap: ioctl read */
/* SPDX-License-Identifier: MIT
 *
 * advance_test.c - the life of a slot: read, populate, postpone, end, and what
 * is counted on the way.
 */
#include "stage.h"

/* ---- start and end ------------------------------------------------------- */

static void budget_of_demand_ends(void **state)
{
	(void)state;
	for (int i = 0; i < DEMAND_SLOTS; i++)
		assert_non_null(lm_slot_start(&stage.worker, &stage.attachment, &stage.regions[0],
					      LM_BUDGET_DEMAND));
	assert_null(lm_slot_start(&stage.worker, &stage.attachment, &stage.regions[0],
				  LM_BUDGET_DEMAND));
}

static void prefetch_leaves_the_budget_of_demand_alone(void **state)
{
	(void)state;
	for (int i = 0; i < PREFETCH_SLOTS; i++)
		assert_non_null(lm_slot_start(&stage.worker, &stage.attachment, &stage.regions[0],
					      LM_BUDGET_PREFETCH));
	assert_null(lm_slot_start(&stage.worker, &stage.attachment, &stage.regions[0],
				  LM_BUDGET_PREFETCH));
	assert_non_null(lm_slot_start(&stage.worker, &stage.attachment, &stage.regions[0],
				      LM_BUDGET_DEMAND));
}

static void slot_is_free_again_after_its_end(void **state)
{
	struct lm_slot *slot = read_slot(0, 1, 1);

	(void)state;
	lm_slot_advance(slot);
	assert_false(slot->in_use);
	assert_int_equal(stage.attachment.slots_in_use, 0);
	assert_ptr_equal(stage.worker.free_demand.first, slot);
}

static void slot_starts_without_traces_of_its_last_use(void **state)
{
	struct lm_slot *slot = read_slot(0, 4, 4), *again;

	(void)state;
	lm_slot_join(slot, 3, lm_clock_ns());
	slot->attempts = slot->postponed = 9;
	slot->healing = true;
	lm_slot_advance(slot);
	again = lm_slot_start(&stage.worker, &stage.attachment, &stage.regions[0],
			      LM_BUDGET_DEMAND);
	assert_ptr_equal(again, slot);
	assert_int_equal(again->installed + again->demanded + again->filled, 0);
	assert_int_equal(again->attempts + again->postponed + again->joined, 0);
	assert_int_equal(again->error, 0);
	assert_false(again->is_read || again->healing);
	assert_null(again->job);
}

static void capacity_is_what_the_buffer_takes(void **state)
{
	(void)state;
	assert_int_equal(lm_slot_capacity(&stage.worker, &stage.regions[0]), BUFFER_PAGES);
}

static void capacity_for_giant_pages_is_one(void **state)
{
	(void)state;
	assert_int_equal(lm_slot_capacity(&stage.worker, &stage.regions[0]), 1);
}

/* ---- reading ------------------------------------------------------------- */

static void run_of_pages_is_one_read(void **state)
{
	(void)state;
	lm_slot_advance(claim_slot(3, 4, 4));
	assert_int_equal(stage.source.reads, 1);
	assert_int_equal(stage.source.offsets[0], 3 * PAGE);
	assert_int_equal(stage.source.lengths[0], 4 * PAGE);
}

static void completion_installs_nothing_by_itself(void **state)
{
	(void)state;
	lm_slot_advance(claim_slot(3, 4, 4));
	assert_int_equal(kernel.call_count, 0);
	assert_states(3, 4, LM_PAGE_CLAIMED);
}

static void read_pages_are_installed_from_the_loop(void **state)
{
	(void)state;
	lm_slot_advance(claim_slot(3, 4, 4));
	run_reads();
	assert_states(3, 4, LM_PAGE_PRESENT);
	for (size_t page = 3; page < 7; page++)
		assert_true(holds_source(page));
}

static void reads_and_their_bytes_are_counted(void **state)
{
	(void)state;
	lm_slot_advance(claim_slot(3, 4, 4));
	assert_int_equal(counter(LM_READS), 1);
	assert_int_equal(counter(LM_BYTES_READ), 0);
	run_reads();
	assert_int_equal(counter(LM_BYTES_READ), 4 * PAGE);
}

static void bytes_of_a_failed_read_are_not_counted(void **state)
{
	(void)state;
	stage.source.bad[3] = true;
	lm_slot_advance(claim_slot(3, 1, 1));
	run_reads();
	assert_int_equal(counter(LM_READS), 1);
	assert_int_equal(counter(LM_BYTES_READ), 0);
}

static void demand_and_prefetch_are_completed_apart(void **state)
{
	struct lm_slot *demand = claim_slot(0, 1, 1), *prefetch = claim_slot(8, 1, 0);

	(void)state;
	prefetch->demand = false;
	demand->demand = true;
	lm_slot_advance(prefetch);
	lm_slot_advance(demand);
	assert_ptr_equal(stage.worker.read_demand.first, demand);
	assert_ptr_equal(stage.worker.read_prefetch.first, prefetch);
}

static void second_read_after_a_part_asks_for_the_rest(void **state)
{
	struct lm_slot *slot = claim_slot(3, 4, 4);

	(void)state;
	slot->installed = 1; /* of a run that was cut down and failed */
	set_state(3, 1, LM_PAGE_PRESENT);
	lm_slot_advance(slot);
	assert_int_equal(stage.source.offsets[0], 4 * PAGE);
	assert_int_equal(stage.source.lengths[0], 3 * PAGE);
	run_reads();
	assert_call(COPY, 0, 4, 3);
	assert_true(holds_source(4) && holds_source(6));
}

static void zeros_are_not_read(void **state)
{
	(void)state;
	lm_slot_advance(content_slot(3, 4, 1, LM_CONTENT_ZERO));
	assert_int_equal(stage.source.reads, 0);
	assert_states(3, 4, LM_PAGE_PRESENT);
}

static void *complete_elsewhere(void *read)
{
	lazymem_read_complete(read, 0);
	return NULL;
}

static void read_that_completes_elsewhere_is_handed_over(void **state)
{
	struct lm_slot *slot = claim_slot(3, 1, 1);
	pthread_t thread;

	(void)state;
	if (lm_queue_create(8, &stage.worker.queue) != 0)
		skip();
	stage.source.holds = true;
	lm_slot_advance(slot);
	assert_int_equal(pthread_create(&thread, NULL, complete_elsewhere, stage.source.held[0]),
			 0);
	pthread_join(thread, NULL);
	assert_ptr_equal(atomic_load(&stage.worker.read_elsewhere), slot);
	assert_null(stage.worker.read_demand.first);
	assert_true(lm_queue_run(stage.worker.queue, UINT64_MAX) >= 0); /* was woken */
	lm_queue_destroy(stage.worker.queue);
}

/* ---- EAGAIN -------------------------------------------------------------- */

static void eagain_drains_messages_before_the_next_try(void **state)
{
	struct lm_slot *slot = read_slot(0, 1, 1);

	(void)state;
	answer(COPY, EAGAIN, -EAGAIN);
	lm_slot_advance(slot);
	assert_true(stage.attachment.readable);
	assert_ptr_equal(stage.worker.readable, &stage.attachment);
	assert_true(is_delayed(slot));
}

static void eagain_loses_no_page(void **state)
{
	struct lm_slot *slot = read_slot(0, 4, 4);

	(void)state;
	answer(COPY, EAGAIN, -EAGAIN);
	answer(COPY, EAGAIN, PAGE);
	answer(COPY, EAGAIN, 0);
	answer(COPY, EAGAIN, UNTOUCHED);
	lm_slot_advance(slot);
	for (int i = 0; i < 2; i++)
		run_delayed();
	assert_true(is_delayed(slot));
	run_delayed();
	assert_false(slot->in_use);
	for (size_t page = 0; page < 4; page++)
		assert_true(state_of(page) == LM_PAGE_PRESENT && holds_source(page));
	assert_outcome(LM_COPIED, 4);
}

static void eagain_reads_nothing_again(void **state)
{
	(void)state;
	answer(COPY, EAGAIN, -EAGAIN);
	lm_slot_advance(claim_slot(0, 1, 1));
	run_reads();
	run_delayed();
	assert_int_equal(stage.source.reads, 1);
	assert_int_equal(state_of(0), LM_PAGE_PRESENT);
}

static void eagain_is_counted_as_a_retry(void **state)
{
	(void)state;
	answer(COPY, EAGAIN, -EAGAIN);
	lm_slot_advance(read_slot(0, 1, 1));
	assert_int_equal(counter(LM_RETRIES), 1);
	run_delayed();
	assert_int_equal(counter(LM_RETRIES), 1);
}

static void lasting_eagain_waits_and_does_not_spin(void **state)
{
	struct lm_slot *slot = read_slot(0, 1, 1);
	uint64_t before = 0;

	(void)state;
	kernel.always[COPY] = EAGAIN;
	lm_slot_advance(slot);
	for (int i = 0; i < 8; i++) {
		before = lm_clock_ns();
		run_delayed();
	}
	assert_int_equal(count_of(COPY), 9); /* one for each turn */
	assert_true(slot->due >= before + 50000);
}

static void lasting_eagain_is_no_failure(void **state)
{
	struct lm_slot *slot = read_slot(0, 1, 1);

	(void)state;
	kernel.always[COPY] = EAGAIN;
	lm_slot_advance(slot);
	for (int i = 0; i < 50; i++)
		run_delayed();
	assert_int_equal(slot->attempts, 0);
	assert_int_equal(state_of(0), LM_PAGE_CLAIMED);
}

static void discard_while_postponed_is_seen(void **state)
{
	(void)state;
	answer(COPY, EAGAIN, -EAGAIN);
	lm_slot_advance(read_slot(0, 1, 1));
	discard(0, 1);
	run_delayed();
	assert_int_equal(count_of(COPY), 1);
	assert_call(ZERO, 0, 0, 1);
}

static void postponed_zeros_are_installed_later(void **state)
{
	(void)state;
	answer(ZERO, EAGAIN, UNTOUCHED);
	lm_slot_advance(content_slot(0, 4, 1, LM_CONTENT_ZERO));
	run_delayed();
	assert_states(0, 4, LM_PAGE_PRESENT);
}

static void postponed_poison_is_installed_later(void **state)
{
	(void)state;
	answer(POISON, EAGAIN, UNTOUCHED);
	lm_slot_advance(content_slot(0, 4, 1, LM_CONTENT_POISON));
	run_delayed();
	assert_states(0, 4, LM_PAGE_POISONED);
}

/* ---- pages larger than the buffer ---------------------------------------- */

static void giant_page_is_read_in_pieces(void **state)
{
	(void)state;
	lm_slot_advance(claim_slot(1, 1, 1));
	run_reads();
	assert_int_equal(stage.source.reads, GIANT_PAGES / BUFFER_PAGES);
	for (size_t i = 0; i < stage.source.reads; i++) {
		assert_int_equal(stage.source.offsets[i], (GIANT_PAGES + i * BUFFER_PAGES) * PAGE);
		assert_int_equal(stage.source.lengths[i], BUFFER_PAGES * PAGE);
	}
	assert_int_equal(state_of(1), LM_PAGE_PRESENT);
	assert_outcome(LM_CONTINUED, 1);
}

static void giant_page_holds_its_bytes(void **state)
{
	const struct lm_lazy_region *region = &stage.regions[0];

	(void)state;
	lm_slot_advance(claim_slot(1, 1, 1));
	run_reads();
	for (size_t i = 0; i < GIANT_PAGES; i++)
		assert_int_equal(*(unsigned char *)(lm_lazy_region_host(region, 1) + i * PAGE),
				 byte_of(GIANT_PAGES + i));
}

static void giant_page_reads_nothing_again_after_eagain(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	answer(CONTINUE, EAGAIN, -EAGAIN);
	lm_slot_advance(slot);
	run_reads();
	assert_true(is_delayed(slot));
	run_delayed();
	run_reads();
	assert_int_equal(stage.source.reads, GIANT_PAGES / BUFFER_PAGES);
	assert_int_equal(state_of(0), LM_PAGE_PRESENT);
	assert_int_equal(slot->attempts, 0);
}

static void giant_page_goes_on_after_a_failed_piece(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	stage.source.bad[BUFFER_PAGES] = true; /* in the second piece */
	lm_slot_advance(slot);
	run_reads();
	assert_true(is_delayed(slot));
	stage.source.bad[BUFFER_PAGES] = false;
	run_delayed();
	run_reads();
	assert_int_equal(stage.source.offsets[2], BUFFER_PAGES * PAGE); /* not from the start */
	assert_int_equal(state_of(0), LM_PAGE_PRESENT);
	for (size_t i = 0; i < GIANT_PAGES; i++)
		assert_int_equal(*(unsigned char *)(stage.regions[0].host + i * PAGE), byte_of(i));
}

static void giant_page_revoked_between_two_pieces_ends(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	stage.source.holds = true;
	lm_slot_advance(slot);
	source_complete(0);
	run_reads();
	discard(0, 1);
	source_complete(0);
	run_reads();
	assert_int_equal(stage.source.reads, 2);
	assert_false(slot->in_use);
	assert_int_equal(state_of(0), LM_PAGE_PRESENT);
	assert_outcome(LM_ZEROED, 1);
}

/* Another attempt must tell its own half page from a page of the guest. */
static void giant_page_left_half_written_is_not_taken_for_the_guests(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 0);

	(void)state;
	stage.regions[0].fresh = false;
	stage.attachment.aborting = true; /* so that the failure ends it */
	stage.source.bad[BUFFER_PAGES] = true;
	answer(CONTINUE, EFAULT, -EFAULT);
	slot->demand = false;
	lm_slot_advance(slot);
	run_reads();
	assert_int_equal(state_of(0), LM_PAGE_MISSING);
	stage.attachment.aborting = false;
	stage.source.bad[BUFFER_PAGES] = false;
	if (*stage.regions[0].host == 0) /* what was written has been taken back */
		answer(CONTINUE, EFAULT, -EFAULT);
	lm_slot_advance(claim_slot(0, 1, 1)); /* else CONTINUE succeeds: a page is there */
	run_reads();
	assert_int_equal(*(unsigned char *)(stage.regions[0].host + BUFFER_PAGES * PAGE),
			 byte_of(BUFFER_PAGES));
}

/* ---- counting ------------------------------------------------------------ */

static uint64_t latencies(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < LAZYMEM_HISTOGRAM_BUCKETS; i++)
		sum += atomic_load(&stage.attachment.statistics.latency[i]);
	return sum;
}

static void faults_that_join_are_coalesced(void **state)
{
	struct lm_slot *slot = read_slot(0, 1, 0);

	(void)state;
	lm_slot_join(slot, 3, lm_clock_ns());
	lm_slot_advance(slot);
	assert_outcome(LM_COALESCED, 3);
}

static void every_fault_has_a_latency(void **state)
{
	struct lm_slot *slot = read_slot(0, 4, 2);

	(void)state;
	lm_slot_join(slot, 3, lm_clock_ns());
	lm_slot_advance(slot);
	assert_int_equal(latencies(), 5);
}

static void faults_beyond_the_kept_arrivals_have_a_latency(void **state)
{
	struct lm_slot *slot = read_slot(0, 1, 1);

	(void)state;
	lm_slot_join(slot, LM_SLOT_JOINED + 5, lm_clock_ns());
	lm_slot_advance(slot);
	assert_int_equal(latencies(), LM_SLOT_JOINED + 6);
	assert_int_equal(counter(LM_COALESCED), LM_SLOT_JOINED + 5);
}

static void prefetch_has_no_latency(void **state)
{
	(void)state;
	lm_slot_advance(read_slot(0, 4, 0));
	assert_int_equal(latencies(), 0);
}

static void outcomes_are_counted_when_the_slot_is_over(void **state)
{
	struct lm_slot *slot = read_slot(0, 2, 2);

	(void)state;
	answer(COPY, EAGAIN, PAGE);
	answer(COPY, EAGAIN, -EAGAIN);
	lm_slot_advance(slot);
	assert_outcome(LM_COPIED, 0);
	run_delayed();
	assert_outcome(LM_COPIED, 2);
}

/* ---- giving back --------------------------------------------------------- */

static void pages_given_back_are_missing_and_woken(void **state)
{
	struct lm_slot *slot = read_slot(0, 4, 4);

	(void)state;
	lm_slot_give_back(slot, 1);
	assert_int_equal(state_of(0), LM_PAGE_CLAIMED);
	assert_states(1, 3, LM_PAGE_MISSING);
	assert_call(WAKE, 0, 1, 3);
	assert_int_equal(slot->count, 1);
	assert_int_equal(slot->demanded, 1);
}

static void faults_for_pages_given_back_end_as_coalesced(void **state)
{
	struct lm_slot *slot = read_slot(0, 4, 3);

	(void)state;
	lm_slot_give_back(slot, 1);
	lm_slot_end(slot);
	assert_outcome(LM_COALESCED, 2);
	assert_int_equal(latencies(), 3);
}

static void discarded_page_is_not_given_back(void **state)
{
	struct lm_slot *slot = read_slot(0, 4, 4);

	(void)state;
	discard(2, 1);
	lm_slot_give_back(slot, 0);
	assert_int_equal(state_of(2), LM_PAGE_DISCARDED);
	assert_int_equal(state_of(3), LM_PAGE_MISSING);
}

static void page_that_could_not_be_healed_is_poisoned_again(void **state)
{
	struct lm_slot *slot = read_slot(0, 1, 0);

	(void)state;
	slot->healing = true;
	lm_slot_give_back(slot, 0);
	assert_int_equal(state_of(0), LM_PAGE_POISONED);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 1);
	assert_call(WAKE, 0, 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_PRIVATE(budget_of_demand_ends),
		ON_PRIVATE(prefetch_leaves_the_budget_of_demand_alone),
		ON_PRIVATE(slot_is_free_again_after_its_end),
		ON_PRIVATE(slot_starts_without_traces_of_its_last_use),
		ON_PRIVATE(capacity_is_what_the_buffer_takes),
		ON_GIANT(capacity_for_giant_pages_is_one),
		ON_PRIVATE(run_of_pages_is_one_read),
		ON_PRIVATE(completion_installs_nothing_by_itself),
		ON_PRIVATE(read_pages_are_installed_from_the_loop),
		ON_PRIVATE(reads_and_their_bytes_are_counted),
		ON_PRIVATE(bytes_of_a_failed_read_are_not_counted),
		ON_PRIVATE(demand_and_prefetch_are_completed_apart),
		ON_PRIVATE(second_read_after_a_part_asks_for_the_rest),
		ON_PRIVATE(zeros_are_not_read),
		ON_PRIVATE(read_that_completes_elsewhere_is_handed_over),
		ON_PRIVATE(eagain_drains_messages_before_the_next_try),
		ON_PRIVATE(eagain_loses_no_page),
		ON_PRIVATE(eagain_reads_nothing_again),
		ON_PRIVATE(eagain_is_counted_as_a_retry),
		ON_PRIVATE(lasting_eagain_waits_and_does_not_spin),
		ON_PRIVATE(lasting_eagain_is_no_failure),
		ON_PRIVATE(discard_while_postponed_is_seen),
		ON_PRIVATE(postponed_zeros_are_installed_later),
		ON_PRIVATE(postponed_poison_is_installed_later),
		ON_GIANT(giant_page_is_read_in_pieces),
		ON_GIANT(giant_page_holds_its_bytes),
		ON_GIANT(giant_page_reads_nothing_again_after_eagain),
		ON_GIANT(giant_page_goes_on_after_a_failed_piece),
		ON_GIANT(giant_page_revoked_between_two_pieces_ends),
		ON_GIANT(giant_page_left_half_written_is_not_taken_for_the_guests),
		ON_PRIVATE(faults_that_join_are_coalesced),
		ON_PRIVATE(every_fault_has_a_latency),
		ON_PRIVATE(faults_beyond_the_kept_arrivals_have_a_latency),
		ON_PRIVATE(prefetch_has_no_latency),
		ON_PRIVATE(outcomes_are_counted_when_the_slot_is_over),
		ON_PRIVATE(pages_given_back_are_missing_and_woken),
		ON_PRIVATE(faults_for_pages_given_back_end_as_coalesced),
		ON_PRIVATE(discarded_page_is_not_given_back),
		ON_PRIVATE(page_that_could_not_be_healed_is_poisoned_again),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
