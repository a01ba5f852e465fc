/* SPDX-License-Identifier: MIT
 *
 * userfaultfd_accepted_test.c - a monitor that opened, or even registered, its
 * userfaultfd itself hands it over.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <support/source.h>
#include <support/userfaultfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define LENGTH (8 * MIB)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
	int fd;
};

static void begin(struct fixture *f, enum memory_kind kind, bool all_features)
{
	image_create(&f->image, LENGTH, "ddhz", 24);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, 0, f->source.backing);
	f->fd = userfaultfd_open(all_features);
}

static void attach(struct fixture *f)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_USERFAULTFD,
		.userfaultfd = f->fd,
	};

	guest_attach(&f->guest, NULL, &options);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void test_a_userfaultfd_that_was_handed_over_is_served(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true);
	attach(&f);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

/* As an old monitor opens it: no POISON, no MINOR, no MOVE. */
static void test_few_features_are_enough(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), false);
	attach(&f);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH / 2));
	assert_ok(lazymem_memory_discard(f.guest.memory, guest_address(0), BLOCK));
	assert_true(all_zero(f.guest.host, BLOCK));
	guest_finish(&f.guest);
	assert_true(all_zero(f.guest.host, BLOCK));
	assert_true(image_matches(&f.image, BLOCK, f.guest.host + BLOCK, LENGTH - BLOCK));
	end(&f);
}

/* Without POISON nothing may read as a false zero either. */
static void test_an_abort_without_the_poison_feature_is_safe_too(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), false);
	attach(&f);
	touch(f.guest.host);
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_true(image_matches(&f.image, 0, f.guest.host, f.guest.page));
	for (size_t at = 0; at < LENGTH; at += PAGE) {
		int byte = touch(f.guest.host + at);

		assert_true(byte == f.image.bytes[at] || byte == SIGNALLED + SIGBUS ||
			    byte == SIGNALLED + SIGSEGV);
	}
	assert_true(touch(f.guest.host + BLOCK) >= SIGNALLED);
	end(&f);
}

static void test_memory_that_is_registered_already_is_accepted(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true);
	userfaultfd_register(f.fd, f.guest.host, LENGTH, kind_of(state) != ANONYMOUS);
	attach(&f);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	guest_finish(&f.guest);
	assert_false(is_registered(f.guest.host, LENGTH));
	end(&f);
}

/* Registered for missing pages only, as monitors do it. */
static void test_memory_registered_for_missing_pages_only_is_accepted(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true);
	userfaultfd_register(f.fd, f.guest.host, LENGTH, false);
	attach(&f);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

static void test_faults_from_before_the_attachment_are_served(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state), true);
	userfaultfd_register(f.fd, f.guest.host, LENGTH, kind_of(state) != ANONYMOUS);
	actor_start(&actor, touch, f.guest.host + 5);
	assert_false(actor_is_done(&actor, QUIET_MS));
	attach(&f);
	assert_int_equal(actor_join(&actor), f.image.bytes[5]);
	end(&f);
}

/* "Partly there": what is there stays as it is. */
static void test_pages_that_are_there_already_are_kept(void **state)
{
	static unsigned char bytes[2 * MIB];
	struct fixture f;

	memset(bytes, STAMP, sizeof(bytes));
	begin(&f, kind_of(state), true);
	userfaultfd_register(f.fd, f.guest.host, LENGTH, kind_of(state) != ANONYMOUS);
	userfaultfd_copy(f.fd, f.guest.host, bytes, f.guest.page);
	attach(&f);
	guest_prefetch(&f.guest, 0, 0);
	assert_memory_equal(f.guest.host, bytes, f.guest.page);
	guest_finish(&f.guest);
	assert_memory_equal(f.guest.host, bytes, f.guest.page);
	assert_true(image_matches(&f.image, f.guest.page, f.guest.host + f.guest.page,
				  LENGTH - f.guest.page));
	end(&f);
}

static void test_it_is_closed_at_the_end_and_not_before(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true);
	attach(&f);
	assert_true(fcntl(f.fd, F_GETFD) >= 0);
	guest_finish(&f.guest);
	assert_int_equal(fcntl(f.fd, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
	end(&f);
}

static void expect_refused(struct fixture *f, int fd, int expected)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options), .flags = LAZYMEM_ATTACH_USERFAULTFD, .userfaultfd = fd};
	struct lazymem_attachment *attachment = NULL;

	int error =
		lazymem_handler_attach(f->guest.handler, f->guest.memory, &options, &attachment);
	assert_null(attachment);
	assert_true(error == expected || error == -EINVAL);
	assert_true(lazymem_error_message()[0] != '\0');
	assert_false(is_registered(f->guest.host, LENGTH));
}

static void test_what_is_no_userfaultfd_is_refused_and_stays_the_callers(void **state)
{
	struct fixture f;
	int ends[2];

	begin(&f, kind_of(state), true);
	assert_ok(lazymem_handler_create(NULL, &f.guest.handler));
	assert_int_equal(pipe(ends), 0);
	expect_refused(&f, -1, -EBADF);
	expect_refused(&f, ends[0], -ENOTTY);
	assert_true(fcntl(ends[0], F_GETFD) >= 0);
	close(ends[0]);
	close(ends[1]);
	close(f.fd);
	end(&f);
}

static void test_one_that_blocks_is_refused(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true);
	assert_ok(lazymem_handler_create(NULL, &f.guest.handler));
	assert_int_equal(fcntl(f.fd, F_SETFL, 0), 0);
	expect_refused(&f, f.fd, -EINVAL);
	assert_true(fcntl(f.fd, F_GETFD) >= 0);
	close(f.fd);
	end(&f);
}

static void test_one_without_its_api_is_refused(void **state)
{
	struct fixture f;
	int fd = userfaultfd_open_raw();

	begin(&f, kind_of(state), true);
	assert_ok(lazymem_handler_create(NULL, &f.guest.handler));
	expect_refused(&f, fd, -EINVAL);
	close(fd);
	close(f.fd);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_a_userfaultfd_that_was_handed_over_is_served),
		TEST_NAMED(test_few_features_are_enough, "few features (anonymous)", ANONYMOUS),
		TEST_NAMED(test_few_features_are_enough, "few features (memfd)", MEMFD),
		TEST_EACH_KIND(test_an_abort_without_the_poison_feature_is_safe_too),
		TEST_EACH_KIND(test_memory_that_is_registered_already_is_accepted),
		TEST_NAMED(test_memory_registered_for_missing_pages_only_is_accepted,
			   "registered for missing pages only (anonymous)", ANONYMOUS),
		TEST_NAMED(test_memory_registered_for_missing_pages_only_is_accepted,
			   "registered for missing pages only (memfd)", MEMFD),
		TEST_EACH_KIND(test_faults_from_before_the_attachment_are_served),
		TEST_EACH_KIND(test_pages_that_are_there_already_are_kept),
		TEST_EACH_KIND(test_it_is_closed_at_the_end_and_not_before),
		TEST(test_what_is_no_userfaultfd_is_refused_and_stays_the_callers),
		TEST(test_one_that_blocks_is_refused),
		TEST(test_one_without_its_api_is_refused),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
