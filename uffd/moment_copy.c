/* SPDX-License-Identifier: MIT
 *
 * moment_copy.c - the copies of a moment are made.
 *
 * What is told to have been written decides nothing by itself; the state of
 * the page does, once the worker has published what it had installed:
 *
 *   PRESENT             copied
 *   DISCARDED           zeros, and no copy, unless its file has it still (held.c)
 *   MISSING, CLAIMED,   as in the snapshot before: nobody has written it. (Where
 *   POISONED            nobody knows what was written, all that may be there is told)
 *
 * Only a page that is there is touched, so nothing is populated for it, and
 * none can be poison.
 *
 * Whoever needs no parent and no backing object asks for everything: then each page that is there
 * is taken once as if it had been told, and is told again when it is written.
 */
#include "core/error.h"
#include "uffd/harvest.h"
#include "uffd/held.h"
#include "uffd/moment.h"
#include "uffd/slot.h"
#include "uffd/tracking.h"

#include <errno.h>

const struct lm_moment_part *lm_moment_find(const struct lazymem_moment *moment, uint64_t address,
					    uint64_t *ret_offset)
{
	for (size_t i = 0; i < moment->part_count; i++) {
		const struct lm_moment_part *part = &moment->parts[i];

		if (address >= part->guest && address - part->guest < part->length) {
			*ret_offset = address - part->guest;
			return part;
		}
	}
	return NULL;
}

/* What a page that was told means for the moment. */
enum meaning { COPIED, ZEROS, AS_BEFORE };

static enum meaning meaning_of(const struct lm_lazy_region *region, size_t page)
{
	switch (lm_page_map_get(&region->map, page)) {
	case LM_PAGE_PRESENT:
		return COPIED;
	case LM_PAGE_DISCARDED:
		return ZEROS;
	case LM_PAGE_MISSING:
	case LM_PAGE_CLAIMED:
	case LM_PAGE_POISONED:
		break;
	}
	return AS_BEFORE;
}

/* The guest may be writing what is copied. Then it is copied again; until then each word is
 * the old one or the new one. */
static void copy_running(char *to, const char *from, size_t length)
{
	const uint64_t *source = (const uint64_t *)(const void *)from;
	uint64_t *target = (uint64_t *)(void *)to;

	for (size_t i = 0; i < length / sizeof(*target); i++)
		target[i] = __atomic_load_n(&source[i], __ATOMIC_RELAXED);
}

/* Pages of one meaning. Returns how many bytes were copied; the range was told, so the
 * sets have it, and changing them cannot fail. */
static size_t take_run(struct lazymem_moment *moment, const struct lm_moment_part *part,
		       size_t page, size_t count, enum meaning meaning)
{
	const struct lm_lazy_region *region = part->region;
	const size_t length = count << region->page_shift;
	const struct lazymem_guest_range range = {{lm_lazy_region_guest(region, page)}, length};

	if (meaning == AS_BEFORE)
		return 0;
	(void)lazymem_dirty_add(moment->copied, range);
	if (meaning == ZEROS) {
		(void)lazymem_dirty_add(moment->zeros, range);
		return 0;
	}
	(void)lazymem_dirty_remove(moment->zeros, range);
	copy_running(part->shadow + (page << region->page_shift), lm_lazy_region_host(region, page),
		     length);
	return length;
}

static uint64_t take_discarded(struct lazymem_moment *moment, const struct lm_moment_part *part,
			       size_t page, size_t count)
{
	const size_t end = page + count;
	uint64_t copied = 0;

	for (size_t run; page < end; page += run) {
		bool held;

		run = lm_held_run(part->region, page, end - page, &held);
		copied += take_run(moment, part, page, run, held ? COPIED : ZEROS);
	}
	return copied;
}

static uint64_t take_range(struct lazymem_moment *moment, struct lazymem_guest_range range)
{
	uint64_t offset = 0, copied = 0;
	const struct lm_moment_part *part = lm_moment_find(moment, range.start.value, &offset);
	const struct lm_lazy_region *region = part->region;
	size_t page = (size_t)(offset >> region->page_shift);
	const size_t end = page + (size_t)(range.length >> region->page_shift);

	for (size_t run; page < end; page += run) {
		const enum meaning meaning = meaning_of(region, page);

		run = 1;
		while (page + run < end && meaning_of(region, page + run) == meaning)
			run++;
		copied += meaning == ZEROS ? take_discarded(moment, part, page, run)
					   : take_run(moment, part, page, run, meaning);
	}
	return copied;
}

static uint64_t take_round(struct lazymem_moment *moment)
{
	struct lazymem_guest_range range = {{0}, 0};
	uint64_t copied = 0;

	while (lazymem_dirty_next(moment->round, range.start, &range) == 0) {
		copied += take_range(moment, range);
		if (lazymem_guest_address_add(range.start, range.length, &range.start) != 0)
			break;
	}
	return copied;
}

static int check_open(const struct lazymem_moment *moment)
{
	if (lm_slot_on_worker())
		return lm_error(-EDEADLK, "a callback on a worker cannot take a moment");
	if (moment->taken)
		return lm_error(-EINVAL, "the moment was taken already");
	if (moment->attachment == NULL)
		return lm_error(-EINVAL, "the attachment of the moment was let go");
	return 0;
}

static int add_everything(struct lazymem_moment *moment)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < moment->part_count; i++) {
		const struct lazymem_guest_range range = {{moment->parts[i].guest},
							  moment->parts[i].length};

		error = lazymem_dirty_add(moment->round, range);
	}
	return error;
}

static int copy(struct lazymem_moment *moment, bool everything, uint64_t *ret_length)
{
	int error = check_open(moment);

	if (error != 0)
		return error;
	lazymem_dirty_clear(moment->round);
	error = lm_harvest_take(moment->attachment, LM_ASKER_MOMENT, moment->round);
	if (error != 0)
		return error;
	if (everything && (error = add_everything(moment)) != 0)
		return error;
	lm_tracking_settle(moment->attachment);
	*ret_length = take_round(moment);
	return 0;
}

int lazymem_moment_copy(struct lazymem_moment *moment, uint64_t *ret_length)
{
	return copy(moment, false, ret_length);
}

int lazymem_moment_copy_all(struct lazymem_moment *moment, uint64_t *ret_length)
{
	return copy(moment, true, ret_length);
}

int lazymem_moment_take(struct lazymem_moment *moment, uint64_t *ret_length)
{
	const int error = lazymem_moment_copy(moment, ret_length);

	if (error == 0)
		moment->taken = true;
	return error;
}

const struct lazymem_dirty *lazymem_moment_dirty(const struct lazymem_moment *moment)
{
	return moment->copied;
}
