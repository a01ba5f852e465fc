/* wrap: ioctl read */
/* SPDX-License-Identifier: MIT
 *
 * failure_test.c - what becomes of a read or a populate that failed: pauses,
 * the owner's verdict, poison, and memory that is gone.
 */
#include "stage.h"

static struct {
	struct lazymem_failure last;
	enum lazymem_verdict verdict;
	unsigned calls;
} owner;

static enum lazymem_verdict ask(void *context, const struct lazymem_failure *failure)
{
	assert_ptr_equal(context, &owner);
	owner.last = *failure;
	owner.calls++;
	return owner.verdict;
}

static void ask_owner(enum lazymem_verdict verdict)
{
	memset(&owner, 0, sizeof(owner));
	owner.verdict = verdict;
	stage.attachment.on_failure = ask;
	stage.attachment.context = &owner;
}

/* A demand slot whose read has failed for the first time. */
static struct lm_slot *failed_slot(size_t first, size_t count)
{
	struct lm_slot *slot = claim_slot(first, count, count);

	stage.source.bad[first] = true;
	lm_slot_advance(slot);
	run_reads();
	return slot;
}

static void failed_read_installs_nothing(void **state)
{
	(void)state;
	failed_slot(3, 1);
	assert_int_equal(count_of(COPY) + count_of(ZERO) + count_of(POISON), 0);
	assert_int_equal(state_of(3), LM_PAGE_CLAIMED);
}

static void first_pause_is_a_millisecond(void **state)
{
	uint64_t before = lm_clock_ns(), after;
	struct lm_slot *slot = failed_slot(3, 1);

	(void)state;
	after = lm_clock_ns();
	assert_true(is_delayed(slot));
	assert_in_range(slot->due, before + 1000000, after + 1000000);
}

static void pauses_double_up_to_a_second(void **state)
{
	struct lm_slot *slot;
	uint64_t pause = 1000000;

	(void)state;
	ask_owner(LAZYMEM_RETRY);
	slot = failed_slot(3, 1);
	for (int i = 0; i < 40; i++) {
		uint64_t before = lm_clock_ns(), after;

		pause = pause * 2 > 1000000000 ? 1000000000 : pause * 2;
		run_delayed();
		run_reads();
		after = lm_clock_ns();
		assert_in_range(slot->due, before + pause / 1000000 * 1000000, after + pause);
	}
}

static void read_is_tried_again(void **state)
{
	(void)state;
	failed_slot(3, 1);
	stage.source.bad[3] = false;
	run_delayed();
	run_reads();
	assert_int_equal(stage.source.reads, 2);
	assert_int_equal(state_of(3), LM_PAGE_PRESENT);
	assert_true(holds_source(3));
	assert_outcome(LM_COPIED, 1);
}

static void retry_is_counted(void **state)
{
	(void)state;
	failed_slot(3, 1);
	assert_int_equal(counter(LM_RETRIES), 1);
}

static void default_poisons_after_five_retries(void **state)
{
	struct lm_slot *slot = failed_slot(3, 1);

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_true(is_delayed(slot));
		assert_int_equal(count_of(POISON), 0);
		run_delayed();
		run_reads();
	}
	assert_false(slot->in_use);
	assert_int_equal(stage.source.reads, 6);
	assert_call(POISON, 0, 3, 1);
	assert_int_equal(state_of(3), LM_PAGE_POISONED);
	assert_outcome(LM_FAILED, 1);
}

static void owner_may_poison_at_once(void **state)
{
	(void)state;
	ask_owner(LAZYMEM_POISON);
	failed_slot(3, 1);
	assert_int_equal(owner.calls, 1);
	assert_int_equal(state_of(3), LM_PAGE_POISONED);
}

static void owner_may_retry_beyond_the_default(void **state)
{
	struct lm_slot *slot;

	(void)state;
	ask_owner(LAZYMEM_RETRY);
	slot = failed_slot(3, 1);
	for (int i = 0; i < 20; i++) {
		run_delayed();
		run_reads();
	}
	assert_true(is_delayed(slot));
	assert_int_equal(owner.calls, 21);
	assert_int_equal(owner.last.attempts, 21);
}

static void owner_is_told_what_failed(void **state)
{
	(void)state;
	ask_owner(LAZYMEM_RETRY);
	failed_slot(3, 1);
	assert_int_equal(owner.last.address.value, GUEST + 3 * PAGE);
	assert_int_equal(owner.last.length, PAGE);
	assert_int_equal(owner.last.backing_offset, 3 * PAGE);
	assert_string_equal(owner.last.backing, "source");
	assert_int_equal(owner.last.error, -EIO);
	assert_int_equal(owner.last.attempts, 1);
	assert_true(owner.last.demand);
}

static void owner_is_told_of_a_prefetch(void **state)
{
	struct lm_slot *slot = claim_slot(3, 1, 0);

	(void)state;
	ask_owner(LAZYMEM_RETRY);
	slot->demand = false;
	stage.source.bad[3] = true;
	lm_slot_advance(slot);
	run_reads();
	assert_false(owner.last.demand);
}

/* ---- runs ---------------------------------------------------------------- */

static void neighbours_of_a_failed_read_are_given_back(void **state)
{
	struct lm_slot *slot = failed_slot(3, 4);

	(void)state;
	assert_int_equal(slot->count, 1);
	assert_int_equal(state_of(3), LM_PAGE_CLAIMED);
	assert_states(4, 3, LM_PAGE_MISSING);
	assert_call(WAKE, 0, 4, 3);
}

static void first_page_alone_is_read_again(void **state)
{
	(void)state;
	failed_slot(3, 4);
	run_delayed();
	assert_int_equal(stage.source.offsets[1], 3 * PAGE);
	assert_int_equal(stage.source.lengths[1], PAGE);
}

static void only_the_page_that_failed_is_poisoned(void **state)
{
	(void)state;
	ask_owner(LAZYMEM_POISON);
	failed_slot(3, 4);
	assert_call(POISON, 0, 3, 1);
	assert_int_equal(state_of(3), LM_PAGE_POISONED);
	assert_states(4, 3, LM_PAGE_MISSING);
}

/* The owner is asked about the page that is bad, and about no other. */
static void page_before_a_bad_one_arrives(void **state)
{
	struct lm_slot *slot = claim_slot(3, 4, 1);

	(void)state;
	ask_owner(LAZYMEM_POISON);
	stage.source.bad[5] = true;
	lm_slot_advance(slot);
	run_reads();
	assert_int_equal(owner.calls, 0);
	assert_int_equal(state_of(3), LM_PAGE_PRESENT);
	assert_true(holds_source(3));
	assert_states(4, 3, LM_PAGE_MISSING);
	assert_outcome(LM_COPIED, 1);
	assert_int_equal(counter(LM_RETRIES), 1);
}

static void abort_reads_no_page_of_a_failed_run_again(void **state)
{
	struct lm_slot *slot = claim_slot(3, 4, 1);

	(void)state;
	stage.attachment.aborting = true;
	stage.source.bad[5] = true;
	lm_slot_advance(slot);
	run_reads();
	assert_int_equal(stage.source.reads, 1);
	assert_int_equal(state_of(3), LM_PAGE_POISONED);
}

/* ---- prefetch ------------------------------------------------------------ */

static void failed_prefetch_is_given_up_and_not_poisoned(void **state)
{
	struct lm_slot *slot = claim_slot(3, 1, 0);

	(void)state;
	ask_owner(LAZYMEM_POISON);
	slot->demand = false;
	stage.source.bad[3] = true;
	lm_slot_advance(slot);
	run_reads();
	assert_false(slot->in_use);
	assert_int_equal(state_of(3), LM_PAGE_MISSING);
	assert_int_equal(count_of(POISON), 0);
}

static void fault_that_joined_a_failed_prefetch_is_woken(void **state)
{
	struct lm_slot *slot = claim_slot(3, 1, 0);

	(void)state;
	ask_owner(LAZYMEM_POISON);
	slot->demand = false;
	stage.source.bad[3] = true;
	lm_slot_join(slot, 1, lm_clock_ns());
	lm_slot_advance(slot);
	run_reads();
	assert_call(WAKE, 0, 3, 1); /* and asks again, as demand */
	assert_outcome(LM_COALESCED, 1);
}

/* ---- populate refused ---------------------------------------------------- */

static void assert_retried_without_reading(int error)
{
	struct lm_slot *slot = read_slot(3, 1, 1);

	answer(COPY, error, -error);
	lm_slot_advance(slot);
	assert_true(is_delayed(slot));
	assert_int_equal(slot->attempts, 1);
	assert_int_equal(state_of(3), LM_PAGE_CLAIMED);
	run_delayed();
	assert_int_equal(stage.source.reads, 0);
	assert_int_equal(state_of(3), LM_PAGE_PRESENT);
	assert_true(holds_source(3));
}

static void enospc_is_tried_again(void **state)
{
	(void)state;
	assert_retried_without_reading(ENOSPC);
}

static void enomem_is_tried_again(void **state)
{
	(void)state;
	assert_retried_without_reading(ENOMEM);
}

static void einval_is_tried_again(void **state)
{
	(void)state;
	assert_retried_without_reading(EINVAL);
}

static void lasting_enomem_ends_in_poison(void **state)
{
	struct lm_slot *slot = read_slot(3, 1, 1);

	(void)state;
	kernel.always[COPY] = ENOMEM;
	lm_slot_advance(slot);
	for (int i = 0; i < 5; i++)
		run_delayed();
	assert_int_equal(count_of(COPY), 6);
	assert_int_equal(state_of(3), LM_PAGE_POISONED);
	assert_outcome(LM_FAILED, 1);
}

static void refusal_after_a_part_goes_on_from_there(void **state)
{
	struct lm_slot *slot = read_slot(3, 4, 4);

	(void)state;
	answer(COPY, ENOMEM, 3 * PAGE);
	answer(COPY, ENOMEM, -ENOMEM);
	lm_slot_advance(slot);
	run_delayed();
	assert_call(COPY, 2, 6, 1);
	assert_states(3, 4, LM_PAGE_PRESENT);
	assert_true(holds_source(6));
	assert_outcome(LM_COPIED, 4);
}

static void owner_is_told_what_the_kernel_answered(void **state)
{
	(void)state;
	ask_owner(LAZYMEM_RETRY);
	answer(COPY, ENOSPC, -ENOSPC);
	lm_slot_advance(read_slot(3, 1, 1));
	assert_int_equal(owner.last.error, -ENOSPC);
	assert_int_equal(owner.last.address.value, GUEST + 3 * PAGE);
}

/* ---- poison that fails --------------------------------------------------- */

static void poison_is_tried_until_it_is_there(void **state)
{
	struct lm_slot *slot = content_slot(3, 1, 1, LM_CONTENT_POISON);

	(void)state;
	stage.regions[0].can &= ~LM_CAN_POISON;
	munmap(stage.regions[0].host, stage.regions[0].length); /* so that mprotect fails */
	lm_slot_advance(slot);
	for (int i = 0; i < 10; i++) {
		assert_true(is_delayed(slot));
		run_delayed();
	}
	assert_ptr_equal(mmap(stage.regions[0].host, stage.regions[0].length,
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
			 stage.regions[0].host);
	run_delayed();
	assert_int_equal(state_of(3), LM_PAGE_POISONED);
}

static void poison_that_fails_asks_nobody(void **state)
{
	struct lm_slot *slot = content_slot(3, 1, 1, LM_CONTENT_POISON);

	(void)state;
	ask_owner(LAZYMEM_POISON);
	slot->error = -ENOMEM;
	lm_slot_advance(slot);
	assert_int_equal(owner.calls, 0);
	assert_true(is_delayed(slot));
}

/* ---- memory that is gone ------------------------------------------------- */

static void assert_given_up(size_t count, enum lm_content content, enum verb verb, int error)
{
	struct lm_slot *slot = read_slot(3, count, count);

	ask_owner(LAZYMEM_RETRY);
	slot->content = content;
	slot->is_read = content == LM_CONTENT_BYTES;
	answer(verb, error, -error);
	lm_slot_advance(slot);
	assert_false(slot->in_use);
	assert_int_equal(owner.calls, 0);
	assert_states(3, count, LM_PAGE_MISSING);
	assert_null(stage.worker.delayed.first);
	assert_outcome(LM_COALESCED, count);
}

/* A run that does not lie in one piece of the address space is no run of
 * unmapped memory: its first page goes on alone, the others fault again. */
static void assert_cut_to_its_first_page(enum lm_content content, enum verb verb,
					 enum lm_page_state settled)
{
	struct lm_slot *slot = read_slot(3, 4, 2);

	ask_owner(LAZYMEM_RETRY);
	slot->content = content;
	slot->is_read = content == LM_CONTENT_BYTES;
	answer(verb, ENOENT, -ENOENT);
	lm_slot_advance(slot);
	assert_call(verb, 0, 3, 4);
	assert_call(verb, 1, 3, 1);
	assert_call(WAKE, 0, 4, 3);
	assert_int_equal(owner.calls, 0);
	assert_int_equal(state_of(3), settled);
	assert_states(4, 3, LM_PAGE_MISSING);
	assert_false(slot->in_use);
}

static void bytes_across_a_split_go_on_with_their_first_page(void **state)
{
	(void)state;
	assert_cut_to_its_first_page(LM_CONTENT_BYTES, COPY, LM_PAGE_PRESENT);
	assert_true(holds_source(3));
	assert_int_equal(stage.source.reads, 0);
}

static void zeros_across_a_split_go_on_with_their_first_page(void **state)
{
	(void)state;
	assert_cut_to_its_first_page(LM_CONTENT_ZERO, ZERO, LM_PAGE_PRESENT);
}

static void poison_across_a_split_goes_on_with_its_first_page(void **state)
{
	(void)state;
	assert_cut_to_its_first_page(LM_CONTENT_POISON, POISON, LM_PAGE_POISONED);
}

static void bytes_for_unmapped_memory_are_given_up(void **state)
{
	(void)state;
	assert_given_up(1, LM_CONTENT_BYTES, COPY, ENOENT);
}

static void bytes_for_a_dead_process_are_given_up(void **state)
{
	(void)state;
	assert_given_up(2, LM_CONTENT_BYTES, COPY, ESRCH);
}

static void zeros_for_unmapped_memory_are_given_up(void **state)
{
	(void)state;
	assert_given_up(1, LM_CONTENT_ZERO, ZERO, ENOENT);
}

static void zeros_for_a_dead_process_are_given_up(void **state)
{
	(void)state;
	assert_given_up(2, LM_CONTENT_ZERO, ZERO, ESRCH);
}

static void poison_for_unmapped_memory_is_given_up(void **state)
{
	(void)state;
	assert_given_up(1, LM_CONTENT_POISON, POISON, ENOENT);
}

static void poison_for_a_dead_process_is_given_up(void **state)
{
	(void)state;
	assert_given_up(2, LM_CONTENT_POISON, POISON, ESRCH);
}

static void enoent_of_the_source_is_a_failure_like_any(void **state)
{
	struct lm_slot *slot = claim_slot(3, 1, 1);

	(void)state;
	ask_owner(LAZYMEM_RETRY);
	stage.source.holds = true;
	lm_slot_advance(slot);
	source_complete(-ENOENT);
	run_reads();
	assert_int_equal(owner.last.error, -ENOENT);
	assert_true(is_delayed(slot));
	assert_int_equal(state_of(3), LM_PAGE_CLAIMED);
}

/* ---- abort --------------------------------------------------------------- */

static void abort_poisons_without_asking(void **state)
{
	(void)state;
	ask_owner(LAZYMEM_RETRY);
	stage.attachment.aborting = true;
	failed_slot(3, 1);
	assert_int_equal(owner.calls, 0);
	assert_int_equal(state_of(3), LM_PAGE_POISONED);
}

static void abort_leaves_a_failed_prefetch_to_its_job(void **state)
{
	struct lm_slot *slot = claim_slot(3, 1, 0);

	(void)state;
	stage.attachment.aborting = true;
	slot->demand = false;
	stage.source.bad[3] = true;
	lm_slot_advance(slot);
	run_reads();
	assert_int_equal(state_of(3), LM_PAGE_MISSING); /* the poisoning job comes by */
	assert_false(slot->in_use);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_PRIVATE(failed_read_installs_nothing),
		ON_PRIVATE(first_pause_is_a_millisecond),
		ON_PRIVATE(pauses_double_up_to_a_second),
		ON_PRIVATE(read_is_tried_again),
		ON_PRIVATE(retry_is_counted),
		ON_PRIVATE(default_poisons_after_five_retries),
		ON_PRIVATE(owner_may_poison_at_once),
		ON_PRIVATE(owner_may_retry_beyond_the_default),
		ON_PRIVATE(owner_is_told_what_failed),
		ON_PRIVATE(owner_is_told_of_a_prefetch),
		ON_PRIVATE(neighbours_of_a_failed_read_are_given_back),
		ON_PRIVATE(first_page_alone_is_read_again),
		ON_PRIVATE(only_the_page_that_failed_is_poisoned),
		ON_PRIVATE(page_before_a_bad_one_arrives),
		ON_PRIVATE(abort_reads_no_page_of_a_failed_run_again),
		ON_PRIVATE(failed_prefetch_is_given_up_and_not_poisoned),
		ON_PRIVATE(fault_that_joined_a_failed_prefetch_is_woken),
		ON_PRIVATE(enospc_is_tried_again),
		ON_PRIVATE(enomem_is_tried_again),
		ON_PRIVATE(einval_is_tried_again),
		ON_PRIVATE(lasting_enomem_ends_in_poison),
		ON_PRIVATE(refusal_after_a_part_goes_on_from_there),
		ON_PRIVATE(owner_is_told_what_the_kernel_answered),
		ON_PRIVATE(poison_is_tried_until_it_is_there),
		ON_PRIVATE(poison_that_fails_asks_nobody),
		ON_PRIVATE(bytes_across_a_split_go_on_with_their_first_page),
		ON_PRIVATE(zeros_across_a_split_go_on_with_their_first_page),
		ON_PRIVATE(poison_across_a_split_goes_on_with_its_first_page),
		ON_PRIVATE(bytes_for_unmapped_memory_are_given_up),
		ON_PRIVATE(bytes_for_a_dead_process_are_given_up),
		ON_PRIVATE(zeros_for_unmapped_memory_are_given_up),
		ON_PRIVATE(zeros_for_a_dead_process_are_given_up),
		ON_PRIVATE(poison_for_unmapped_memory_is_given_up),
		ON_PRIVATE(poison_for_a_dead_process_is_given_up),
		ON_PRIVATE(enoent_of_the_source_is_a_failure_like_any),
		ON_PRIVATE(abort_poisons_without_asking),
		ON_PRIVATE(abort_leaves_a_failed_prefetch_to_its_job),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
