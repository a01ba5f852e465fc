/* SPDX-License-Identifier: MIT
 *
 * A moment: what guest memory held while the guest stood still.
 *
 * What was written since the moment before is copied into a shadow, a sparse
 * anonymous mapping as long as the region, each page to its own place. It could
 * be copied when the guest writes it again, but the best way of tracking raises
 * no message then (LAZYMEM_TRACKING_KERNEL). So it is copied in rounds while the guest runs, as in
 * a live migration: a page that is written after its round is told again, and
 * copied again, and what the pause has to copy is what was written since the
 * last round. The pause is a scan of the page tables and these few copies.
 *
 * What is copied, and when, is in moment_copy.c; what reads a moment is in
 * moment_source.c.
 */
#include "uffd/moment.h"

#include "core/error.h"
#include "core/identity.h"
#include "core/memory.h"
#include "core/options.h"
#include "uffd/harvest.h"
#include "uffd/write_back.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ---- making one */

static int create_shadow(size_t length, char **ret_shadow)
{
	void *shadow = mmap(NULL, length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (shadow == MAP_FAILED)
		return lm_error_errno(-errno, "no room for copies of %zu bytes", length);
	(void)madvise(shadow, length, MADV_NOHUGEPAGE); /* one page must not cost 2 MiB */
	(void)madvise(shadow, length, MADV_DONTDUMP);
	*ret_shadow = shadow;
	return 0;
}

static int by_guest(const void *a, const void *b)
{
	const struct lm_moment_part *x = a, *y = b;

	return (x->guest > y->guest) - (x->guest < y->guest);
}

static int create_parts(struct lazymem_moment *moment)
{
	struct lazymem_attachment *attachment = moment->attachment;
	int error = 0;

	for (size_t i = 0; error == 0 && i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];
		struct lm_moment_part *part = &moment->parts[i];

		*part = (struct lm_moment_part){
			.region = region,
			.backing = lazymem_backing_ref(region->backing),
			.backing_offset = region->backing_offset,
			.guest = region->guest,
			.length = region->length,
		};
		moment->part_count++;
		error = create_shadow(part->length, &part->shadow);
	}
	qsort(moment->parts, moment->part_count, sizeof(moment->parts[0]), by_guest);
	return error;
}

static int create_sets(struct lazymem_moment *moment)
{
	int error = lazymem_dirty_create(moment->memory, &moment->copied);

	if (error == 0)
		error = lazymem_dirty_create(moment->memory, &moment->zeros);
	if (error == 0)
		error = lazymem_dirty_create(moment->memory, &moment->round);
	return error;
}

static void free_moment(struct lazymem_moment *moment)
{
	for (size_t i = 0; i < moment->part_count; i++) {
		if (moment->parts[i].shadow != NULL)
			munmap(moment->parts[i].shadow, moment->parts[i].length);
		lazymem_backing_unref(moment->parts[i].backing);
	}
	lazymem_dirty_destroy(moment->copied);
	lazymem_dirty_destroy(moment->zeros);
	lazymem_dirty_destroy(moment->round);
	lazymem_memory_unref(moment->memory);
	free(moment);
}

/* What the snapshot before is known by. */
static void take_origin(struct lazymem_moment *moment)
{
	const struct lazymem_attachment *attachment = moment->attachment;

	moment->is_first = !attachment->had_moment;
	moment->written_back = lm_write_back_is_on(attachment);
	moment->before = attachment->origin;
}

/* An attachment has one moment at most. */
static int enter(struct lazymem_moment *moment)
{
	struct lazymem_attachment *attachment = moment->attachment;
	int error = 0;

	pthread_mutex_lock(&attachment->harvest.mutex);
	if (attachment->moment != NULL)
		error = lm_error(-EBUSY, "the attachment has a moment already");
	else
		attachment->moment = moment;
	pthread_mutex_unlock(&attachment->harvest.mutex);
	return error;
}

int lazymem_moment_create(struct lazymem_attachment *attachment, struct lazymem_moment **ret_moment)
{
	struct lazymem_moment *moment;
	int error;

	if (attachment->tracking == LAZYMEM_TRACKING_NONE)
		return lm_error(-EINVAL, "the attachment was made without LAZYMEM_ATTACH_TRACK");
	if (!attachment->regions[0].fresh)
		return lm_error(-EINVAL, "nobody knows what was in memory when it was attached "
					 "with LAZYMEM_ATTACH_USERFAULTFD");
	moment = calloc(1, sizeof(*moment) + attachment->region_count * sizeof(moment->parts[0]));
	if (moment == NULL)
		return lm_error(-ENOMEM, "no memory for a moment");
	moment->attachment = attachment;
	moment->memory = lazymem_memory_ref(attachment->memory);
	error = create_parts(moment);
	if (error == 0)
		error = create_sets(moment);
	if (error == 0)
		error = enter(moment);
	if (error != 0) {
		free_moment(moment);
		return error;
	}
	take_origin(moment);
	*ret_moment = moment;
	return 0;
}

/* ---- writing */

static int check_parent(const struct lazymem_moment *moment, const struct lazymem_snapshot *parent)
{
	struct lazymem_identity identity;
	const int error = lazymem_backing_identity(lazymem_snapshot_backing(parent), &identity);

	if (error != 0)
		return error;
	if (!lm_identity_equal(&identity, &moment->before))
		return lm_error(-ESTALE, "its parent %s is not the snapshot %s",
				lazymem_backing_name(lazymem_snapshot_backing(parent)),
				moment->is_first ? "that the memory was restored from"
						 : "that the moment before was written to");
	return 0;
}

static int check_whole(const struct lazymem_moment *moment)
{
	if (!moment->is_first)
		return lm_error(-EINVAL, "it is not the first moment, and has no parent");
	if (moment->written_back)
		return lm_error(-EINVAL, "the memory is written back, and it has no parent");
	return 0;
}

static int check_plan(const struct lazymem_moment *moment, const struct lazymem_snapshot_plan *plan)
{
	if (!moment->taken)
		return lm_error(-EINVAL, "the moment was not taken");
	if (moment->written)
		return lm_error(-EINVAL, "the moment was written already");
	if (plan->source != NULL || plan->regions != NULL || plan->changed != NULL)
		return lm_error(-EINVAL, "the plan of a moment has a source, regions or changed");
	return plan->parent != NULL ? check_parent(moment, plan->parent) : check_whole(moment);
}

/* The bytes of a region, from its own table or from the parent's. */
static uint64_t length_of(const struct lazymem_snapshot_region *regions, size_t count)
{
	uint64_t length = 0;

	for (size_t i = 0; i < count; i++)
		length += regions[i].length;
	return length;
}

/* Without a parent, all parts; with one, its regions in its order: what of them is in no
 * part is refused by the source, and what is in both is as long as the parts together. */
static int choose_regions(const struct lazymem_moment *moment,
			  const struct lazymem_snapshot *parent,
			  struct lazymem_snapshot_region *regions, size_t count)
{
	uint64_t attached = 0;

	for (size_t i = 0; i < moment->part_count; i++)
		attached += moment->parts[i].length;
	for (size_t i = 0; i < count; i++) {
		if (parent != NULL)
			regions[i] = lazymem_snapshot_region_at(parent, i);
		else
			regions[i] = (struct lazymem_snapshot_region){{moment->parts[i].guest},
								      moment->parts[i].length,
								      length_of(regions, i)};
	}
	if (length_of(regions, count) != attached)
		return lm_error(-EINVAL,
				"the parent has %" PRIu64
				" bytes of memory, the attachment has %" PRIu64,
				length_of(regions, count), attached);
	return 0;
}

/* A parent whose last page is cut off has layers that are cut off there too. */
static uint64_t source_length(const struct lazymem_snapshot_plan *plan)
{
	return plan->parent != NULL ? lazymem_backing_length(lazymem_snapshot_backing(plan->parent))
				    : length_of(plan->regions, plan->region_count);
}

static int write_regions(struct lazymem_moment *moment, const char *path,
			 struct lazymem_snapshot_plan *plan)
{
	int error = lm_moment_source_create(moment, plan->regions, plan->region_count,
					    source_length(plan), &plan->source);

	if (error != 0)
		return error;
	plan->changed = plan->parent != NULL ? moment->copied : NULL;
	error = lazymem_snapshot_write(path, plan);
	lazymem_backing_unref(plan->source);
	return error;
}

static int write_plan(struct lazymem_moment *moment, const char *path,
		      struct lazymem_snapshot_plan *plan)
{
	const size_t count = plan->parent != NULL ? lazymem_snapshot_region_count(plan->parent)
						  : moment->part_count;
	struct lazymem_snapshot_region *regions = calloc(count, sizeof(*regions));
	int error;

	if (regions == NULL)
		return lm_error(-ENOMEM, "no memory for %zu regions", count);
	error = choose_regions(moment, plan->parent, regions, count);
	plan->regions = regions;
	plan->region_count = count;
	if (error == 0)
		error = write_regions(moment, path, plan);
	free(regions);
	return error;
}

/* The moment is in a snapshot: it is what the next one is a layer over. */
static void remember(struct lazymem_moment *moment, const struct lazymem_identity *identity)
{
	struct lazymem_attachment *attachment = moment->attachment;

	moment->written = true;
	if (attachment == NULL)
		return;
	pthread_mutex_lock(&attachment->harvest.mutex);
	attachment->origin = *identity;
	attachment->had_moment = true;
	pthread_mutex_unlock(&attachment->harvest.mutex);
}

int lazymem_moment_write(struct lazymem_moment *moment, const char *path,
			 const struct lazymem_snapshot_plan *caller_plan)
{
	struct lazymem_snapshot_plan plan = {.size = sizeof(plan)};
	struct lazymem_identity identity;
	int error =
		lm_options_copy(caller_plan, &plan, sizeof(plan), "struct lazymem_snapshot_plan");

	plan.size = sizeof(plan); /* now complete */
	if (error == 0)
		error = check_plan(moment, &plan);
	if (error == 0 && plan.identity == NULL) {
		error = lm_identity_create(&identity);
		plan.identity = &identity;
	}
	if (error == 0)
		error = write_plan(moment, path, &plan);
	if (error == 0)
		remember(moment, plan.identity);
	return error != 0 ? lm_error(error, "moment: %s", lazymem_error_message()) : 0;
}

/* ---- the end */

void lm_moment_leave(struct lazymem_attachment *attachment)
{
	if (attachment->moment != NULL)
		attachment->moment->attachment = NULL;
}

void lazymem_moment_destroy(struct lazymem_moment *moment)
{
	struct lazymem_attachment *attachment;

	if (moment == NULL)
		return;
	attachment = moment->attachment;
	if (attachment != NULL) {
		if (!moment->written)
			lm_harvest_give_back(attachment, LM_ASKER_MOMENT, moment->copied);
		pthread_mutex_lock(&attachment->harvest.mutex);
		attachment->moment = NULL;
		pthread_mutex_unlock(&attachment->harvest.mutex);
	}
	free_moment(moment);
}
