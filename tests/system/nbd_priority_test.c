/* SPDX-License-Identifier: MIT
 *
 * nbd_priority_test.c - reads that somebody waits for, and those that nobody waits
 * for: which of them go first over a slow server, and how fast the others come.
 */
#include <errno.h>
#include <lazymem/nbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/guest.h>
#include <support/image.h>
#include <support/nbd_server.h>
#include <unistd.h>

#define LENGTH (16 * MIB)
#define BULK ((size_t)256 << 10)
#define BULKS 32
#define CLAIMED (16 * PAGE) /* at once, by a prefetch */
#define HARDLY_ANY 4096u    /* bytes a second: a bulk read takes a minute */

static struct image image;
static struct nbd_server server;
static char path[200];
static struct lazymem_backing *backing;

struct awaited {
	struct lazymem_read read;
	unsigned char *buffer;
	unsigned bulk_over; /* when this one was */
	_Atomic int result; /* 1: not over */
};

static struct awaited bulk[BULKS];

static void begin(struct lazymem_nbd_options options)
{
	image_create(&image, LENGTH, "d", 9);
	snprintf(path, sizeof(path), "%s", image_write(&image, "image.raw"));
	nbd_server_init(&server, "nbd");
	NBD_SERVER_START(&server, "--filter=delay", "file", path, "rdelay=20ms", "--threads=2");
	options.size = sizeof(options);
	assert_ok(lazymem_nbd_open(server.uri, &options, &backing));
}

static void end(void)
{
	lazymem_backing_unref(backing);
	nbd_server_kill(&server);
	image_destroy(&image);
}

static struct lazymem_nbd_statistics statistics(void)
{
	struct lazymem_nbd_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_nbd_get_statistics(backing, &s));
	return s;
}

static bool is_over(void *argument)
{
	return ((struct awaited *)argument)->result != 1;
}

static unsigned bulk_over(void)
{
	unsigned over = 0;

	for (size_t i = 0; i < BULKS; i++)
		over += is_over(&bulk[i]);
	return over;
}

/* All completions come from one thread. */
static void note(struct lazymem_read *read, int error)
{
	struct awaited *awaited = read->context;

	awaited->bulk_over = bulk_over();
	awaited->result = error;
}

static void submit(struct awaited *awaited, uint64_t offset, size_t length, unsigned flags)
{
	awaited->buffer = malloc(length);
	assert_non_null(awaited->buffer);
	awaited->result = 1;
	awaited->read = (struct lazymem_read){.offset = offset,
					      .length = length,
					      .buffer = awaited->buffer,
					      .complete = note,
					      .context = awaited,
					      .flags = flags};
	lazymem_backing_submit(backing, &awaited->read);
}

static void end_read(struct awaited *awaited)
{
	assert_true(await(is_over, awaited));
	assert_int_equal(awaited->result, 0);
	assert_true(
		image_matches(&image, awaited->read.offset, awaited->buffer, awaited->read.length));
	free(awaited->buffer);
}

static void submit_bulk(void)
{
	for (size_t i = 0; i < BULKS; i++)
		submit(&bulk[i], i * BULK, BULK, LAZYMEM_READ_BACKGROUND);
}

static void end_bulk(void)
{
	for (size_t i = 0; i < BULKS; i++)
		end_read(&bulk[i]);
}

/* ---- order -------------------------------------------------------------------------- */

static void test_a_demand_read_overtakes_a_stream(void **state)
{
	struct awaited demand;
	unsigned before;

	(void)state;
	begin((struct lazymem_nbd_options){.flags = 0});
	submit_bulk();
	usleep(30000);
	submit(&demand, LENGTH - PAGE, PAGE, 0);
	before = bulk_over();
	end_read(&demand);
	assert_true(demand.bulk_over < before + BULKS / 2);
	end_bulk();
	end();
}

static void test_a_demand_read_is_not_capped(void **state)
{
	struct awaited demand;

	(void)state;
	begin((struct lazymem_nbd_options){.bytes_per_second = HARDLY_ANY});
	submit_bulk();
	for (int i = 0; i < 10; i++) {
		submit(&demand, LENGTH - MIB, MIB / 2, 0);
		end_read(&demand);
	}
	assert_true(bulk_over() < BULKS);
	assert_ok(lazymem_nbd_give_up(backing));
	for (size_t i = 0; i < BULKS; i++) {
		assert_true(await(is_over, &bulk[i]));
		free(bulk[i].buffer);
	}
	end();
}

static void test_a_hurried_read_overtakes_those_before_it(void **state)
{
	(void)state;
	begin((struct lazymem_nbd_options){.bytes_per_second = HARDLY_ANY});
	submit_bulk();
	lazymem_backing_hurry(backing, &bulk[BULKS - 1].read);
	end_read(&bulk[BULKS - 1]);
	assert_true(bulk_over() < BULKS / 2);
	struct lazymem_nbd_statistics s = statistics();
	assert_int_equal(s.hurried_reads, 1);
	assert_int_equal(s.demand_bytes, BULK);
	assert_ok(lazymem_nbd_give_up(backing));
	for (size_t i = 0; i < BULKS - 1; i++) {
		assert_true(await(is_over, &bulk[i]));
		free(bulk[i].buffer);
	}
	end();
}

/* Of the stream. */
static bool has_begun(void *unused)
{
	(void)unused;
	return statistics().background_bytes > 0;
}

/* A fault on a page that a slow prefetch has claimed already. */
static void test_a_fault_hurries_the_prefetch_that_it_joins(void **state)
{
	struct guest guest;

	begin((struct lazymem_nbd_options){.bytes_per_second = HARDLY_ANY});
	guest_start(&guest, kind_of(state), LENGTH, backing);
	assert_ok(lazymem_mapping_prefetch(guest.mapping, 0, CLAIMED)); /* for 16 s */
	assert_true(await(has_begun, NULL));
	assert_true(image_matches(&image, CLAIMED - PAGE, guest.host + CLAIMED - PAGE, PAGE));
	assert_int_equal(statistics().hurried_reads, 1);
	assert_true(statistics().background_bytes < CLAIMED);
	assert_ok(lazymem_nbd_give_up(backing));
	guest_end(&guest);
	end();
}

/* ---- the cap ------------------------------------------------------------------------ */

static void test_a_stream_is_no_faster_than_its_cap(void **state)
{
	const uint64_t start = now_ns();

	(void)state;
	begin((struct lazymem_nbd_options){.bytes_per_second = 32 * MIB});
	submit_bulk(); /* 8 MiB */
	end_bulk();
	assert_true(now_ns() - start > MILLISECONDS(225));
	struct lazymem_nbd_statistics s = statistics();
	assert_int_equal(s.background_bytes, BULKS * BULK);
	assert_int_equal(s.demand_bytes, 0);
	end();
}

/* ---- the window ---------------------------------------------------------------------- */

/* Not if answers are late: then it shrinks. */
static bool grows_with_a_stream(void *first)
{
	submit_bulk();
	end_bulk();
	return statistics().window > *(const uint64_t *)first;
}

static void test_the_window_grows_with_a_stream_and_shrinks_for_demand(void **state)
{
	uint64_t first, grown;

	(void)state;
	begin((struct lazymem_nbd_options){.flags = 0});
	first = statistics().window;
	assert_true(holds_once(grows_with_a_stream, &first));
	grown = statistics().window;
	for (int i = 0; i < 3; i++) {
		struct awaited demand;

		submit(&demand, 0, PAGE, 0);
		end_read(&demand);
	}
	assert_true(statistics().window <= grown / 4 || statistics().window == first);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_demand_read_overtakes_a_stream),
		TEST(test_a_demand_read_is_not_capped),
		TEST(test_a_hurried_read_overtakes_those_before_it),
		TEST(test_a_fault_hurries_the_prefetch_that_it_joins),
		TEST(test_a_stream_is_no_faster_than_its_cap),
		TEST(test_the_window_grows_with_a_stream_and_shrinks_for_demand),
	};

	require_nbd();
	require_faults();
	return run_group(tests);
}
