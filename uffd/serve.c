/* SPDX-License-Identifier: MIT
 *
 * From a message to a slot.
 *
 * All messages that are there are read at once. Reading a REMOVE event lets the
 * remover go on, and from then on nothing old may be installed in its range: so
 * events are applied right after the read, before anything is populated. The
 * worker is the only one who populates, so nothing can come in between. Faults are sorted and
 * deduplicated, so that neighbours become one read and one populate, and wait
 * in the backlog until a demand slot is free.
 *
 * The backlog is bounded. A fault beyond the bound is not lost: its thread is
 * woken when half of the backlog is free, and faults again.
 */
#include "uffd/serve.h"

#include "core/checked.h"
#include "core/clock.h"
#include "uffd/advance.h"
#include "uffd/populate.h"
#include "uffd/stream.h"
#include "uffd/userfaultfd.h"
#include "uffd/view.h"

#include <assert.h>
#include <unistd.h>

/* A fault in a hole installs up to this many bytes of zeros: they cost no I/O. */
#define ZERO_AROUND ((size_t)64 << 10)

static void apply_event(struct lazymem_attachment *attachment, const struct lm_message *message)
{
	uint64_t start = message->start, end = message->start + message->length;

	for (size_t i = 0; i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];
		uint64_t host = (uintptr_t)region->host, host_end = host + region->length;
		uint64_t from = start > host ? start : host, to = end < host_end ? end : host_end;

		if (from < to)
			lm_attachment_mark_discarded(
				attachment, region, (size_t)(from - host) >> region->page_shift,
				(size_t)(to - from) >> region->page_shift, NULL);
	}
	lm_view_note_remove(attachment, start, end);
}

static void apply_events(struct lazymem_attachment *attachment, const struct lm_message *messages,
			 int count)
{
	int next = 0;

	while (next < count && messages[next].kind != LM_MESSAGE_REMOVE)
		next++;
	if (next == count)
		return;
	pthread_rwlock_wrlock(&attachment->lock);
	for (; next < count; next++)
		if (messages[next].kind == LM_MESSAGE_REMOVE)
			apply_event(attachment, &messages[next]);
	pthread_rwlock_unlock(&attachment->lock);
}

/* NULL: the address was that of a view which is going away. Its thread faults
 * again, until the range is unmapped, or is another view. */
static struct lm_lazy_region *find(struct lazymem_attachment *attachment, uint64_t address,
				   struct lm_fault *fault)
{
	struct lm_lazy_region *region = lm_attachment_find(attachment, address, &fault->page);

	fault->own = region != NULL;
	if (region == NULL)
		region = lm_view_find(attachment, address, &fault->page);
	if (region == NULL) {
		const uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);

		(void)lm_userfaultfd_wake(attachment->fd,
					  (void *)(uintptr_t)lm_align_down(address, size), size);
	}
	return region;
}

/* Read one batch; the faults in it go to `faults`. Returns the messages read. */
static int read_batch(struct lazymem_attachment *attachment, struct lm_fault *faults,
		      size_t *ret_faults)
{
	struct lm_message messages[LM_MESSAGE_BATCH];
	size_t count = 0;
	int received;

	/* Who waits for an event goes on once it is read, and may ask what it has changed. */
	pthread_mutex_lock(&attachment->reading);
	received = lm_userfaultfd_read(attachment->fd, messages);
	apply_events(attachment, messages, received);
	pthread_mutex_unlock(&attachment->reading);
	for (int i = 0; i < received; i++) {
		struct lm_fault *fault = &faults[count];

		if (messages[i].kind != LM_MESSAGE_FAULT)
			continue;
		fault->attachment = attachment;
		fault->region = find(attachment, messages[i].start, fault);
		if (fault->region == NULL)
			continue;
		fault->write = messages[i].write;
		/* Far apart faults miss the cache here; it will be wanted in a moment. */
		__builtin_prefetch(&fault->region->map.pages[fault->page], 1);
		count++;
	}
	*ret_faults = count;
	return received;
}

static bool is_before(const struct lm_fault *a, const struct lm_fault *b)
{
	return a->region != b->region ? a->region < b->region : a->page < b->page;
}

/* By insertion: a batch is small, mostly one fault, and qsort may allocate. */
static void sort(struct lm_fault *faults, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct lm_fault fault = faults[i];
		size_t place = i;

		for (; place > 0 && is_before(&fault, &faults[place - 1]); place--)
			faults[place] = faults[place - 1];
		faults[place] = fault;
	}
}

/* No room: the fault is dropped, and its thread woken when there is. */
static void overflow(struct lm_worker *worker, const struct lm_fault *fault)
{
	struct lazymem_attachment *attachment = fault->attachment;

	for (unsigned i = 0; i <= fault->twins; i++)
		lm_statistics_latency(&attachment->statistics, lm_clock_ns() - fault->since);
	lm_count(&attachment->statistics, LM_COALESCED, fault->twins + 1);
	if (attachment->overflowed)
		return;
	attachment->overflowed = true;
	attachment->next_overflowed = worker->overflowed;
	worker->overflowed = attachment;
}

static void wake_overflowed(struct lm_worker *worker)
{
	while (worker->overflowed != NULL && worker->backlog_count < LM_BACKLOG / 2) {
		struct lazymem_attachment *attachment = worker->overflowed;

		worker->overflowed = attachment->next_overflowed;
		attachment->overflowed = false;
		for (size_t i = 0; i < attachment->region_count; i++)
			lm_populate_wake(attachment, &attachment->regions[i], 0,
					 attachment->regions[i].map.count);
	}
}

static void push(struct lm_worker *worker, const struct lm_fault *fault)
{
	size_t slot;

	if (worker->backlog_count == LM_BACKLOG) {
		overflow(worker, fault);
		return;
	}
	slot = (worker->backlog_first + worker->backlog_count++) % LM_BACKLOG;
	worker->backlog[slot] = *fault;
	fault->attachment->faults_waiting++;
}

static void queue_batch(struct lm_worker *worker, struct lm_fault *faults, size_t count)
{
	uint64_t now = lm_clock_ns();
	size_t next;

	sort(faults, count);
	if (count > 0)
		worker->last_message = now;
	for (size_t i = 0; i < count; i = next) {
		for (next = i + 1; next < count && !is_before(&faults[i], &faults[next]); next++)
			faults[i].write |= faults[next].write;
		faults[i].since = now;
		faults[i].twins = (unsigned)(next - i - 1);
		lm_count(&faults[i].attachment->statistics, LM_FAULTS, next - i);
		push(worker, &faults[i]);
	}
}

bool lm_serve_messages(struct lm_worker *worker, struct lazymem_attachment *attachment)
{
	struct lm_fault faults[LM_MESSAGE_BATCH];
	bool any = false;
	size_t count;
	int received;

	do {
		received = read_batch(attachment, faults, &count);
		queue_batch(worker, faults, count);
		any = any || received > 0;
	} while (received == LM_MESSAGE_BATCH);
	return any;
}

static struct lm_fault *fault_at(struct lm_worker *worker, size_t index)
{
	return &worker->backlog[(worker->backlog_first + index) % LM_BACKLOG];
}

static void drop(struct lm_worker *worker, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fault_at(worker, i)->attachment->faults_waiting--;
	worker->backlog_count -= count;
	/* An empty ring begins anew, where it is in the cache. */
	worker->backlog_first =
		worker->backlog_count > 0 ? (worker->backlog_first + count) % LM_BACKLOG : 0;
}

/* How many faults at the head of the backlog are for neighbouring pages. */
static size_t neighbours(struct lm_worker *worker, size_t limit)
{
	const struct lm_fault *first = fault_at(worker, 0);
	size_t count = 1;

	while (count < limit && count < worker->backlog_count) {
		const struct lm_fault *next = fault_at(worker, count);

		if (next->region != first->region || next->page != first->page + count)
			break;
		count++;
	}
	return count;
}

/* How many zero pages to install for `demanded` faults in a hole. A recording
 * must see each first touch, so it gets no more than was asked for. */
static size_t zero_limit(const struct lm_fault *fault, size_t demanded)
{
	const size_t around = ZERO_AROUND >> fault->region->page_shift;

	if (fault->attachment->recorder.capacity > 0)
		return demanded;
	return demanded > around ? demanded : around;
}

/* How many pages to read for `demanded` faults, and more behind them. A recording gets what was
 * asked for, and nothing else. */
static struct lm_reach read_reach(const struct lm_slot *slot, const struct lm_fault *fault,
				  size_t demanded)
{
	struct lm_reach reach = {.at_once = demanded};

	if (fault->attachment->recorder.capacity > 0)
		return reach;
	reach = lm_stream_reach(slot->worker, fault->region, fault->page);
	if (reach.at_once < demanded)
		reach.at_once = demanded;
	return reach;
}

/* Claim pages for a slot, from the fault's page on. False when a discard was
 * faster: the page has another state now. */
static bool claim(struct lm_slot *slot, const struct lm_fault *fault, size_t demanded)
{
	struct lazymem_attachment *attachment = fault->attachment;
	struct lm_lazy_region *region = fault->region;
	size_t left = region->map.count - fault->page;
	size_t zeros = zero_limit(fault, demanded);
	struct lm_reach reach = read_reach(slot, fault, demanded);
	size_t bytes = reach.at_once, limit;
	size_t most = (size_t)lm_min(zeros > bytes ? zeros : bytes, left);
	bool zero;
	size_t alike = lm_lazy_region_extent(region, fault->page, most, &zero);

	limit = (size_t)lm_min(zero ? zeros : bytes, left);
	slot->first = fault->page;
	slot->count = lm_page_map_claim(&region->map, fault->page, (size_t)lm_min(limit, alike));
	slot->demanded = (size_t)lm_min(demanded, slot->count);
	if (!zero && slot->count >= reach.at_once && reach.behind > 0)
		lm_stream_begin(slot->worker, region, slot->first + slot->count, reach.behind);
	if (zero)
		slot->content = LM_CONTENT_ZERO;
	else if (attachment->aborting)
		slot->content = LM_CONTENT_POISON;
	return slot->count > 0;
}

static void record(struct lazymem_attachment *attachment, const struct lm_lazy_region *region,
		   size_t first, size_t count)
{
	for (size_t page = first; page < first + count; page++)
		lm_recorder_append(&attachment->recorder, region->first_index + page,
				   lm_lazy_region_guest(region, page), region->page_shift);
}

/* The fault waits for a page that is under way: the populate there wakes all
 * who wait. A job's page that is between two tries is tried again at once. */
static void join(struct lm_worker *worker, const struct lm_fault *fault)
{
	struct lm_slot *slot = lm_slot_find(worker, fault->region, fault->page);

	assert(slot != NULL);
	lm_slot_join(slot, fault->twins + 1, fault->since);
	if (!slot->demand && slot->attempts > 0)
		slot->due = 0;
}

/* The page was discarded while a slot was writing it piece by piece: what is
 * there must go before zeros can come. */
static void take_pieces_back(struct lm_worker *worker, const struct lm_fault *fault)
{
	struct lm_slot *slot = lm_slot_find(worker, fault->region, fault->page);

	if (slot != NULL)
		lm_populate_drop_pieces(slot);
}

/* The fault at the head is for a page that needs no read: it is there, it was
 * discarded, or it is poisoned. The slot settles it by its state. */
static void settle_one(struct lm_slot *slot, const struct lm_fault *fault)
{
	slot->first = fault->page;
	slot->count = slot->demanded = 1;
	slot->content = LM_CONTENT_ZERO;
}

/* Serve the head of the backlog, and neighbours with it. False when no slot is free. */
static bool serve_head(struct lm_worker *worker)
{
	struct lm_fault fault = *fault_at(worker, 0);
	enum lm_page_state state = lm_page_map_get(&fault.region->map, fault.page);
	struct lm_slot *slot;

	if (state == LM_PAGE_CLAIMED) {
		record(fault.attachment, fault.region, fault.page, 1);
		join(worker, &fault);
		drop(worker, 1);
		return true;
	}
	if (state == LM_PAGE_DISCARDED && fault.region->page_size > worker->buffer_size)
		take_pieces_back(worker, &fault);
	slot = lm_slot_start(worker, fault.attachment, fault.region, LM_BUDGET_DEMAND);
	if (slot == NULL)
		return false;
	slot->since = fault.since;
	slot->own = fault.own;
	slot->write = fault.write;
	if (state == LM_PAGE_MISSING) {
		if (!claim(slot, &fault,
			   neighbours(worker, lm_slot_capacity(worker, fault.region)))) {
			lm_slot_cancel(slot);
			return true;
		}
		record(fault.attachment, fault.region, slot->first, slot->demanded);
	} else {
		settle_one(slot, &fault);
	}
	for (size_t i = 0; i < slot->demanded; i++)
		lm_slot_join(slot, fault_at(worker, i)->twins, fault.since);
	drop(worker, slot->demanded);
	lm_slot_advance(slot);
	return true;
}

void lm_serve_backlog(struct lm_worker *worker)
{
	while (worker->backlog_count > 0 && serve_head(worker))
		continue;
	wake_overflowed(worker);
}
