/* SPDX-License-Identifier: MIT
 *
 * stack_fixture.h - a stack over files that complete their reads when, where
 * and how the test says, and the memory that it must read as.
 */
#ifndef STACK_FIXTURE_H
#define STACK_FIXTURE_H

#include "backing/stack.h"
#include "layer_fixture.h"

#include <errno.h>
#include <pthread.h>

#define MOST_LAYERS 8

enum pace {
	AT_ONCE,   /* inside of submit */
	HELD,      /* when the test releases it */
	ON_THREAD, /* on a thread of the file, in no order */
};

/* A file whose reads are scripted. */
struct script {
	const struct layer *layer;
	enum pace pace;
	int fail_at; /* the read that fails with -EIO, counted from 0; -1: none */
	int reads;
	size_t longest;
	uint64_t advised_start, advised_end; /* readahead */
	int advised;
	int queueless; /* reads without a queue */
	pthread_t owner;
	bool foreign_queue; /* a read had a queue on a thread that is not its owner's */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t order; /* in which held reads are taken */
	struct lazymem_read *held[64];
	size_t held_count;
	bool is_closing;
	pthread_t thread;
};

struct stacked {
	struct layer layers[MOST_LAYERS];
	struct script scripts[MOST_LAYERS];
	struct lm_stack_source sources[MOST_LAYERS];
	size_t count;
	uint64_t length;
	unsigned char *memory; /* whole pages */
	struct lazymem_backing *backing;
	bool released;
};

static inline void script_end(struct script *script, struct lazymem_read *read)
{
	int error;

	pthread_mutex_lock(&script->lock);
	error = script->fail_at == script->reads++ ? -EIO : 0;
	pthread_mutex_unlock(&script->lock);
	if (error == 0)
		memcpy(read->buffer, script->layer->bytes + read->offset, read->length);
	lazymem_read_complete(read, error);
}

static inline struct lazymem_read *script_take(struct script *script)
{
	struct lazymem_read *read;
	size_t place;

	script->order = script->order * UINT64_C(6364136223846793005) + 1442695040888963407;
	place = (script->order >> 33) % script->held_count;
	read = script->held[place];
	script->held[place] = script->held[--script->held_count];
	return read;
}

static inline void script_read(void *object, struct lazymem_read *read)
{
	struct script *script = object;
	bool is_held = script->pace != AT_ONCE;

	pthread_mutex_lock(&script->lock);
	if (read->length > script->longest)
		script->longest = read->length;
	if (read->queue == NULL)
		script->queueless++;
	else if (!pthread_equal(pthread_self(), script->owner))
		script->foreign_queue = true;
	if (is_held && script->held_count < 64)
		script->held[script->held_count++] = read;
	else
		is_held = false;
	pthread_cond_signal(&script->changed);
	pthread_mutex_unlock(&script->lock);
	if (!is_held)
		script_end(script, read);
}

/* Let go of one held read, any; false when there is none. */
static inline bool script_release_one(struct script *script)
{
	if (script->held_count == 0)
		return false;
	script_end(script, script_take(script));
	return true;
}

static inline void *script_run(void *object)
{
	struct script *script = object;

	pthread_mutex_lock(&script->lock);
	while (!script->is_closing) {
		struct lazymem_read *read;

		if (script->held_count == 0) {
			pthread_cond_wait(&script->changed, &script->lock);
			continue;
		}
		read = script_take(script);
		pthread_mutex_unlock(&script->lock);
		script_end(script, read);
		pthread_mutex_lock(&script->lock);
	}
	pthread_mutex_unlock(&script->lock);
	return NULL;
}

static inline void script_readahead(void *object, uint64_t offset, uint64_t length)
{
	struct script *script = object;

	if (script->advised++ == 0 || offset < script->advised_start)
		script->advised_start = offset;
	if (offset + length > script->advised_end)
		script->advised_end = offset + length;
}

static inline void script_create(struct script *script, const struct layer *layer, enum pace pace,
				 struct lazymem_backing **ret_backing)
{
	static const struct lazymem_backing_operations operations = {
		.size = sizeof(operations), .read = script_read, .readahead = script_readahead};

	*script = (struct script){.layer = layer,
				  .pace = pace,
				  .fail_at = -1,
				  .owner = pthread_self(),
				  .order = next_random()};
	pthread_mutex_init(&script->lock, NULL);
	pthread_cond_init(&script->changed, NULL);
	if (pace == ON_THREAD)
		assert_int_equal(pthread_create(&script->thread, NULL, script_run, script), 0);
	assert_int_equal(
		lazymem_backing_create(&operations, script, layer->length, "script", ret_backing),
		0);
}

static inline void script_destroy(struct script *script)
{
	pthread_mutex_lock(&script->lock);
	script->is_closing = true;
	pthread_cond_signal(&script->changed);
	pthread_mutex_unlock(&script->lock);
	if (script->pace == ON_THREAD)
		pthread_join(script->thread, NULL);
	pthread_cond_destroy(&script->changed);
	pthread_mutex_destroy(&script->lock);
}

/* ---- stacks --------------------------------------------------------------- */

static inline void stacked_release(void *owner)
{
	struct stacked *stacked = owner;

	stacked->released = true;
	for (size_t i = 0; i < stacked->count; i++)
		lazymem_backing_unref(stacked->sources[i].file);
}

/* Make the backing object over stacked->layers, which are there. */
static inline void stacked_publish(struct stacked *stacked, enum pace pace)
{
	struct lm_stack_plan plan = {
		.sources = stacked->sources,
		.source_count = stacked->count,
		.unit_shift = 12,
		.length = stacked->length,
		.name = "stack",
		.release = stacked_release,
		.owner = stacked,
	};

	for (size_t i = 0; i < stacked->count; i++) {
		struct layer *layer = &stacked->layers[i];

		for (size_t j = 0; j < layer->chunk_count; j++)
			layer->chunks[j].layer = (uint16_t)i;
		stacked->sources[i] = (struct lm_stack_source){.sums = layer->sums,
							       .chunks = layer->chunks,
							       .chunk_count = layer->chunk_count};
		script_create(&stacked->scripts[i], layer, pace, &stacked->sources[i].file);
	}
	if (stacked->count > 1)
		assert_int_equal(lm_stack_flatten(plan.sources, plan.source_count, 12, &plan.index,
						  &plan.index_count),
				 0);
	assert_int_equal(lm_stack_create(&plan, &stacked->backing), 0);
}

/* `count` layers at random over `length` bytes of memory. */
static inline void stacked_create(struct stacked *stacked, size_t count, uint64_t length,
				  enum pace pace)
{
	const uint64_t pages = lm_snapshot_pages(length);

	*stacked = (struct stacked){.count = count, .length = length};
	stacked->memory = calloc(pages, PAGE);
	for (size_t i = count; i-- > 0;)
		layer_create(&stacked->layers[i], stacked->memory, pages, i != count - 1);
	stacked_publish(stacked, pace);
}

static inline void stacked_close(struct stacked *stacked)
{
	lazymem_backing_unref(stacked->backing);
	assert_true(stacked->released);
	stacked->released = false;
	for (size_t i = 0; i < stacked->count; i++)
		script_destroy(&stacked->scripts[i]);
}

/* A stack over the same layers that has read nothing yet. */
static inline void stacked_reopen(struct stacked *stacked, enum pace pace)
{
	stacked_close(stacked);
	stacked_publish(stacked, pace);
}

static inline void stacked_destroy(struct stacked *stacked)
{
	stacked_close(stacked);
	for (size_t i = 0; i < stacked->count; i++)
		layer_destroy(&stacked->layers[i]);
	free(stacked->memory);
}

/* Release held reads of all files in no order until there are none. */
static inline void stacked_release_all(struct stacked *stacked)
{
	bool any = true;

	while (any) {
		any = false;
		for (size_t i = 0; i < stacked->count; i++)
			any |= script_release_one(
				&stacked->scripts[(i + random_below(8)) % stacked->count]);
	}
	for (size_t i = 0; i < stacked->count; i++)
		if (stacked->scripts[i].held_count > 0)
			stacked_release_all(stacked);
}

static inline int stacked_reads(const struct stacked *stacked)
{
	int reads = 0;

	for (size_t i = 0; i < stacked->count; i++)
		reads += stacked->scripts[i].reads;
	return reads;
}

/* ---- reads ---------------------------------------------------------------- */

/* A read whose end the test can wait for. */
struct awaited {
	struct lazymem_read read;
	pthread_mutex_t lock;
	pthread_cond_t over;
	int completions;
	int error;
};

static inline void awaited_complete(struct lazymem_read *read, int error)
{
	struct awaited *awaited = read->context;

	pthread_mutex_lock(&awaited->lock);
	awaited->completions++;
	awaited->error = error;
	pthread_cond_signal(&awaited->over);
	pthread_mutex_unlock(&awaited->lock);
}

static inline void awaited_begin(struct awaited *awaited, struct lazymem_backing *backing,
				 uint64_t offset, void *buffer, size_t length)
{
	*awaited = (struct awaited){.read = {.offset = offset,
					     .length = length,
					     .buffer = buffer,
					     .complete = awaited_complete,
					     .context = awaited}};
	pthread_mutex_init(&awaited->lock, NULL);
	pthread_cond_init(&awaited->over, NULL);
	lazymem_backing_submit(backing, &awaited->read);
}

/* The same with parts, and with a queue, which is never looked at. */
static inline void awaited_begin_parts(struct awaited *awaited, struct lazymem_backing *backing,
				       const struct lazymem_read_part *parts, size_t part_count,
				       void *buffer, void *queue)
{
	*awaited = (struct awaited){.read = {.parts = parts,
					     .part_count = part_count,
					     .buffer = buffer,
					     .complete = awaited_complete,
					     .context = awaited,
					     .queue = queue}};
	for (size_t i = 0; i < part_count; i++)
		awaited->read.length += parts[i].length;
	pthread_mutex_init(&awaited->lock, NULL);
	pthread_cond_init(&awaited->over, NULL);
	lazymem_backing_submit(backing, &awaited->read);
}

/* Wait for it, releasing what is held. */
static inline int awaited_end(struct awaited *awaited, struct stacked *stacked)
{
	if (stacked->scripts[0].pace == HELD)
		stacked_release_all(stacked);
	pthread_mutex_lock(&awaited->lock);
	while (awaited->completions == 0)
		pthread_cond_wait(&awaited->over, &awaited->lock);
	assert_int_equal(awaited->completions, 1);
	pthread_mutex_unlock(&awaited->lock);
	pthread_cond_destroy(&awaited->over);
	pthread_mutex_destroy(&awaited->lock);
	return awaited->error;
}

#endif
