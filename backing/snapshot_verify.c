/* SPDX-License-Identifier: MIT
 *
 * snapshot_verify.c - every checksum of a snapshot, by several threads.
 *
 * The threads take one portion after the other from one cursor. What they find
 * goes to a list; the calling thread waits for it, and alone makes the calls of
 * the caller. The lock guards the cursor, the list and the counts, and is held
 * for neither reading nor calling. A list that the caller is slow to hear of is
 * bounded: the threads wait for him.
 *
 * Damage is told in guest addresses, so a run of pages that goes on from one
 * region to the next is told in two.
 */
#include "backing/snapshot_check.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/options.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_THREADS 16
#define MOST_THREADS 1024
#define PROGRESS_NS 100000000L
#define LIST_LIMIT 256

struct verification {
	const struct lazymem_snapshot *snapshot;
	const struct lazymem_snapshot_verify_options *options;
	pthread_t *threads;
	unsigned thread_count;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* for the calling thread */
	pthread_cond_t room;    /* for the others: the list is not full any more */
	struct lm_portion_cursor cursor;
	struct lazymem_snapshot_damage list[LIST_LIMIT];
	size_t list_count;
	uint64_t done; /* bytes of memory */
	unsigned running;
	int error; /* of a thread that could not work */

	uint64_t total;
	uint64_t damage_count;
	struct lazymem_snapshot_damage first;
};

/* ---- on the threads --------------------------------------------------------- */

static void add_damage(struct verification *verification,
		       const struct lazymem_snapshot_damage *damage)
{
	pthread_mutex_lock(&verification->lock);
	while (verification->list_count == LIST_LIMIT)
		pthread_cond_wait(&verification->room, &verification->lock);
	verification->list[verification->list_count++] = *damage;
	pthread_cond_signal(&verification->changed);
	pthread_mutex_unlock(&verification->lock);
}

/* The region that holds a byte of the memory. */
static const struct lazymem_snapshot_region *find_region(const struct lm_snapshot_file *file,
							 uint64_t offset)
{
	size_t low = 0, high = file->region_count;

	while (high - low > 1) {
		const size_t middle = low + (high - low) / 2;

		if (file->regions[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return &file->regions[low];
}

static void add_pages(struct verification *verification, struct lazymem_snapshot_damage *damage,
		      const struct lm_snapshot_file *file, uint64_t offset, uint64_t length,
		      bool is_raw)
{
	while (length > 0) {
		const struct lazymem_snapshot_region *region = find_region(file, offset);
		const uint64_t skipped = offset - region->offset;

		damage->address.value = region->base.value + skipped;
		damage->length = lm_min(length, region->length - skipped);
		add_damage(verification, damage);
		if (is_raw)
			damage->file_offset += damage->length;
		offset += damage->length;
		length -= damage->length;
	}
}

static void damaged(void *context, const struct lm_portion *portion, const struct lm_chunk *chunk,
		    uint32_t first, uint32_t count, int error)
{
	struct verification *verification = context;
	const struct lm_snapshot_files *files = verification->snapshot->files;
	struct lazymem_snapshot_damage damage = {
		.layer = (size_t)(portion->file - files->files),
		.error = error,
	};

	if (chunk == NULL) {
		damage.blob = portion->blob->name;
		damage.length = portion->blob->length;
		damage.file_offset = portion->blob->offset;
		add_damage(verification, &damage);
		return;
	}
	damage.file_offset = chunk->position;
	if (chunk->kind == LAZYMEM_CHUNK_RAW)
		damage.file_offset += first * (uint64_t)LM_SNAPSHOT_PAGE;
	add_pages(verification, &damage, portion->file, (chunk->page + first) * LM_SNAPSHOT_PAGE,
		  count * (uint64_t)LM_SNAPSHOT_PAGE, chunk->kind == LAZYMEM_CHUNK_RAW);
}

/* Count `pages` as done and take the next portion. */
static bool take_portion(struct verification *verification, uint64_t pages,
			 struct lm_portion *ret_portion)
{
	bool is_there;

	pthread_mutex_lock(&verification->lock);
	verification->done += pages * LM_SNAPSHOT_PAGE;
	is_there =
		lm_portion_next(verification->snapshot->files, &verification->cursor, ret_portion);
	pthread_mutex_unlock(&verification->lock);
	return is_there;
}

static void *check_portions(void *context)
{
	struct verification *verification = context;
	struct lm_checker checker = {.damaged = damaged, .context = verification};
	const int error = lm_checker_prepare(&checker);
	struct lm_portion portion;
	uint64_t pages = 0;

	if (error == 0) {
		while (take_portion(verification, pages, &portion))
			pages = lm_check_portion(&checker, &portion);
		lm_checker_destroy(&checker);
	}
	pthread_mutex_lock(&verification->lock);
	if (error != 0)
		verification->error = error;
	verification->running--;
	pthread_cond_signal(&verification->changed);
	pthread_mutex_unlock(&verification->lock);
	return NULL;
}

/* ---- on the calling thread -------------------------------------------------- */

/* Pass on what is in the list, without the lock. */
static void report_list(struct verification *verification)
{
	const struct lazymem_snapshot_verify_options *options = verification->options;
	struct lazymem_snapshot_damage list[LIST_LIMIT];
	const size_t count = verification->list_count;

	memcpy(list, verification->list, count * sizeof(*list));
	verification->list_count = 0;
	pthread_cond_broadcast(&verification->room);
	pthread_mutex_unlock(&verification->lock);
	if (verification->damage_count == 0 && count != 0)
		verification->first = list[0];
	verification->damage_count += count;
	for (size_t i = 0; options->damage != NULL && i < count; i++)
		options->damage(options->context, &list[i]);
	pthread_mutex_lock(&verification->lock);
}

static void report_progress(struct verification *verification)
{
	const struct lazymem_snapshot_verify_options *options = verification->options;
	const uint64_t done = verification->done;

	if (options->progress == NULL)
		return;
	pthread_mutex_unlock(&verification->lock);
	options->progress(options->context, done, verification->total);
	pthread_mutex_lock(&verification->lock);
}

/* Until something has changed, or it is time to tell of progress; true for that. */
static bool wait_for_change(struct verification *verification)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += PROGRESS_NS;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	while (verification->list_count == 0 && verification->running > 0)
		if (pthread_cond_timedwait(&verification->changed, &verification->lock, &until) ==
		    ETIMEDOUT)
			return true;
	return false;
}

static void follow(struct verification *verification)
{
	pthread_mutex_lock(&verification->lock);
	while (verification->running > 0 || verification->list_count > 0) {
		if (wait_for_change(verification))
			report_progress(verification);
		if (verification->list_count > 0)
			report_list(verification);
	}
	report_progress(verification);
	pthread_mutex_unlock(&verification->lock);
	for (unsigned i = 0; i < verification->thread_count; i++)
		pthread_join(verification->threads[i], NULL);
}

/* Start the threads, with all signals blocked; one is enough. */
static int start_threads(struct verification *verification, unsigned wanted)
{
	sigset_t all, before;
	int error = 0;

	verification->threads = calloc(wanted, sizeof(*verification->threads));
	if (verification->threads == NULL)
		return lm_error(-ENOMEM, "no memory for %u threads", wanted);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&verification->lock);
	while (error == 0 && verification->thread_count < wanted) {
		error = pthread_create(&verification->threads[verification->thread_count], NULL,
				       check_portions, verification);
		if (error == 0) {
			verification->thread_count++;
			verification->running++;
		}
	}
	pthread_mutex_unlock(&verification->lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (verification->thread_count > 0)
		return 0;
	return lm_error_errno(-error, "cannot start a thread to verify with");
}

static unsigned default_threads(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		return 1;
	return (unsigned)lm_min((unsigned)CPU_COUNT(&cpus), DEFAULT_THREADS);
}

static uint64_t stored_bytes(const struct lm_snapshot_files *files)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < files->count; i++) {
		const struct lm_snapshot_file *file = &files->files[i];

		for (size_t j = 0; j < file->chunk_count; j++)
			if (file->chunks[j].kind != LAZYMEM_CHUNK_ZERO &&
			    file->chunks[j].kind != LAZYMEM_CHUNK_PARENT)
				pages += file->chunks[j].count;
	}
	return pages * LM_SNAPSHOT_PAGE;
}

/* The result, and the message about the first damage. */
static int conclude(const struct verification *verification)
{
	const struct lazymem_snapshot_damage *first = &verification->first;
	const char *path = verification->snapshot->files->files[first->layer].path;

	if (verification->error != 0)
		return lm_error_errno(verification->error, "%s: cannot be verified", path);
	if (verification->damage_count == 0)
		return 0;
	if (first->blob != NULL)
		return lm_error_errno(
			first->error,
			"%s: blob %s at byte %" PRIu64 " is damaged (damages found: %" PRIu64 ")",
			path, first->blob, first->file_offset, verification->damage_count);
	return lm_error_errno(first->error,
			      "%s: %" PRIu64 " bytes at guest address 0x%" PRIx64
			      ", at byte %" PRIu64 " of the file, are damaged (damages found: "
			      "%" PRIu64 ")",
			      path, first->length, first->address.value, first->file_offset,
			      verification->damage_count);
}

static int verify(struct verification *verification, unsigned threads)
{
	pthread_condattr_t monotonic;
	int error;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&verification->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&verification->room, NULL);
	pthread_mutex_init(&verification->lock, NULL);
	verification->total = stored_bytes(verification->snapshot->files);

	error = start_threads(verification, threads != 0 ? threads : default_threads());
	if (error == 0) {
		follow(verification);
		error = conclude(verification);
	}
	free(verification->threads);
	pthread_mutex_destroy(&verification->lock);
	pthread_cond_destroy(&verification->room);
	pthread_cond_destroy(&verification->changed);
	return error;
}

int lazymem_snapshot_verify(const struct lazymem_snapshot *snapshot,
			    const struct lazymem_snapshot_verify_options *options)
{
	struct lazymem_snapshot_verify_options known;
	struct verification verification = {.snapshot = snapshot, .options = &known};
	const int error = lm_options_copy(options, &known, sizeof(known),
					  "struct lazymem_snapshot_verify_options");

	if (error != 0)
		return error;
	if (known.threads > MOST_THREADS)
		return lm_error(-EINVAL, "%u threads, more than %d", known.threads, MOST_THREADS);
	return verify(&verification, known.threads);
}
