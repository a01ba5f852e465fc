/* wrap: pthread_create */
/* SPDX-License-Identifier: MIT
 *
 * snapshot_verify_test.c - every checksum of a snapshot: damage is found, told
 * once, at its guest addresses, and no larger than it is.
 */
#include "snapshot_fixture.h"

#include <pthread.h>

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *context);

static int threads_left = -1; /* that can be started; below zero: any number */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *context)
{
	if (threads_left == 0)
		return EAGAIN;
	threads_left -= threads_left > 0;
	return __real_pthread_create(thread, attributes, run, context);
}

#define BASE (UINT64_C(1) << 32)

static unsigned char *memory;

static int set_up(void **state)
{
	memory = calloc(PAGES, PAGE);
	return make_directory(state);
}

static int tear_down(void **state)
{
	free(memory);
	return remove_directory(state);
}

/* What the callbacks were told. */
static struct heard {
	pthread_t thread;
	bool wrong_thread;
	uint64_t done, total;
	unsigned progress;
	unsigned damages, blobs;
	bool pages[2][PAGES]; /* by layer */
	char blob[256];
	struct lazymem_snapshot_damage last;
} heard;

static void hear_progress(void *context, uint64_t done, uint64_t total)
{
	struct heard *h = context;

	h->wrong_thread |= !pthread_equal(pthread_self(), h->thread);
	assert_true(done >= h->done && done <= total);
	h->done = done;
	h->total = total;
	h->progress++;
}

static void hear_damage(void *context, const struct lazymem_snapshot_damage *damage)
{
	struct heard *h = context;

	h->wrong_thread |= !pthread_equal(pthread_self(), h->thread);
	h->damages++;
	h->last = *damage;
	if (damage->blob != NULL) {
		h->blobs++;
		snprintf(h->blob, sizeof(h->blob), "%s", damage->blob);
		return;
	}
	assert_true(damage->length > 0 && damage->length % PAGE == 0);
	for (uint64_t at = 0; at < damage->length; at += PAGE) {
		const uint64_t page = (damage->address.value + at - BASE) / PAGE;

		assert_in_range(page, 0, PAGES - 1);
		assert_false(h->pages[damage->layer][page]);
		h->pages[damage->layer][page] = true;
	}
}

static int verify(const struct lazymem_snapshot *snapshot, unsigned threads)
{
	const struct lazymem_snapshot_verify_options options = {.size = sizeof(options),
								.threads = threads,
								.progress = hear_progress,
								.damage = hear_damage,
								.context = &heard};

	memset(&heard, 0, sizeof(heard));
	heard.thread = pthread_self();
	return lazymem_snapshot_verify(snapshot, &options);
}

static struct lazymem_snapshot *open_snapshot(const char *name)
{
	struct lazymem_snapshot *snapshot;

	assert_int_equal(lazymem_snapshot_open(path_of(name), NULL, &snapshot), 0);
	return snapshot;
}

/* A base and a layer over it, with a blob each; the layers as they were drafted. */
static struct lazymem_snapshot *open_stack(uint64_t *ret_stored)
{
	uint64_t stored = 0;

	for (unsigned char number = 1; number <= 2; number++) {
		struct draft draft;

		draft_begin(&draft, memory, number, (unsigned char)(number - 1), "1");
		draft_blob(&draft, "state", "abcdefghijklmnopqrstuvwxyz", 26);
		for (size_t i = 0; i < draft.layer.chunk_count; i++)
			if (draft.layer.chunks[i].kind >= LAZYMEM_CHUNK_RAW)
				stored += draft.layer.chunks[i].count;
		draft_write(&draft, path_of(number == 1 ? "1" : "2"));
	}
	*ret_stored = stored * PAGE;
	return open_snapshot("2");
}

static void sound_stack_is_found_so(void **state)
{
	(void)state;
	for (unsigned threads = 0; threads < 6; threads++) {
		uint64_t stored;
		struct lazymem_snapshot *snapshot = open_stack(&stored);

		assert_int_equal(verify(snapshot, threads), 0);
		assert_int_equal(heard.damages, 0);
		assert_true(heard.progress > 0);
		assert_int_equal(heard.done, stored);
		assert_int_equal(heard.total, stored);
		assert_false(heard.wrong_thread);
		assert_int_equal(lazymem_snapshot_verify(snapshot, NULL), 0);
		lazymem_snapshot_unref(snapshot);
	}
}

static void flip(const char *path, uint64_t offset)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	unsigned char byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

/* One file whose chunks are raw, of these page counts. */
static struct lazymem_snapshot *open_raw(const uint32_t *counts, size_t chunk_count,
					 const struct lazymem_snapshot_region *regions,
					 size_t region_count)
{
	struct layer *layer;
	struct draft draft;
	uint64_t page = 0;

	draft_begin(&draft, memory, 1, 0, NULL);
	layer = &draft.layer;
	layer->length = PAGE;
	layer->sum_count = 0;
	layer->chunks = realloc(layer->chunks, chunk_count * sizeof(*layer->chunks));
	layer->chunk_count = chunk_count;
	for (size_t i = 0; i < chunk_count; i++) {
		layer->chunks[i] = (struct lm_chunk){
			.page = page, .count = counts[i], .kind = LAZYMEM_CHUNK_RAW};
		layer_store_chunk(layer, &layer->chunks[i], memory);
		page += counts[i];
	}
	draft.features = 0;
	draft_chunks(&draft);
	if (regions != NULL)
		draft_regions(&draft, regions, region_count);
	draft_write(&draft, path_of("raw"));
	return open_snapshot("raw");
}

static void damaged_page_is_told_alone(void **state)
{
	const uint32_t counts[] = {PAGES};
	struct lazymem_snapshot *snapshot = open_raw(counts, 1, NULL, 0);

	(void)state;
	flip(path_of("raw"), PAGE + 7 * PAGE + 100);
	assert_int_equal(verify(snapshot, 2), -EBADMSG);
	assert_int_equal(heard.damages, 1);
	assert_int_equal(heard.last.address.value, BASE + 7 * PAGE);
	assert_int_equal(heard.last.length, PAGE);
	assert_int_equal(heard.last.file_offset, 8 * PAGE);
	assert_int_equal(heard.last.error, -EBADMSG);
	assert_null(heard.last.blob);
	assert_non_null(strstr(lazymem_error_message(), path_of("raw")));
	assert_non_null(strstr(lazymem_error_message(), "0x100007000"));
	lazymem_snapshot_unref(snapshot);
}

static void neighbours_that_are_damaged_are_told_together(void **state)
{
	const uint32_t counts[] = {PAGES};
	struct lazymem_snapshot *snapshot = open_raw(counts, 1, NULL, 0);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		flip(path_of("raw"), PAGE + (PAGES - 3 + i) * PAGE);
	assert_int_equal(verify(snapshot, 1), -EBADMSG);
	assert_int_equal(heard.damages, 1);
	assert_int_equal(heard.last.address.value, BASE + (PAGES - 3) * PAGE);
	assert_int_equal(heard.last.length, 3 * PAGE);
	lazymem_snapshot_unref(snapshot);
}

static void damage_across_regions_is_told_by_region(void **state)
{
	const struct lazymem_snapshot_region regions[] = {
		{.base = {BASE + 40 * PAGE}, .length = 24 * PAGE},
		{.base = {BASE}, .length = 40 * PAGE},
	};
	const uint32_t counts[] = {PAGES};
	struct lazymem_snapshot *snapshot = open_raw(counts, 1, regions, 2);

	(void)state;
	flip(path_of("raw"), PAGE + 23 * PAGE);
	flip(path_of("raw"), PAGE + 24 * PAGE);
	assert_int_equal(verify(snapshot, 1), -EBADMSG);
	assert_int_equal(heard.damages, 2);
	assert_true(heard.pages[0][63]);
	assert_true(heard.pages[0][0]);
	assert_int_equal(heard.last.file_offset, 25 * PAGE);
	lazymem_snapshot_unref(snapshot);
}

static void damaged_blob_is_told_by_name(void **state)
{
	struct lazymem_snapshot *snapshot;
	struct draft draft;
	uint64_t offset;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	offset = draft.layer.length;
	draft_blob(&draft, "state", "abcdefghijklmnopqrstuvwxyz", 26);
	draft_write(&draft, path_of("base"));
	snapshot = open_snapshot("base");
	flip(path_of("base"), offset + 3);
	assert_int_equal(verify(snapshot, 2), -EBADMSG);
	assert_int_equal(heard.blobs, 1);
	assert_string_equal(heard.blob, "state");
	assert_int_equal(heard.last.file_offset, offset);
	assert_int_equal(heard.last.length, 26);
	assert_non_null(strstr(lazymem_error_message(), "state"));
	lazymem_snapshot_unref(snapshot);
}

/* Also what the layer above replaces. Whatever a read refuses, verifying finds. */
static void flipped_bits_of_any_layer_are_found(void **state)
{
	unsigned char page[4096];
	unsigned found = 0;

	(void)state;
	for (int round = 0; round < 100; round++) {
		uint64_t stored;
		struct lazymem_snapshot *snapshot = open_stack(&stored);
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
		const size_t index = random_below(2);
		int error;

		assert_int_equal(lazymem_snapshot_layer_at(snapshot, index, &layer), 0);
		flip(layer.path, PAGE + random_below(layer.file_length - PAGE));
		error = verify(snapshot, 1 + (unsigned)random_below(3));
		assert_int_equal(error, heard.damages > 0 ? -EBADMSG : 0);
		for (uint64_t i = 0; i < PAGES; i++) {
			error = lazymem_backing_read(lazymem_snapshot_backing(snapshot), i * PAGE,
						     page, PAGE);
			if (error == 0)
				assert_memory_equal(page, memory + i * PAGE, PAGE);
			else
				assert_true(heard.pages[index][i]);
		}
		found += heard.damages;
		lazymem_snapshot_unref(snapshot);
	}
	assert_true(found > 0);
}

static void pages_that_cannot_be_read_are_told_one_by_one(void **state)
{
	const uint32_t counts[] = {10, 20, PAGES - 30};
	struct lazymem_snapshot *snapshot = open_raw(counts, 3, NULL, 0);

	(void)state;
	assert_int_equal(truncate(path_of("raw"), (PAGES - 5) * PAGE), 0);
	assert_int_equal(verify(snapshot, 2), -ENODATA);
	assert_int_equal(heard.damages, 6);
	for (uint64_t i = 0; i < PAGES; i++)
		assert_int_equal(heard.pages[0][i], i >= PAGES - 6);
	assert_int_equal(heard.last.error, -ENODATA);
	lazymem_snapshot_unref(snapshot);
}

static void much_damage_is_told_in_full(void **state)
{
	uint32_t counts[PAGES];
	struct lazymem_snapshot *snapshot;

	(void)state;
	for (size_t i = 0; i < PAGES; i++)
		counts[i] = 1;
	snapshot = open_raw(counts, PAGES, NULL, 0);
	for (uint64_t i = 0; i < PAGES; i++)
		flip(path_of("raw"), PAGE + i * PAGE);
	assert_int_equal(verify(snapshot, 4), -EBADMSG);
	assert_int_equal(heard.damages, PAGES);
	assert_non_null(strstr(lazymem_error_message(), "64"));
	lazymem_snapshot_unref(snapshot);
}

static void missing_threads_are_done_without_unless_all_are(void **state)
{
	uint64_t stored;
	struct lazymem_snapshot *snapshot = open_stack(&stored);

	(void)state;
	threads_left = 1;
	assert_int_equal(verify(snapshot, 4), 0);
	assert_int_equal(heard.done, stored);
	threads_left = 0;
	assert_int_equal(verify(snapshot, 4), -EAGAIN);
	threads_left = -1;
	lazymem_snapshot_unref(snapshot);
}

static void too_many_threads_are_refused(void **state)
{
	uint64_t stored;
	struct lazymem_snapshot *snapshot = open_stack(&stored);

	(void)state;
	assert_int_equal(verify(snapshot, 1000000), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "1000000"));
	lazymem_snapshot_unref(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_stack_is_found_so),
		cmocka_unit_test(damaged_page_is_told_alone),
		cmocka_unit_test(neighbours_that_are_damaged_are_told_together),
		cmocka_unit_test(damage_across_regions_is_told_by_region),
		cmocka_unit_test(damaged_blob_is_told_by_name),
		cmocka_unit_test(flipped_bits_of_any_layer_are_found),
		cmocka_unit_test(pages_that_cannot_be_read_are_told_one_by_one),
		cmocka_unit_test(much_damage_is_told_in_full),
		cmocka_unit_test(missing_threads_are_done_without_unless_all_are),
		cmocka_unit_test(too_many_threads_are_refused),
	};

	seed_random();
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
