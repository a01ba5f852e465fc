/* SPDX-License-Identifier: MIT
 *
 * attachment.h - one address space that a worker serves.
 *
 * An attachment stays with one worker, which alone reads its userfaultfd and
 * populates its pages. Other threads discard, queue jobs and read counters.
 *
 * `lock` orders populating against discarding:
 *   shared     {the claim is still there, populate, publish}: the worker, with
 *              the bytes already in memory, never across I/O
 *   exclusive  {mark discarded}: whoever discards, before it zaps; the worker, for a
 *              REMOVE event that it has just read (see serve.c)
 *              {check, unregister}: the worker, when it lets go
 * A page that was marked can only be populated with zeros, so the zap itself
 * needs no lock (and must not hold it: madvise sleeps until the worker has
 * read the event).
 */
#ifndef LM_ATTACHMENT_H
#define LM_ATTACHMENT_H

#include "backing/queue.h"
#include "uffd/job.h"
#include "uffd/lazy_region.h"
#include "uffd/recorder.h"
#include "uffd/statistics.h"

#include <lazymem/handler.h>
#include <pthread.h>

struct lm_worker;

/* Who asks which pages were written. */
enum lm_asker { LM_ASKER_COLLECT, LM_ASKER_SYNC, LM_ASKER_MOMENT, LM_ASKERS };

/* See harvest.c. NULL in a set: nobody asks. */
struct lm_harvest {
	pthread_mutex_t mutex; /* of the sets; taken before the attachment's lock */
	struct lazymem_dirty *fresh;
	struct lazymem_dirty *of[LM_ASKERS];
};

/* See write_back.c. */
struct lm_write_back {
	pthread_mutex_t busy;              /* held for a whole sync; taken before the harvest's */
	struct lazymem_dirty *underway;    /* NULL: nothing is written back */
	struct lm_write_back_timer *timer; /* NULL: not by itself. See write_back_timer.c */
};

struct lazymem_attachment {
	struct lazymem_handler *handler;
	struct lm_worker *worker;
	struct lazymem_memory *memory;
	struct lm_lazy_region *regions; /* in order of their host addresses */
	size_t region_count;
	int fd;                         /* the userfaultfd, or -1 */
	enum lazymem_tracking tracking; /* in force; does not change */
	struct lm_harvest harvest;
	struct lm_write_back write_back;
	struct lazymem_moment *moment;  /* NULL: none; changed under the harvest's mutex */
	struct lazymem_identity origin; /* of the snapshot that the next one is a layer over;
					 * none: unknown. Likewise */
	bool had_moment;                /* one was written; likewise */
	pthread_mutex_t reading;        /* the worker, from reading messages until their events are
				  * applied; taken before `lock` */
	pthread_rwlock_t lock;
	enum lazymem_verdict (*on_failure)(void *context, const struct lazymem_failure *failure);
	void *context;
	struct lm_recorder recorder;
	struct lm_statistics statistics;
	bool serving;              /* the worker knows it; changed under the exclusive lock */
	_Atomic uint64_t poisoned; /* pages that are poisoned now */
	struct lm_jobs jobs;
	struct lm_job *stream;     /* of the worker's own, in no queue; NULL: none. See stream.c */
	struct lm_job *poison_job; /* made beforehand, so that an abort cannot lack memory */

	/* The worker's own. */
	struct lm_operation poll;
	struct lazymem_attachment *next_readable, *next_busy, *next_overflowed;
	bool overflowed; /* in its list of those with faults beyond the backlog */
	bool readable;   /* in the worker's list of those with messages to read */
	bool busy;       /* in its list of those with a job, blocks to collapse, or to settle */
	bool aborting;   /* nothing is read any more: what is missing gets poisoned */
	unsigned slots_in_use;     /* reads and populates under way */
	unsigned faults_waiting;   /* in the worker's backlog */
	struct lm_command *settle; /* finish or abort waits for the above to come to rest */
	bool released;             /* unregistered; waits for the end of the poll */
};

/* The lazily filled region that holds host address `address`, and the page in
 * it. NULL for an address of nobody. */
struct lm_lazy_region *lm_attachment_find(struct lazymem_attachment *attachment, uint64_t address,
					  size_t *ret_page);

/* Pages of all lazily filled regions. */
size_t lm_attachment_pages(const struct lazymem_attachment *attachment);

/* Does the worker serve it by now, and not yet let go? The lock is not held. */
bool lm_attachment_is_served(struct lazymem_attachment *attachment);

/* Mark `count` pages discarded; their states before go to ret_before unless it
 * is NULL. The exclusive lock is held. */
void lm_attachment_mark_discarded(struct lazymem_attachment *attachment,
				  struct lm_lazy_region *region, size_t page, size_t count,
				  uint8_t *ret_before);

/* Close the userfaultfd, give the mappings their plain operations back, free
 * everything. Only when no worker knows the attachment any more, or none has
 * known it yet. Tolerates a half-built one. */
void lm_attachment_free(struct lazymem_attachment *attachment);

/* discard.c: what sync, discard, prefetch and resident mean for a lazily
 * filled mapping; the state is its struct lm_lazy_region. */
extern const struct lm_mapping_operations lm_lazy_operations;

#endif
