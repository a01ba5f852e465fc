/* SPDX-License-Identifier: MIT
 *
 * backing_optional_test.c - what an object may offer beside reads and extents,
 * over an object of 10,000 bytes that notes what reaches it: parts, an identity,
 * readahead.
 */
#include "core/identity.h"

#include "model.h"

#define LENGTH UINT64_C(10000)

struct fake {
	unsigned reads;
	unsigned reads_in_parts;
	const struct lazymem_read_part *parts; /* of the read in parts seen last */
	size_t part_count;
	int error; /* that reads end with */
	struct lazymem_identity identity;
	int identity_error;
	struct lazymem_read *held; /* a read that is not over */
	bool holds;
	unsigned hurries;
	const struct lazymem_read *hurried;
	unsigned flags; /* of the read seen last */
	unsigned advices;
	uint64_t advised_offset, advised_length;
};

static void fake_read(void *object, struct lazymem_read *read)
{
	struct fake *fake = object;

	fake->reads++;
	fake->flags = read->flags;
	if (fake->holds)
		fake->held = read;
	else
		lazymem_read_complete(read, fake->error);
}

static void fake_hurry(void *object, struct lazymem_read *read)
{
	struct fake *fake = object;

	fake->hurries++;
	fake->hurried = read;
}

static void fake_read_parts(void *object, struct lazymem_read *read)
{
	struct fake *fake = object;

	fake->reads_in_parts++;
	fake->parts = read->parts;
	fake->part_count = read->part_count;
	lazymem_read_complete(read, fake->error);
}

static int fake_identity(void *object, struct lazymem_identity *ret_identity)
{
	const struct fake *fake = object;

	*ret_identity = fake->identity;
	return fake->identity_error;
}

static void fake_readahead(void *object, uint64_t offset, uint64_t length)
{
	struct fake *fake = object;

	fake->advices++;
	fake->advised_offset = offset;
	fake->advised_length = length;
}

static const struct lazymem_backing_operations everything = {.size = sizeof(everything),
							     .read = fake_read,
							     .read_parts = fake_read_parts,
							     .hurry = fake_hurry,
							     .identity = fake_identity,
							     .readahead = fake_readahead};

static const struct lazymem_backing_operations nothing = {.size = sizeof(nothing),
							  .read = fake_read};

static struct fake fake;
static struct lazymem_backing *full, *bare;

static int set_up(void **state)
{
	(void)state;
	fake = (struct fake){.identity = {{7}}};
	assert_int_equal(lazymem_backing_create(&everything, &fake, LENGTH, "full", &full), 0);
	assert_int_equal(lazymem_backing_create(&nothing, &fake, LENGTH, "bare", &bare), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lazymem_backing_unref(full);
	lazymem_backing_unref(bare);
	return 0;
}

/* ---- parts --------------------------------------------------------------- */

struct outcome {
	unsigned count;
	int error;
	size_t length;
};

static void note(struct lazymem_read *read, int error)
{
	struct outcome *outcome = read->context;

	outcome->count++;
	outcome->error = error;
	outcome->length = read->length;
}

/* How a read of these parts, `length` bytes together, completes. */
static int read_parts(struct lazymem_backing *backing, const struct lazymem_read_part *parts,
		      size_t count, size_t length)
{
	static char buffer[16384];
	struct outcome outcome = {0};
	struct lazymem_read read = {.offset = UINT64_MAX, /* which does not count */
				    .length = length,
				    .buffer = buffer,
				    .complete = note,
				    .context = &outcome,
				    .parts = parts,
				    .part_count = count};

	lazymem_backing_submit(backing, &read);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.length, length);
	return outcome.error;
}

static void only_an_object_with_the_operation_takes_parts(void **state)
{
	(void)state;
	assert_true(lazymem_backing_takes_parts(full));
	assert_false(lazymem_backing_takes_parts(bare));
}

static void parts_reach_the_object_in_their_order(void **state)
{
	const struct lazymem_read_part parts[] = {{9000, 1000}, {0, 1}, {9000, 999}};

	(void)state;
	assert_int_equal(read_parts(full, parts, 3, 2000), 0);
	assert_int_equal(fake.reads_in_parts, 1);
	assert_int_equal(fake.reads, 0);
	assert_ptr_equal(fake.parts, parts);
	assert_int_equal(fake.part_count, 3);
}

static void parts_pass_the_error_of_the_object_on(void **state)
{
	const struct lazymem_read_part part = {0, 10};

	(void)state;
	fake.error = -EIO;
	assert_int_equal(read_parts(full, &part, 1, 10), -EIO);
}

static void parts_are_refused_for_an_object_without_them(void **state)
{
	const struct lazymem_read_part part = {0, 10};

	(void)state;
	assert_int_equal(read_parts(bare, &part, 1, 10), -EOPNOTSUPP);
	assert_says("bare: its reads take no parts");
	assert_int_equal(fake.reads, 0);
}

static void a_part_outside_the_object_is_refused(void **state)
{
	static const struct lazymem_read_part outside[] = {
		{9991, 10}, {10000, 10}, {UINT64_MAX, 10}, {UINT64_MAX - 9, 10}};

	(void)state;
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		const struct lazymem_read_part parts[] = {{0, 10}, outside[i]};

		assert_int_equal(read_parts(full, parts, 2, 20), -ERANGE);
		assert_says("full: part 1 of a read");
	}
	assert_int_equal(fake.reads_in_parts, 0);
}

static void parts_that_do_not_make_up_the_read_are_refused(void **state)
{
	const struct lazymem_read_part parts[] = {{0, 10}, {20, 10}};
	const struct lazymem_read_part empty[] = {{0, 10}, {20, 0}, {30, 10}};
	const struct lazymem_read_part huge[] = {{0, 10}, {20, SIZE_MAX}};

	(void)state;
	assert_int_equal(read_parts(full, parts, 2, 19), -EINVAL);
	assert_int_equal(read_parts(full, parts, 2, 21), -EINVAL);
	assert_says("full: the parts of a read of 21 bytes are 1 too short");
	assert_int_equal(read_parts(full, parts, 0, 20), -EINVAL);
	assert_int_equal(read_parts(full, parts, 0, 0), -EINVAL);
	assert_int_equal(read_parts(full, parts, 2, 0), -EINVAL);
	assert_int_equal(read_parts(full, empty, 3, 20), -EINVAL);
	assert_int_equal(read_parts(full, huge, 2, 9), -EINVAL);
	assert_int_equal(fake.reads_in_parts, 0);
}

static void a_read_without_parts_goes_where_it_always_did(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(lazymem_backing_read(full, 5, &byte, 1), 0);
	assert_int_equal(fake.reads, 1);
	assert_int_equal(fake.reads_in_parts, 0);
}

/* ---- background ---------------------------------------------------------- */

static void start_background(struct lazymem_backing *backing, struct lazymem_read *read,
			     struct outcome *outcome)
{
	static char byte;

	*read = (struct lazymem_read){.length = 1,
				      .buffer = &byte,
				      .complete = note,
				      .context = outcome,
				      .flags = LAZYMEM_READ_BACKGROUND};
	lazymem_backing_submit(backing, read);
}

static void the_object_sees_that_nobody_waits_for_a_read(void **state)
{
	struct outcome outcome = {0};
	struct lazymem_read read;

	(void)state;
	start_background(full, &read, &outcome);
	assert_int_equal(fake.flags, LAZYMEM_READ_BACKGROUND);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.error, 0);
}

static void a_read_in_flight_is_hurried(void **state)
{
	struct outcome outcome = {0};
	struct lazymem_read read;

	(void)state;
	fake.holds = true;
	start_background(full, &read, &outcome);
	lazymem_backing_hurry(full, &read);
	assert_int_equal(fake.hurries, 1);
	assert_ptr_equal(fake.hurried, &read);
	lazymem_read_complete(fake.held, 0);
	assert_int_equal(outcome.count, 1);
}

static void a_read_that_is_over_is_not_hurried(void **state)
{
	struct outcome outcome = {0};
	struct lazymem_read read;

	(void)state;
	start_background(full, &read, &outcome);
	lazymem_backing_hurry(full, &read);
	assert_int_equal(fake.hurries, 0);
}

static void an_object_without_the_operation_is_not_asked_to_hurry(void **state)
{
	struct outcome outcome = {0};
	struct lazymem_read read;

	(void)state;
	fake.holds = true;
	start_background(bare, &read, &outcome);
	lazymem_backing_hurry(bare, &read);
	lazymem_read_complete(fake.held, 0);
	assert_int_equal(fake.hurries, 0);
}

static void an_unknown_flag_of_a_read_is_refused(void **state)
{
	char byte;
	struct outcome outcome = {0};
	struct lazymem_read read = {.length = 1,
				    .buffer = &byte,
				    .complete = note,
				    .context = &outcome,
				    .flags = LAZYMEM_READ_BACKGROUND << 1};

	(void)state;
	lazymem_backing_submit(full, &read);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.error, -EINVAL);
	assert_int_equal(fake.reads, 0);
}

/* ---- identity ------------------------------------------------------------ */

static void identity_is_that_of_the_object(void **state)
{
	struct lazymem_identity identity = {{0}};

	(void)state;
	assert_int_equal(lazymem_backing_identity(full, &identity), 0);
	assert_true(lm_identity_equal(&identity, &fake.identity));
}

static void an_object_without_the_operation_has_no_identity(void **state)
{
	struct lazymem_identity identity = {{1}};

	(void)state;
	assert_int_equal(lazymem_backing_identity(bare, &identity), -ENODATA);
	assert_says("bare: nothing tells");
	assert_int_equal(identity.bytes[0], 1);
}

static void an_identity_of_zeros_is_none(void **state)
{
	struct lazymem_identity identity = {{1}};

	(void)state;
	memset(&fake.identity, 0, sizeof(fake.identity));
	assert_int_equal(lazymem_backing_identity(full, &identity), -ENODATA);
	assert_int_equal(identity.bytes[0], 1);
}

static void identity_passes_the_error_on(void **state)
{
	struct lazymem_identity identity = {{1}};

	(void)state;
	fake.identity_error = -ENODATA;
	assert_int_equal(lazymem_backing_identity(full, &identity), -ENODATA);
	fake.identity_error = -EIO;
	assert_int_equal(lazymem_backing_identity(full, &identity), -EIO);
	assert_says("full: cannot tell");
	assert_int_equal(identity.bytes[0], 1);
}

/* ---- readahead ----------------------------------------------------------- */

static void readahead_is_cut_to_the_object(void **state)
{
	(void)state;
	lazymem_backing_readahead(full, 100, 200);
	assert_int_equal(fake.advised_offset, 100);
	assert_int_equal(fake.advised_length, 200);
	lazymem_backing_readahead(full, LENGTH - 1, UINT64_MAX);
	assert_int_equal(fake.advised_offset, LENGTH - 1);
	assert_int_equal(fake.advised_length, 1);
}

static void readahead_of_nothing_goes_nowhere(void **state)
{
	(void)state;
	lazymem_backing_readahead(full, 100, 0);
	lazymem_backing_readahead(full, LENGTH, 1);
	lazymem_backing_readahead(full, UINT64_MAX, UINT64_MAX);
	lazymem_backing_readahead(bare, 0, 1);
	assert_int_equal(fake.advices, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_object_sees_that_nobody_waits_for_a_read),
		TEST(a_read_in_flight_is_hurried),
		TEST(a_read_that_is_over_is_not_hurried),
		TEST(an_object_without_the_operation_is_not_asked_to_hurry),
		TEST(an_unknown_flag_of_a_read_is_refused),
		TEST(only_an_object_with_the_operation_takes_parts),
		TEST(parts_reach_the_object_in_their_order),
		TEST(parts_pass_the_error_of_the_object_on),
		TEST(parts_are_refused_for_an_object_without_them),
		TEST(a_part_outside_the_object_is_refused),
		TEST(parts_that_do_not_make_up_the_read_are_refused),
		TEST(a_read_without_parts_goes_where_it_always_did),
		TEST(identity_is_that_of_the_object),
		TEST(an_object_without_the_operation_has_no_identity),
		TEST(an_identity_of_zeros_is_none),
		TEST(identity_passes_the_error_on),
		TEST(readahead_is_cut_to_the_object),
		TEST(readahead_of_nothing_goes_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
