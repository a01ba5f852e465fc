/* SPDX-License-Identifier: MIT
 *
 * The worker's loop. It waits in one place, the queue, for: a userfaultfd that
 * became readable (multishot poll), a read that completed, a wake-up from
 * another thread, or the earliest time that something is due.
 *
 * One round, in the order of importance:
 *   commands          of other threads
 *   messages          events and faults of every readable attachment
 *   backlog           reads for the faults
 *   demand reads      that completed: install them all
 *   prefetch reads    that completed: install one
 *   delayed slots     that are due
 *   busy attachments  one piece of a job each, one huge page, letting go
 * A prefetch piece is bounded and only one is installed a round, so a fault
 * waits for at most one of them. No lock is held from one step to the next.
 *
 * The thread blocks all signals (by its creation attributes; nobody's mask is
 * changed) and touches no lazily filled memory.
 */
#include "uffd/worker.h"

#include "core/checked.h"
#include "core/clock.h"
#include "core/error.h"
#include "uffd/advance.h"
#include "uffd/attention.h"
#include "uffd/collapse.h"
#include "uffd/gather.h"
#include "uffd/prefetch.h"
#include "uffd/serve.h"
#include "uffd/settle.h"
#include "uffd/stream.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ---- one round */

/* False when the worker shall stop. */
static bool run_commands(struct lm_worker *worker)
{
	struct lm_command *command, *next;
	bool stopping;

	if (!atomic_load_explicit(&worker->called, memory_order_acquire))
		return true;
	pthread_mutex_lock(&worker->mutex);
	atomic_store_explicit(&worker->called, false, memory_order_relaxed);
	command = worker->commands;
	worker->commands = worker->last_command = NULL;
	stopping = worker->stopping;
	pthread_mutex_unlock(&worker->mutex);
	for (; command != NULL; command = next) {
		next = command->next; /* whoever waits may free it once it is ended */
		command->run(worker, command);
	}
	return !stopping;
}

static void read_messages(struct lm_worker *worker)
{
	while (worker->readable != NULL) {
		struct lazymem_attachment *attachment = worker->readable;

		worker->readable = attachment->next_readable;
		attachment->readable = false;
		if (attachment->released)
			continue;
		lm_serve_messages(worker, attachment);
		worker->last_read = attachment;
	}
}

/* Take over the reads that other threads completed. */
static void collect_elsewhere(struct lm_worker *worker)
{
	struct lm_slot *slot =
		atomic_exchange_explicit(&worker->read_elsewhere, NULL, memory_order_acquire);

	while (slot != NULL) {
		struct lm_slot *next = slot->next;

		lm_slot_list_append(slot->demand ? &worker->read_demand : &worker->read_prefetch,
				    slot);
		slot = next;
	}
}

static void install_reads(struct lm_worker *worker)
{
	struct lm_slot *slot;

	/* Those that are there now: a page read in pieces from a source that
	 * answers at once would go on for ever. */
	for (size_t left = worker->read_demand.count; left > 0; left--)
		lm_slot_resume(lm_slot_list_take(&worker->read_demand));
	slot = lm_slot_list_take(&worker->read_prefetch);
	if (slot == NULL)
		return;
	if (slot->gather != NULL && slot->gather->in_flight)
		lm_gather_resume(slot->gather);
	else
		lm_slot_resume(slot);
}

/* An abort waits for no more retries: the next failure ends in poison. */
static bool is_cut_short(const struct lm_slot *slot)
{
	return slot->attachment->aborting && slot->content == LM_CONTENT_BYTES && !slot->is_read;
}

/* Go on with what is due; returns when the next one is. */
static uint64_t advance_delayed(struct lm_worker *worker)
{
	struct lm_slot_list waiting = worker->delayed;
	struct lm_slot *slot;
	uint64_t now, next = UINT64_MAX;

	if (waiting.first == NULL)
		return UINT64_MAX;
	worker->delayed = (struct lm_slot_list){NULL, NULL, 0};
	now = lm_clock_ns();
	while ((slot = lm_slot_list_take(&waiting)) != NULL) {
		if (slot->due <= now || is_cut_short(slot))
			lm_slot_advance(slot);
		else
			lm_slot_list_append(&worker->delayed, slot);
	}
	for (slot = worker->delayed.first; slot != NULL; slot = slot->next)
		next = lm_min(next, slot->due);
	return next;
}

static bool has_more(struct lazymem_attachment *attachment)
{
	if (attachment->settle != NULL || lm_jobs_current(&attachment->jobs) != NULL ||
	    lm_stream_is_on(attachment))
		return true;
	for (size_t i = 0; i < attachment->region_count; i++)
		if (attachment->regions[i].complete_blocks > 0)
			return true;
	return false;
}

/* Work that no fault asked for: of the busy attachments in turn, until one had
 * some. True then, since there may be more. */
static bool work_without_faults(struct lm_worker *worker, uint64_t *ret_due)
{
	struct lazymem_attachment *last = worker->last_busy, *attachment = NULL;
	bool worked = false;

	while (!worked && attachment != last) {
		attachment = lm_worker_take_busy(worker);
		worked = lm_prefetch_step(worker, attachment, ret_due) ||
			 lm_collapse_step(worker, attachment, ret_due);
		if (!worked)
			worked = lm_settle_step(worker, attachment);
		if (!attachment->released && has_more(attachment))
			lm_worker_mark_busy(worker, attachment);
	}
	return worked;
}

/* Anything to do at once, without waiting? */
static bool is_pending(const struct lm_worker *worker)
{
	return worker->read_demand.first != NULL || worker->read_prefetch.first != NULL ||
	       worker->readable != NULL ||
	       (worker->backlog_count > 0 && worker->free_demand.count > 0);
}

static uint64_t round_once(struct lm_worker *worker)
{
	uint64_t due, job_due = UINT64_MAX, now;
	bool worked;

	read_messages(worker);
	collect_elsewhere(worker);
	lm_serve_backlog(worker);
	install_reads(worker);
	due = advance_delayed(worker);
	lm_serve_backlog(worker); /* slots may have become free */
	/* Last, since who waits for rest must see all that the round has ended. */
	worked = work_without_faults(worker, &job_due);
	if (worked || is_pending(worker))
		return 0;
	due = lm_min(due, job_due);
	if (due == UINT64_MAX)
		return UINT64_MAX;
	now = lm_clock_ns();
	return due > now ? due - now : 0;
}

/* Before it waits, a worker that has just served a fault looks once more: where
 * it shares a CPU with the guest's thread, that thread has run while the page
 * was installed and may have faulted again, and the wait (a system call as
 * long as a read of the page) can be spared. Luck decides whether to look: it
 * rises with every look that found something, falls with every other, and
 * recovers with every wait, so that a guest on another CPU costs one look in
 * LUCK_PERIOD. Not with reads in flight: those are to be submitted and collected. */
#define LUCK_MOST 4
#define LUCK_PERIOD 16
#define LOOKS_MOST 32

static bool look_again(struct lm_worker *worker)
{
	if (worker->last_read == NULL || worker->last_read->released || worker->luck <= 0 ||
	    lm_queue_reads_in_flight(worker->queue) > 0)
		return false;
	if (lm_serve_messages(worker, worker->last_read)) {
		worker->luck = worker->luck < LUCK_MOST ? worker->luck + 1 : LUCK_MOST;
		return true;
	}
	worker->luck--;
	if (worker->luck == 0)
		worker->luck = -LUCK_PERIOD;
	return false;
}

static uint64_t rounds(struct lm_worker *worker)
{
	uint64_t wait = round_once(worker);

	for (int looks = 0; wait > 0 && looks < LOOKS_MOST && look_again(worker); looks++)
		wait = round_once(worker);
	if (worker->luck <= 0)
		worker->luck++;
	return wait;
}

static void announce(struct lm_worker *worker, int error)
{
	pthread_mutex_lock(&worker->mutex);
	worker->start_error = error;
	worker->ready = true;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->mutex);
}

static void *run(void *argument)
{
	struct lm_worker *worker = argument;
	uint64_t wait;
	int error = lm_queue_create(worker->options.demand_depth + worker->options.prefetch_depth,
				    &worker->queue);

	announce(worker, error);
	if (error != 0)
		return NULL;
	pthread_setname_np(pthread_self(), "lazymem-worker"); /* for ps, top and perf */
	lm_slot_own_thread(worker);
	while (run_commands(worker)) {
		wait = rounds(worker);
		lm_queue_run(worker->queue, wait);
	}
	while (atomic_load(&worker->completing) > 0) /* somebody is about to wake the queue */
		sched_yield();
	lm_queue_destroy(worker->queue);
	return NULL;
}

/* ---- start and stop */

/* Slots that have a buffer come first, those for the parts of gathers last. */
static size_t own_buffers(const struct lm_worker *worker)
{
	return (size_t)worker->options.demand_depth + worker->options.prefetch_depth;
}

static size_t buffers_size(const struct lm_worker *worker)
{
	return (own_buffers(worker) + LM_GATHERS) * worker->buffer_size;
}

static void share_out(struct lm_worker *worker)
{
	for (size_t i = 0; i < own_buffers(worker); i++) {
		struct lm_slot *slot = &worker->slots[i];

		slot->worker = worker;
		slot->buffer = worker->buffers + i * worker->buffer_size;
		slot->budget =
			i < worker->options.demand_depth ? LM_BUDGET_DEMAND : LM_BUDGET_PREFETCH;
		lm_slot_list_append(slot->budget == LM_BUDGET_DEMAND ? &worker->free_demand
								     : &worker->free_prefetch,
				    slot);
	}
	worker->parts_begun = own_buffers(worker);
	for (size_t i = 0; i < LM_GATHERS; i++) {
		struct lm_gather *gather = &worker->gathers[i];

		gather->buffer = worker->buffers + (own_buffers(worker) + i) * worker->buffer_size;
		gather->next = worker->free_gathers;
		worker->free_gathers = gather;
	}
}

static int create_slots(struct lm_worker *worker)
{
	size_t size;

	worker->slot_count = own_buffers(worker) + LM_GATHERS * LM_GATHER_PARTS;
	worker->buffer_size = worker->options.prefetch_piece;
	size = buffers_size(worker);
	worker->slots = calloc(worker->slot_count, sizeof(*worker->slots));
	worker->gathers = calloc(LM_GATHERS, sizeof(*worker->gathers));
	worker->backlog = calloc(LM_BACKLOG, sizeof(*worker->backlog));
	if (worker->slots == NULL || worker->gathers == NULL || worker->backlog == NULL)
		return lm_error(-ENOMEM, "no memory for the slots of a worker");
	worker->buffers = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (worker->buffers == MAP_FAILED) {
		worker->buffers = NULL;
		return lm_error_errno(-errno, "cannot map %zu bytes of read buffers", size);
	}
	madvise(worker->buffers, size, MADV_DONTFORK); /* no copy on write in a child's name */
	share_out(worker);
	return 0;
}

static int start_thread(struct lm_worker *worker)
{
	pthread_attr_t attributes;
	sigset_t all;
	int error = pthread_attr_init(&attributes);

	if (error != 0)
		return lm_error_errno(-error, "cannot start a worker");
	sigfillset(&all);
	pthread_attr_setsigmask_np(&attributes, &all);
	if (worker->options.cpu >= 0) {
		cpu_set_t cpus;

		CPU_ZERO(&cpus);
		if ((size_t)worker->options.cpu < CPU_SETSIZE)
			CPU_SET((size_t)worker->options.cpu, &cpus);
		pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	}
	error = pthread_create(&worker->thread, &attributes, run, worker);
	pthread_attr_destroy(&attributes);
	if (error != 0 && worker->options.cpu >= 0)
		return lm_error_errno(-error, "cannot start a worker on cpu %d",
				      worker->options.cpu);
	if (error != 0)
		return lm_error_errno(-error, "cannot start a worker");
	worker->thread_started = true;
	return 0;
}

static int wait_ready(struct lm_worker *worker)
{
	pthread_mutex_lock(&worker->mutex);
	while (!worker->ready)
		pthread_cond_wait(&worker->changed, &worker->mutex);
	pthread_mutex_unlock(&worker->mutex);
	if (worker->start_error != 0)
		return lm_error_errno(worker->start_error, "a worker cannot make its io_uring");
	return 0;
}

int lm_worker_start(struct lm_worker *worker, const struct lm_worker_options *options)
{
	int error;

	*worker = (struct lm_worker){.options = *options};
	pthread_mutex_init(&worker->mutex, NULL);
	pthread_cond_init(&worker->changed, NULL);
	error = create_slots(worker);
	if (error == 0)
		error = start_thread(worker);
	if (error == 0)
		error = wait_ready(worker);
	if (error != 0)
		lm_worker_stop(worker);
	return error;
}

void lm_worker_stop(struct lm_worker *worker)
{
	if (worker->thread_started) {
		pthread_mutex_lock(&worker->mutex);
		worker->stopping = true;
		atomic_store_explicit(&worker->called, true, memory_order_release);
		if (worker->start_error == 0)
			lm_queue_wake(worker->queue);
		pthread_mutex_unlock(&worker->mutex);
		pthread_join(worker->thread, NULL);
	}

	if (worker->buffers != NULL)
		munmap(worker->buffers, buffers_size(worker));
	free(worker->slots);
	free(worker->gathers);
	free(worker->backlog);
	pthread_cond_destroy(&worker->changed);
	pthread_mutex_destroy(&worker->mutex);
}
