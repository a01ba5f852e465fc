/* wrap: calloc aligned_alloc malloc */
/* SPDX-License-Identifier: MIT
 *
 * stack_read_test.c - reads of a stack, whose files complete in every way that
 * there is.
 */
#include "stack_fixture.h"

#include <stdatomic.h>

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static atomic_int allocations_left = -1; /* those that succeed; below zero: all */
static atomic_int allocations;

static bool may_allocate(void)
{
	allocations++;
	if (allocations_left < 0)
		return true;
	return allocations_left-- > 0;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_malloc(size_t size)
{
	return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return may_allocate() ? __real_aligned_alloc(alignment, size) : NULL;
}

/* ---- what is read --------------------------------------------------------- */

#ifdef __SANITIZE_THREAD__
#define FEWER 6 /* each access costs it many times as much, and the threads are the same */
#else
#define FEWER 1
#endif

#define LENGTH (300 * PAGE + 1234)

static void read_at_random(struct stacked *stacked)
{
	const uint64_t offset = random_below(stacked->length);
	size_t length = 1 + random_below(random_below(2) ? 20000 : stacked->length);
	unsigned char *buffer;
	struct awaited awaited;

	if (length > stacked->length - offset)
		length = stacked->length - offset;
	buffer = malloc(length);
	memset(buffer, 0xee, length);
	awaited_begin(&awaited, stacked->backing, offset, buffer, length);
	assert_int_equal(awaited_end(&awaited, stacked), 0);
	assert_memory_equal(buffer, stacked->memory + offset, length);
	free(buffer);
}

static void read_parts_at_random(struct stacked *stacked)
{
	struct lazymem_read_part parts[200];
	const size_t count = 1 + random_below(200);
	const bool in_pages = random_below(2) == 0;
	struct awaited awaited;
	unsigned char *buffer, *at;
	size_t total = 0;

	for (size_t i = 0; i < count; i++) {
		parts[i].offset = random_below(stacked->length);
		parts[i].length = 1 + random_below(9000);
		if (in_pages) {
			parts[i].offset = parts[i].offset / PAGE * PAGE;
			parts[i].length = PAGE * (1 + random_below(3));
		}
		if (parts[i].length > stacked->length - parts[i].offset)
			parts[i].length = stacked->length - parts[i].offset;
		total += parts[i].length;
	}
	buffer = malloc(total);
	memset(buffer, 0xee, total);
	awaited_begin_parts(&awaited, stacked->backing, parts, count, buffer, NULL);
	assert_int_equal(awaited_end(&awaited, stacked), 0);
	at = buffer;
	for (size_t i = 0; i < count; i++) {
		assert_memory_equal(at, stacked->memory + parts[i].offset, parts[i].length);
		at += parts[i].length;
	}
	free(buffer);
}

static void check_reads(enum pace pace, size_t layers)
{
	struct stacked stacked;

	stacked_create(&stacked, layers, LENGTH, pace);
	for (int i = 0; i < 60 / FEWER; i++) {
		read_at_random(&stacked);
		read_parts_at_random(&stacked);
	}
	stacked_destroy(&stacked);
}

static void check_reads_of_stacks(enum pace pace)
{
	for (size_t layers = 1; layers <= MOST_LAYERS; layers += 1 + layers / 2)
		check_reads(pace, layers);
}

static void bytes_are_right_when_files_complete_at_once(void **state)
{
	(void)state;
	check_reads_of_stacks(AT_ONCE);
}

static void bytes_are_right_when_files_complete_later_and_in_no_order(void **state)
{
	(void)state;
	check_reads_of_stacks(HELD);
}

static void bytes_are_right_when_files_complete_on_their_threads(void **state)
{
	(void)state;
	check_reads_of_stacks(ON_THREAD);
}

static void several_reads_are_on_their_way_at_once(void **state)
{
	enum { READS = 8 };
	struct stacked stacked;
	struct awaited awaited[READS];
	unsigned char *buffers = malloc(READS * LENGTH);

	(void)state;
	stacked_create(&stacked, 3, LENGTH, ON_THREAD);
	for (size_t i = 0; i < READS; i++)
		awaited_begin(&awaited[i], stacked.backing, 0, buffers + i * LENGTH, LENGTH);
	for (size_t i = 0; i < READS; i++) {
		assert_int_equal(awaited_end(&awaited[i], &stacked), 0);
		assert_memory_equal(buffers + i * LENGTH, stacked.memory, LENGTH);
	}
	stacked_destroy(&stacked);
	free(buffers);
}

/* ---- how it is read ------------------------------------------------------- */

/* One file, in which the chunks of these kinds, of `count` pages each, are
 * stored in the order of `order`. */
static void stacked_store(struct stacked *stacked, const unsigned char *kinds, size_t chunk_count,
			  uint32_t count, const size_t *order)
{
	const unsigned char header[4096] = {0};
	struct layer *layer = &stacked->layers[0];

	*stacked = (struct stacked){.count = 1, .length = chunk_count * count * PAGE};
	stacked->memory = calloc(chunk_count * count, PAGE);
	layer->chunks = calloc(chunk_count, sizeof(*layer->chunks));
	layer->chunk_count = chunk_count;
	layer_store(layer, header, sizeof(header), PAGE);
	for (size_t i = 0; i < chunk_count; i++) {
		layer->chunks[i] =
			(struct lm_chunk){.page = i * count, .count = count, .kind = kinds[i]};
		apply_chunk(stacked->memory, &layer->chunks[i], 1);
	}
	for (size_t i = 0; i < chunk_count; i++)
		layer_store_chunk(layer, &layer->chunks[order[i]], stacked->memory);
	layer_store(layer, header, 0, PAGE);
	stacked_publish(stacked, AT_ONCE);
}

static const size_t shuffled[] = {5, 0, 3, 7, 1, 6, 2, 4};

/* Read the chunks in the order in which they are stored, with one read in parts. */
static void read_in_order(struct stacked *stacked, uint32_t count)
{
	struct lazymem_read_part parts[8];
	unsigned char *buffer = malloc(8 * count * PAGE);
	struct awaited awaited;

	for (size_t i = 0; i < 8; i++)
		parts[i] = (struct lazymem_read_part){shuffled[i] * count * PAGE, count * PAGE};
	awaited_begin_parts(&awaited, stacked->backing, parts, 8, buffer, NULL);
	assert_int_equal(awaited_end(&awaited, stacked), 0);
	for (size_t i = 0; i < 8; i++)
		assert_memory_equal(buffer + i * count * PAGE, stacked->memory + parts[i].offset,
				    count * PAGE);
	free(buffer);
}

static void raw_parts_stored_side_by_side_are_one_transfer(void **state)
{
	const unsigned char kinds[] = {2, 2, 2, 2, 2, 2, 2, 2};
	struct stacked stacked;

	(void)state;
	stacked_store(&stacked, kinds, 8, 3, shuffled);
	read_in_order(&stacked, 3);
	assert_int_equal(stacked.scripts[0].reads, 1);
	assert_int_equal(stacked.scripts[0].longest, 8 * 3 * PAGE);
	stacked_destroy(&stacked);
}

static void compressed_parts_stored_side_by_side_are_one_transfer(void **state)
{
	const unsigned char kind = lazymem_snapshot_supports(LAZYMEM_CHUNK_LZ4)
					   ? LAZYMEM_CHUNK_LZ4
					   : LAZYMEM_CHUNK_ZSTD;
	const unsigned char kinds[] = {kind, 2, kind, kind, 2, kind, kind, kind};
	struct stacked stacked;

	(void)state;
	if (!lazymem_snapshot_supports((enum lazymem_chunk_kind)kind))
		skip();
	stacked_store(&stacked, kinds, 8, 2, shuffled);
	read_in_order(&stacked, 2);
	assert_int_equal(stacked.scripts[0].reads, 1);
	stacked_destroy(&stacked);
}

static void zeros_need_no_transfer(void **state)
{
	const unsigned char kinds[] = {0, 0, 0, 0, 0, 0, 0, 0};
	struct stacked stacked;

	(void)state;
	stacked_store(&stacked, kinds, 8, 3, shuffled);
	read_in_order(&stacked, 3);
	assert_int_equal(stacked.scripts[0].reads, 0);
	stacked_destroy(&stacked);
}

static enum lazymem_chunk_kind any_compression(void)
{
	for (enum lazymem_chunk_kind kind = LAZYMEM_CHUNK_LZ4; kind < LAZYMEM_CHUNK_KINDS; kind++)
		if (lazymem_snapshot_supports(kind))
			return kind;
	skip();
	return LAZYMEM_CHUNK_ZERO;
}

static void next_page_of_a_decoded_chunk_needs_no_transfer(void **state)
{
	const unsigned char kinds[] = {(unsigned char)any_compression()};
	const size_t order[] = {0};
	struct stacked stacked;
	unsigned char page[4096];

	(void)state;
	stacked_store(&stacked, kinds, 1, 4, order);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(lazymem_backing_read(stacked.backing, i * PAGE, page, PAGE), 0);
		assert_memory_equal(page, stacked.memory + i * PAGE, PAGE);
	}
	assert_int_equal(stacked.scripts[0].reads, 1);
	stacked_destroy(&stacked);
}

/* Every second page, so that there is a transfer for each: some hundred batches. */
static void *read_scattered_pages(void *argument)
{
	struct stacked *stacked = argument;
	const size_t count = stacked->length / PAGE / 2;
	struct lazymem_read_part *parts = calloc(count, sizeof(*parts));
	unsigned char *buffer = malloc(count * PAGE);
	struct awaited awaited;

	for (size_t i = 0; i < count; i++)
		parts[i] = (struct lazymem_read_part){(count - 1 - i) * 2 * PAGE, PAGE};
	awaited_begin_parts(&awaited, stacked->backing, parts, count, buffer, NULL);
	assert_int_equal(awaited_end(&awaited, stacked), 0);
	for (size_t i = 0; i < count; i++)
		assert_memory_equal(buffer + i * PAGE, stacked->memory + parts[i].offset, PAGE);
	free(buffer);
	free(parts);
	return NULL;
}

static void depth_of_calls_does_not_grow_with_the_parts(void **state)
{
	const unsigned char kinds[] = {LAZYMEM_CHUNK_RAW};
	const size_t order[] = {0};
	struct stacked stacked;
	pthread_attr_t small;
	pthread_t thread;

	(void)state;
	stacked_store(&stacked, kinds, 1, 8192, order);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 128 << 10);
	assert_int_equal(pthread_create(&thread, &small, read_scattered_pages, &stacked), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&small);
	assert_int_equal(stacked.scripts[0].reads, 4096);
	stacked_destroy(&stacked);
}

static void queue_is_used_on_its_own_thread_only(void **state)
{
	const unsigned char kinds[] = {LAZYMEM_CHUNK_RAW};
	const size_t order[] = {0};
	struct lazymem_read_part parts[100];
	unsigned char *buffer = malloc(100 * PAGE);
	struct stacked stacked;
	struct awaited awaited;
	int queue;

	(void)state;
	stacked_store(&stacked, kinds, 1, 200, order);
	stacked.scripts[0].pace = ON_THREAD;
	assert_int_equal(
		pthread_create(&stacked.scripts[0].thread, NULL, script_run, &stacked.scripts[0]),
		0);
	for (size_t i = 0; i < 100; i++)
		parts[i] = (struct lazymem_read_part){i * 2 * PAGE, PAGE};
	awaited_begin_parts(&awaited, stacked.backing, parts, 100, buffer, &queue);
	assert_int_equal(awaited_end(&awaited, &stacked), 0);
	for (size_t i = 0; i < 100; i++)
		assert_memory_equal(buffer + i * PAGE, stacked.memory + i * 2 * PAGE, PAGE);
	assert_false(stacked.scripts[0].foreign_queue);
	assert_in_range(stacked.scripts[0].queueless, 0, 99);
	stacked_destroy(&stacked);
	free(buffer);
}

/* ---- failures ------------------------------------------------------------- */

static void failed_transfer_fails_the_read_after_the_others_are_over(void **state)
{
	const unsigned char kinds[] = {LAZYMEM_CHUNK_RAW};
	const size_t order[] = {0};
	struct lazymem_read_part parts[10];
	unsigned char *buffer = malloc(10 * PAGE);
	struct stacked stacked;
	struct awaited awaited;

	(void)state;
	stacked_store(&stacked, kinds, 1, 20, order);
	stacked.scripts[0].pace = HELD;
	stacked.scripts[0].fail_at = 0;
	for (size_t i = 0; i < 10; i++)
		parts[i] = (struct lazymem_read_part){i * 2 * PAGE, PAGE};
	awaited_begin_parts(&awaited, stacked.backing, parts, 10, buffer, NULL);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(awaited.completions, 0);
		assert_true(script_release_one(&stacked.scripts[0]));
	}
	assert_int_equal(awaited_end(&awaited, &stacked), -EIO);
	stacked_destroy(&stacked);
	free(buffer);
}

/* Each failure is of a new stack: one that has read before keeps the chunk that it
 * decoded last, and so needs other transfers. */
static void failure_of_any_transfer_is_the_error_of_the_read(void **state)
{
	struct stacked stacked;
	unsigned char *buffer = malloc(LENGTH);
	int transfers;

	(void)state;
	stacked_create(&stacked, 2, LENGTH, ON_THREAD);
	assert_int_equal(lazymem_backing_read(stacked.backing, 0, buffer, LENGTH), 0);
	transfers = stacked.scripts[0].reads;
	assert_true(transfers > 3);
	for (int i = transfers - 1; i >= 0; i -= 3) {
		stacked_reopen(&stacked, ON_THREAD);
		stacked.scripts[0].fail_at = i;
		assert_int_equal(lazymem_backing_read(stacked.backing, 0, buffer, LENGTH), -EIO);
		assert_int_equal(lazymem_backing_read(stacked.backing, 0, buffer, LENGTH), 0);
		assert_memory_equal(buffer, stacked.memory, LENGTH);
	}
	stacked_destroy(&stacked);
	free(buffer);
}

/* Read page by page: right, or refused. Returns how many were refused. */
static size_t count_refused(const struct stacked *stacked)
{
	unsigned char page[4096];
	size_t refused = 0;

	for (uint64_t offset = 0; offset < stacked->length; offset += PAGE) {
		const int error = lazymem_backing_read(stacked->backing, offset, page, PAGE);

		if (error == 0)
			assert_memory_equal(page, stacked->memory + offset, PAGE);
		else
			assert_int_equal(error, -EBADMSG);
		refused += error != 0;
	}
	return refused;
}

static void flipped_bit_is_never_served(void **state)
{
	size_t refused = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		unsigned char *buffer = malloc(64 * PAGE);
		struct stacked stacked;
		struct layer *layer;
		size_t found;
		int error;

		stacked_create(&stacked, 1 + random_below(3), 64 * PAGE, AT_ONCE);
		layer = &stacked.layers[random_below(stacked.count)];
		layer->bytes[random_below(layer->length)] ^= (unsigned char)(1u << random_below(8));
		found = count_refused(&stacked);
		error = lazymem_backing_read(stacked.backing, 0, buffer, 64 * PAGE);
		assert_int_equal(error, found > 0 ? -EBADMSG : 0);
		refused += found;
		stacked_destroy(&stacked);
		free(buffer);
	}
	assert_true(refused > 0);
}

/* Every bit of what is stored, one after the other; the chunk is read as a whole,
 * which decodes it straight to its place, and in two halves. */
static void check_flips(enum lazymem_chunk_kind kind)
{
	const unsigned char kinds[] = {(unsigned char)kind};
	const size_t order[] = {0};
	unsigned char pages[4 * 4096];
	struct stacked stacked;
	size_t refused = 0;

	stacked_store(&stacked, kinds, 1, 4, order);
	for (size_t i = 0; i < stacked.layers[0].chunks[0].stored * 8; i++) {
		unsigned char *byte =
			stacked.layers[0].bytes + stacked.layers[0].chunks[0].position + i / 8;

		*byte ^= (unsigned char)(1u << i % 8);
		for (size_t length = 2 * PAGE; length <= 4 * PAGE; length += 2 * PAGE) {
			const int error = lazymem_backing_read(stacked.backing, 0, pages, length);

			if (error == 0)
				assert_memory_equal(pages, stacked.memory, length);
			else
				assert_int_equal(error, -EBADMSG);
			refused += error != 0;
		}
		*byte ^= (unsigned char)(1u << i % 8);
	}
	assert_true(refused > 0);
	stacked_destroy(&stacked);
}

static void flipped_bit_of_a_compressed_chunk_is_never_served(void **state)
{
	(void)state;
	any_compression();
	for (enum lazymem_chunk_kind kind = LAZYMEM_CHUNK_LZ4; kind < LAZYMEM_CHUNK_KINDS; kind++)
		if (lazymem_snapshot_supports(kind))
			check_flips(kind);
}

/* The medium gives other bytes for a while, as a bad cable does; what came of
 * them must not be kept. */
static void bytes_that_were_refused_are_read_again(void **state)
{
	const unsigned char kind = (unsigned char)any_compression(), kinds[] = {kind, kind};
	const size_t order[] = {0, 1};
	struct stacked stacked;
	unsigned char page[4096];
	size_t refused = 0;

	(void)state;
	stacked_store(&stacked, kinds, 2, 4, order);
	for (size_t i = 0; i < stacked.layers[0].chunks[0].stored; i++) {
		unsigned char *byte =
			stacked.layers[0].bytes + stacked.layers[0].chunks[0].position + i;

		/* the other chunk, so that this one is not there decoded */
		assert_int_equal(lazymem_backing_read(stacked.backing, 4 * PAGE, page, PAGE), 0);
		*byte ^= 0x10;
		refused += lazymem_backing_read(stacked.backing, 0, page, PAGE) == -EBADMSG;
		*byte ^= 0x10;
		assert_int_equal(lazymem_backing_read(stacked.backing, 0, page, PAGE), 0);
		assert_memory_equal(page, stacked.memory, PAGE);
	}
	assert_true(refused > 0);
	stacked_destroy(&stacked);
}

/* ---- memory --------------------------------------------------------------- */

static void nothing_is_allocated_once_it_is_warm(void **state)
{
	struct stacked stacked;
	unsigned char *buffer = malloc(64 * PAGE);

	(void)state;
	stacked_create(&stacked, 3, 64 * PAGE, AT_ONCE);
	count_refused(&stacked);
	assert_int_equal(lazymem_backing_read(stacked.backing, 0, buffer, 64 * PAGE), 0);
	allocations = 0;
	assert_int_equal(count_refused(&stacked), 0);
	assert_int_equal(lazymem_backing_read(stacked.backing, 0, buffer, 64 * PAGE), 0);
	assert_int_equal(allocations, 0);
	stacked_destroy(&stacked);
	free(buffer);
}

static void read_fails_while_there_is_no_memory(void **state)
{
	const unsigned char kinds[] = {(unsigned char)any_compression()};
	const size_t order[] = {0};
	unsigned char page[4096];
	struct stacked stacked;
	int error = -ENOMEM;

	(void)state;
	stacked_store(&stacked, kinds, 1, 4, order);
	for (int allowed = 0; error == -ENOMEM; allowed++) {
		assert_true(allowed < 10);
		allocations_left = allowed;
		error = lazymem_backing_read(stacked.backing, PAGE, page, PAGE);
	}
	assert_int_equal(error, 0);
	allocations_left = -1;
	assert_memory_equal(page, stacked.memory + PAGE, PAGE);
	stacked_destroy(&stacked);
}

/* ---- lifetime ------------------------------------------------------------- */

static struct lazymem_backing *last_reference;
static int last_error = 1;

static void drop_last_reference(struct lazymem_read *read, int error)
{
	(void)read;
	last_error = error;
	lazymem_backing_unref(last_reference);
}

static void completion_may_drop_the_last_reference(void **state)
{
	struct stacked stacked;
	unsigned char *buffer = malloc(64 * PAGE);
	struct lazymem_read read = {
		.length = 64 * PAGE, .buffer = buffer, .complete = drop_last_reference};

	(void)state;
	stacked_create(&stacked, 2, 64 * PAGE, HELD);
	last_reference = stacked.backing;
	lazymem_backing_submit(stacked.backing, &read);
	stacked_release_all(&stacked);
	assert_int_equal(last_error, 0);
	assert_true(stacked.released);
	assert_memory_equal(buffer, stacked.memory, 64 * PAGE);
	stacked.backing = NULL;
	stacked_destroy(&stacked);
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_right_when_files_complete_at_once),
		cmocka_unit_test(bytes_are_right_when_files_complete_later_and_in_no_order),
		cmocka_unit_test(bytes_are_right_when_files_complete_on_their_threads),
		cmocka_unit_test(several_reads_are_on_their_way_at_once),
		cmocka_unit_test(raw_parts_stored_side_by_side_are_one_transfer),
		cmocka_unit_test(compressed_parts_stored_side_by_side_are_one_transfer),
		cmocka_unit_test(zeros_need_no_transfer),
		cmocka_unit_test(next_page_of_a_decoded_chunk_needs_no_transfer),
		cmocka_unit_test(depth_of_calls_does_not_grow_with_the_parts),
		cmocka_unit_test(queue_is_used_on_its_own_thread_only),
		cmocka_unit_test(failed_transfer_fails_the_read_after_the_others_are_over),
		cmocka_unit_test(failure_of_any_transfer_is_the_error_of_the_read),
		cmocka_unit_test(flipped_bit_is_never_served),
		cmocka_unit_test(flipped_bit_of_a_compressed_chunk_is_never_served),
		cmocka_unit_test(bytes_that_were_refused_are_read_again),
		cmocka_unit_test(nothing_is_allocated_once_it_is_warm),
		cmocka_unit_test(read_fails_while_there_is_no_memory),
		cmocka_unit_test(completion_may_drop_the_last_reference),
	};

	seed_random();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
