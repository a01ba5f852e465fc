/* SPDX-License-Identifier: MIT
 *
 * userfaultfd_refused_test.c - an attach that fails leaves the userfaultfd to
 * the monitor that handed it over: who waits on it goes on waiting.
 */
#include <errno.h>
#include <fcntl.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <support/source.h>
#include <support/userfaultfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define LENGTH (2 * MIB)

/* Two regions, the upper of which belongs to somebody else's userfaultfd. */
struct fixture {
	struct image image;
	struct source source;
	struct lazymem_handler *handler;
	unsigned char *host;
	struct lazymem_mapping *mappings[2];
	struct lazymem_region *regions[2];
	int fd, other;
	struct actor actor; /* waits on fd */
};

static void begin(struct fixture *f)
{
	image_create(&f->image, 2 * LENGTH, "d", 41);
	source_create(&f->source, &f->image);
	assert_ok(lazymem_handler_create(NULL, &f->handler));
	f->host =
		mmap(NULL, 2 * LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->host, MAP_FAILED);
	for (size_t i = 0; i < 2; i++) {
		assert_ok(lazymem_mapping_adopt(f->host + i * LENGTH, LENGTH, -1, 0, NULL,
						&f->mappings[i]));
		assert_ok(lazymem_region_create(f->mappings[i], guest_address(i * LENGTH),
						f->source.backing, i * LENGTH, &f->regions[i]));
	}
	f->fd = userfaultfd_open(true);
	f->other = userfaultfd_open(true);
	userfaultfd_register(f->fd, f->host, LENGTH, false);
	userfaultfd_register(f->other, f->host + LENGTH, LENGTH, false);
	actor_start(&f->actor, touch, f->host);
	assert_false(actor_is_done(&f->actor, QUIET_MS));
}

static int attach(struct fixture *f, size_t count, struct lazymem_attachment **ret_attachment)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options), .flags = LAZYMEM_ATTACH_USERFAULTFD, .userfaultfd = f->fd};
	struct lazymem_memory *memory;
	int error;

	assert_ok(lazymem_memory_create(f->regions, count, &memory));
	error = lazymem_handler_attach(f->handler, memory, &options, ret_attachment);
	lazymem_memory_unref(memory);
	return error;
}

static void end(struct fixture *f)
{
	assert_ok(lazymem_handler_destroy(f->handler));
	for (size_t i = 0; i < 2; i++) {
		lazymem_region_unref(f->regions[i]);
		lazymem_mapping_unref(f->mappings[i]);
	}
	close(f->other);
	munmap(f->host, 2 * LENGTH);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void test_a_thread_that_waits_goes_on_waiting(void **state)
{
	struct lazymem_attachment *attachment = NULL;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_refused(attach(&f, 2, &attachment), -EBUSY, "");
	assert_null(attachment);
	assert_false(actor_is_done(&f.actor, QUIET_MS));
	assert_true(is_registered(f.host, LENGTH));
	userfaultfd_copy(f.fd, f.host, f.image.bytes, PAGE); /* its monitor serves it */
	assert_int_equal(actor_join(&f.actor), f.image.bytes[0]);
	close(f.fd);
	end(&f);
}

static void test_the_userfaultfd_can_be_handed_over_again(void **state)
{
	struct lazymem_attachment *attachment = NULL;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_refused(attach(&f, 2, &attachment), -EBUSY, "");
	assert_ok(attach(&f, 1, &attachment));
	assert_int_equal(actor_join(&f.actor), f.image.bytes[0]);
	assert_ok(lazymem_attachment_finish(attachment));
	assert_true(image_matches(&f.image, 0, f.host, LENGTH));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_thread_that_waits_goes_on_waiting),
		TEST(test_the_userfaultfd_can_be_handed_over_again),
	};

	require_faults();
	return run_group(tests);
}
