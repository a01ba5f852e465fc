/* SPDX-License-Identifier: MIT
 *
 * The worker's side of letting go: finish and abort. Nothing else closes a userfaultfd that was
 * ever registered, because a page that is missing then reads as zeros.
 *
 *   finish  fill everything (LM_JOB_FILL) -> at rest -> check -> release -> collapse
 *   abort   poison what is missing (LM_JOB_POISON) -> at rest -> release
 *
 * At rest means that no slot of the attachment is in use and none of its
 * faults waits in the backlog. The worker checks, over several rounds if there
 * are many pages, and releases under the exclusive lock. What the check lets
 * pass as not there reads as zeros by right: a hole of the backing object, or
 * discarded. Faults that arrive after the check are woken by the
 * unregistering, and the kernel fills them with just these zeros.
 *
 * The release has a second half: the poll of the userfaultfd has to end before
 * its descriptor is closed and the attachment freed.
 */
#include "uffd/settle.h"

#include "core/mapping_operations.h"
#include "uffd/attention.h"
#include "uffd/command.h"
#include "uffd/userfaultfd.h"
#include "uffd/view.h"

#include <errno.h>
#include <sys/mman.h>

/* Pages checked in one round, so that no other guest waits long. */
#define CHECK_PAGES ((size_t)1 << 18)

/* How many pages from `page` on, at most `limit`, may be let go of; 0 if this
 * one may not. */
static size_t harmless(const struct lm_lazy_region *region, size_t page, size_t limit)
{
	enum lm_page_state state = lm_page_map_get(&region->map, page);
	size_t alike;
	bool zero;

	if (state == LM_PAGE_CLAIMED || state == LM_PAGE_POISONED)
		return 0;
	if (state != LM_PAGE_MISSING)
		return lm_page_map_run(&region->map, page, limit, state);
	alike = lm_lazy_region_extent(region, page, limit, &zero);
	return zero ? lm_page_map_run(&region->map, page, alike, LM_PAGE_MISSING) : 0;
}

/* Go on with the check of a finish. What was checked stays so: only the worker
 * populates and poisons, a discard makes a page harmless. -EAGAIN: not done yet. */
static int check_some(const struct lazymem_attachment *attachment, struct lm_command *command)
{
	size_t left = CHECK_PAGES;

	while (command->region < attachment->region_count) {
		const struct lm_lazy_region *region = &attachment->regions[command->region];
		size_t pages = region->map.count - command->page;
		size_t passed;

		if (pages == 0) {
			command->region++;
			command->page = 0;
			continue;
		}
		if (left == 0)
			return -EAGAIN;
		passed = harmless(region, command->page, pages < left ? pages : left);
		if (passed == 0)
			return -EIO;
		command->page += passed;
		left -= passed;
	}
	return 0;
}

/* A collapse of shared memory turns poisoned pages into zeros (Linux 6.18;
 * pinned by a test), and only registration keeps the kernel from it. The alias
 * goes before that ends: it is advised as well. */
static void keep_poison(struct lm_lazy_region *region)
{
	if (region->alias == NULL || region->page_size >= LM_BLOCK)
		return;
	lm_mapping_refuse_hugepages(region->mapping);
	munmap(region->alias, region->length);
	region->alias = NULL;
}

/* Whoever sleeps until a message of his is read must be let go too. */
static void read_last_messages(struct lazymem_attachment *attachment)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	while (lm_userfaultfd_read(attachment->fd, messages) == LM_MESSAGE_BATCH)
		continue;
}

static void unregister(struct lazymem_attachment *attachment)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];
		size_t page = 0;

		while (attachment->aborting && !lm_view_keep_poison(region, &page))
			read_last_messages(attachment);
		if (attachment->aborting)
			keep_poison(region);
		lm_userfaultfd_unregister(attachment->fd, region->host, region->length);
		region->registered = false;
		lm_view_unregister_all(region);
	}
}

static void release(struct lm_worker *worker, struct lazymem_attachment *attachment)
{
	pthread_rwlock_wrlock(&attachment->lock);
	unregister(attachment);
	read_last_messages(attachment);
	attachment->serving = false;
	attachment->released = true;
	pthread_rwlock_unlock(&attachment->lock);
	lm_queue_cancel(worker->queue, &attachment->poll); /* lm_settle_poll_ended goes on */
}

void lm_settle_poll_ended(struct lm_worker *worker, struct lazymem_attachment *attachment)
{
	struct lm_command *command = attachment->settle;

	lm_worker_forget(worker, attachment);
	lm_worker_end_command(worker, command);
}

static bool is_at_rest(const struct lazymem_attachment *attachment)
{
	return attachment->slots_in_use == 0 && attachment->faults_waiting == 0 &&
	       !attachment->readable && !attachment->overflowed;
}

bool lm_settle_step(struct lm_worker *worker, struct lazymem_attachment *attachment)
{
	struct lm_command *command = attachment->settle;
	int error = 0;

	if (command == NULL || attachment->released || !is_at_rest(attachment))
		return false;
	if (command->checks)
		error = check_some(attachment, command);
	if (error == -EAGAIN)
		return true;
	if (error == 0) {
		release(worker, attachment);
		return false;
	}
	command->result = error;
	attachment->settle = NULL;
	lm_worker_end_command(worker, command);
	return false;
}
