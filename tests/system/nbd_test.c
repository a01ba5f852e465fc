/* SPDX-License-Identifier: MIT
 *
 * nbd_test.c - exports of nbdkit as backing objects: every byte is right,
 * whatever the server's limits are; holes cost nothing; what fails is one range;
 * guest memory is restored from them on demand.
 */
#include <errno.h>
#include <lazymem/bytes.h>
#include <lazymem/nbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/guest.h>
#include <support/image.h>
#include <support/nbd_server.h>
#include <support/process.h>

#define LENGTH (4 * MIB)

static struct image image;
static struct nbd_server server;
static char path[200];

static void begin(const char *layout, uint64_t length)
{
	image_create(&image, length, layout, 77);
	snprintf(path, sizeof(path), "%s", image_write(&image, "image.raw"));
	nbd_server_init(&server, "nbd");
}

static struct lazymem_backing *open_with(const struct lazymem_nbd_options *options)
{
	struct lazymem_backing *backing;

	assert_ok(lazymem_nbd_open(server.uri, options, &backing));
	return backing;
}

static void end(struct lazymem_backing *backing)
{
	lazymem_backing_unref(backing);
	nbd_server_kill(&server);
	image_destroy(&image);
}

static struct lazymem_nbd_statistics statistics(struct lazymem_backing *backing)
{
	struct lazymem_nbd_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_nbd_get_statistics(backing, &s));
	return s;
}

/* Read [offset, offset + length) and compare. */
static void assert_reads(struct lazymem_backing *backing, uint64_t offset, size_t length)
{
	unsigned char *buffer = malloc(length);

	assert_non_null(buffer);
	memset(buffer, 0xa5, length);
	assert_ok(lazymem_backing_read(backing, offset, buffer, length));
	assert_true(image_matches(&image, offset, buffer, length));
	free(buffer);
}

/* ---- bytes ------------------------------------------------------------------- */

static void test_every_byte_is_that_of_the_export(void **state)
{
	struct lazymem_backing *backing;

	(void)state;
	begin("ddhz", LENGTH + 1000);
	NBD_SERVER_START(&server, "file", path);
	backing = open_with(NULL);
	assert_int_equal(lazymem_backing_length(backing), LENGTH + 1000);
	assert_reads(backing, 0, LENGTH + 1000);
	assert_reads(backing, 1, 1);
	assert_reads(backing, LENGTH + 999, 1);
	assert_reads(backing, 4095, 3 * PAGE);
	end(backing);
}

static void test_what_lies_past_the_end_is_zeros(void **state)
{
	struct lazymem_backing *backing;
	unsigned char buffer[2 * PAGE];

	(void)state;
	begin("d", PAGE + 100);
	NBD_SERVER_START(&server, "file", path);
	backing = open_with(NULL);
	memset(buffer, 0xa5, sizeof(buffer));
	assert_ok(lazymem_backing_read(backing, 0, buffer, sizeof(buffer)));
	assert_true(image_matches(&image, 0, buffer, PAGE + 100));
	assert_true(all_zero(buffer + PAGE + 100, PAGE - 100));
	end(backing);
}

static void assert_reads_within_limits(const char *least, const char *most)
{
	struct lazymem_backing *backing;
	char minimum[64], maximum[64];
	uint64_t seed = harness_seed();

	begin("d", MIB + 70 * 1024);
	snprintf(minimum, sizeof(minimum), "blocksize-minimum=%s", least);
	snprintf(maximum, sizeof(maximum), "blocksize-maximum=%s", most);
	NBD_SERVER_START(&server, "--filter=blocksize-policy", "file", path, minimum, maximum,
			 "blocksize-error-policy=error");
	backing = open_with(NULL);
	assert_reads(backing, 0, MIB + 70 * 1024);
	for (int i = 0; i < 50; i++) {
		const uint64_t offset = next_random(&seed) % image.length;
		const uint64_t left = image.length - offset;
		const size_t length = 1 + (size_t)(next_random(&seed) % 200000);

		assert_reads(backing, offset, left < length ? (size_t)left : length);
	}
	assert_int_equal(statistics(backing).failed_requests, 0);
	end(backing);
}

static void test_large_blocks_are_read_whole_and_cut(void **state)
{
	(void)state;
	assert_reads_within_limits("2048", "32M");
}

static void test_requests_are_as_short_as_the_server_wants_them(void **state)
{
	(void)state;
	assert_reads_within_limits("1", "64K");
}

static void test_blocks_and_requests_may_be_one_size(void **state)
{
	(void)state;
	assert_reads_within_limits("2048", "64K");
}

struct awaited {
	struct lazymem_read read;
	_Atomic int result; /* 1: not over */
};

static void note(struct lazymem_read *read, int error)
{
	((struct awaited *)read->context)->result = error;
}

static bool is_over(void *argument)
{
	return ((struct awaited *)argument)->result != 1;
}

static void test_parts_come_side_by_side(void **state)
{
	const struct lazymem_read_part parts[] = {{3 * PAGE, PAGE}, {0, 2 * PAGE}, {LENGTH - 5, 5}};
	struct lazymem_backing *backing;
	unsigned char buffer[3 * PAGE + 5];
	struct awaited awaited = {.read = {.length = sizeof(buffer),
					   .buffer = buffer,
					   .complete = note,
					   .context = &awaited,
					   .parts = parts,
					   .part_count = 3,
					   .flags = LAZYMEM_READ_BACKGROUND},
				  .result = 1};

	(void)state;
	begin("d", LENGTH);
	NBD_SERVER_START(&server, "file", path);
	backing = open_with(NULL);
	assert_true(lazymem_backing_takes_parts(backing));
	lazymem_backing_submit(backing, &awaited.read);
	assert_true(await(is_over, &awaited));
	assert_int_equal(awaited.result, 0);
	assert_true(image_matches(&image, 3 * PAGE, buffer, PAGE));
	assert_true(image_matches(&image, 0, buffer + PAGE, 2 * PAGE));
	assert_true(image_matches(&image, LENGTH - 5, buffer + 3 * PAGE, 5));
	end(backing);
}

/* ---- holes ---------------------------------------------------------------------- */

static uint64_t zero_bytes(struct lazymem_backing *backing)
{
	const uint64_t length = lazymem_backing_length(backing);
	struct lazymem_extent extent;
	uint64_t zeros = 0;

	for (uint64_t at = 0; at < length; at += extent.length) {
		assert_ok(lazymem_backing_extent(backing, at, length - at, &extent));
		if (extent.kind != LAZYMEM_EXTENT_ZERO)
			continue;
		assert_true(all_zero(image.bytes + at, extent.length));
		zeros += extent.length;
	}
	return zeros;
}

static void test_holes_are_known_and_cost_no_transfer(void **state)
{
	struct lazymem_backing *backing;
	struct guest guest;

	(void)state;
	begin("dhhh", LENGTH);
	NBD_SERVER_START(&server, "file", path);
	backing = open_with(NULL);
	assert_int_equal(zero_bytes(backing), LENGTH / 4 * 3);
	guest_start(&guest, ANONYMOUS, LENGTH, backing);
	guest_finish(&guest);
	assert_true(image_matches(&image, 0, guest.host, LENGTH));
	guest_end(&guest);
	struct lazymem_nbd_statistics s = statistics(backing);
	assert_int_equal(s.background_bytes + s.demand_bytes, LENGTH / 4);
	end(backing);
}

static void test_holes_are_asked_for_later_when_that_is_wanted(void **state)
{
	const struct lazymem_nbd_options options = {.size = sizeof(options),
						    .flags = LAZYMEM_NBD_LAZY_EXTENTS};
	struct lazymem_backing *backing;

	(void)state;
	begin("dh", LENGTH);
	NBD_SERVER_START(&server, "file", path);
	backing = open_with(&options);
	assert_int_equal(zero_bytes(backing), 0);
	assert_ok(lazymem_nbd_update_extents(backing));
	assert_int_equal(zero_bytes(backing), LENGTH / 2);
	end(backing);
}

static void test_a_server_that_tells_no_holes_has_none(void **state)
{
	struct lazymem_backing *backing;

	(void)state;
	begin("dh", LENGTH);
	NBD_SERVER_START(&server, "--filter=noextents", "file", path);
	backing = open_with(NULL);
	assert_int_equal(zero_bytes(backing), 0);
	assert_reads(backing, 0, LENGTH);
	end(backing);
}

static void test_a_server_without_structured_replies_is_read_in_full(void **state)
{
	struct lazymem_backing *backing;

	(void)state;
	begin("dh", LENGTH);
	NBD_SERVER_START(&server, "--no-sr", "file", path);
	backing = open_with(NULL);
	assert_int_equal(zero_bytes(backing), 0);
	assert_reads(backing, 0, LENGTH);
	end(backing);
}

/* What is no zero to the server is none to us, hole or not. */
static void test_a_hole_that_may_hold_anything_is_data(void **state)
{
	struct lazymem_backing *backing;
	struct lazymem_extent first, second;

	(void)state;
	begin("d", PAGE);
	NBD_SERVER_START(&server, "eval", "get_size=echo 8192", "can_extents=exit 0",
			 "pread=head -c $3 /dev/zero",
			 "extents=echo 0 4096 hole; echo 4096 4096 hole,zero");
	backing = open_with(NULL);
	assert_ok(lazymem_backing_extent(backing, 0, 8192, &first));
	assert_ok(lazymem_backing_extent(backing, 4096, 4096, &second));
	assert_int_equal(first.kind, LAZYMEM_EXTENT_DATA);
	assert_int_equal(first.length, 4096);
	assert_int_equal(second.kind, LAZYMEM_EXTENT_ZERO);
	end(backing);
}

/* ---- errors --------------------------------------------------------------------- */

static void test_an_error_of_one_range_fails_that_read_only(void **state)
{
	struct lazymem_backing *backing;
	char pread[400];
	unsigned char buffer[PAGE];

	(void)state;
	begin("d", 16 * PAGE);
	snprintf(pread, sizeof(pread),
		 "pread=[ $4 -ne 8192 ] || { echo EIO nothing there >&2; exit 1; }; "
		 "dd if=%s iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none",
		 path);
	NBD_SERVER_START(&server, "eval", "get_size=echo 65536", pread);
	backing = open_with(NULL);
	assert_refused(lazymem_backing_read(backing, 8192, buffer, PAGE), -EIO, server.uri);
	assert_reads(backing, 0, PAGE);
	assert_reads(backing, 12288, 4 * PAGE);
	struct lazymem_nbd_statistics s = statistics(backing);
	assert_int_equal(s.failed_requests, 1);
	assert_int_equal(s.reconnects, 0);
	end(backing);
}

static void test_what_cannot_be_opened_is_refused_with_its_reason(void **state)
{
	const struct lazymem_nbd_options unknown = {.size = sizeof(unknown), .flags = 1u << 31};
	const struct lazymem_nbd_options many = {.size = sizeof(many), .demand_connections = 17};
	struct lazymem_backing *backing = NULL;
	const struct residue before = residue_now();

	(void)state;
	nbd_server_init(&server, "nothing");
	assert_refused(lazymem_nbd_open(server.uri, NULL, &backing), -ENOENT, server.socket);
	assert_refused(lazymem_nbd_open(NULL, NULL, &backing), -EINVAL, "URI");
	assert_refused(lazymem_nbd_open("file:///etc", NULL, &backing), -EINVAL, "file");
	assert_refused(lazymem_nbd_open(server.uri, &unknown, &backing), -EINVAL, "0x80000000");
	assert_refused(lazymem_nbd_open(server.uri, &many, &backing), -EINVAL,
		       "demand_connections is 17");
	assert_null(backing);
	assert_nothing_left(before);
}

static void test_an_empty_export_is_refused(void **state)
{
	struct lazymem_backing *backing = NULL;

	(void)state;
	begin("d", PAGE);
	NBD_SERVER_START(&server, "memory", "0");
	assert_refused(lazymem_nbd_open(server.uri, NULL, &backing), -ENODATA, "empty");
	end(backing);
}

static void test_an_export_above_2_to_the_56th_is_refused(void **state)
{
	struct lazymem_backing *backing = NULL;

	(void)state;
	begin("d", PAGE);
	NBD_SERVER_START(&server, "pattern", "size=72057594037927937");
	assert_refused(lazymem_nbd_open(server.uri, NULL, &backing), -EFBIG, "72057594037927937");
	end(backing);
}

static void test_only_nbd_exports_have_these_calls(void **state)
{
	struct lazymem_nbd_statistics s = {.size = sizeof(s)};
	struct lazymem_backing *bytes;

	(void)state;
	assert_ok(lazymem_bytes_create("bytes", 5, NULL, NULL, &bytes));
	assert_refused(lazymem_nbd_get_statistics(bytes, &s), -EINVAL, "bytes");
	assert_refused(lazymem_nbd_update_extents(bytes), -EINVAL, "bytes");
	assert_refused(lazymem_nbd_give_up(bytes), -EINVAL, "bytes");
	lazymem_backing_unref(bytes);
}

/* ---- what else an object has ------------------------------------------------------- */

static void test_the_identity_is_what_its_opener_says(void **state)
{
	const struct lazymem_identity own = {{1, 2, 3}};
	const struct lazymem_nbd_options options = {.size = sizeof(options), .identity = &own};
	struct lazymem_backing *named, *unnamed;
	struct lazymem_identity got;

	(void)state;
	begin("d", PAGE);
	NBD_SERVER_START(&server, "file", path);
	named = open_with(&options);
	unnamed = open_with(NULL);
	assert_ok(lazymem_backing_identity(named, &got));
	assert_memory_equal(&got, &own, sizeof(own));
	assert_int_equal(lazymem_backing_identity(unnamed, &got), -ENODATA);
	lazymem_backing_unref(unnamed);
	end(named);
}

static void test_its_thread_takes_no_signals_and_is_gone_with_it(void **state)
{
	struct lazymem_backing *backing;
	struct residue before;

	(void)state;
	begin("d", LENGTH);
	NBD_SERVER_START(&server, "file", path);
	lazymem_backing_unref(open_with(NULL)); /* what libraries keep for ever */
	before = residue_now();
	backing = open_with(NULL);
	assert_true(residue_now().threads > before.threads);
	assert_other_threads_take_no_signals();
	lazymem_backing_unref(backing);
	assert_nothing_left(before);
	end(NULL);
}

static void drop(struct lazymem_read *read, int error)
{
	struct awaited *awaited = read->context;
	struct lazymem_backing *backing = read->backing;

	lazymem_backing_unref(backing);
	awaited->result = error;
}

static void test_the_last_reference_may_be_dropped_by_a_completion(void **state)
{
	struct lazymem_backing *backing;
	unsigned char buffer[PAGE];
	struct awaited awaited = {
		.read = {.length = PAGE, .buffer = buffer, .complete = drop, .context = &awaited},
		.result = 1};
	struct residue before;

	(void)state;
	begin("d", LENGTH);
	NBD_SERVER_START(&server, "file", path);
	lazymem_backing_unref(open_with(NULL));
	before = residue_now();
	backing = open_with(NULL);
	lazymem_backing_submit(backing, &awaited.read);
	assert_true(await(is_over, &awaited));
	assert_int_equal(awaited.result, 0);
	assert_nothing_left(before);
	end(NULL);
}

static void test_statistics_tell_what_was_brought_and_how(void **state)
{
	struct lazymem_backing *backing;
	unsigned char buffer[2 * PAGE];
	struct awaited awaited = {.read = {.length = PAGE,
					   .buffer = buffer,
					   .complete = note,
					   .context = &awaited,
					   .flags = LAZYMEM_READ_BACKGROUND},
				  .result = 1};

	(void)state;
	begin("d", LENGTH);
	NBD_SERVER_START(&server, "file", path);
	backing = open_with(NULL);
	assert_reads(backing, 0, 3 * PAGE);
	lazymem_backing_submit(backing, &awaited.read);
	assert_true(await(is_over, &awaited));
	struct lazymem_nbd_statistics s = statistics(backing);
	assert_int_equal(s.demand_bytes, 3 * PAGE);
	assert_int_equal(s.demand_requests, 1);
	assert_int_equal(s.background_bytes, PAGE);
	assert_int_equal(s.background_requests, 1);
	assert_true(s.window > 0);
	end(backing);
}

/* ---- guest memory ---------------------------------------------------------------------- */

static void test_guest_memory_is_restored_on_demand(void **state)
{
	struct lazymem_backing *backing;
	struct guest guest;

	begin("ddhzd", 3 * BLOCK);
	NBD_SERVER_START(&server, "file", path);
	backing = open_with(NULL);
	guest_start(&guest, kind_of(state), 3 * BLOCK, backing);
	assert_true(image_matches(&image, 5 * PAGE, guest.host + 5 * PAGE, PAGE));
	assert_true(image_matches(&image, 2 * BLOCK, guest.host + 2 * BLOCK, BLOCK));
	guest_finish(&guest);
	assert_true(image_matches(&image, 0, guest.host, 3 * BLOCK));
	guest_end(&guest);
	end(backing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_byte_is_that_of_the_export),
		TEST(test_what_lies_past_the_end_is_zeros),
		TEST(test_large_blocks_are_read_whole_and_cut),
		TEST(test_requests_are_as_short_as_the_server_wants_them),
		TEST(test_blocks_and_requests_may_be_one_size),
		TEST(test_parts_come_side_by_side),
		TEST(test_holes_are_known_and_cost_no_transfer),
		TEST(test_holes_are_asked_for_later_when_that_is_wanted),
		TEST(test_a_server_that_tells_no_holes_has_none),
		TEST(test_a_server_without_structured_replies_is_read_in_full),
		TEST(test_a_hole_that_may_hold_anything_is_data),
		TEST(test_an_error_of_one_range_fails_that_read_only),
		TEST(test_what_cannot_be_opened_is_refused_with_its_reason),
		TEST(test_an_empty_export_is_refused),
		TEST(test_an_export_above_2_to_the_56th_is_refused),
		TEST(test_only_nbd_exports_have_these_calls),
		TEST(test_the_identity_is_what_its_opener_says),
		TEST(test_its_thread_takes_no_signals_and_is_gone_with_it),
		TEST(test_the_last_reference_may_be_dropped_by_a_completion),
		TEST(test_statistics_tell_what_was_brought_and_how),
		TEST_EACH_KIND(test_guest_memory_is_restored_on_demand),
	};

	require_nbd();
	require_faults();
	require_hugetlb(BLOCK, 3);
	return run_group(tests);
}
