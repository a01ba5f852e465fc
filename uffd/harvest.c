/* SPDX-License-Identifier: MIT
 *
 * What tracking tells, it tells once, and several ask: sync, whoever collects,
 * and moments. So it is harvested into a set for each of them, and each takes
 * from its own:
 *
 *   tracking -> fresh -+-> of[LM_ASKER_COLLECT] -> the caller of collect
 *                      +-> of[LM_ASKER_SYNC]    -> underway, see write_back.c
 *                      +-> of[LM_ASKER_MOMENT]  -> see moment.c
 *
 * Who could do nothing with what he took gives it back. All sets are of the
 * attached memory, so merging cannot fail.
 */
#include "uffd/harvest.h"

#include "uffd/tracking.h"

int lm_harvest_create(struct lazymem_attachment *attachment, bool for_sync)
{
	struct lm_harvest *harvest = &attachment->harvest;
	int error = lazymem_dirty_create(attachment->memory, &harvest->fresh);

	for (int asker = 0; error == 0 && asker < LM_ASKERS; asker++)
		if (asker != LM_ASKER_SYNC || for_sync)
			error = lazymem_dirty_create(attachment->memory, &harvest->of[asker]);
	return error;
}

void lm_harvest_destroy(struct lazymem_attachment *attachment)
{
	struct lm_harvest *harvest = &attachment->harvest;

	lazymem_dirty_destroy(harvest->fresh);
	for (int asker = 0; asker < LM_ASKERS; asker++)
		lazymem_dirty_destroy(harvest->of[asker]);
}

/* The mutex is held. What was found before an error is in the sets. */
static int gather(struct lazymem_attachment *attachment)
{
	struct lm_harvest *harvest = &attachment->harvest;
	int error;

	lazymem_dirty_clear(harvest->fresh);
	error = lm_tracking_collect(attachment, harvest->fresh);
	for (int asker = 0; asker < LM_ASKERS; asker++)
		if (harvest->of[asker] != NULL)
			(void)lazymem_dirty_merge(harvest->of[asker], harvest->fresh);
	return error;
}

int lm_harvest_take(struct lazymem_attachment *attachment, enum lm_asker asker,
		    struct lazymem_dirty *dirty)
{
	struct lm_harvest *harvest = &attachment->harvest;
	int error;

	pthread_mutex_lock(&harvest->mutex);
	error = gather(attachment);
	if (error == 0)
		error = lazymem_dirty_merge(dirty, harvest->of[asker]);
	if (error == 0)
		lazymem_dirty_clear(harvest->of[asker]);
	pthread_mutex_unlock(&harvest->mutex);
	return error;
}

/* Move what is dirty of a range from one set to another. */
static int move(struct lazymem_dirty *from, struct lazymem_guest_range range,
		struct lazymem_dirty *to)
{
	const uint64_t start = range.start.value, length = range.length;
	uint64_t done = 0;
	int error = 0;

	while (error == 0 && done < length &&
	       lazymem_dirty_next(from, (lazymem_guest_address){start + done}, &range) == 0) {
		const uint64_t skip = range.start.value - start;

		if (skip >= length)
			break;
		if (range.length > length - skip)
			range.length = length - skip;
		error = lazymem_dirty_add(to, range);
		if (error == 0)
			error = lazymem_dirty_remove(from, range);
		done = skip + range.length;
	}
	return error;
}

int lm_harvest_take_range(struct lazymem_attachment *attachment, enum lm_asker asker,
			  struct lazymem_guest_range range, struct lazymem_dirty *dirty)
{
	struct lm_harvest *harvest = &attachment->harvest;
	int error;

	pthread_mutex_lock(&harvest->mutex);
	error = gather(attachment);
	/* A page that was discarded and written again looks discarded until then. */
	lm_tracking_settle(attachment);
	if (error == 0)
		error = move(harvest->of[asker], range, dirty);
	pthread_mutex_unlock(&harvest->mutex);
	return error;
}

void lm_harvest_give_back(struct lazymem_attachment *attachment, enum lm_asker asker,
			  const struct lazymem_dirty *dirty)
{
	struct lm_harvest *harvest = &attachment->harvest;

	pthread_mutex_lock(&harvest->mutex);
	(void)lazymem_dirty_merge(harvest->of[asker], dirty);
	pthread_mutex_unlock(&harvest->mutex);
}
