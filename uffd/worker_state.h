/* SPDX-License-Identifier: MIT
 *
 * worker_state.h - what a worker is made of: one io_uring queue, its slots and
 * buffers, the faults that wait, the attachments that need a look. What is not
 * said to be for other threads is the worker's own.
 */
#ifndef LM_WORKER_STATE_H
#define LM_WORKER_STATE_H

#include "uffd/attachment.h"
#include "uffd/slot.h"

/* With the most that the options allow. */
#define LM_SLOTS_MOST (1024 + 64 + LM_GATHERS * LM_GATHER_PARTS)

#define LM_BACKLOG 4096 /* faults read and not yet started */

struct lm_fault {
	struct lazymem_attachment *attachment;
	struct lm_lazy_region *region;
	size_t page;
	bool write;     /* to a protected page */
	bool own;       /* in the region's own mapping, not in a view */
	unsigned twins; /* messages of the same batch for the same page */
	uint64_t since; /* when it was read, ns */
};

/* Something that has to be done on the worker's thread, and that another
 * thread waits for. */
struct lm_command {
	struct lm_command *next;
	void (*run)(struct lm_worker *worker, struct lm_command *command);
	struct lazymem_attachment *attachment;
	void *argument;
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
	size_t fault_around; /* bytes; 0: none */
	size_t fault_ahead;  /* likewise */
	int cpu;             /* or -1 */
};

struct lm_worker {
	struct lm_worker_options options;
	struct lm_queue *queue;
	pthread_t thread;
	bool thread_started;

	struct lm_slot *slots;
	size_t slot_count;
	uint64_t used[LM_SLOTS_MOST / 64 + 1]; /* a bit for each slot in use */
	size_t parts_begun;                    /* slots for parts from here on were never used */
	char *buffers; /* one for each slot but those for parts, and for each gather */
	size_t buffer_size;
	struct lm_slot_list free_demand, free_prefetch, free_parts;
	struct lm_gather *gathers; /* LM_GATHERS */
	struct lm_gather *free_gathers;
	size_t prefetch_bytes; /* in flight in slots of the prefetch budget */
	struct lm_slot_list read_demand, read_prefetch; /* completed on this thread */
	struct lm_slot_list delayed;
	_Atomic(struct lm_slot *) read_elsewhere; /* completed on another thread: a stack */
	_Atomic unsigned completing;              /* threads that are about to push and wake */

	struct lm_fault *backlog; /* a ring of LM_BACKLOG */
	size_t backlog_first, backlog_count;
	uint64_t last_message;                 /* when the last fault was read, ns */
	struct lazymem_attachment *overflowed; /* list of those with faults beyond the backlog */
	struct lazymem_attachment *readable;   /* list */
	struct lazymem_attachment *last_read;  /* whose messages were read last, or NULL */
	int luck; /* of looking at it again without waiting: see worker.c */
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

#endif
