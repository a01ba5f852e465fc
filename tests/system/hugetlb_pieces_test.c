/* SPDX-License-Identifier: MIT
 *
 * hugetlb_pieces_test.c - a huge page is read in pieces: what may happen
 * between one of them and the next.
 */
#include <errno.h>
#include <lazymem/inject.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <support/userfaultfd.h>

#define LENGTH (2 * BLOCK)
#define PIECE (256 * (size_t)1024)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
};

static enum lazymem_verdict poison(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	return LAZYMEM_POISON;
}

static void begin(struct fixture *f)
{
	struct lazymem_attach_options options = {.size = sizeof(options), .on_failure = poison};

	image_create(&f->image, LENGTH, "d", 35);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, HUGETLB, LENGTH, 0, f->source.backing);
	guest_attach(&f->guest, NULL, &options);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static int write_all(void *argument)
{
	memset(argument, STAMP, BLOCK);
	return 0;
}

static bool is_stamped(const unsigned char *memory)
{
	for (size_t i = 0; i < BLOCK; i++)
		if (memory[i] != STAMP)
			return false;
	return true;
}

/* The pieces behind the end are zeros, and nobody asks the object for them. */
static void test_an_object_may_end_pieces_before_the_page(void **state)
{
	const uint64_t length = BLOCK + 3 * PIECE - 100;
	struct image image;
	struct source source;
	struct guest guest;

	(void)state;
	image_create(&image, length, "d", 36);
	source_create(&source, &image);
	guest_start(&guest, HUGETLB, LENGTH, source.backing);
	assert_int_equal(touch(guest.host + BLOCK), image.bytes[BLOCK]);
	assert_true(image_matches(&image, BLOCK, guest.host + BLOCK, length - BLOCK));
	assert_true(all_zero(guest.host + length, LENGTH - length));
	guest_prefetch(&guest, 0, LENGTH);
	guest_finish(&guest);
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

/* Some pieces are there; the guest gives the page back and writes it anew; then
 * the read of the others fails for good. */
static void test_what_the_guest_wrote_outlives_a_prefetch_that_gives_up(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	source_hold(&f.source, 4 * PIECE, PAGE);
	assert_ok(lazymem_mapping_prefetch(f.guest.mapping, 0, BLOCK));
	assert_true(source_await_held(&f.source, 1));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, BLOCK));
	write_all(f.guest.host);
	source_fail(&f.source, 4 * PIECE, PAGE, -EIO, UINT64_MAX);
	source_release(&f.source);
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	assert_true(is_stamped(f.guest.host));
	end(&f);
}

static void test_what_the_guest_wrote_outlives_a_fault_that_fails(void **state)
{
	struct fixture f;
	struct actor waiter;

	(void)state;
	begin(&f);
	source_hold(&f.source, 4 * PIECE, PAGE);
	actor_start(&waiter, touch, f.guest.host);
	assert_true(source_await_held(&f.source, 1));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, BLOCK));
	write_all(f.guest.host);
	source_fail(&f.source, 4 * PIECE, PAGE, -EIO, UINT64_MAX);
	source_release(&f.source);
	int byte = actor_join(&waiter);
	assert_true(byte == 0 || byte == STAMP);
	statistics_at_rest(f.guest.attachment);
	assert_true(is_stamped(f.guest.host));
	end(&f);
}

/* The discard must not leave the pieces that were there behind, either. */
static void test_a_page_discarded_between_two_pieces_is_zero(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	source_hold(&f.source, 4 * PIECE, PAGE);
	assert_ok(lazymem_mapping_prefetch(f.guest.mapping, 0, BLOCK));
	assert_true(source_await_held(&f.source, 1));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, BLOCK));
	assert_true(all_zero(f.guest.host, BLOCK));
	source_release(&f.source);
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	assert_true(all_zero(f.guest.host, BLOCK));
	end(&f);
}

/* More failures than the default retries for one: but each is followed by progress. */
static void test_failures_of_different_pieces_do_not_add_up(void **state)
{
	struct image image;
	struct source source;
	struct guest guest;
	struct lazymem_backing *failing[BLOCK / PIECE + 1];

	(void)state;
	image_create(&image, LENGTH, "d", 36);
	source_create(&source, &image);
	failing[0] = source.backing;
	for (size_t i = 0; i < BLOCK / PIECE; i++) {
		struct lazymem_inject_range piece = {.start = i * PIECE, .length = PAGE};

		assert_ok(lazymem_inject_fail(failing[i], piece, -EIO, 1, &failing[i + 1]));
	}
	guest_start(&guest, HUGETLB, LENGTH, failing[BLOCK / PIECE]);
	assert_int_equal(touch(guest.host), image.bytes[0]);
	assert_true(image_matches(&image, 0, guest.host, BLOCK));
	guest_end(&guest);
	for (size_t i = BLOCK / PIECE; i > 0; i--)
		lazymem_backing_unref(failing[i]);
	source_destroy(&source);
	image_destroy(&image);
}

static int abort_it(void *argument)
{
	lazymem_attachment_abort(argument);
	return 0;
}

/* Once it has begun: its thread may be slow to start. */
static bool an_abort_comes_between_two_pieces(void *unused)
{
	struct fixture f;
	struct actor waiter, aborter;
	uint64_t reads;
	int byte;

	(void)unused;
	begin(&f);
	source_hold(&f.source, PIECE, PAGE);
	actor_start(&waiter, touch, f.guest.host);
	assert_true(source_await_held(&f.source, 1));
	actor_start(&aborter, abort_it, f.guest.attachment);
	assert_false(actor_is_done(&aborter, QUIET_MS));
	source_release(&f.source);
	assert_int_equal(actor_join(&aborter), 0);
	f.guest.attachment = NULL;
	byte = actor_join(&waiter);
	assert_true(byte == SIGNALLED + SIGBUS || byte == f.image.bytes[0]);
	reads = source_reads(&f.source);
	end(&f);
	return byte == SIGNALLED + SIGBUS && reads == 2;
}

static void test_an_abort_does_not_wait_for_the_remaining_pieces(void **state)
{
	(void)state;
	assert_true(holds_once(an_abort_comes_between_two_pieces, NULL));
}

/* ---- a source that answers at once --------------------------------------- */

static struct {
	unsigned char *host;
	struct actor second;
	int fd;
	atomic_bool has_started;
	atomic_uint reads, reads_before_second; /* of the first page */
} eager;

/* During the third piece of the first page a fault for the second arrives. */
static void read_at_once(void *unused, struct lazymem_read *read)
{
	struct pollfd message = {.fd = eager.fd, .events = POLLIN};

	(void)unused;
	if (read->offset >= BLOCK && eager.reads_before_second == 0)
		eager.reads_before_second = eager.reads;
	if (read->offset < BLOCK && ++eager.reads == 3) {
		actor_start(&eager.second, touch, eager.host + BLOCK);
		atomic_store(&eager.has_started, true);
		poll(&message, 1, -1);
	}
	memset(read->buffer, STAMP, read->length);
	lazymem_read_complete(read, 0);
}

static void test_a_fault_waits_for_one_piece_and_not_for_the_page(void **state)
{
	static const struct lazymem_backing_operations operations = {.size = sizeof(operations),
								     .read = read_at_once};
	struct lazymem_handler_options handler = {.size = sizeof(handler), .prefetch_piece = PAGE};
	struct lazymem_attach_options options = {.size = sizeof(options),
						 .flags = LAZYMEM_ATTACH_USERFAULTFD};
	struct lazymem_backing *backing;
	struct guest guest;

	(void)state;
	assert_ok(lazymem_backing_create(&operations, NULL, LENGTH, "eager", &backing));
	guest_map(&guest, HUGETLB, LENGTH, 0, backing);
	eager.host = guest.host;
	eager.fd = options.userfaultfd = userfaultfd_open(true);
	guest_attach(&guest, &handler, &options);
	assert_int_equal(touch(guest.host), STAMP);
	assert_true(atomic_load(&eager.has_started));
	assert_int_equal(actor_join(&eager.second), STAMP);
	assert_int_equal(eager.reads, BLOCK / PAGE);
	assert_in_range(eager.reads_before_second, 3, 8);
	guest_end(&guest);
	lazymem_backing_unref(backing);
}

/* What was written of it took its poison away. */
static void test_a_page_that_was_healed_in_part_is_no_false_zeros_after_an_abort(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	source_fail(&f.source, 0, BLOCK, -EIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	source_fail(&f.source, 3 * PIECE, PIECE, -EIO, UINT64_MAX);
	guest_prefetch(&f.guest, 0, BLOCK);
	statistics_at_rest(f.guest.attachment);
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_object_may_end_pieces_before_the_page),
		TEST(test_what_the_guest_wrote_outlives_a_prefetch_that_gives_up),
		TEST(test_what_the_guest_wrote_outlives_a_fault_that_fails),
		TEST(test_a_page_discarded_between_two_pieces_is_zero),
		TEST(test_failures_of_different_pieces_do_not_add_up),
		TEST(test_an_abort_does_not_wait_for_the_remaining_pieces),
		TEST(test_a_fault_waits_for_one_piece_and_not_for_the_page),
		TEST(test_a_page_that_was_healed_in_part_is_no_false_zeros_after_an_abort),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
