/* SPDX-License-Identifier: MIT
 *
 * write_random_test.c - random writes, flushes, discards, reads, failures of power
 * and openings anew of every kind of object that can be written, against a plain
 * array.
 *
 * Where the power can fail, the array has a history: what each byte was since the
 * last flush. After a failure each byte is one of these, and without a seed it is
 * the oldest. LAZYMEM_TEST_SEED repeats a run.
 */
#include "backing/queue.h"

#include "sample.h"

#include <errno.h>
#include <lazymem/bytes.h>
#include <lazymem/file.h>
#include <lazymem/inject.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#ifdef __SANITIZE_THREAD__
#define FEWER 8 /* each access costs it many times as much */
#else
#define FEWER 1
#endif

enum {
	PAGE = 4096,
	LENGTH = 16 * PAGE,
	START = 2 * PAGE,
	SEQUENCES = 100 / FEWER,
	STEPS = 80,
	HISTORY = 12
};

static uint64_t seed; /* of the sequence */
static char *directory, *path;
static struct lm_queue *queue; /* NULL where there is no io_uring */

static unsigned char *buffer; /* aligned, and a little longer */
static unsigned char bytes[LENGTH];

/* What the object holds, the latest last. */
static unsigned char history[HISTORY][LENGTH];
static unsigned versions;

/* What is played with. */
static struct lazymem_backing *object, *power;
static bool knows_holes, is_file;
static unsigned open_flags;

static uint64_t below(uint64_t limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * UINT64_C(0x2545f4914f6cdd1d) >> 32) % limit;
}

static unsigned char *latest(void)
{
	return history[versions - 1];
}

/* The array is about to change; it stays what it was where power cannot fail. */
static unsigned char *change(void)
{
	if (power == NULL)
		return latest();
	assert_true(versions < HISTORY);
	memcpy(history[versions], latest(), LENGTH);
	versions++;
	return latest();
}

static void flushed(void)
{
	memmove(history[0], latest(), LENGTH);
	versions = 1;
}

/* ---- the objects --------------------------------------------------------- */

static struct lazymem_backing *open_file(void)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = open_flags | LAZYMEM_FILE_WRITABLE,
						     .start = START,
						     .length = LENGTH};
	struct lazymem_backing *file = NULL;
	const int error = lazymem_file_open(path, &options, &file);

	if ((error == -EINVAL || error == -EOPNOTSUPP) && (open_flags & LAZYMEM_FILE_DIRECT) != 0)
		skip(); /* the file system has none */
	assert_int_equal(error, 0);
	return file;
}

static void observe(void *context, const struct lazymem_inject_read *read)
{
	(void)context;
	assert_in_range(read->length, read->operation == LAZYMEM_INJECT_FLUSH ? 0 : 1, LENGTH);
}

enum kind {
	KIND_BYTES,
	KIND_FILE,
	KIND_DIRECT_FILE,
	KIND_CACHED_OR_DIRECT_FILE,
	KIND_FILE_WITHOUT_HOLES,
	KIND_POWER_OVER_BYTES,
	KIND_POWER_OVER_FILE,
	KIND_WRAPPED_POWER,
};

static const unsigned flags_of[] = {
	[KIND_DIRECT_FILE] = LAZYMEM_FILE_DIRECT,
	[KIND_CACHED_OR_DIRECT_FILE] = LAZYMEM_FILE_CACHED_OR_DIRECT,
	[KIND_FILE_WITHOUT_HOLES] = LAZYMEM_FILE_NO_HOLES,
	[KIND_WRAPPED_POWER] = 0,
};

/* A wrapper takes the place of what it wraps. */
static void wrap(struct lazymem_backing *wrapper)
{
	lazymem_backing_unref(object);
	object = wrapper;
}

static void make_object(enum kind kind)
{
	const struct lazymem_inject_range writes = {.operations = LAZYMEM_INJECT_WRITE |
								  LAZYMEM_INJECT_FLUSH};
	struct lazymem_backing *wrapper;

	is_file = kind != KIND_BYTES && kind != KIND_POWER_OVER_BYTES;
	open_flags = flags_of[kind];
	if (is_file)
		object = open_file();
	else
		assert_int_equal(lazymem_bytes_create_writable(bytes, LENGTH, NULL, NULL, &object),
				 0);
	knows_holes = is_file && kind != KIND_FILE_WITHOUT_HOLES;
	if (kind < KIND_POWER_OVER_BYTES)
		return;
	assert_int_equal(lazymem_inject_power(object, &power), 0);
	wrap(lazymem_backing_ref(power));
	if (kind < KIND_WRAPPED_POWER)
		return;
	assert_int_equal(lazymem_inject_record(object, observe, NULL, &wrapper), 0);
	wrap(wrapper);
	assert_int_equal(lazymem_inject_delay(object, writes, 1000, &wrapper), 0);
	wrap(wrapper);
}

static void drop_object(void)
{
	lazymem_backing_unref(power);
	lazymem_backing_unref(object);
	power = object = NULL;
}

/* ---- the steps ----------------------------------------------------------- */

struct outcome {
	bool is_over; /* completions may come from another thread */
	int error;
};

static void note(struct lazymem_write *write, int error)
{
	struct outcome *outcome = write->context;

	outcome->error = error;
	__atomic_store_n(&outcome->is_over, true, __ATOMIC_RELEASE);
}

static int wait_for(struct outcome *outcome)
{
	while (!__atomic_load_n(&outcome->is_over, __ATOMIC_ACQUIRE))
		assert_true(lm_queue_run(queue, 1000000) >= 0);
	return outcome->error;
}

/* Half of the offsets and lengths are whole blocks. */
static void choose_range(uint64_t *ret_offset, size_t *ret_length)
{
	if (below(2) == 0) {
		*ret_offset = below(LENGTH / 512) * 512;
		*ret_length = (1 + below((LENGTH - *ret_offset) / 512)) * 512;
	} else {
		*ret_offset = below(LENGTH);
		*ret_length = 1 + below(LENGTH - *ret_offset);
	}
	if (below(2) == 0 && *ret_length > PAGE)
		*ret_length = PAGE;
}

static void write_some(void)
{
	struct outcome outcome = {0};
	struct lazymem_write write = {.complete = note, .context = &outcome, .queue = queue};
	unsigned char *from = buffer + (below(4) == 0 ? below(16) : 0);
	int error;

	choose_range(&write.offset, &write.length);
	for (size_t i = 0; i < write.length; i++)
		from[i] = (unsigned char)below(256);
	memcpy(change() + write.offset, from, write.length);
	if (queue == NULL || below(2) == 0) {
		error = lazymem_backing_write(object, write.offset, from, write.length);
	} else {
		write.buffer = from;
		lazymem_backing_submit_write(object, &write);
		error = wait_for(&outcome);
	}
	assert_int_equal(error, 0);
}

static void discard_some(void)
{
	uint64_t offset;
	size_t length;
	int error;

	choose_range(&offset, &length);
	error = lazymem_backing_discard(object, offset, length);
	if (error == -EOPNOTSUPP)
		return;
	assert_int_equal(error, 0);
	memset(change() + offset, 0, length);
}

static void flush(void)
{
	struct outcome outcome = {0};
	struct lazymem_write write = {.complete = note, .context = &outcome, .queue = queue};

	if (queue == NULL || below(2) == 0) {
		assert_int_equal(lazymem_backing_flush(object), 0);
	} else {
		lazymem_backing_submit_flush(object, &write);
		assert_int_equal(wait_for(&outcome), 0);
	}
	flushed();
}

static void read_some(void)
{
	uint64_t offset;
	size_t length;

	choose_range(&offset, &length);
	assert_int_equal(lazymem_backing_read(object, offset, buffer, length), 0);
	assert_memory_equal(buffer, latest() + offset, length);
}

/* What is called zero is, and adds up to the whole. */
static void check_extents(void)
{
	uint64_t offset = 0;

	while (offset < LENGTH) {
		struct lazymem_extent extent;

		assert_int_equal(lazymem_backing_extent(object, offset, LENGTH - offset, &extent),
				 0);
		for (uint64_t i = 0; i < extent.length; i++)
			if (extent.kind == LAZYMEM_EXTENT_ZERO)
				assert_int_equal(latest()[offset + i], 0);
		if (!knows_holes && power == NULL)
			assert_int_equal(extent.kind, LAZYMEM_EXTENT_DATA);
		offset += extent.length;
	}
}

static bool was_ever(uint64_t offset, unsigned char byte)
{
	for (unsigned i = 0; i < versions; i++)
		if (history[i][offset] == byte)
			return true;
	return false;
}

static void fail_power(void)
{
	const bool loses_all = below(2) == 0;

	assert_int_equal(lazymem_inject_power_failure(power, loses_all ? 0 : 1 + below(1000000)),
			 0);
	assert_int_equal(lazymem_backing_read(object, 0, buffer, LENGTH), 0);
	for (uint64_t i = 0; i < LENGTH; i++)
		if (!was_ever(i, buffer[i]))
			fail_msg("byte %u at %llu was never there", buffer[i],
				 (unsigned long long)i);
	if (loses_all)
		assert_memory_equal(buffer, history[0], LENGTH);
	memcpy(history[0], buffer, LENGTH);
	versions = 1;
}

/* What was flushed, or what needs no flush to be seen, is in the file. */
static void open_anew(void)
{
	if (!is_file || power != NULL)
		return;
	drop_object();
	object = open_file();
}

static void play_a_step(void)
{
	const uint64_t choice = below(100);

	if (versions == HISTORY || choice < 10)
		flush();
	else if (choice < 50)
		write_some();
	else if (choice < 65)
		discard_some();
	else if (choice < 85)
		read_some();
	else if (choice < 92)
		check_extents();
	else if (power != NULL)
		fail_power();
	else
		open_anew();
}

/* ---- sequences ----------------------------------------------------------- */

static void begin(enum kind kind)
{
	sample_fill(bytes, 0, LENGTH);
	unlink(path);
	sample_write(path, 0, START + LENGTH + 100);
	memcpy(history[0], bytes, LENGTH);
	if (kind != KIND_BYTES && kind != KIND_POWER_OVER_BYTES)
		sample_fill(history[0], START, LENGTH);
	versions = 1;
	make_object(kind);
}

static void play(void **state)
{
	const enum kind kind = *(const enum kind *)*state;
	const char *given = getenv("LAZYMEM_TEST_SEED");
	const uint64_t first = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	print_message("LAZYMEM_TEST_SEED=%llu\n", (unsigned long long)first);
	for (unsigned sequence = 0; sequence < SEQUENCES; sequence++) {
		seed = (first + sequence) * UINT64_C(0x9e3779b97f4a7c15) | 1;
		begin(kind);
		for (unsigned step = 0; step < STEPS; step++)
			play_a_step();
		check_extents();
		assert_int_equal(lazymem_backing_read(object, 0, buffer, LENGTH), 0);
		assert_memory_equal(buffer, latest(), LENGTH);
		drop_object();
	}
}

static int set_up(void **state)
{
	(void)state;
	directory = sample_make_directory();
	buffer = aligned_alloc(PAGE, LENGTH + PAGE);
	if (asprintf(&path, "%s/file", directory) < 0 || buffer == NULL)
		return -1;
	if (lm_queue_create(8, &queue) != 0)
		queue = NULL;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lm_queue_destroy(queue);
	free(buffer);
	free(path);
	sample_remove_directory(directory);
	return 0;
}

static int drop_what_is_left(void **state)
{
	(void)state;
	drop_object();
	return 0;
}

#define PLAY(name, number)                                                                         \
	{                                                                                          \
		name, play, NULL, drop_what_is_left, &kinds[number]                                \
	}

int main(void)
{
	static enum kind kinds[] = {
		KIND_BYTES,
		KIND_FILE,
		KIND_DIRECT_FILE,
		KIND_CACHED_OR_DIRECT_FILE,
		KIND_FILE_WITHOUT_HOLES,
		KIND_POWER_OVER_BYTES,
		KIND_POWER_OVER_FILE,
		KIND_WRAPPED_POWER,
	};
	const struct CMUnitTest tests[] = {
		PLAY("bytes", 0),
		PLAY("file", 1),
		PLAY("direct_file", 2),
		PLAY("cached_or_direct_file", 3),
		PLAY("file_without_holes", 4),
		PLAY("power_over_bytes", 5),
		PLAY("power_over_file", 6),
		PLAY("wrapped_power", 7),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
