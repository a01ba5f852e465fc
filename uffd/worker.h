/* SPDX-License-Identifier: MIT
 *
 * worker.h - one thread that serves any number of attachments, with one
 * io_uring queue, its slots and buffers.
 */
#ifndef LM_WORKER_H
#define LM_WORKER_H

#include "uffd/attachment.h"
#include "uffd/slot.h"

#define LM_BACKLOG 4096 /* faults read and not yet started */

struct lm_fault {
	struct lazymem_attachment *attachment;
	struct lm_lazy_region *region;
	size_t page;
	unsigned twins; /* messages of the same batch for the same page */
	uint64_t since; /* when it was read, ns */
};

/* Something that has to be done on the worker's thread, and that another
 * thread waits for. */
struct lm_command {
	struct lm_command *next;
	void (*run)(struct lm_worker *worker, struct lm_command *command);
	struct lazymem_attachment *attachment;
	int result;
	/* settle.c: a finish checks the pages; this is the next one to check, and
	 * when it fails the one that keeps it from its end */
	bool checks;
	size_t region, page;
	bool done;
};

struct lm_worker_options {
	unsigned demand_depth;
	unsigned prefetch_depth;
	size_t prefetch_piece;
	int cpu; /* or -1 */
};

struct lm_worker {
	struct lm_worker_options options;
	struct lm_queue *queue;
	pthread_t thread;
	bool thread_started;

	struct lm_slot *slots;
	size_t slot_count;
	char *buffers; /* slot_count of buffer_size bytes */
	size_t buffer_size;
	struct lm_slot_list free_demand, free_prefetch;
	struct lm_slot_list read_demand, read_prefetch; /* completed on this thread */
	struct lm_slot_list delayed;
	_Atomic(struct lm_slot *) read_elsewhere; /* completed on another thread: a stack */
	_Atomic unsigned completing;              /* threads that are about to push and wake */

	struct lm_fault *backlog; /* a ring of LM_BACKLOG */
	size_t backlog_first, backlog_count;
	uint64_t last_message;                 /* when the last fault was read, ns */
	struct lazymem_attachment *overflowed; /* list of those with faults beyond the backlog */
	struct lazymem_attachment *readable;   /* list */
	struct lazymem_attachment *busy, *last_busy; /* queue */
	_Atomic unsigned attachments;

	_Atomic bool called;   /* look at the following: a command came, or the end */
	pthread_mutex_t mutex; /* of the following */
	pthread_cond_t changed;
	struct lm_command *commands, *last_command;
	bool ready; /* the thread runs, or has failed to: start_error */
	int start_error;
	bool stopping;
};

/* Start the thread, and wait until it is ready. Stop tolerates a half-built one. */
int lm_worker_start(struct lm_worker *worker, const struct lm_worker_options *options);
void lm_worker_stop(struct lm_worker *worker);

/* Run a command on the worker's thread and wait until somebody ends it. Not on
 * a worker's thread. */
int lm_worker_call(struct lm_worker *worker, struct lm_command *command);

/* The command is over: whoever waits goes on (and may free it). */
void lm_worker_end_command(struct lm_worker *worker, struct lm_command *command);

/* The worker's own thread: the attachment has messages to read; has work that
 * no fault asked for; is over. */
void lm_worker_mark_readable(struct lm_worker *worker, struct lazymem_attachment *attachment);
void lm_worker_mark_busy(struct lm_worker *worker, struct lazymem_attachment *attachment);
void lm_worker_forget(struct lm_worker *worker, struct lazymem_attachment *attachment);

/* ---- serve.c: from a message to a slot */

/* Read all messages of an attachment: apply its events, put its faults in the backlog. */
void lm_serve_messages(struct lm_worker *worker, struct lazymem_attachment *attachment);

/* Start what the backlog holds while there are free demand slots. */
void lm_serve_backlog(struct lm_worker *worker);

/* ---- advance.c: the life of a slot */

/* A free slot for pages of an attachment; NULL when the budget is used up. */
struct lm_slot *lm_slot_start(struct lm_worker *worker, struct lazymem_attachment *attachment,
			      struct lm_lazy_region *region, enum lm_budget budget);

/* `count` more faults, read at time `since`, wait for a page of a slot that is under way. */
void lm_slot_join(struct lm_slot *slot, unsigned count, uint64_t since);

/* Back to the free slots without having been used. */
void lm_slot_cancel(struct lm_slot *slot);

/* Go on with a slot that has claimed its pages: read, or install, or wait. */
void lm_slot_advance(struct lm_slot *slot);

/* Go on with a slot whose read has completed. */
void lm_slot_resume(struct lm_slot *slot);

/* Pages that one slot can take in this region. */
size_t lm_slot_capacity(const struct lm_worker *worker, const struct lm_lazy_region *region);

/* Give the claims of the pages that are not installed back, but for the first `keep` of them,
 * and wake who waits. */
void lm_slot_give_back(struct lm_slot *slot, size_t keep);

/* The slot is over: back to the free ones. */
void lm_slot_end(struct lm_slot *slot);

/* This thread is `worker`: reads that complete on it go to its lists. */
void lm_slot_own_thread(struct lm_worker *worker);

/* Is this thread a worker, of any handler? It must not wait for one then. */
bool lm_slot_on_worker(void);

/* ---- failure.c: what to do about a read or populate that failed
 * (slot->error); about a page that an abort does not wait for. */
void lm_slot_fail(struct lm_slot *slot);
void lm_slot_cut_short(struct lm_slot *slot);

/* ---- prefetch.c: one bounded piece of the attachment's current job. True
 * when there may be more to do at once; *ret_due is lowered to the time at which to come back. */
bool lm_prefetch_step(struct lm_worker *worker, struct lazymem_attachment *attachment,
		      uint64_t *ret_due);

/* A piece of a job failed and was given back: go over it again page by page. A
 * single page failed for good. */
void lm_prefetch_narrow(struct lm_slot *slot);
void lm_prefetch_gave_up(struct lm_job *job);

/* ---- collapse.c: make one complete block a huge page, when no
 * fault has come for a while. True when one was tried; *ret_due as above. */
bool lm_collapse_step(struct lm_worker *worker, struct lazymem_attachment *attachment,
		      uint64_t *ret_due);

/* Make what can be made huge pages, after the end of the attachment. */
void lm_collapse_rest(struct lm_lazy_region *region, struct lm_statistics *statistics);

/* ---- settle.c: if finish or abort waits, and the attachment is at rest, let
 * go; then, when the poll has ended, tell who waits. True when the step has to
 * be repeated. */
bool lm_settle_step(struct lm_worker *worker, struct lazymem_attachment *attachment);
void lm_settle_poll_ended(struct lm_worker *worker, struct lazymem_attachment *attachment);

#endif
