/* SPDX-License-Identifier: MIT
 *
 * nbd_hostile_test.c - servers that no honest one is: nothing wrong is ever
 * served, the process goes on, and an honest server afterwards is read from.
 */
#include <errno.h>
#include <lazymem/nbd.h>
#include <stdlib.h>
#include <string.h>
#include <support/nbd_fake.h>
#include <support/nbd_server.h>
#include <support/process.h>

#define LENGTH (256 * 1024u)

static struct lazymem_backing *open_fake(struct nbd_fake *fake)
{
	struct lazymem_backing *backing;

	assert_ok(lazymem_nbd_open(fake->uri, NULL, &backing));
	return backing;
}

static int read_some(struct lazymem_backing *backing, uint64_t offset, size_t length)
{
	unsigned char *buffer = malloc(length);
	int result;

	assert_non_null(buffer);
	memset(buffer, 0, length);
	result = lazymem_backing_read(backing, offset, buffer, length);
	for (size_t i = 0; result == 0 && i < length; i++)
		assert_int_equal(buffer[i], nbd_fake_byte(offset + i));
	free(buffer);
	return result;
}

/* The first answer is this one, the others are honest. */
static int read_of(enum nbd_misdeed misdeed)
{
	struct nbd_fake fake = {.size = LENGTH, .misdeed = misdeed, .misdeeds = 1};
	struct lazymem_backing *backing;
	int result;

	nbd_fake_start(&fake, "fake");
	backing = open_fake(&fake);
	result = read_some(backing, 4096, 65536);
	assert_int_equal(read_some(backing, 8192, 100000), 0);
	lazymem_backing_unref(backing);
	nbd_fake_stop(&fake);
	return result;
}

static void test_an_answer_that_lacks_bytes_fails_the_read(void **state)
{
	(void)state;
	assert_int_equal(read_of(NBD_LACKS_BYTES), -EPROTO);
	assert_int_equal(read_of(NBD_SENDS_NOTHING), -EPROTO);
}

static void test_bytes_that_come_twice_do_not_make_up_for_others(void **state)
{
	(void)state;
	assert_int_equal(read_of(NBD_SENDS_TWICE), -EPROTO);
}

static void test_bytes_that_come_in_another_order_are_right(void **state)
{
	(void)state;
	assert_int_equal(read_of(NBD_SENDS_BACKWARDS), 0);
}

/* The connection is not to be trusted any more; what was asked is asked again. */
static void test_what_is_no_answer_ends_the_connection_alone(void **state)
{
	(void)state;
	assert_int_equal(read_of(NBD_SENDS_OUTSIDE), 0);
	assert_int_equal(read_of(NBD_OTHER_COOKIE), 0);
	assert_int_equal(read_of(NBD_GARBAGE), 0);
}

static void test_an_answer_that_ends_halfway_is_asked_for_again(void **state)
{
	(void)state;
	assert_int_equal(read_of(NBD_ENDS_HALFWAY), 0);
	assert_int_equal(read_of(NBD_SHUTS_DOWN), 0);
}

/* The connection is lost while the object is being made, at whatever moment. */
static void test_one_that_hangs_up_at_once_is_refused_or_connected_to_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		const struct lazymem_nbd_options options = {
			.size = sizeof(options), .flags = i % 2 ? LAZYMEM_NBD_LAZY_EXTENTS : 0};
		struct nbd_fake fake = {.size = LENGTH, .misdeed = NBD_HANGS_UP, .misdeeds = 3};
		struct lazymem_backing *backing = NULL;

		nbd_fake_start(&fake, "fake");
		if (lazymem_nbd_open(fake.uri, &options, &backing) == 0)
			assert_int_equal(read_some(backing, 0, 4096), 0);
		else
			assert_null(backing);
		lazymem_backing_unref(backing);
		nbd_fake_stop(&fake);
	}
}

static void test_one_that_never_answers_right_is_given_up(void **state)
{
	const struct lazymem_nbd_options options = {.size = sizeof(options),
						    .give_up_ns = MILLISECONDS(200)};
	struct nbd_fake fake = {.size = LENGTH, .misdeed = NBD_ENDS_HALFWAY, .misdeeds = 1u << 30};
	struct lazymem_backing *backing;

	(void)state;
	nbd_fake_start(&fake, "fake");
	assert_ok(lazymem_nbd_open(fake.uri, &options, &backing));
	assert_int_equal(read_some(backing, 0, 4096), -ENOTCONN);
	assert_true(fake.commands < 2000); /* it was not hammered */
	lazymem_backing_unref(backing);
	nbd_fake_stop(&fake);
}

/* ---- extents ------------------------------------------------------------------ */

static void refused_extents(enum nbd_misdeed misdeed, int expected)
{
	struct nbd_fake fake = {.size = LENGTH, .misdeed = misdeed, .misdeeds = 1};
	struct lazymem_backing *backing = NULL;
	const struct residue before = residue_now();

	nbd_fake_start(&fake, "fake");
	assert_refused(lazymem_nbd_open(fake.uri, NULL, &backing), expected, fake.uri);
	assert_null(backing);
	nbd_fake_stop(&fake);
	assert_nothing_left(before);
}

static void test_extents_that_make_no_sense_are_refused(void **state)
{
	(void)state;
	refused_extents(NBD_EXTENT_EMPTY, -EPROTO);
	refused_extents(NBD_EXTENTS_NONE, -EPROTO);
	refused_extents(NBD_EXTENTS_TWICE, -EPROTO);
	refused_extents(NBD_EXTENTS_BEYOND, -EPROTO);
	refused_extents(NBD_EXTENT_ERROR, -EIO);
}

static void test_an_extent_that_ends_past_the_end_is_cut(void **state)
{
	struct nbd_fake fake = {.size = LENGTH, .misdeed = NBD_EXTENT_LONG, .misdeeds = 1};
	struct lazymem_backing *backing;
	struct lazymem_extent extent;

	(void)state;
	nbd_fake_start(&fake, "fake");
	backing = open_fake(&fake);
	assert_ok(lazymem_backing_extent(backing, 0, 2 * LENGTH, &extent));
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_DATA);
	assert_int_equal(extent.length, LENGTH);
	lazymem_backing_unref(backing);
	nbd_fake_stop(&fake);
}

static void test_extents_that_are_refused_leave_what_was_known(void **state)
{
	const struct lazymem_nbd_options options = {.size = sizeof(options),
						    .flags = LAZYMEM_NBD_LAZY_EXTENTS};
	struct nbd_fake fake = {.size = LENGTH, .misdeed = NBD_EXTENT_EMPTY, .misdeeds = 1};
	struct lazymem_backing *backing;

	(void)state;
	nbd_fake_start(&fake, "fake");
	assert_ok(lazymem_nbd_open(fake.uri, &options, &backing));
	assert_refused(lazymem_nbd_update_extents(backing), -EPROTO, fake.uri);
	assert_int_equal(read_some(backing, 0, LENGTH), 0);
	assert_ok(lazymem_nbd_update_extents(backing));
	lazymem_backing_unref(backing);
	nbd_fake_stop(&fake);
}

/* ---- what it says of itself -------------------------------------------------------------------- */

static void refused_server(struct nbd_fake fake, int expected)
{
	struct lazymem_backing *backing = NULL;

	nbd_fake_start(&fake, "fake");
	assert_refused(lazymem_nbd_open(fake.uri, NULL, &backing), expected, fake.uri);
	assert_null(backing);
	nbd_fake_stop(&fake);
}

static void test_absurd_sizes_are_refused(void **state)
{
	(void)state;
	refused_server((struct nbd_fake){.size = (UINT64_C(1) << 56) + 1}, -EFBIG);
	refused_server((struct nbd_fake){.size = 0}, -ENODATA);
}

static void test_a_server_of_something_else_is_refused(void **state)
{
	(void)state;
	refused_server((struct nbd_fake){.size = LENGTH, .misdeed = NBD_NO_NBD, .misdeeds = 100},
		       -EPROTO);
}

/* What the protocol forbids of block sizes is passed over. */
static void test_absurd_block_sizes_do_no_harm(void **state)
{
	struct nbd_fake fakes[] = {{.size = LENGTH, .least = 3, .most = 65536},
				   {.size = LENGTH, .least = 1u << 20, .most = 1u << 21},
				   {.size = LENGTH, .least = 4096, .most = 512}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct lazymem_backing *backing;

		nbd_fake_start(&fakes[i], "fake");
		backing = open_fake(&fakes[i]);
		assert_int_equal(read_some(backing, 1000, 100000), 0);
		lazymem_backing_unref(backing);
		nbd_fake_stop(&fakes[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_answer_that_lacks_bytes_fails_the_read),
		TEST(test_bytes_that_come_twice_do_not_make_up_for_others),
		TEST(test_bytes_that_come_in_another_order_are_right),
		TEST(test_what_is_no_answer_ends_the_connection_alone),
		TEST(test_an_answer_that_ends_halfway_is_asked_for_again),
		TEST(test_one_that_hangs_up_at_once_is_refused_or_connected_to_again),
		TEST(test_one_that_never_answers_right_is_given_up),
		TEST(test_extents_that_make_no_sense_are_refused),
		TEST(test_an_extent_that_ends_past_the_end_is_cut),
		TEST(test_extents_that_are_refused_leave_what_was_known),
		TEST(test_absurd_sizes_are_refused),
		TEST(test_a_server_of_something_else_is_refused),
		TEST(test_absurd_block_sizes_do_no_harm),
	};

	require_nbd();
	return run_group(tests);
}
