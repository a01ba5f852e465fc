/* wrap: ioctl read mprotect fallocate */
/* SPDX-License-Identifier: MIT
 *
 * populate_test.c - what is installed, published, woken and counted for each
 * kind of memory, content, page state and answer of the kernel.
 */
#include "stage.h"

#include <fcntl.h>

int __real_mprotect(void *host, size_t length, int protection);
int __wrap_mprotect(void *host, size_t length, int protection);
int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);

static struct {
	void *host;
	size_t length;
	int protection, error;
	unsigned calls;
} protect;
static struct {
	off_t offset, length;
	int mode, error;
	unsigned calls;
} allocate;

int __wrap_mprotect(void *host, size_t length, int protection)
{
	protect.host = host;
	protect.length = length;
	protect.protection = protection;
	protect.calls++;
	errno = protect.error;
	return protect.error == 0 ? 0 : -1;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
	allocate.offset = offset;
	allocate.length = length;
	allocate.mode = mode;
	allocate.calls++;
	if (allocate.error == 0)
		return __real_fallocate(fd, mode, offset, length);
	errno = allocate.error;
	return -1;
}

static int set_up_private(void **state)
{
	memset(&protect, 0, sizeof(protect));
	return stage_private(state);
}

static int set_up_shared(void **state)
{
	return stage_shared(state);
}

static int set_up_giant(void **state)
{
	memset(&allocate, 0, sizeof(allocate));
	return stage_giant(state);
}

#define PRIVATE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_private, stage_close)
#define SHARED_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_shared, stage_close)
#define GIANT_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_giant, stage_close)

/* ---- bytes: COPY --------------------------------------------------------- */

static void run_of_pages_is_one_copy(void **state)
{
	struct lm_slot *slot = read_slot(5, 3, 3);

	(void)state;
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(kernel.call_count, 1);
	assert_call(COPY, 0, 5, 3);
	assert_int_equal(call_of(COPY, 0)->source, (uintptr_t)slot->buffer);
}

static void copied_pages_hold_their_bytes_and_are_present(void **state)
{
	struct lm_slot *slot = read_slot(5, 3, 3);

	(void)state;
	lm_populate(slot);
	assert_states(5, 3, LM_PAGE_PRESENT);
	for (size_t page = 5; page < 8; page++)
		assert_true(holds_source(page));
}

static void copied_pages_are_counted(void **state)
{
	struct lm_slot *slot = read_slot(5, 3, 2);

	(void)state;
	lm_populate(slot);
	assert_int_equal(counter(LM_PAGES_POPULATED), 3);
	assert_int_equal(counter(LM_PAGES_PREFETCHED), 1);
	lm_slot_end(slot);
	assert_outcome(LM_COPIED, 2);
}

static void eexist_wakes_and_goes_on_with_the_next_page(void **state)
{
	struct lm_slot *slot = read_slot(5, 3, 3);

	(void)state;
	answer(COPY, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(WAKE, 0, 5, 1);
	assert_call(COPY, 1, 6, 2);
	assert_int_equal(count_of(WAKE), 1);
	assert_states(5, 3, LM_PAGE_PRESENT);
}

static void eexist_in_the_middle_wakes_only_that_page(void **state)
{
	struct lm_slot *slot = read_slot(5, 4, 4);

	(void)state;
	answer(COPY, EEXIST, 2 * PAGE);
	answer(COPY, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(count_of(WAKE), 1);
	assert_call(WAKE, 0, 7, 1);
	assert_call(COPY, 2, 8, 1);
}

static void page_that_is_there_ends_as_already_present(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 1);

	(void)state;
	answer(COPY, EEXIST, -EEXIST);
	lm_populate(slot);
	lm_slot_end(slot);
	assert_outcome(LM_ALREADY_PRESENT, 1);
}

static void page_that_is_there_keeps_its_bytes(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 1);

	(void)state;
	memset((void *)(uintptr_t)host_of(5), 0xee, PAGE);
	answer(COPY, EEXIST, -EEXIST);
	lm_populate(slot);
	assert_int_equal(*(unsigned char *)(uintptr_t)host_of(5), 0xee);
}

static void partial_copy_goes_on_from_there(void **state)
{
	struct lm_slot *slot = read_slot(5, 4, 4);

	(void)state;
	answer(COPY, EAGAIN, 3 * PAGE);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(COPY, 1, 8, 1);
	assert_int_equal(call_of(COPY, 1)->source, (uintptr_t)slot->buffer + 3 * PAGE);
	assert_states(5, 4, LM_PAGE_PRESENT);
	assert_int_equal(counter(LM_PAGES_POPULATED), 4);
}

static void assert_later(int64_t output)
{
	struct lm_slot *slot = read_slot(5, 2, 2);

	answer(COPY, EAGAIN, output);
	assert_int_equal(lm_populate(slot), LM_LATER);
	assert_int_equal(kernel.call_count, 1);
	assert_states(5, 2, LM_PAGE_CLAIMED);
	assert_int_equal(slot->installed, 0);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_true(holds_source(5) && holds_source(6));
}

static void eagain_in_the_output_is_for_later(void **state)
{
	(void)state;
	assert_later(-EAGAIN);
}

static void eagain_with_nothing_done_is_for_later(void **state)
{
	(void)state;
	assert_later(0);
}

static void eagain_with_the_output_untouched_is_for_later(void **state)
{
	(void)state;
	assert_later(UNTOUCHED);
}

static void eagain_after_a_part_keeps_the_part(void **state)
{
	struct lm_slot *slot = read_slot(5, 4, 4);

	(void)state;
	answer(COPY, EAGAIN, PAGE);
	answer(COPY, EAGAIN, -EAGAIN);
	assert_int_equal(lm_populate(slot), LM_LATER);
	assert_int_equal(slot->installed, 1);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
	assert_states(6, 3, LM_PAGE_CLAIMED);
}

static void assert_refused(int error)
{
	struct lm_slot *slot = read_slot(5, 2, 2);

	answer(COPY, error, -error);
	assert_int_equal(lm_populate(slot), LM_REFUSED);
	assert_int_equal(slot->error, -error);
	assert_int_equal(slot->installed, 0);
	assert_states(5, 2, LM_PAGE_CLAIMED);
	assert_int_equal(kernel.call_count, 1);
}

static void enoent_refuses(void **state)
{
	(void)state;
	assert_refused(ENOENT);
}

static void esrch_refuses(void **state)
{
	(void)state;
	assert_refused(ESRCH);
}

static void enospc_refuses(void **state)
{
	(void)state;
	assert_refused(ENOSPC);
}

static void enomem_refuses(void **state)
{
	(void)state;
	assert_refused(ENOMEM);
}

static void einval_refuses(void **state)
{
	(void)state;
	assert_refused(EINVAL);
}

static void refusal_after_a_part_keeps_the_part(void **state)
{
	struct lm_slot *slot = read_slot(5, 4, 4);

	(void)state;
	answer(COPY, ENOMEM, 2 * PAGE);
	answer(COPY, ENOMEM, -ENOMEM);
	assert_int_equal(lm_populate(slot), LM_REFUSED);
	assert_int_equal(slot->installed, 2);
	assert_states(5, 2, LM_PAGE_PRESENT);
	assert_states(7, 2, LM_PAGE_CLAIMED);
}

static void lock_is_free_again_after_every_end(void **state)
{
	(void)state;
	answer(COPY, EAGAIN, -EAGAIN);
	answer(COPY, ENOMEM, -ENOMEM);
	for (size_t page = 0; page < 3; page++) {
		lm_populate(read_slot(page, 1, 1));
		assert_int_equal(pthread_rwlock_trywrlock(&stage.attachment.lock), 0);
		pthread_rwlock_unlock(&stage.attachment.lock);
	}
}

/* ---- a discard between the read and the populate ------------------------- */

static void revoked_page_that_a_fault_asked_for_becomes_zeros(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 1);

	(void)state;
	discard(5, 1);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(count_of(COPY), 0);
	assert_call(ZERO, 0, 5, 1);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
	lm_slot_end(slot);
	assert_outcome(LM_ZEROED, 1);
}

static void revoked_page_that_nobody_asked_for_stays_away(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 0);

	(void)state;
	discard(5, 1);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(count_of(COPY) + count_of(ZERO), 0);
	assert_int_equal(state_of(5), LM_PAGE_DISCARDED);
	assert_int_equal(counter(LM_PAGES_POPULATED), 0);
}

static void revoked_page_that_nobody_asked_for_is_woken(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 0);

	(void)state;
	discard(5, 1);
	lm_populate(slot);
	assert_call(WAKE, 0, 5, 1); /* for a fault that joined */
}

static void neighbours_of_a_revoked_page_get_their_bytes(void **state)
{
	struct lm_slot *slot = read_slot(5, 4, 4);

	(void)state;
	discard(6, 1);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(COPY, 0, 5, 1);
	assert_call(ZERO, 0, 6, 1);
	assert_call(COPY, 1, 7, 2);
	assert_true(holds_source(5) && holds_source(7) && holds_source(8));
	assert_int_equal(*(char *)(uintptr_t)host_of(6), 0);
}

static void discard_between_two_tries_is_seen(void **state)
{
	struct lm_slot *slot = read_slot(5, 2, 2);

	(void)state;
	answer(COPY, EAGAIN, -EAGAIN);
	assert_int_equal(lm_populate(slot), LM_LATER);
	discard(5, 2);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(count_of(COPY), 1);
	assert_int_equal(count_of(ZERO), 2);
}

static void revoked_poison_is_not_installed(void **state)
{
	struct lm_slot *slot = content_slot(5, 1, 1, LM_CONTENT_POISON);

	(void)state;
	discard(5, 1);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(count_of(POISON), 0);
	assert_int_equal(count_of(ZERO), 1);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 0);
}

/* ---- pages that need no read --------------------------------------------- */

static void present_private_page_was_zapped_so_it_is_zero(void **state)
{
	struct lm_slot *slot = settle_slot(5);

	(void)state;
	set_state(5, 1, LM_PAGE_PRESENT);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(ZERO, 0, 5, 1);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
	assert_int_equal(counter(LM_PAGES_POPULATED), 0); /* it was counted before */
}

static void present_private_page_that_is_there_is_woken(void **state)
{
	struct lm_slot *slot = settle_slot(5);

	(void)state;
	set_state(5, 1, LM_PAGE_PRESENT);
	answer(ZERO, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(WAKE, 0, 5, 1);
	lm_slot_end(slot);
	assert_outcome(LM_ALREADY_PRESENT, 1);
}

static void poison_that_vanished_is_installed_again(void **state)
{
	struct lm_slot *slot = settle_slot(5);

	(void)state;
	set_state(5, 1, LM_PAGE_POISONED);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(kernel.call_count, 1);
	assert_call(POISON, 0, 5, 1);
	assert_int_equal(state_of(5), LM_PAGE_POISONED);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 1);
	lm_slot_end(slot);
	assert_outcome(LM_FAILED, 1);
}

static void page_that_still_is_poisoned_is_woken_to_fail(void **state)
{
	struct lm_slot *slot = settle_slot(5);

	(void)state;
	set_state(5, 1, LM_PAGE_POISONED);
	answer(POISON, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(WAKE, 0, 5, 1);
	lm_slot_end(slot);
	assert_outcome(LM_FAILED, 1);
}

static void discarded_page_becomes_zeros(void **state)
{
	struct lm_slot *slot = settle_slot(5);

	(void)state;
	discard(5, 1);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(ZERO, 0, 5, 1);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
	assert_int_equal(counter(LM_PAGES_POPULATED), 1);
}

static void present_shared_page_is_continued(void **state)
{
	struct lm_slot *slot = settle_slot(5);

	(void)state;
	set_state(5, 1, LM_PAGE_PRESENT);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(kernel.call_count, 1);
	assert_call(CONTINUE, 0, 5, 1);
	lm_slot_end(slot);
	assert_outcome(LM_CONTINUED, 1);
}

static void present_shared_page_that_is_mapped_is_woken(void **state)
{
	struct lm_slot *slot = settle_slot(5);

	(void)state;
	set_state(5, 1, LM_PAGE_PRESENT);
	answer(CONTINUE, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(WAKE, 0, 5, 1);
}

static void present_shared_page_waits_for_the_layout(void **state)
{
	struct lm_slot *slot = settle_slot(5);

	(void)state;
	set_state(5, 1, LM_PAGE_PRESENT);
	answer(CONTINUE, EAGAIN, UNTOUCHED);
	assert_int_equal(lm_populate(slot), LM_LATER);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
}

static void present_page_whose_data_is_gone_becomes_zeros(void **state)
{
	struct lm_slot *slot = settle_slot(5);

	(void)state;
	set_state(5, 1, LM_PAGE_PRESENT);
	answer(CONTINUE, EFAULT, -EFAULT); /* a hole was punched, which sends no event */
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(ZERO, 0, 5, 1);
}

/* ---- zeros --------------------------------------------------------------- */

static void run_of_zeros_is_one_zeropage(void **state)
{
	struct lm_slot *slot = content_slot(5, 16, 1, LM_CONTENT_ZERO);

	(void)state;
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(kernel.call_count, 1);
	assert_call(ZERO, 0, 5, 16);
	assert_states(5, 16, LM_PAGE_PRESENT);
	assert_int_equal(counter(LM_PAGES_PREFETCHED), 15);
}

static void zeros_go_on_from_a_part(void **state)
{
	struct lm_slot *slot = content_slot(5, 16, 16, LM_CONTENT_ZERO);

	(void)state;
	answer(ZERO, EAGAIN, 6 * PAGE);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(ZERO, 1, 11, 10);
}

static void zeros_wait_for_the_layout(void **state)
{
	struct lm_slot *slot = content_slot(5, 2, 2, LM_CONTENT_ZERO);

	(void)state;
	answer(ZERO, EAGAIN, UNTOUCHED);
	assert_int_equal(lm_populate(slot), LM_LATER);
	assert_states(5, 2, LM_PAGE_CLAIMED);
}

static void zeros_where_a_private_page_is_wake(void **state)
{
	struct lm_slot *slot = content_slot(5, 2, 2, LM_CONTENT_ZERO);

	(void)state;
	answer(ZERO, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(WAKE, 0, 5, 1);
	assert_call(ZERO, 1, 6, 1);
}

static void zeros_where_a_shared_page_is_continue_it(void **state)
{
	struct lm_slot *slot = content_slot(5, 2, 2, LM_CONTENT_ZERO);

	(void)state;
	answer(ZERO, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(CONTINUE, 0, 5, 1);
	lm_slot_end(slot);
	assert_outcome(LM_ZEROED, 2);
}

static void zeros_refuse_with_every_other_error(void **state)
{
	static const int errors[] = {ENOENT, ESRCH, ENOSPC, ENOMEM, EINVAL};

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct lm_slot *slot = content_slot(i, 1, 1, LM_CONTENT_ZERO);

		answer(ZERO, errors[i], -errors[i]);
		assert_int_equal(lm_populate(slot), LM_REFUSED);
		assert_int_equal(slot->error, -errors[i]);
		assert_int_equal(state_of(i), LM_PAGE_CLAIMED);
		lm_slot_end(slot);
	}
}

/* ---- shared memory: what came into the page cache behind our back --------- */

static void shared_memory_is_copied_first(void **state)
{
	struct lm_slot *slot = read_slot(5, 3, 3);

	(void)state;
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(kernel.call_count, 1);
	assert_call(COPY, 0, 5, 3);
}

static void cached_page_of_fresh_memory_is_overwritten_and_continued(void **state)
{
	struct lm_slot *slot = read_slot(5, 2, 2);

	(void)state;
	answer(COPY, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(CONTINUE, 0, 5, 1);
	assert_call(COPY, 1, 6, 1);
	assert_true(holds_source(5)); /* through the alias: no COPY wrote it */
	assert_states(5, 2, LM_PAGE_PRESENT);
}

static void cached_page_of_memory_in_use_is_the_guests(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 1);

	(void)state;
	stage.regions[0].fresh = false;
	memset((void *)(uintptr_t)host_of(5), 0xee, PAGE);
	answer(COPY, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(CONTINUE, 0, 5, 1);
	assert_int_equal(*(unsigned char *)(uintptr_t)host_of(5), 0xee);
}

static void cached_page_that_is_mapped_is_woken(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 1);

	(void)state;
	answer(COPY, EEXIST, -EEXIST);
	answer(CONTINUE, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(WAKE, 0, 5, 1);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
}

static void cached_page_waits_for_the_layout(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 1);

	(void)state;
	answer(COPY, EEXIST, -EEXIST);
	answer(CONTINUE, EAGAIN, 0);
	assert_int_equal(lm_populate(slot), LM_LATER);
	assert_int_equal(state_of(5), LM_PAGE_CLAIMED);
}

static void cached_page_that_was_punched_out_becomes_zeros(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 1);

	(void)state;
	answer(COPY, EEXIST, -EEXIST);
	answer(CONTINUE, EFAULT, -EFAULT); /* after it was written through the alias */
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(ZERO, 0, 5, 1);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
}

static void shared_memory_without_continue_is_woken(void **state)
{
	struct lm_slot *slot = read_slot(5, 1, 1);

	(void)state;
	stage.regions[0].can &= ~LM_CAN_CONTINUE;
	answer(COPY, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(count_of(CONTINUE), 0);
	assert_call(WAKE, 0, 5, 1);
}

/* ---- poison -------------------------------------------------------------- */

static void poison_is_installed_and_counted(void **state)
{
	struct lm_slot *slot = content_slot(5, 3, 1, LM_CONTENT_POISON);

	(void)state;
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(POISON, 0, 5, 3);
	assert_states(5, 3, LM_PAGE_POISONED);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 3);
	assert_int_equal(counter(LM_PAGES_POPULATED), 0);
	lm_slot_end(slot);
	assert_outcome(LM_FAILED, 1);
}

static void poison_goes_on_from_a_part(void **state)
{
	struct lm_slot *slot = content_slot(5, 3, 0, LM_CONTENT_POISON);

	(void)state;
	answer(POISON, EAGAIN, PAGE);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(POISON, 1, 6, 2);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 3);
}

static void poison_waits_for_the_layout(void **state)
{
	struct lm_slot *slot = content_slot(5, 3, 0, LM_CONTENT_POISON);

	(void)state;
	answer(POISON, EAGAIN, UNTOUCHED);
	assert_int_equal(lm_populate(slot), LM_LATER);
	assert_int_equal(protect.calls, 0);
	assert_states(5, 3, LM_PAGE_CLAIMED);
}

static void poison_leaves_a_page_alone_that_is_there(void **state)
{
	struct lm_slot *slot = content_slot(5, 2, 0, LM_CONTENT_POISON);

	(void)state;
	answer(POISON, EEXIST, -EEXIST);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(WAKE, 0, 5, 1);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
	assert_int_equal(state_of(6), LM_PAGE_POISONED);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 1);
}

static void poison_becomes_protection_where_the_kernel_has_none(void **state)
{
	struct lm_slot *slot = content_slot(5, 3, 1, LM_CONTENT_POISON);

	(void)state;
	stage.regions[0].can &= ~LM_CAN_POISON;
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(count_of(POISON), 0);
	assert_int_equal((uintptr_t)protect.host, host_of(5));
	assert_int_equal(protect.length, 3 * PAGE);
	assert_int_equal(protect.protection, PROT_NONE);
	assert_states(5, 3, LM_PAGE_POISONED);
}

static void protection_wakes_whoever_waits(void **state)
{
	struct lm_slot *slot = content_slot(5, 3, 1, LM_CONTENT_POISON);

	(void)state;
	stage.regions[0].can &= ~LM_CAN_POISON;
	lm_populate(slot);
	assert_call(WAKE, 0, 5, 3);
}

static void poison_becomes_protection_after_a_refusal(void **state)
{
	struct lm_slot *slot = content_slot(5, 1, 1, LM_CONTENT_POISON);

	(void)state;
	answer(POISON, EINVAL, UNTOUCHED);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(protect.calls, 1);
	assert_int_equal(state_of(5), LM_PAGE_POISONED);
}

static void poison_of_what_is_not_mapped_refuses(void **state)
{
	struct lm_slot *slot = content_slot(5, 1, 1, LM_CONTENT_POISON);

	(void)state;
	answer(POISON, ENOENT, -ENOENT);
	assert_int_equal(lm_populate(slot), LM_REFUSED);
	assert_int_equal(slot->error, -ENOENT);
	assert_int_equal(protect.calls, 0);
}

static void poison_of_a_dead_process_refuses(void **state)
{
	struct lm_slot *slot = content_slot(5, 1, 1, LM_CONTENT_POISON);

	(void)state;
	answer(POISON, ESRCH, UNTOUCHED);
	assert_int_equal(lm_populate(slot), LM_REFUSED);
	assert_int_equal(slot->error, -ESRCH);
	assert_int_equal(protect.calls, 0); /* it would be this process's memory */
}

static void last_rung_of_the_ladder_refuses(void **state)
{
	struct lm_slot *slot = content_slot(5, 1, 1, LM_CONTENT_POISON);

	(void)state;
	stage.regions[0].can &= ~LM_CAN_POISON;
	protect.error = ENOMEM;
	assert_int_equal(lm_populate(slot), LM_REFUSED);
	assert_int_equal(slot->error, -ENOMEM);
	assert_int_equal(state_of(5), LM_PAGE_CLAIMED);
	assert_int_equal(count_of(WAKE), 0);
}

/* ---- healing ------------------------------------------------------------- */

static struct lm_slot *healing_slot(size_t page)
{
	struct lm_slot *slot = read_slot(page, 1, 0);

	slot->healing = true;
	return slot;
}

static void healed_page_is_present(void **state)
{
	struct lm_slot *slot = healing_slot(5);

	(void)state;
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(COPY, 0, 5, 1);
	assert_int_equal(state_of(5), LM_PAGE_PRESENT);
	assert_int_equal(counter(LM_PAGES_POPULATED), 1);
}

static void healing_gives_back_what_protection_took(void **state)
{
	struct lm_slot *slot = content_slot(5, 1, 1, LM_CONTENT_POISON);

	(void)state;
	stage.regions[0].can &= ~LM_CAN_POISON;
	lm_populate(slot);
	lm_slot_end(slot);
	assert_int_equal(lm_page_map_claim_poisoned(&stage.regions[0].map, 5, 1), 1);
	set_state(5, 1, LM_PAGE_MISSING);
	lm_populate(healing_slot(5));
	assert_int_equal((uintptr_t)protect.host, host_of(5));
	assert_int_equal(protect.protection, PROT_READ | PROT_WRITE);
}

/* ---- pages larger than the buffer ---------------------------------------- */

/* One more piece of page 0 has been read. */
static enum lm_populated add_piece(struct lm_slot *slot)
{
	slot->is_read = true;
	slot->read.length = BUFFER_PAGES * PAGE;
	for (size_t i = 0; i < slot->read.length; i++)
		slot->buffer[i] = (char)byte_of((slot->filled + i) / PAGE);
	return lm_populate(slot);
}

static bool giant_holds_source(void)
{
	for (size_t page = 0; page < GIANT_PAGES; page++)
		if (*(unsigned char *)(stage.regions[0].host + page * PAGE) != byte_of(page))
			return false;
	return true;
}

static void giant_page_asks_for_its_next_piece(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	assert_int_equal(add_piece(slot), LM_READ_ON);
	assert_int_equal(slot->filled, BUFFER_PAGES * PAGE);
	assert_int_equal(kernel.call_count, 0);
	assert_int_equal(state_of(0), LM_PAGE_CLAIMED);
}

static void giant_page_is_continued_when_all_of_it_is_there(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(add_piece(slot), LM_READ_ON);
	assert_int_equal(add_piece(slot), LM_POPULATED);
	assert_int_equal(kernel.call_count, 1);
	assert_call(CONTINUE, 0, 0, 1);
	assert_true(giant_holds_source());
	assert_int_equal(state_of(0), LM_PAGE_PRESENT);
}

static void giant_page_is_continued_again_after_eagain(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	answer(CONTINUE, EAGAIN, -EAGAIN);
	for (int i = 0; i < 3; i++)
		add_piece(slot);
	assert_int_equal(add_piece(slot), LM_LATER);
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_call(CONTINUE, 1, 0, 1);
}

static void giant_page_revoked_half_way_is_not_written_any_more(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 0);

	(void)state;
	add_piece(slot);
	discard(0, 1);
	assert_int_equal(add_piece(slot), LM_POPULATED);
	assert_int_equal(*(stage.regions[0].host + BUFFER_PAGES * PAGE), 0);
	assert_int_equal(count_of(CONTINUE), 0);
	assert_int_equal(state_of(0), LM_PAGE_DISCARDED);
}

static void giant_page_revoked_half_way_reads_as_zeros(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	add_piece(slot);
	discard(0, 1);
	assert_int_equal(add_piece(slot), LM_POPULATED);
	assert_int_equal(state_of(0), LM_PAGE_PRESENT);
	assert_int_equal(*stage.regions[0].host, 0);
}

static void giant_page_of_memory_in_use_is_the_guests(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	stage.regions[0].fresh = false;
	memset(stage.regions[0].host, 0xee, GIANT_PAGES * PAGE);
	answer(CONTINUE, 0, GIANT_PAGES * PAGE);
	answer(CONTINUE, EEXIST, -EEXIST);
	assert_int_equal(add_piece(slot), LM_POPULATED);
	assert_int_equal(*(unsigned char *)stage.regions[0].host, 0xee);
	assert_int_equal(state_of(0), LM_PAGE_PRESENT);
	assert_call(WAKE, 0, 0, 1);
}

static void giant_page_of_memory_in_use_that_is_not_there_is_read(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	stage.regions[0].fresh = false;
	answer(CONTINUE, EFAULT, -EFAULT);
	for (int i = 0; i < 3; i++)
		assert_int_equal(add_piece(slot), LM_READ_ON);
	assert_int_equal(add_piece(slot), LM_POPULATED);
	assert_true(giant_holds_source());
}

static void unfresh_giant_page_is_not_written_while_the_layout_changes(void **state)
{
	struct lm_slot *slot = claim_slot(0, 1, 1);

	(void)state;
	stage.regions[0].fresh = false;
	memset(stage.regions[0].host, 0xee, GIANT_PAGES * PAGE);
	answer(CONTINUE, EAGAIN, -EAGAIN);
	assert_int_equal(add_piece(slot), LM_LATER);
	assert_int_equal(*(unsigned char *)stage.regions[0].host, 0xee);
}

static void zeros_of_giant_pages_are_allocated_and_continued(void **state)
{
	struct lm_slot *slot = content_slot(2, 1, 1, LM_CONTENT_ZERO);

	(void)state;
	assert_int_equal(lm_populate(slot), LM_POPULATED);
	assert_int_equal(allocate.calls, 1);
	assert_int_equal(allocate.mode, 0);
	assert_int_equal(allocate.offset, 2 * GIANT_PAGES * PAGE);
	assert_int_equal(allocate.length, GIANT_PAGES * PAGE);
	assert_int_equal(count_of(ZERO), 0);
	assert_call(CONTINUE, 0, 2, 1);
	lm_slot_end(slot);
	assert_outcome(LM_ZEROED, 1);
}

static void zeros_of_giant_pages_refuse_without_memory(void **state)
{
	struct lm_slot *slot = content_slot(2, 1, 1, LM_CONTENT_ZERO);

	(void)state;
	allocate.error = ENOSPC;
	assert_int_equal(lm_populate(slot), LM_REFUSED);
	assert_int_equal(slot->error, -ENOSPC);
	assert_int_equal(state_of(2), LM_PAGE_CLAIMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PRIVATE_TEST(run_of_pages_is_one_copy),
		PRIVATE_TEST(copied_pages_hold_their_bytes_and_are_present),
		PRIVATE_TEST(copied_pages_are_counted),
		PRIVATE_TEST(eexist_wakes_and_goes_on_with_the_next_page),
		PRIVATE_TEST(eexist_in_the_middle_wakes_only_that_page),
		PRIVATE_TEST(page_that_is_there_ends_as_already_present),
		PRIVATE_TEST(page_that_is_there_keeps_its_bytes),
		PRIVATE_TEST(partial_copy_goes_on_from_there),
		PRIVATE_TEST(eagain_in_the_output_is_for_later),
		PRIVATE_TEST(eagain_with_nothing_done_is_for_later),
		PRIVATE_TEST(eagain_with_the_output_untouched_is_for_later),
		PRIVATE_TEST(eagain_after_a_part_keeps_the_part),
		PRIVATE_TEST(enoent_refuses),
		PRIVATE_TEST(esrch_refuses),
		PRIVATE_TEST(enospc_refuses),
		PRIVATE_TEST(enomem_refuses),
		PRIVATE_TEST(einval_refuses),
		PRIVATE_TEST(refusal_after_a_part_keeps_the_part),
		PRIVATE_TEST(lock_is_free_again_after_every_end),
		PRIVATE_TEST(revoked_page_that_a_fault_asked_for_becomes_zeros),
		PRIVATE_TEST(revoked_page_that_nobody_asked_for_stays_away),
		PRIVATE_TEST(revoked_page_that_nobody_asked_for_is_woken),
		PRIVATE_TEST(neighbours_of_a_revoked_page_get_their_bytes),
		PRIVATE_TEST(discard_between_two_tries_is_seen),
		PRIVATE_TEST(revoked_poison_is_not_installed),
		PRIVATE_TEST(present_private_page_was_zapped_so_it_is_zero),
		PRIVATE_TEST(present_private_page_that_is_there_is_woken),
		PRIVATE_TEST(poison_that_vanished_is_installed_again),
		PRIVATE_TEST(page_that_still_is_poisoned_is_woken_to_fail),
		PRIVATE_TEST(discarded_page_becomes_zeros),
		SHARED_TEST(present_shared_page_is_continued),
		SHARED_TEST(present_shared_page_that_is_mapped_is_woken),
		SHARED_TEST(present_shared_page_waits_for_the_layout),
		SHARED_TEST(present_page_whose_data_is_gone_becomes_zeros),
		PRIVATE_TEST(run_of_zeros_is_one_zeropage),
		PRIVATE_TEST(zeros_go_on_from_a_part),
		PRIVATE_TEST(zeros_wait_for_the_layout),
		PRIVATE_TEST(zeros_where_a_private_page_is_wake),
		SHARED_TEST(zeros_where_a_shared_page_is_continue_it),
		PRIVATE_TEST(zeros_refuse_with_every_other_error),
		SHARED_TEST(shared_memory_is_copied_first),
		SHARED_TEST(cached_page_of_fresh_memory_is_overwritten_and_continued),
		SHARED_TEST(cached_page_of_memory_in_use_is_the_guests),
		SHARED_TEST(cached_page_that_is_mapped_is_woken),
		SHARED_TEST(cached_page_waits_for_the_layout),
		SHARED_TEST(cached_page_that_was_punched_out_becomes_zeros),
		SHARED_TEST(shared_memory_without_continue_is_woken),
		PRIVATE_TEST(poison_is_installed_and_counted),
		PRIVATE_TEST(poison_goes_on_from_a_part),
		PRIVATE_TEST(poison_waits_for_the_layout),
		PRIVATE_TEST(poison_leaves_a_page_alone_that_is_there),
		PRIVATE_TEST(poison_becomes_protection_where_the_kernel_has_none),
		PRIVATE_TEST(protection_wakes_whoever_waits),
		PRIVATE_TEST(poison_becomes_protection_after_a_refusal),
		PRIVATE_TEST(poison_of_what_is_not_mapped_refuses),
		PRIVATE_TEST(poison_of_a_dead_process_refuses),
		PRIVATE_TEST(last_rung_of_the_ladder_refuses),
		PRIVATE_TEST(healed_page_is_present),
		PRIVATE_TEST(healing_gives_back_what_protection_took),
		GIANT_TEST(giant_page_asks_for_its_next_piece),
		GIANT_TEST(giant_page_is_continued_when_all_of_it_is_there),
		GIANT_TEST(giant_page_is_continued_again_after_eagain),
		GIANT_TEST(giant_page_revoked_half_way_is_not_written_any_more),
		GIANT_TEST(giant_page_revoked_half_way_reads_as_zeros),
		GIANT_TEST(giant_page_of_memory_in_use_is_the_guests),
		GIANT_TEST(giant_page_of_memory_in_use_that_is_not_there_is_read),
		GIANT_TEST(unfresh_giant_page_is_not_written_while_the_layout_changes),
		GIANT_TEST(zeros_of_giant_pages_are_allocated_and_continued),
		GIANT_TEST(zeros_of_giant_pages_refuse_without_memory),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
