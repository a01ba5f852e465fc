/* SPDX-License-Identifier: MIT
 *
 * Jobs and their queue. The mutex is held for a few instructions only, and by
 * nobody who touches guest memory: a thread that waits for a job sleeps on the
 * condition.
 */
#include "uffd/job.h"

#include "core/checked.h"
#include "core/clock.h"
#include "core/error.h"
#include "uffd/attachment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int lm_jobs_create(struct lm_jobs *jobs)
{
	pthread_condattr_t attributes;
	int error;

	*jobs = (struct lm_jobs){.first = NULL};
	error = pthread_mutex_init(&jobs->mutex, NULL);
	if (error != 0)
		return -error;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	error = pthread_cond_init(&jobs->ended_one, &attributes);
	pthread_condattr_destroy(&attributes);
	if (error != 0)
		pthread_mutex_destroy(&jobs->mutex);
	return -error;
}

void lm_jobs_destroy(struct lm_jobs *jobs)
{
	while (jobs->first != NULL)
		lm_jobs_end_current(jobs);
	pthread_cond_destroy(&jobs->ended_one);
	pthread_mutex_destroy(&jobs->mutex);
}

struct lm_job *lm_job_create(enum lm_job_kind kind, size_t capacity)
{
	size_t bytes;
	struct lm_job *job;

	if (__builtin_mul_overflow(capacity, sizeof(struct lm_job_range), &bytes) ||
	    __builtin_add_overflow(bytes, sizeof(*job), &bytes))
		return NULL;
	job = calloc(1, bytes);
	if (job == NULL)
		return NULL;
	job->kind = kind;
	job->ahead_from = SIZE_MAX;
	return job;
}

static void add_part(struct lm_job *job, struct lm_lazy_region *region, uint64_t start,
		     uint64_t length)
{
	uint64_t offset, first, last;

	if (start < region->guest) { /* begin where the region does */
		uint64_t before = region->guest - start;

		if (length <= before)
			return;
		start += before;
		length -= before;
	}
	offset = start - region->guest;
	if (offset >= region->length)
		return;
	length = lm_min(length, region->length - offset);
	first = offset >> region->page_shift;
	last = (offset + length - 1) >> region->page_shift;
	job->ranges[job->range_count++] = (struct lm_job_range){
		.region = region, .first = (size_t)first, .count = (size_t)(last - first + 1)};
}

void lm_job_add(struct lm_job *job, const struct lazymem_attachment *attachment, uint64_t start,
		uint64_t length)
{
	for (size_t i = 0; length > 0 && i < attachment->region_count; i++)
		add_part(job, &attachment->regions[i], start, length);
}

/* The range in which `bytes` end, and how many of its pages they take: all
 * ranges, and none, when they do not end before. */
static size_t find_end(const struct lm_job *job, uint64_t bytes, size_t *ret_pages)
{
	*ret_pages = 0;
	for (size_t i = 0; i < job->range_count; i++) {
		const struct lm_job_range *range = &job->ranges[i];
		const uint64_t length = (uint64_t)range->count << range->region->page_shift;

		if (bytes <= length) {
			*ret_pages = (size_t)((bytes + range->region->page_size - 1) >>
					      range->region->page_shift);
			return i;
		}
		bytes -= length;
	}
	return job->range_count;
}

static void end_after(struct lm_job *job, uint64_t bytes)
{
	size_t pages, range = find_end(job, bytes, &pages);

	if (range == job->range_count)
		return;
	job->ranges[range].count = pages;
	job->range_count = range + 1;
}

/* Cut the range in two where the part to be read ahead begins. */
static void read_ahead_after(struct lm_job *job, uint64_t bytes)
{
	size_t pages, range = find_end(job, bytes, &pages);
	struct lm_job_range *cut = &job->ranges[range];

	if (range == job->range_count)
		return;
	job->ahead_from = range + 1;
	if (pages == cut->count)
		return;
	memmove(cut + 1, cut, (job->range_count - range) * sizeof(*cut));
	cut[1].first += pages;
	cut[1].count -= pages;
	cut->count = pages;
	job->range_count++;
}

void lm_job_limit(struct lm_job *job, uint64_t populate_bytes, uint64_t total_bytes)
{
	if (total_bytes != 0)
		end_after(job, total_bytes);
	if (populate_bytes != 0)
		read_ahead_after(job, populate_bytes);
}

struct lm_job *lm_job_create_all(enum lm_job_kind kind, const struct lazymem_attachment *attachment)
{
	struct lm_job *job = lm_job_create(kind, attachment->region_count + 1);

	if (job == NULL)
		return NULL;
	for (size_t i = 0; i < attachment->region_count; i++)
		add_part(job, &attachment->regions[i], attachment->regions[i].guest,
			 attachment->regions[i].length);
	return job;
}

uint64_t lm_jobs_append(struct lm_jobs *jobs, struct lm_job *job)
{
	uint64_t number;

	pthread_mutex_lock(&jobs->mutex);
	if (jobs->last != NULL)
		jobs->last->next = job;
	else
		jobs->first = job;
	jobs->last = job;
	number = ++jobs->queued;
	pthread_mutex_unlock(&jobs->mutex);
	return number;
}

uint64_t lm_jobs_queued(struct lm_jobs *jobs)
{
	uint64_t queued;

	pthread_mutex_lock(&jobs->mutex);
	queued = jobs->queued;
	pthread_mutex_unlock(&jobs->mutex);
	return queued;
}

static int wait_once(struct lm_jobs *jobs, uint64_t deadline)
{
	struct timespec at = {
		.tv_sec = (time_t)(deadline / LM_NS_PER_S),
		.tv_nsec = (long)(deadline % LM_NS_PER_S),
	};

	if (deadline == UINT64_MAX)
		return pthread_cond_wait(&jobs->ended_one, &jobs->mutex);
	return pthread_cond_timedwait(&jobs->ended_one, &jobs->mutex, &at);
}

int lm_jobs_wait(struct lm_jobs *jobs, uint64_t number, uint64_t timeout_ns)
{
	uint64_t deadline = UINT64_MAX;
	int error = 0;

	if (timeout_ns != UINT64_MAX && !lm_add(lm_clock_ns(), timeout_ns, &deadline))
		deadline = UINT64_MAX;
	pthread_mutex_lock(&jobs->mutex);
	while (jobs->ended < number && error != ETIMEDOUT)
		error = wait_once(jobs, deadline);
	error = jobs->ended < number ? -ETIMEDOUT : 0;
	pthread_mutex_unlock(&jobs->mutex);
	return error;
}

struct lm_job *lm_jobs_current(struct lm_jobs *jobs)
{
	struct lm_job *job;

	pthread_mutex_lock(&jobs->mutex);
	job = jobs->first;
	pthread_mutex_unlock(&jobs->mutex);
	return job;
}

void lm_jobs_end_current(struct lm_jobs *jobs)
{
	struct lm_job *job;

	pthread_mutex_lock(&jobs->mutex);
	job = jobs->first;
	jobs->first = job->next;
	if (jobs->first == NULL)
		jobs->last = NULL;
	jobs->ended++;
	pthread_cond_broadcast(&jobs->ended_one);
	pthread_mutex_unlock(&jobs->mutex);
	free(job);
}

void lm_jobs_lift_limits(struct lm_jobs *jobs)
{
	pthread_mutex_lock(&jobs->mutex);
	for (struct lm_job *job = jobs->first; job != NULL; job = job->next) {
		job->bytes_per_second = 0;
		job->due = 0;
	}
	pthread_mutex_unlock(&jobs->mutex);
}

/* ---- the cursor after a failure */

/* A job ends early when it had to give up so many pages: its source is gone,
 * and every further page would cost a row of retries. Filling up ends with the
 * first one, since the finish has failed. */
#define MOST_GIVEN_UP 16

bool lm_job_is_narrow(const struct lm_job *job)
{
	return job->range < job->narrow_range ||
	       (job->range == job->narrow_range && job->page < job->narrow_page);
}

void lm_job_narrow(struct lm_job *job, size_t range, size_t first, size_t count)
{
	size_t start = first - job->ranges[range].first;

	if (job->ends_early || job->range < range || (job->range == range && job->page <= start))
		return;
	if (!lm_job_is_narrow(job)) {
		job->narrow_range = range;
		job->narrow_page = start + count;
	}
	job->range = range;
	job->page = start;
}

void lm_job_gave_up(struct lm_job *job)
{
	job->given_up++;
	if (job->kind == LM_JOB_FILL || job->given_up == MOST_GIVEN_UP) {
		job->ends_early = true;
		job->range = job->range_count;
	}
}
