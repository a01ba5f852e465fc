/* SPDX-License-Identifier: MIT
 *
 * Making an attachment, and freeing it.
 *
 * The mappings get their lazy operations first, so that one that is attached
 * already is found before anything is done to it. These operations do what the
 * plain ones do until `serving` says that the worker knows the attachment.
 * Registering comes last: a fault that arrives from then on waits for the
 * worker, which is told at the very end.
 *
 * Before that end, going back is safe: the memory was checked to be fresh, and
 * nobody has been promised anything.
 */
#include "core/error.h"
#include "core/mapping_operations.h"
#include "core/options.h"
#include "uffd/attention.h"
#include "uffd/command.h"
#include "uffd/handler.h"
#include "uffd/harvest.h"
#include "uffd/held.h"
#include "uffd/moment.h"
#include "uffd/present.h"
#include "uffd/settle.h"
#include "uffd/tracking.h"
#include "uffd/userfaultfd.h"
#include "uffd/write_back.h"
#include "uffd/write_back_timer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define TRACKS (LAZYMEM_ATTACH_TRACK | LAZYMEM_ATTACH_WRITE_BACK)
#define KNOWN_FLAGS (LAZYMEM_ATTACH_RECORD | LAZYMEM_ATTACH_USERFAULTFD | TRACKS)

static int check_options(const struct lazymem_attach_options *options)
{
	int flags;

	if ((options->flags & ~KNOWN_FLAGS) != 0)
		return lm_error(-EINVAL, "unknown attach flags 0x%x",
				options->flags & ~KNOWN_FLAGS);
	if ((unsigned)options->tracking_most > LAZYMEM_TRACKING_KERNEL)
		return lm_error(-EINVAL, "tracking_most %d is no way to track",
				(int)options->tracking_most);
	if (options->write_back_interval > 0 && (options->flags & LAZYMEM_ATTACH_WRITE_BACK) == 0)
		return lm_error(-EINVAL,
				"write_back_interval is set, LAZYMEM_ATTACH_WRITE_BACK is not");
	if ((options->flags & LAZYMEM_ATTACH_USERFAULTFD) == 0)
		return 0;
	if (options->present != NULL)
		return lm_error(-EINVAL, "present is set, and so is LAZYMEM_ATTACH_USERFAULTFD");
	flags = fcntl(options->userfaultfd, F_GETFL);
	if (flags < 0)
		return lm_error_errno(-EINVAL, "userfaultfd %d is no open descriptor",
				      options->userfaultfd);
	if ((flags & O_NONBLOCK) == 0)
		return lm_error(-EINVAL, "userfaultfd %d is not O_NONBLOCK", options->userfaultfd);
	return 0;
}

static int by_host(const void *a, const void *b)
{
	const struct lazymem_region *const *x = a, *const *y = b;
	const char *p = lazymem_mapping_span(lazymem_region_mapping(*x)).host;
	const char *q = lazymem_mapping_span(lazymem_region_mapping(*y)).host;

	return (p > q) - (p < q);
}

/* The regions that have a backing object, in the order of their host addresses. */
static int choose_regions(struct lazymem_memory *memory, struct lazymem_region ***ret_regions,
			  size_t *ret_count)
{
	size_t total = lazymem_memory_region_count(memory), count = 0;
	struct lazymem_region **regions = calloc(total, sizeof(*regions));

	if (regions == NULL)
		return lm_error(-ENOMEM, "no memory for a list of %zu regions", total);
	for (size_t i = 0; i < total; i++) {
		struct lazymem_region *region = lazymem_memory_region(memory, i);

		if (lazymem_region_backing(region) != NULL)
			regions[count++] = region;
	}
	if (count == 0) {
		free(regions);
		return lm_error(-ENODATA, "no region of the guest memory has a backing object");
	}
	qsort(regions, count, sizeof(struct lazymem_region *), by_host);
	*ret_regions = regions;
	*ret_count = count;
	return 0;
}

/* Only memory of which nobody says what is there must be untouched. */
static bool is_fresh(const struct lazymem_attach_options *options)
{
	return (options->flags & LAZYMEM_ATTACH_USERFAULTFD) == 0 && options->present == NULL;
}

static int create_region(struct lazymem_attachment *attachment, struct lazymem_region *region,
			 bool fresh)
{
	struct lm_lazy_region *lazy = &attachment->regions[attachment->region_count];
	struct lazymem_mapping *mapping = lazymem_region_mapping(region);
	int error;

	lazy->attachment = attachment;
	error = lm_mapping_attach(mapping, &lm_lazy_operations, lazy);
	if (error != 0)
		return error;
	lazy->mapping = mapping;
	lazy->attached = true;
	attachment->region_count++;
	return lm_lazy_region_create(region, fresh, lazy);
}

static int create_regions(struct lazymem_attachment *attachment,
			  struct lazymem_region *const *regions, size_t count, bool fresh)
{
	size_t pages = 0;
	int error = 0;

	attachment->regions = calloc(count, sizeof(*attachment->regions));
	if (attachment->regions == NULL)
		return lm_error(-ENOMEM, "no memory for %zu regions", count);
	for (size_t i = 0; error == 0 && i < count; i++) {
		error = create_region(attachment, regions[i], fresh);
		attachment->regions[i].first_index = pages;
		pages += attachment->regions[i].map.count;
	}
	if (error != 0)
		return error;
	attachment->poison_job = lm_job_create_all(LM_JOB_POISON, attachment);
	attachment->stream = lm_job_create(LM_JOB_PREFETCH, 1);
	if (attachment->poison_job == NULL || attachment->stream == NULL)
		return lm_error(-ENOMEM, "no memory for the jobs of an attachment");
	return 0;
}

static int register_regions(struct lazymem_attachment *attachment)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];
		int error = lm_userfaultfd_register(attachment->fd, region->host, region->length,
						    lm_lazy_region_modes(region), &region->can);

		if (error != 0)
			return error;
		region->registered = true;
		if (region->page_size > (size_t)sysconf(_SC_PAGESIZE) &&
		    (region->can & LM_CAN_CONTINUE) == 0)
			return lm_error(-EINVAL,
					"this kernel has no minor faults for hugetlb memory");
	}
	return 0;
}

static void unregister_regions(struct lazymem_attachment *attachment)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];

		if (region->registered)
			lm_userfaultfd_unregister(attachment->fd, region->host, region->length);
		region->registered = false;
	}
}

static void poll_completed(struct lm_operation *operation, int result, bool more)
{
	struct lazymem_attachment *attachment =
		(struct lazymem_attachment *)((char *)operation -
					      offsetof(struct lazymem_attachment, poll));

	(void)result; /* readable or in error: reading tells which */
	if (!attachment->released)
		lm_worker_mark_readable(attachment->worker, attachment);
	else if (!more)
		lm_settle_poll_ended(attachment->worker, attachment);
}

static void run_adopt(struct lm_worker *worker, struct lm_command *command)
{
	struct lazymem_attachment *attachment = command->attachment;

	attachment->poll.complete = poll_completed;
	lm_queue_poll(worker->queue, &attachment->poll, attachment->fd);
	lm_worker_end_command(worker, command);
}

static int open_userfaultfd(struct lazymem_attachment *attachment,
			    const struct lazymem_attach_options *options)
{
	const bool tracks = (options->flags & TRACKS) != 0;

	if ((options->flags & LAZYMEM_ATTACH_USERFAULTFD) != 0) {
		attachment->fd = options->userfaultfd;
		attachment->tracking = tracks ? LAZYMEM_TRACKING_POPULATED : LAZYMEM_TRACKING_NONE;
		return 0;
	}
	if (!tracks)
		return lm_userfaultfd_open(&attachment->fd);
	return lm_userfaultfd_open_tracking(options->tracking_most != LAZYMEM_TRACKING_NONE
						    ? options->tracking_most
						    : LAZYMEM_TRACKING_KERNEL,
					    &attachment->fd, &attachment->tracking);
}

static int take_present(struct lazymem_attachment *attachment, const struct lazymem_dirty *present)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < attachment->region_count; i++) {
		error = lm_present_take(&attachment->regions[i], present);
		attachment->regions[i].fresh = true; /* what is missing is */
	}
	return error;
}

static int create_marks(struct lazymem_attachment *attachment, unsigned flags)
{
	int error = lm_harvest_create(attachment, (flags & LAZYMEM_ATTACH_WRITE_BACK) != 0);

	for (size_t i = 0; error == 0 && i < attachment->region_count; i++) {
		error = lm_tracking_create(&attachment->regions[i]);
		lm_held_open(&attachment->regions[i]);
	}
	return error;
}

/* Everything but telling the worker. */
static int build(struct lazymem_attachment *attachment,
		 const struct lazymem_attach_options *options,
		 struct lazymem_region *const *regions, size_t count)
{
	const bool own_descriptor = (options->flags & LAZYMEM_ATTACH_USERFAULTFD) == 0;
	int error = create_regions(attachment, regions, count, is_fresh(options));

	if (error == 0 && (options->flags & LAZYMEM_ATTACH_RECORD) != 0)
		error = lm_recorder_create(&attachment->recorder, lm_attachment_pages(attachment));
	if (error == 0 && (options->flags & TRACKS) != 0)
		error = create_marks(attachment, options->flags);
	if (error == 0 && (options->flags & LAZYMEM_ATTACH_WRITE_BACK) != 0)
		error = lm_write_back_create(attachment);
	if (error == 0)
		error = open_userfaultfd(attachment, options);
	if (error == 0 && options->present != NULL)
		error = take_present(attachment, options->present);
	if (error == 0)
		error = register_regions(attachment);
	if (error == 0 && options->write_back_interval > 0)
		error = lm_write_back_timer_start(attachment, options->write_back_interval);
	if (error == 0)
		return 0;
	if (own_descriptor)
		unregister_regions(attachment);
	else /* the descriptor is the caller's still, and who waits on it must go on waiting */
		attachment->fd = -1;
	return error;
}

static int create(struct lazymem_memory *memory, const struct lazymem_attach_options *options,
		  struct lazymem_attachment **ret_attachment)
{
	struct lazymem_attachment *attachment = calloc(1, sizeof(*attachment));

	if (attachment == NULL)
		return lm_error(-ENOMEM, "no memory for an attachment");
	attachment->fd = -1;
	attachment->memory = lazymem_memory_ref(memory);
	attachment->on_failure = options->on_failure;
	attachment->context = options->context;
	if (options->origin != NULL)
		attachment->origin = *options->origin;
	else
		(void)lazymem_memory_identity(memory, &attachment->origin); /* none: unknown */
	pthread_rwlock_init(&attachment->lock, NULL);
	pthread_mutex_init(&attachment->reading, NULL);
	pthread_mutex_init(&attachment->write_back.busy, NULL);
	pthread_mutex_init(&attachment->harvest.mutex, NULL);
	lm_jobs_create(&attachment->jobs);
	*ret_attachment = attachment;
	return 0;
}

int lazymem_handler_attach(struct lazymem_handler *handler, struct lazymem_memory *memory,
			   const struct lazymem_attach_options *caller_options,
			   struct lazymem_attachment **ret_attachment)
{
	struct lazymem_attach_options options;
	struct lazymem_attachment *attachment = NULL;
	struct lazymem_region **regions = NULL;
	size_t count = 0;
	int error = lm_options_copy(caller_options, &options, sizeof(options),
				    "struct lazymem_attach_options");

	if (error == 0 && lm_slot_on_worker())
		error = lm_error(-EDEADLK, "a callback on a worker cannot attach guest memory");
	if (error == 0)
		error = check_options(&options);
	if (error == 0)
		error = choose_regions(memory, &regions, &count);
	if (error != 0)
		return error;
	error = create(memory, &options, &attachment);
	if (error == 0) {
		error = build(attachment, &options, regions, count);
		if (error != 0)
			lm_attachment_free(attachment);
	}
	free(regions);
	if (error != 0)
		return error;
	attachment->worker = lm_handler_choose(handler);
	lm_worker_call(attachment->worker,
		       &(struct lm_command){.run = run_adopt, .attachment = attachment});
	pthread_rwlock_wrlock(&attachment->lock);
	attachment->serving = true;
	pthread_rwlock_unlock(&attachment->lock);
	*ret_attachment = attachment;
	return 0;
}

void lm_attachment_free(struct lazymem_attachment *attachment)
{
	lm_write_back_timer_stop(attachment);
	lm_moment_leave(attachment);
	if (attachment->fd >= 0)
		close(attachment->fd);
	for (size_t i = 0; i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];

		if (region->attached)
			lm_mapping_detach(region->mapping);
		lm_lazy_region_destroy(region);
	}
	free(attachment->regions);
	free(attachment->poison_job);
	free(attachment->stream);
	lm_recorder_destroy(&attachment->recorder);
	lm_jobs_destroy(&attachment->jobs);
	lm_write_back_destroy(attachment);
	lm_harvest_destroy(attachment);
	pthread_mutex_destroy(&attachment->write_back.busy);
	pthread_mutex_destroy(&attachment->harvest.mutex);
	pthread_mutex_destroy(&attachment->reading);
	pthread_rwlock_destroy(&attachment->lock);
	lazymem_memory_unref(attachment->memory);
	if (attachment->worker != NULL)
		atomic_fetch_sub(&attachment->worker->attachments, 1);
	free(attachment);
}
