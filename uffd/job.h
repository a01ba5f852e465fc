/* SPDX-License-Identifier: MIT
 *
 * job.h - work on pages that no fault asks for, done in bounded pieces while
 * there is no demand: a prefetch, the filling up at the end, the poisoning of
 * what is missing before an abort.
 *
 * Jobs of an attachment run one after the other. A job is over when its cursor
 * has passed its last range and none of its pieces is under way.
 */
#ifndef LM_JOB_H
#define LM_JOB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lazymem_attachment;
struct lm_lazy_region;

enum lm_job_kind {
	LM_JOB_PREFETCH, /* read what is missing; pass holes on as zeros */
	LM_JOB_FILL,     /* the same, but leave holes to the kernel: see settle.c */
	LM_JOB_POISON,   /* poison what is missing and no hole */
};

struct lm_job_range {
	struct lm_lazy_region *region;
	size_t first; /* page */
	size_t count; /* pages */
};

struct lm_job {
	struct lm_job *next;
	enum lm_job_kind kind;
	uint64_t bytes_per_second; /* 0: no limit */
	uint64_t due;              /* no piece before this, ns */
	size_t range;              /* the cursor: this range, */
	size_t page;               /* and this many pages into it */
	size_t narrow_range;       /* up to this place a piece failed: */
	size_t narrow_page;        /* page by page until the cursor is past it */
	unsigned pieces;           /* under way */
	unsigned given_up;         /* pages */
	bool ends_early;           /* too many */
	size_t ahead_from;         /* ranges from this one on are only read ahead */
	uint64_t gathered;         /* bytes sent off in gathers */
	size_t range_count;
	struct lm_job_range ranges[];
};

/* The queue of an attachment: any thread appends and waits, its worker takes. */
struct lm_jobs {
	pthread_mutex_t mutex;
	pthread_cond_t ended_one;
	struct lm_job *first, *last;
	uint64_t queued; /* since the beginning */
	uint64_t ended;
};

int lm_jobs_create(struct lm_jobs *jobs);
void lm_jobs_destroy(struct lm_jobs *jobs);

/* A job with room for `capacity` ranges, one more than are added if it is to be
 * limited; NULL without memory. */
struct lm_job *lm_job_create(enum lm_job_kind kind, size_t capacity);

/* Add the part of guest range [start, start + length) that lies in lazily
 * filled regions, widened to whole pages. The job has room for one range a region. */
void lm_job_add(struct lm_job *job, const struct lazymem_attachment *attachment, uint64_t start,
		uint64_t length);

/* End after total_bytes (0: no such end), and only read ahead after
 * populate_bytes (0: populate all), both counted from the first range on and
 * rounded up to whole pages. Before the job is appended. */
void lm_job_limit(struct lm_job *job, uint64_t populate_bytes, uint64_t total_bytes);

/* All pages of all lazily filled regions; NULL without memory. */
struct lm_job *lm_job_create_all(enum lm_job_kind kind,
				 const struct lazymem_attachment *attachment);

/* Append (the queue owns the job from then on); returns its number for lm_jobs_wait. Wake the
 * worker afterwards. */
uint64_t lm_jobs_append(struct lm_jobs *jobs, struct lm_job *job);

/* How many were queued so far: the number of the last one. */
uint64_t lm_jobs_queued(struct lm_jobs *jobs);

/* Wait until job `number` has ended, at most timeout_ns (UINT64_MAX: for
 * ever). 0 or -ETIMEDOUT. */
int lm_jobs_wait(struct lm_jobs *jobs, uint64_t number, uint64_t timeout_ns);

/* The worker: the job whose turn it is, or NULL; its end; and no more rate
 * limits for any that is queued. */
struct lm_job *lm_jobs_current(struct lm_jobs *jobs);
void lm_jobs_end_current(struct lm_jobs *jobs);
void lm_jobs_lift_limits(struct lm_jobs *jobs);

/* A piece of `count` pages from page `first` of the region on, in a range of
 * the job, failed and was given back: go over it again page by page, which is
 * narrow, until past its end. */
void lm_job_narrow(struct lm_job *job, size_t range, size_t first, size_t count);
bool lm_job_is_narrow(const struct lm_job *job);

/* A single page failed for good. */
void lm_job_gave_up(struct lm_job *job);

#endif
