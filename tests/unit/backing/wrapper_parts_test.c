/* SPDX-License-Identifier: MIT
 *
 * wrapper_parts_test.c - what the wrappers pass on beside reads and extents, and
 * what they do to reads in parts.
 */
#include "inject_fixture.h"

/* ---- an object that has it all: the sample bytes, in parts ---------------- */

static const struct lazymem_identity known_by = {{5, 4, 3}};
static unsigned reads_in_parts;
static uint64_t advised_offset, advised_length;

static void read_sample(void *object, struct lazymem_read *read)
{
	(void)object;
	memcpy(read->buffer, sample + read->offset, read->length);
	lazymem_read_complete(read, 0);
}

static void read_sample_parts(void *object, struct lazymem_read *read)
{
	unsigned char *to = read->buffer;

	(void)object;
	reads_in_parts++;
	for (size_t i = 0; i < read->part_count; i++) {
		memcpy(to, sample + read->parts[i].offset, read->parts[i].length);
		to += read->parts[i].length;
	}
	lazymem_read_complete(read, 0);
}

static int identify(void *object, struct lazymem_identity *ret_identity)
{
	(void)object;
	*ret_identity = known_by;
	return 0;
}

static void note_advice(void *object, uint64_t offset, uint64_t length)
{
	(void)object;
	advised_offset = offset;
	advised_length = length;
}

static const struct lazymem_backing_operations operations = {.size = sizeof(operations),
							     .read = read_sample,
							     .read_parts = read_sample_parts,
							     .identity = identify,
							     .readahead = note_advice};

static struct lazymem_backing *parted;

static int set_up_parted(void **state)
{
	reads_in_parts = 0;
	advised_offset = advised_length = 0;
	assert_int_equal(lazymem_backing_create(&operations, NULL, LENGTH, "parted", &parted), 0);
	return set_up(state);
}

static int tear_down_parted(void **state)
{
	lazymem_backing_unref(parted);
	return tear_down(state);
}

/* ---- reading ------------------------------------------------------------- */

static const struct lazymem_read_part parts[] = {{20000, 100}, {4096, 50}, {40000, 150}};

#define TOTAL ((size_t)300)
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static void post(struct lazymem_read *read, int error)
{
	_Atomic int *outcome = read->context;

	*outcome = error;
}

/* Read the parts; what the read completes with. */
static int read_all_parts(struct lazymem_backing *backing)
{
	_Atomic int outcome = 1;
	struct lazymem_read read = {.length = TOTAL,
				    .buffer = buffer,
				    .complete = post,
				    .context = &outcome,
				    .parts = parts,
				    .part_count = 3};

	memset(buffer, 0, TOTAL);
	lazymem_backing_submit(backing, &read);
	while (outcome == 1)
		sched_yield();
	return outcome;
}

static bool has_all_parts(void)
{
	return sample_matches(buffer, 20000, 100) && sample_matches(buffer + 100, 4096, 50) &&
	       sample_matches(buffer + 150, 40000, 150);
}

static struct lazymem_inject_read seen;
static unsigned seen_count;
static uint64_t seen_bytes;

static void observe(void *context, const struct lazymem_inject_read *read)
{
	(void)context;
	seen = *read;
	seen_count++;
	seen_bytes += read->length;
}

/* Every wrapper around `object`, to do nothing. */
static void wrap_in_all(struct lazymem_backing *object, struct lazymem_backing *wrapped[4])
{
	assert_int_equal(lazymem_inject_delay(object, everything, 0, &wrapped[0]), 0);
	assert_int_equal(lazymem_inject_fail(object, everything, -EIO, 0, &wrapped[1]), 0);
	assert_int_equal(lazymem_inject_shorten(object, everything, 0, &wrapped[2]), 0);
	assert_int_equal(lazymem_inject_record(object, observe, NULL, &wrapped[3]), 0);
}

static void every_wrapper_passes_parts_identity_and_readahead_on(void **state)
{
	struct lazymem_backing *wrapped[4];

	(void)state;
	wrap_in_all(parted, wrapped);
	for (uint64_t i = 0; i < 4; i++) {
		struct lazymem_identity identity = {{0}};

		assert_true(lazymem_backing_takes_parts(wrapped[i]));
		assert_int_equal(read_all_parts(wrapped[i]), 0);
		assert_true(has_all_parts());
		assert_int_equal(reads_in_parts, i + 1);
		assert_int_equal(lazymem_backing_identity(wrapped[i], &identity), 0);
		assert_memory_equal(&identity, &known_by, sizeof(identity));
		lazymem_backing_readahead(wrapped[i], 1000 + i, 77);
		assert_int_equal(advised_offset, 1000 + i);
		assert_int_equal(advised_length, 77);
		lazymem_backing_unref(wrapped[i]);
	}
}

static void no_wrapper_has_what_the_object_inside_lacks(void **state)
{
	struct lazymem_backing *wrapped[4];

	(void)state;
	wrap_in_all(inner, wrapped);
	for (int i = 0; i < 4; i++) {
		struct lazymem_identity identity;

		assert_false(lazymem_backing_takes_parts(wrapped[i]));
		assert_int_equal(read_all_parts(wrapped[i]), -EOPNOTSUPP);
		assert_int_equal(lazymem_backing_identity(wrapped[i], &identity), -ENODATA);
		lazymem_backing_readahead(wrapped[i], 0, 1);
		lazymem_backing_unref(wrapped[i]);
	}
}

static void a_read_hits_when_any_part_overlaps(void **state)
{
	static const struct {
		struct lazymem_inject_range range;
		int error;
	} rows[] = {
		{{20099, 1, 0}, -EIO}, {{4000, 97, 0}, -EIO}, {{40149, 1000, 0}, -EIO},
		{{0, 0, 0}, -EIO},     {{4146, 15854, 0}, 0}, {{0, 4096, 0}, 0},
		{{40150, 1000, 0}, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lazymem_backing *fail;

		assert_int_equal(
			lazymem_inject_fail(parted, rows[i].range, -EIO, UINT64_MAX, &fail), 0);
		assert_int_equal(read_all_parts(fail), rows[i].error);
		lazymem_backing_unref(fail);
	}
}

static void parts_are_delayed(void **state)
{
	const struct lazymem_inject_range third = {.start = 40000, .length = 1};
	struct lazymem_backing *delay;
	const uint64_t before = now_ns();

	(void)state;
	assert_int_equal(lazymem_inject_delay(parted, third, 5000000, &delay), 0);
	assert_int_equal(read_all_parts(delay), 0);
	assert_true(now_ns() - before >= 5000000);
	assert_true(has_all_parts());
	lazymem_backing_unref(delay);
}

static void a_shortened_read_delivers_the_parts_of_its_first_half(void **state)
{
	struct lazymem_backing *shorten;

	(void)state;
	assert_int_equal(lazymem_inject_shorten(parted, everything, 1, &shorten), 0);
	assert_int_equal(read_all_parts(shorten), -ENODATA);
	assert_true(sample_matches(buffer, 20000, 100));
	assert_true(sample_matches(buffer + 100, 4096, 50));
	for (size_t i = 150; i < TOTAL; i++)
		assert_int_equal(buffer[i], 0);
	assert_int_equal(read_all_parts(shorten), 0);
	lazymem_backing_unref(shorten);
}

static void a_shortened_read_of_one_part_delivers_nothing(void **state)
{
	_Atomic int outcome = 1;
	struct lazymem_read read = {.length = 150,
				    .buffer = buffer,
				    .complete = post,
				    .context = &outcome,
				    .parts = &parts[2],
				    .part_count = 1};
	struct lazymem_backing *shorten;

	(void)state;
	assert_int_equal(lazymem_inject_shorten(parted, everything, 1, &shorten), 0);
	lazymem_backing_submit(shorten, &read);
	assert_int_equal(outcome, -ENODATA);
	assert_int_equal(reads_in_parts, 0);
	assert_int_equal(buffer[0], 0);
	lazymem_backing_unref(shorten);
}

static void each_part_of_a_read_is_told(void **state)
{
	struct lazymem_backing *record;

	(void)state;
	seen_count = 0;
	seen_bytes = 0;
	assert_int_equal(lazymem_inject_record(parted, observe, NULL, &record), 0);
	assert_int_equal(read_all_parts(record), 0);
	assert_int_equal(seen_count, PARTS);
	assert_int_equal(seen_bytes, TOTAL);
	assert_int_equal(seen.offset, parts[PARTS - 1].offset);
	assert_int_equal(seen.length, parts[PARTS - 1].length);
	lazymem_backing_unref(record);
}

/* A child that carried parts is used again without them. */
static void a_read_after_one_in_parts_has_none(void **state)
{
	struct lazymem_backing *record;

	(void)state;
	assert_int_equal(lazymem_inject_record(parted, observe, NULL, &record), 0);
	assert_int_equal(read_all_parts(record), 0);
	assert_reads(record, 123, 456);
	assert_int_equal(reads_in_parts, 1);
	lazymem_backing_unref(record);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_parted, tear_down_parted)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_wrapper_passes_parts_identity_and_readahead_on),
		TEST(no_wrapper_has_what_the_object_inside_lacks),
		TEST(a_read_hits_when_any_part_overlaps),
		TEST(parts_are_delayed),
		TEST(a_shortened_read_delivers_the_parts_of_its_first_half),
		TEST(a_shortened_read_of_one_part_delivers_nothing),
		TEST(each_part_of_a_read_is_told),
		TEST(a_read_after_one_in_parts_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
