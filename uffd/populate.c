/* SPDX-License-Identifier: MIT
 *
 * Installing pages: the ladder of ways, each with a fallback to the next.
 *
 *   bytes, base pages     COPY the run; where a page is there already:
 *     shared memory         it came into the page cache behind our back, through a mapping that is
 *                           not registered, and holds zeros: write it through the alias, CONTINUE
 *     else                  it is the guest's: wake
 *   bytes, hugetlb        write the alias, CONTINUE (the bytes come in pieces)
 *   zeros                 ZEROPAGE; where the memory cannot: let the file allocate a
 *                         zeroed page, CONTINUE; where a page is there: CONTINUE, else wake
 *   poison                POISON; where the kernel cannot: PROT_NONE
 *
 * For base pages of shared memory COPY comes before CONTINUE: a write through
 * the alias would fault in and zero each page first; COPY refuses politely
 * (-ENOSPC) where such a write would raise SIGBUS, and no unregistered mapping
 * ever sees half a page.
 *
 * What is done with a page follows from its state at this moment, under the
 * shared lock, so a claim that a discard has revoked meanwhile is never
 * populated with old bytes:
 *   CLAIMED    the slot's content        -> PRESENT or POISONED
 *   DISCARDED  zeros, if a fault asked   -> PRESENT
 *   PRESENT    the kernel lost the mapping, not we: CONTINUE shared memory; what
 *              was zapped without an event reads as zeros
 *   POISONED   poison, again
 *   MISSING    wake
 * Whatever the way, everybody who waits for the page is woken: by the verb, or
 * by an explicit wake where the verb says that the page is there already.
 */
#include "uffd/populate.h"

#include "core/checked.h"
#include "uffd/tracking.h"
#include "uffd/userfaultfd.h"
#include "uffd/view.h"
#include "uffd/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>

#define ZERO_BYTES (64u * 1024) /* zeros at hand, where they have to be copied */

/* How one run of pages in one state was settled. */
enum settled { BY_COPY, BY_ZERO, BY_CONTINUE, BY_POISON, BY_WAKE };

struct step {
	int error;    /* 0, or why page `pages` of the run could not be installed */
	size_t pages; /* installed */
	enum settled by;
};

static struct step step_of(const struct lm_lazy_region *region, struct lm_verb verb,
			   enum settled by)
{
	size_t pages = (size_t)(verb.done >> region->page_shift);

	/* Progress is success; the next call tells why it stopped. */
	return (struct step){.error = pages > 0 ? 0 : verb.error, .pages = pages, .by = by};
}

/* The shared lock is held if the region has views. */
static void wake(const struct lm_lazy_region *region, size_t page, size_t count)
{
	/* Fails only where nothing can wait: unregistered, or the process is gone. */
	(void)lm_userfaultfd_wake(region->attachment->fd, lm_lazy_region_host(region, page),
				  count << region->page_shift);
	lm_view_wake(region, page, count);
}

void lm_populate_wake(struct lazymem_attachment *attachment, struct lm_lazy_region *region,
		      size_t page, size_t count)
{
	const bool has_views = region->view_count > 0;

	if (has_views)
		pthread_rwlock_rdlock(&attachment->lock);
	wake(region, page, count);
	if (has_views)
		pthread_rwlock_unlock(&attachment->lock);
}

/* The page is there: whoever waits for it only needs to be told. */
static struct step wake_one(struct lm_slot *slot, size_t page)
{
	wake(slot->region, page, 1);
	return (struct step){.pages = 1, .by = BY_WAKE};
}

static unsigned protection(const struct lm_lazy_region *region, size_t page)
{
	const bool again = lm_page_map_get(&region->map, page) == LM_PAGE_PRESENT;

	return lm_tracking_protection(region, again);
}

static struct step continue_or_wake(struct lm_slot *slot, size_t page, size_t count)
{
	struct lm_lazy_region *region = slot->region;
	struct lm_verb verb = {.error = -EEXIST};

	if (region->can & LM_CAN_CONTINUE) {
		char *host = lm_view_place(region, page, &count);

		verb = lm_userfaultfd_continue(slot->attachment->fd, host,
					       count << region->page_shift,
					       protection(region, page));
	}
	if (verb.error == -EEXIST && verb.done == 0)
		return wake_one(slot, page);
	return step_of(region, verb, BY_CONTINUE);
}

static struct step install_zeros(struct lm_slot *slot, size_t page, size_t count);

/* CONTINUE a page that was there a moment ago. If it is not there any more,
 * somebody has punched a hole through another descriptor, without an event. */
static struct step continue_or_zero(struct lm_slot *slot, size_t page)
{
	struct step step = continue_or_wake(slot, page, 1);

	return step.error == -EFAULT ? install_zeros(slot, page, 1) : step;
}

static bool is_cached_shared(const struct lm_lazy_region *region)
{
	return region->alias != NULL && (region->can & LM_CAN_CONTINUE) != 0;
}

static struct step install_bytes(struct lm_slot *slot, size_t page, size_t count)
{
	struct lm_lazy_region *region = slot->region;
	const char *bytes = slot->buffer + ((page - slot->first) << region->page_shift);
	char *host = lm_view_place(region, page, &count);
	struct lm_verb verb = lm_userfaultfd_copy(
		slot->attachment->fd, host, bytes, count << region->page_shift,
		(lm_slot_is_quiet(slot) ? 0 : LM_WAKE) | protection(region, page));

	if (verb.error != -EEXIST || verb.done > 0)
		return step_of(region, verb, BY_COPY);
	if (!is_cached_shared(region))
		return wake_one(slot, page);
	if (region->fresh) /* else what is there is the guest's */
		memcpy(lm_lazy_region_alias(region, page), bytes, region->page_size);
	return continue_or_zero(slot, page);
}

/* fallocate on one page of the file behind shared memory. */
static int change_file(const struct lm_lazy_region *region, size_t page, int mode)
{
	uint64_t offset;
	int fd, error = lazymem_mapping_fd(region->mapping, &fd, &offset);

	if (error != 0)
		return error;
	offset += (uint64_t)page << region->page_shift;
	return fallocate(fd, mode, (off_t)offset, (off_t)region->page_size) != 0 ? -errno : 0;
}

/* A zeroed page for hugetlb memory, which ZEROPAGE refuses. One that is there
 * is left alone. */
static struct step allocate_zero(struct lm_slot *slot, size_t page)
{
	int error = change_file(slot->region, page, 0);

	return error != 0 ? (struct step){.error = error} : continue_or_wake(slot, page, 1);
}

/* ZEROPAGE cannot protect, and only for private memory can the kernel tell a
 * zero page from one that was written. */
static struct lm_verb zero(const struct lm_lazy_region *region, size_t page, size_t count)
{
	static const char zeros[ZERO_BYTES];
	const int fd = region->attachment->fd;
	char *host = lm_view_place(region, page, &count);
	const size_t length = count << region->page_shift;

	if (!lm_tracking_protects(region) ||
	    (region->alias == NULL && region->attachment->tracking == LAZYMEM_TRACKING_KERNEL))
		return lm_userfaultfd_zero(fd, host, length);
	return lm_userfaultfd_copy(fd, host, zeros, (size_t)lm_min(length, sizeof(zeros)),
				   LM_WAKE | LM_PROTECT);
}

static struct step install_zeros(struct lm_slot *slot, size_t page, size_t count)
{
	struct lm_lazy_region *region = slot->region;
	struct step step;
	struct lm_verb verb;

	if (!(region->can & LM_CAN_ZERO)) {
		step = allocate_zero(slot, page);
	} else {
		verb = zero(region, page, count);
		/* What was there went without an event. */
		if (verb.error == 0 && lm_page_map_get(&region->map, page) == LM_PAGE_PRESENT)
			lm_tracking_mark(region, page);
		if (verb.error != -EEXIST || verb.done > 0)
			return step_of(region, verb, BY_ZERO);
		step = continue_or_wake(slot, page, 1);
	}
	if (step.by == BY_CONTINUE)
		step.by = BY_ZERO;
	return step;
}

static struct step install_poison(struct lm_slot *slot, size_t page, size_t count)
{
	struct lm_lazy_region *region = slot->region;
	char *host = lm_lazy_region_host(region, page);
	int error = lm_view_poison(region, page, count);
	struct lm_verb verb;

	if (error == 0 && lm_tracking_protects(region)) /* a protected hole refuses poison */
		error = lm_userfaultfd_protect(slot->attachment->fd, host,
					       count << region->page_shift, false);
	if (error != 0)
		return (struct step){.error = error};
	atomic_store(&region->had_poison, true);
	if (region->can & LM_CAN_POISON) {
		verb = lm_userfaultfd_poison(slot->attachment->fd, host,
					     count << region->page_shift);
		if (verb.error == -EEXIST && verb.done == 0) /* poisoned before, or there */
			return wake_one(slot, page);
		if (verb.error == 0 || verb.error == -EAGAIN || verb.error == -ENOENT ||
		    verb.error == -ESRCH || verb.done > 0)
			return step_of(region, verb, BY_POISON);
	}
	if (mprotect(host, count << region->page_shift, PROT_NONE) != 0)
		return (struct step){.error = -errno};
	atomic_store(&region->protects, true);
	wake(region, page, count);
	return (struct step){.pages = count, .by = BY_POISON};
}

/* Pages that are claimed by this slot. */
static struct step install_claimed(struct lm_slot *slot, size_t page, size_t count)
{
	switch (slot->content) {
	case LM_CONTENT_ZERO:
		return install_zeros(slot, page, count);
	case LM_CONTENT_POISON:
		return install_poison(slot, page, count);
	case LM_CONTENT_BYTES:
		break;
	}
	if (slot->healing)
		lm_lazy_region_unprotect(slot->region, page, count);
	if (slot->region->page_size > slot->worker->buffer_size)
		return continue_or_zero(slot, page); /* the alias is written already */
	return install_bytes(slot, page, count);
}

static bool is_demanded(const struct lm_slot *slot, size_t page)
{
	return page - slot->first < slot->demanded;
}

/* A page that is not claimed gets what its state says. If that was refused
 * before and the verdict is poison (the memory is used up, say), and is refused
 * again, nothing but poison is left. Not so while letting go: the kernel has
 * the same zeros. */
static struct step or_poison(struct lm_slot *slot, size_t page, struct step step)
{
	if (slot->content != LM_CONTENT_POISON || step.error == 0 || step.error == -EAGAIN)
		return step;
	if (slot->attachment->aborting)
		return wake_one(slot, page);
	lm_tracking_mark(slot->region, page); /* it may be there still, and loses its protection */
	return install_poison(slot, page, 1);
}

/* Somebody writes to a page that is protected, for the first time since it was
 * collected. */
static struct step allow_write(struct lm_slot *slot, size_t page)
{
	const int error = lm_tracking_allow(slot->region, page);

	if (error != 0)
		return (struct step){.error = error};
	return wake_one(slot, page);
}

static struct step install_in_state(struct lm_slot *slot, enum lm_page_state state, size_t page,
				    size_t count)
{
	switch (state) {
	case LM_PAGE_CLAIMED:
		return install_claimed(slot, page, count);
	case LM_PAGE_DISCARDED:
		if (!is_demanded(slot, page))
			break;
		return or_poison(slot, page, install_zeros(slot, page, 1));
	case LM_PAGE_PRESENT:
		if (slot->write)
			return allow_write(slot, page);
		return or_poison(slot, page,
				 slot->region->alias != NULL ? continue_or_zero(slot, page)
							     : install_zeros(slot, page, 1));
	case LM_PAGE_POISONED: /* a fault: somebody has taken the poison away, unseen */
		return install_poison(slot, page, 1);
	case LM_PAGE_MISSING:
		break;
	}
	return wake_one(slot, page);
}

/* Note how the faults for the pages of a step ended. */
static void note_demanded(struct lm_slot *slot, size_t page, size_t count, enum lm_page_state state,
			  enum settled by)
{
	static const enum lm_counter outcome[] = {
		[BY_COPY] = LM_COPIED,          [BY_ZERO] = LM_ZEROED,
		[BY_CONTINUE] = LM_CONTINUED,   [BY_POISON] = LM_FAILED,
		[BY_WAKE] = LM_ALREADY_PRESENT,
	};
	size_t offset = page - slot->first;

	if (offset < slot->demanded)
		slot->ended[state == LM_PAGE_POISONED ? LM_FAILED : outcome[by]] +=
			lm_min(count, slot->demanded - offset);
}

/* A claimed page ends as PRESENT or POISONED, a discarded one that got its zeros
 * as PRESENT. Else the state was right already, or is not this slot's. */
static bool changes_state(const struct lm_slot *slot, enum lm_page_state state, size_t page,
			  enum settled by)
{
	if (state == LM_PAGE_DISCARDED)
		return is_demanded(slot, page) && by != BY_POISON &&
		       !(by == BY_WAKE && slot->attachment->aborting);
	return state == LM_PAGE_CLAIMED;
}

/* Publish the pages that a step installed, and count them. */
static void publish(struct lm_slot *slot, enum lm_page_state state, size_t page, struct step step)
{
	struct lazymem_attachment *attachment = slot->attachment;
	struct lm_lazy_region *region = slot->region;
	size_t offset = page - slot->first, asked;

	note_demanded(slot, page, step.pages, state, step.by);
	if (!changes_state(slot, state, page, step.by))
		return;
	for (size_t i = page; i < page + step.pages; i++) {
		bool published;

		if (step.by == BY_POISON)
			published = lm_page_map_poison(&region->map, i);
		else if (state == LM_PAGE_DISCARDED)
			published = lm_page_map_publish_zero(&region->map, i);
		else
			published = lm_page_map_publish(&region->map, i);
		assert(published); /* nobody else changes these states under the shared lock */
		(void)published;
	}
	if (step.by == BY_POISON) {
		atomic_fetch_add(&attachment->poisoned, step.pages);
		return;
	}
	if (region->alias != NULL ||
	    (slot->content == LM_CONTENT_BYTES && state == LM_PAGE_CLAIMED))
		lm_lazy_region_count_present(region, page, step.pages);
	asked = offset < slot->demanded ? lm_min(step.pages, slot->demanded - offset) : 0;
	lm_count(&attachment->statistics, LM_PAGES_POPULATED, step.pages);
	lm_count(&attachment->statistics, LM_PAGES_PREFETCHED, step.pages - asked);
}

static enum lm_populated install_rest(struct lm_slot *slot)
{
	struct lm_lazy_region *region = slot->region;

	while (slot->installed < slot->count) {
		size_t page = slot->first + slot->installed;
		enum lm_page_state state = lm_page_map_get(&region->map, page);
		size_t run =
			lm_page_map_run(&region->map, page, slot->count - slot->installed, state);
		struct step step = install_in_state(slot, state, page, run);

		if (step.error == -EAGAIN)
			return LM_LATER;
		if (step.error != 0) {
			slot->error = step.error;
			return LM_REFUSED;
		}
		publish(slot, state, page, step);
		if (lm_page_map_get(&region->map, page) == LM_PAGE_PRESENT)
			lm_view_follow(region, page, step.pages, slot->own,
				       state == LM_PAGE_PRESENT);
		slot->installed += step.pages;
	}
	return LM_POPULATED;
}

/* Memory that was partly there when it was attached: a page in the page cache
 * is the guest's, and must not be written. */
static enum lm_populated look_for_guests_page(struct lm_slot *slot)
{
	size_t count = 1;
	char *host = lm_view_place(slot->region, slot->first, &count);
	struct lm_verb verb =
		lm_userfaultfd_continue(slot->attachment->fd, host, slot->region->page_size,
					protection(slot->region, slot->first));

	if (verb.error == -EAGAIN)
		return LM_LATER;
	if (verb.error == 0 || verb.error == -EEXIST)
		slot->filled = slot->region->page_size;
	return LM_POPULATED;
}

static bool is_in_pieces(const struct lm_slot *slot)
{
	return slot->content == LM_CONTENT_BYTES &&
	       slot->region->page_size > slot->worker->buffer_size;
}

void lm_populate_drop_pieces(struct lm_slot *slot)
{
	enum lm_page_state state;

	if (!is_in_pieces(slot) || slot->filled == 0)
		return;
	slot->filled = 0;
	/* Only the worker makes a page PRESENT, so these two states stay until
	 * this is done: no page of the guest's is punched. */
	state = lm_page_map_get(&slot->region->map, slot->first);
	if (state == LM_PAGE_CLAIMED || state == LM_PAGE_DISCARDED)
		/* Best effort: what stays is memory, and a page that is not mapped. */
		(void)change_file(slot->region, slot->first,
				  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

/* One more piece of a page that is larger than the buffer has been read: put
 * it in the alias, if the claim still stands. LM_POPULATED: the alias is
 * complete, or does not matter any more. */
static enum lm_populated add_piece(struct lm_slot *slot)
{
	struct lm_lazy_region *region = slot->region;

	if (lm_page_map_get(&region->map, slot->first) != LM_PAGE_CLAIMED) {
		lm_populate_drop_pieces(slot);
		return LM_POPULATED;
	}
	if (slot->filled == 0 && !region->fresh) {
		enum lm_populated found = look_for_guests_page(slot);

		if (found != LM_POPULATED || slot->filled > 0)
			return found;
	}
	/* Where there is no page to be had, a write through the alias would raise SIGBUS. */
	if (slot->filled == 0)
		slot->error = change_file(region, slot->first, 0);
	if (slot->error != 0)
		return LM_REFUSED;
	memcpy(lm_lazy_region_alias(region, slot->first) + slot->filled, slot->buffer,
	       slot->read.length);
	slot->filled += slot->read.length;
	if (slot->filled == region->page_size)
		return LM_POPULATED;
	slot->is_read = false;
	return LM_READ_ON;
}

enum lm_populated lm_populate(struct lm_slot *slot)
{
	struct lazymem_attachment *attachment = slot->attachment;
	enum lm_populated result = LM_POPULATED;

	pthread_rwlock_rdlock(&attachment->lock);
	if (is_in_pieces(slot) && slot->filled < slot->region->page_size)
		result = add_piece(slot);
	if (result == LM_POPULATED)
		result = install_rest(slot);
	pthread_rwlock_unlock(&attachment->lock);
	return result;
}
