/* SPDX-License-Identifier: MIT
 *
 * moment_test.c - a snapshot of a guest that goes on: it holds what memory held
 * at the moment, whatever was there, missing, written or given back, and takes
 * only what was written.
 */
#include <errno.h>
#include <lazymem/bytes.h>
#include <lazymem/inject.h>
#include <lazymem/moment.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/tracked.h>
#include <unistd.h>

#define PAGES 12

/* A guest that is restored from the snapshot "base", and what it should hold. */
struct restored_guest {
	struct image image;
	struct lazymem_snapshot *base;
	struct guest guest;
	unsigned char *model; /* of guest memory now */
};

/* ---- the fixture */

static void write_base(const struct image *image, uint64_t length)
{
	const struct lazymem_snapshot_region region = {{GUEST_BASE}, length, 0};
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan), .regions = &region, .region_count = 1};

	assert_ok(lazymem_bytes_create(image->bytes, image->length, NULL, NULL, &plan.source));
	assert_ok(lazymem_snapshot_write(scratch_path("base"), &plan));
	lazymem_backing_unref(plan.source);
}

static void begin_cut(struct restored_guest *f, void **state, uint64_t cut)
{
	const size_t length = PAGES * page_size_of(memory_of(state));
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_TRACK,
		.tracking_most = tracking_of(state),
	};

	image_create(&f->image, length - cut, "ddhdzd", 11);
	f->model = malloc(length);
	memset(f->model, 0, length);
	memcpy(f->model, f->image.bytes, f->image.length);
	write_base(&f->image, length);
	assert_ok(lazymem_snapshot_open(scratch_path("base"), NULL, &f->base));
	guest_map(&f->guest, memory_of(state), length, 0, lazymem_snapshot_backing(f->base));
	guest_attach(&f->guest, NULL, &options);
}

static void begin(struct restored_guest *f, void **state)
{
	begin_cut(f, state, 0);
}

static void end(struct restored_guest *f)
{
	guest_end(&f->guest);
	lazymem_snapshot_unref(f->base);
	free(f->model);
	image_destroy(&f->image);
}

static unsigned char *page_at(const struct restored_guest *f, size_t page)
{
	return f->guest.host + page * f->guest.page;
}

/* The guest writes a page, which was there or not. */
static void guest_writes(struct restored_guest *f, size_t page, unsigned char value)
{
	unsigned char *model = f->model + page * f->guest.page;

	memset(page_at(f, page) + 100, value, 50);
	memset(model + 100, value, 50);
}

static void guest_discards(struct restored_guest *f, size_t page)
{
	assert_ok(lazymem_mapping_discard(f->guest.mapping, page * f->guest.page, f->guest.page));
	memset(f->model + page * f->guest.page, 0, f->guest.page);
}

static struct lazymem_moment *take(struct restored_guest *f)
{
	struct lazymem_moment *moment;
	uint64_t length;

	assert_ok(lazymem_moment_create(f->guest.attachment, &moment));
	assert_ok(lazymem_moment_take(moment, &length));
	return moment;
}

static struct lazymem_snapshot_plan plan_over(struct lazymem_snapshot *parent, const char *name)
{
	return (struct lazymem_snapshot_plan){
		.size = sizeof(struct lazymem_snapshot_plan),
		.parent = parent,
		.parent_path = name,
	};
}

static void write_layer(struct lazymem_moment *moment, struct lazymem_snapshot *parent,
			const char *parent_name, const char *name)
{
	const struct lazymem_snapshot_plan plan = plan_over(parent, parent_name);

	assert_ok(lazymem_moment_write(moment, scratch_path(name), &plan));
}

static struct lazymem_snapshot *open_named(const char *name)
{
	struct lazymem_snapshot *snapshot;

	assert_ok(lazymem_snapshot_open(scratch_path(name), NULL, &snapshot));
	return snapshot;
}

/* Does the snapshot hold these bytes? */
static void assert_snapshot_holds(const char *name, const unsigned char *bytes, size_t length)
{
	struct lazymem_snapshot *snapshot = open_named(name);
	unsigned char *held = malloc(length);

	assert_ok(lazymem_backing_read(lazymem_snapshot_backing(snapshot), 0, held, length));
	for (size_t at = 0; at < length; at += PAGE)
		if (memcmp(held + at, bytes + at, PAGE) != 0)
			fail_msg("%s: the page at 0x%zx is another one", name, at);
	free(held);
	lazymem_snapshot_unref(snapshot);
}

static struct lazymem_snapshot_layer layer_of(const char *name)
{
	struct lazymem_snapshot *snapshot = open_named(name);
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

	assert_ok(lazymem_snapshot_layer_at(snapshot, 0, &layer));
	lazymem_snapshot_unref(snapshot);
	layer.path = NULL;
	layer.parent_path = NULL;
	return layer;
}

static uint64_t populated(const struct restored_guest *f)
{
	return statistics_at_rest(f->guest.attachment).pages_populated;
}

/* ---- what is in it */

static void test_a_layer_has_what_was_written_and_populates_nothing(void **state)
{
	const size_t small = page_size_of(memory_of(state)) / PAGE;
	struct lazymem_snapshot_layer layer;
	struct restored_guest f;
	struct lazymem_moment *moment;
	uint64_t before;

	begin(&f, state);
	touch(page_at(&f, 0));  /* there, and clean */
	guest_writes(&f, 1, 7); /* written where it was missing */
	touch(page_at(&f, 3));
	guest_writes(&f, 3, 8);  /* written where it was there */
	guest_writes(&f, 2, 9);  /* in a hole */
	guest_writes(&f, 5, 10); /* written, */
	guest_discards(&f, 5);   /* then given back */
	guest_discards(&f, 6);   /* given back before it was there */
	guest_discards(&f, 7);   /* given back, */
	guest_writes(&f, 7, 11); /* then written */
	before = populated(&f);
	moment = take(&f);
	write_layer(moment, f.base, "base", "layer");
	lazymem_moment_destroy(moment);
	assert_int_equal(populated(&f), before);
	assert_snapshot_holds("layer", f.model, f.guest.length);
	layer = layer_of("layer");
	assert_int_equal(layer.pages[LAZYMEM_CHUNK_PARENT], (PAGES - 6) * small);
	assert_true(layer.pages[LAZYMEM_CHUNK_RAW] >= 4);
	assert_int_equal(layer.pages[LAZYMEM_CHUNK_RAW] + layer.pages[LAZYMEM_CHUNK_ZERO],
			 6 * small);
	end(&f);
}

static void test_what_is_written_after_the_moment_is_in_the_next_one(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment;
	struct lazymem_snapshot *first;
	unsigned char *then;

	begin(&f, state);
	guest_writes(&f, 1, 1);
	guest_writes(&f, 3, 1);
	moment = take(&f);
	then = malloc(f.guest.length);
	memcpy(then, f.model, f.guest.length);
	guest_writes(&f, 1, 2);
	guest_writes(&f, 4, 2);
	guest_discards(&f, 3);
	write_layer(moment, f.base, "base", "first");
	lazymem_moment_destroy(moment);
	assert_snapshot_holds("first", then, f.guest.length);
	first = open_named("first");
	moment = take(&f);
	write_layer(moment, first, "first", "second");
	lazymem_moment_destroy(moment);
	assert_snapshot_holds("second", f.model, f.guest.length);
	assert_snapshot_holds("first", then, f.guest.length);
	lazymem_snapshot_unref(first);
	free(then);
	end(&f);
}

static void test_what_is_written_after_a_round_is_copied_again(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment;
	uint64_t first, second, rest;

	begin(&f, state);
	for (size_t page = 0; page < 6; page++)
		guest_writes(&f, page, 1);
	assert_ok(lazymem_moment_create(f.guest.attachment, &moment));
	assert_ok(lazymem_moment_copy(moment, &first));
	assert_int_equal(first, 6 * f.guest.page);
	guest_writes(&f, 1, 2);
	guest_writes(&f, 8, 2);
	guest_discards(&f, 2);
	assert_ok(lazymem_moment_copy(moment, &second));
	assert_int_equal(second, 2 * f.guest.page);
	guest_writes(&f, 2, 3);
	guest_discards(&f, 1);
	assert_ok(lazymem_moment_take(moment, &rest));
	assert_int_equal(rest, f.guest.page);
	assert_int_equal(lazymem_dirty_length(lazymem_moment_dirty(moment)), 7 * f.guest.page);
	write_layer(moment, f.base, "base", "layer");
	lazymem_moment_destroy(moment);
	assert_snapshot_holds("layer", f.model, f.guest.length);
	end(&f);
}

static void test_a_first_moment_without_a_parent_is_a_whole_snapshot(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment;

	begin(&f, state);
	touch(page_at(&f, 0));
	guest_writes(&f, 1, 1);
	guest_discards(&f, 3);
	moment = take(&f);
	guest_writes(&f, 1, 2);
	guest_writes(&f, 5, 2);
	memset(f.model + f.guest.page + 100, 1, 50);
	memcpy(f.model + 5 * f.guest.page, f.image.bytes + 5 * f.guest.page, f.guest.page);
	assert_ok(lazymem_moment_write(moment, scratch_path("whole"), NULL));
	lazymem_moment_destroy(moment);
	assert_int_equal(layer_of("whole").pages[LAZYMEM_CHUNK_PARENT], 0);
	assert_snapshot_holds("whole", f.model, f.guest.length);
	end(&f);
}

/* A source that goes away. */
struct leaving {
	const unsigned char *bytes;
	atomic_bool is_gone;
};

static void read_leaving(void *object, struct lazymem_read *read)
{
	struct leaving *leaving = object;

	if (!atomic_load(&leaving->is_gone))
		memcpy(read->buffer, leaving->bytes + read->offset, read->length);
	lazymem_read_complete(read, atomic_load(&leaving->is_gone) ? -ENOTCONN : 0);
}

static void test_what_is_there_needs_no_source_once_all_is_copied(void **state)
{
	static const struct lazymem_backing_operations operations = {.size = sizeof(operations),
								     .read = read_leaving};
	const size_t page = page_size_of(memory_of(state));
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_TRACK,
		.tracking_most = tracking_of(state),
	};
	struct leaving leaving = {0};
	struct lazymem_backing *backing;
	struct lazymem_moment *moment;
	struct restored_guest f;
	uint64_t length;

	begin(&f, state);
	guest_end(&f.guest);
	leaving.bytes = f.image.bytes;
	assert_ok(lazymem_backing_create(&operations, &leaving, PAGES * page, "it", &backing));
	guest_map(&f.guest, memory_of(state), PAGES * page, 0, backing);
	guest_attach(&f.guest, NULL, &options);
	for (size_t i = 0; i < PAGES; i++)
		touch(page_at(&f, i));
	guest_writes(&f, 1, 1);
	guest_discards(&f, 3);
	assert_ok(lazymem_moment_create(f.guest.attachment, &moment));
	assert_ok(lazymem_moment_copy_all(moment, &length));
	assert_int_equal(length, (PAGES - 1) * page);
	atomic_store(&leaving.is_gone, true);
	guest_writes(&f, 4, 1);
	guest_discards(&f, 5);
	assert_ok(lazymem_moment_take(moment, &length));
	assert_ok(lazymem_moment_write(moment, scratch_path("whole"), NULL));
	lazymem_moment_destroy(moment);
	assert_snapshot_holds("whole", f.model, f.guest.length);
	lazymem_backing_unref(backing);
	end(&f);
}

static enum lazymem_verdict poison(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	return LAZYMEM_POISON;
}

/* Nobody can read the page any more, and the guest has not written it. */
static void test_poison_is_as_in_the_parent(void **state)
{
	const size_t page = page_size_of(memory_of(state));
	const struct lazymem_inject_range range = {3 * page, page, LAZYMEM_INJECT_READ};
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_TRACK,
		.tracking_most = tracking_of(state),
		.on_failure = poison,
	};
	struct lazymem_backing *failing;
	struct lazymem_moment *moment;
	struct restored_guest f;

	begin(&f, state);
	guest_end(&f.guest);
	assert_ok(lazymem_inject_fail(lazymem_snapshot_backing(f.base), range, -EIO, UINT64_MAX,
				      &failing));
	guest_map(&f.guest, memory_of(state), PAGES * page, 0, failing);
	guest_attach(&f.guest, NULL, &options);
	assert_int_equal(touch(page_at(&f, 3)), SIGNALLED + SIGBUS);
	guest_writes(&f, 4, 1);
	moment = take(&f);
	write_layer(moment, f.base, "base", "layer");
	lazymem_moment_destroy(moment);
	assert_snapshot_holds("layer", f.model, f.guest.length);
	lazymem_backing_unref(failing);
	end(&f);
}

/* ---- failures */

static void test_what_was_not_written_to_a_file_is_in_the_next_moment(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment;
	struct lazymem_snapshot_plan plan;

	begin(&f, state);
	guest_writes(&f, 1, 1);
	guest_discards(&f, 3);
	moment = take(&f);
	plan = plan_over(f.base, "base");
	assert_refused(lazymem_moment_write(moment, "/nowhere/to/be/found", &plan), -ENOENT,
		       "/nowhere/to/be/found");
	lazymem_moment_destroy(moment);
	guest_writes(&f, 4, 4);
	moment = take(&f);
	write_layer(moment, f.base, "base", "layer");
	lazymem_moment_destroy(moment);
	assert_snapshot_holds("layer", f.model, f.guest.length);
	end(&f);
}

static void test_a_failed_write_may_be_tried_again(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment;
	struct lazymem_snapshot_plan plan;

	begin(&f, state);
	guest_writes(&f, 1, 1);
	moment = take(&f);
	plan = plan_over(f.base, "base");
	assert_refused(lazymem_moment_write(moment, "/nowhere/to/be/found", &plan), -ENOENT,
		       "/nowhere/to/be/found");
	write_layer(moment, f.base, "base", "layer");
	plan = plan_over(f.base, "base");
	assert_refused(lazymem_moment_write(moment, scratch_path("again"), &plan), -EINVAL,
		       "written already");
	lazymem_moment_destroy(moment);
	assert_snapshot_holds("layer", f.model, f.guest.length);
	end(&f);
}

static void test_another_parent_is_refused(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment;
	struct lazymem_snapshot *first;
	struct lazymem_snapshot_plan plan;

	begin(&f, state);
	moment = take(&f);
	write_layer(moment, f.base, "base", "first");
	lazymem_moment_destroy(moment);
	first = open_named("first");
	moment = take(&f);
	plan = plan_over(f.base, "base");
	assert_refused(lazymem_moment_write(moment, scratch_path("second"), &plan), -ESTALE,
		       "not the snapshot that the moment before was written to");
	assert_refused(lazymem_moment_write(moment, scratch_path("second"), NULL), -EINVAL,
		       "not the first moment");
	write_layer(moment, first, "first", "second");
	lazymem_moment_destroy(moment);
	lazymem_snapshot_unref(first);
	end(&f);
}

static void test_bad_requests_are_refused(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment, *other;
	struct lazymem_snapshot_plan plan;
	uint64_t length;

	begin(&f, state);
	assert_ok(lazymem_moment_create(f.guest.attachment, &moment));
	assert_refused(lazymem_moment_create(f.guest.attachment, &other), -EBUSY,
		       "has a moment already");
	plan = plan_over(f.base, "base");
	assert_refused(lazymem_moment_write(moment, scratch_path("layer"), &plan), -EINVAL,
		       "was not taken");
	assert_ok(lazymem_moment_take(moment, &length));
	assert_int_equal(length, 0);
	assert_refused(lazymem_moment_take(moment, &length), -EINVAL, "taken already");
	assert_refused(lazymem_moment_copy(moment, &length), -EINVAL, "taken already");
	plan.source = lazymem_snapshot_backing(f.base);
	assert_refused(lazymem_moment_write(moment, scratch_path("layer"), &plan), -EINVAL,
		       "has a source, regions or changed");
	lazymem_moment_destroy(moment);
	lazymem_moment_destroy(NULL);
	end(&f);
}

static void test_memory_that_is_not_tracked_has_no_moments(void **state)
{
	struct image image;
	struct source source;
	struct guest guest;
	struct lazymem_moment *moment;

	image_create(&image, 4 * page_size_of(memory_of(state)), "d", 1);
	source_create(&source, &image);
	guest_start(&guest, memory_of(state), image.length, source.backing);
	assert_refused(lazymem_moment_create(guest.attachment, &moment), -EINVAL,
		       "LAZYMEM_ATTACH_TRACK");
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

static void test_a_moment_outlives_its_attachment(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment;
	uint64_t length;

	begin(&f, state);
	guest_writes(&f, 1, 1);
	moment = take(&f);
	guest_finish(&f.guest);
	memset(page_at(&f, 1), 77, 200);
	write_layer(moment, f.base, "base", "layer");
	lazymem_moment_destroy(moment);
	assert_snapshot_holds("layer", f.model, f.guest.length);
	end(&f);

	begin(&f, state);
	assert_ok(lazymem_moment_create(f.guest.attachment, &moment));
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_refused(lazymem_moment_take(moment, &length), -EINVAL, "was let go");
	lazymem_moment_destroy(moment);
	end(&f);
}

static void test_the_end_of_a_parent_that_is_cut_off_is_not_lost(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment;
	struct lazymem_snapshot_plan plan;

	begin_cut(&f, state, 1000);
	guest_writes(&f, PAGES - 1, 1);
	moment = take(&f);
	write_layer(moment, f.base, "base", "layer");
	lazymem_moment_destroy(moment);
	assert_snapshot_holds("layer", f.model, f.guest.length);
	f.guest.host[f.guest.length - 10] = 1;
	lazymem_snapshot_unref(f.base);
	f.base = open_named("layer");
	moment = take(&f);
	plan = plan_over(f.base, "layer");
	assert_refused(lazymem_moment_write(moment, scratch_path("next"), &plan), -ERANGE,
		       "past the end of the parent");
	lazymem_moment_destroy(moment);
	end(&f);
}

/* ---- who else asks */

static void test_a_collect_takes_nothing_from_a_moment(void **state)
{
	struct restored_guest f;
	struct lazymem_moment *moment;
	struct lazymem_dirty *dirty;

	begin(&f, state);
	guest_writes(&f, 1, 1);
	assert_ok(lazymem_dirty_create(f.guest.memory, &dirty));
	assert_ok(lazymem_attachment_collect(f.guest.attachment, dirty));
	assert_int_equal(lazymem_dirty_length(dirty), f.guest.page);
	guest_writes(&f, 3, 1);
	moment = take(&f);
	lazymem_dirty_clear(dirty);
	assert_ok(lazymem_attachment_collect(f.guest.attachment, dirty));
	assert_int_equal(lazymem_dirty_length(dirty), f.guest.page);
	write_layer(moment, f.base, "base", "layer");
	lazymem_moment_destroy(moment);
	lazymem_dirty_destroy(dirty);
	assert_snapshot_holds("layer", f.model, f.guest.length);
	end(&f);
}

/* ---- a guest that runs */

#define WRITERS 2

/* Each writer has half of the pages, and writes 1 to all of them, then 2, and
 * so on, in order: at any moment its pages hold at most two numbers, and
 * the larger ones come first. */
struct writer {
	struct restored_guest *f;
	size_t first, count;
	pthread_rwlock_t *running; /* held shared by those who write */
	atomic_bool *ends;
};

static void *write_numbers(void *argument)
{
	const struct writer *writer = argument;

	for (uint64_t number = 1; !atomic_load(writer->ends); number++)
		for (size_t i = 0; i < writer->count; i++) {
			pthread_rwlock_rdlock(writer->running);
			atomic_store(
				(_Atomic uint64_t *)(void *)page_at(writer->f, writer->first + i),
				number);
			pthread_rwlock_unlock(writer->running);
		}
	return NULL;
}

static uint64_t number_in(const unsigned char *bytes, size_t page_size, size_t page)
{
	uint64_t number;

	memcpy(&number, bytes + page * page_size, sizeof(number));
	return number;
}

/* `now` is what memory held while the writers stood still. */
static void assert_one_moment(const struct restored_guest *f, const char *name,
			      const unsigned char *now)
{
	const size_t half = PAGES / WRITERS, page = f->guest.page;

	assert_snapshot_holds(name, now, f->guest.length);
	for (size_t writer = 0; writer < WRITERS; writer++)
		for (size_t i = 1; i < half; i++) {
			const uint64_t before = number_in(now, page, writer * half + i - 1);
			const uint64_t number = number_in(now, page, writer * half + i);

			assert_true(before == number || before == number + 1);
		}
}

/* All of memory, once, from one thread: so that nothing is missing in the comparison. */
static void populate_all(const struct restored_guest *f)
{
	for (size_t page = 0; page < PAGES; page++)
		memset(page_at(f, page), 0, sizeof(uint64_t));
}

static void test_a_running_guest_is_taken_at_one_moment(void **state)
{
	static pthread_rwlock_t running = PTHREAD_RWLOCK_INITIALIZER;
	atomic_bool ends = false;
	struct restored_guest f;
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	char names[8][32];
	unsigned char *now;

	begin(&f, state);
	populate_all(&f);
	now = malloc(f.guest.length);
	for (size_t i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){&f, i * (PAGES / WRITERS), PAGES / WRITERS, &running,
					     &ends};
		pthread_create(&threads[i], NULL, write_numbers, &writers[i]);
	}
	for (size_t i = 0; i < 8; i++) {
		struct lazymem_moment *moment;
		uint64_t length;

		snprintf(names[i], sizeof(names[i]), "layer-%zu", i);
		assert_ok(lazymem_moment_create(f.guest.attachment, &moment));
		assert_ok(lazymem_moment_copy(moment, &length));
		pthread_rwlock_wrlock(&running);
		assert_ok(lazymem_moment_take(moment, &length));
		memcpy(now, f.guest.host, f.guest.length);
		pthread_rwlock_unlock(&running);
		write_layer(moment, f.base, i == 0 ? "base" : names[i - 1], names[i]);
		lazymem_moment_destroy(moment);
		assert_one_moment(&f, names[i], now);
		lazymem_snapshot_unref(f.base);
		f.base = open_named(names[i]);
	}
	atomic_store(&ends, true);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	free(now);
	end(&f);
}

/* ---- several regions */

static void test_regions_are_in_the_order_of_the_parent(void **state)
{
	const size_t length = 4 * PAGE;
	const struct lazymem_snapshot_region table[2] = {{{GUEST_BASE}, length, 0},
							 {{0}, length, length}};
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan), .regions = table, .region_count = 2};
	struct lazymem_attach_options options = {.size = sizeof(options),
						 .flags = LAZYMEM_ATTACH_TRACK};
	struct lazymem_mapping *mappings[2];
	struct lazymem_region *regions[2];
	struct lazymem_memory *memory;
	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment;
	struct lazymem_snapshot *base;
	struct lazymem_moment *moment;
	struct image image;
	uint64_t copied;

	(void)state;
	image_create(&image, 2 * length, "d", 5);
	assert_ok(lazymem_bytes_create(image.bytes, image.length, NULL, NULL, &plan.source));
	assert_ok(lazymem_snapshot_write(scratch_path("base"), &plan));
	lazymem_backing_unref(plan.source);
	base = open_named("base");
	for (size_t i = 0; i < 2; i++) {
		assert_ok(lazymem_mapping_create_anonymous(length, NULL, &mappings[i]));
		assert_ok(lazymem_region_create(mappings[i], table[i].base,
						lazymem_snapshot_backing(base), table[i].offset,
						&regions[i]));
	}
	assert_ok(lazymem_memory_create(regions, 2, &memory));
	assert_ok(lazymem_handler_create(NULL, &handler));
	assert_ok(lazymem_handler_attach(handler, memory, &options, &attachment));
	assert_ok(lazymem_memory_store_u64(memory, (lazymem_guest_address){PAGE}, 0x1122));
	assert_ok(lazymem_memory_store_u64(memory, (lazymem_guest_address){GUEST_BASE}, 0x3344));
	assert_ok(lazymem_moment_create(attachment, &moment));
	assert_ok(lazymem_moment_take(moment, &copied));
	write_layer(moment, base, "base", "layer");
	lazymem_moment_destroy(moment);
	memcpy(image.bytes + length + PAGE, (uint64_t[]){0x1122}, 8);
	memcpy(image.bytes, (uint64_t[]){0x3344}, 8);
	assert_snapshot_holds("layer", image.bytes, image.length);
	lazymem_attachment_abort(attachment);
	assert_ok(lazymem_handler_destroy(handler));
	lazymem_memory_unref(memory);
	for (size_t i = 0; i < 2; i++) {
		lazymem_region_unref(regions[i]);
		lazymem_mapping_unref(mappings[i]);
	}
	lazymem_snapshot_unref(base);
	image_destroy(&image);
}

#define ONCE(function, way)                                                                        \
	TEST_NAMED(function, #function " (memfd, " #way ")", WAY(MEMFD, LAZYMEM_TRACKING_##way))

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_EACH_WAY(test_a_layer_has_what_was_written_and_populates_nothing),
		IN_EACH_WAY(test_what_is_written_after_the_moment_is_in_the_next_one),
		IN_EACH_WAY(test_what_is_written_after_a_round_is_copied_again),
		IN_EACH_WAY(test_a_first_moment_without_a_parent_is_a_whole_snapshot),
		IN_EACH_WAY(test_what_was_not_written_to_a_file_is_in_the_next_moment),
		IN_EACH_WAY(test_a_running_guest_is_taken_at_one_moment),
		IN_EACH_WAY(test_what_is_there_needs_no_source_once_all_is_copied),
		ONCE(test_poison_is_as_in_the_parent, POPULATED),
		ONCE(test_poison_is_as_in_the_parent, KERNEL),
		ONCE(test_what_is_written_after_the_moment_is_in_the_next_one, POPULATED),
		ONCE(test_a_running_guest_is_taken_at_one_moment, POPULATED),
		ONCE(test_a_failed_write_may_be_tried_again, KERNEL),
		ONCE(test_another_parent_is_refused, KERNEL),
		ONCE(test_bad_requests_are_refused, KERNEL),
		ONCE(test_memory_that_is_not_tracked_has_no_moments, KERNEL),
		ONCE(test_a_moment_outlives_its_attachment, KERNEL),
		ONCE(test_the_end_of_a_parent_that_is_cut_off_is_not_lost, KERNEL),
		ONCE(test_a_collect_takes_nothing_from_a_moment, KERNEL),
		ONCE(test_regions_are_in_the_order_of_the_parent, KERNEL),
	};

	require_faults();
	require_hugetlb(BLOCK, PAGES);
	return run_group(tests);
}
