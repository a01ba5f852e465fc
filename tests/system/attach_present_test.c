/* SPDX-License-Identifier: MIT
 *
 * attach_present_test.c - memory of which some pages are there when it is
 * attached: they are taken as they are, and the others come from the source.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <support/actor.h>
#include <support/tracked.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 8

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
	struct lazymem_dirty *present;
};

static void begin(struct fixture *f, void **state)
{
	const size_t length = PAGES * page_size_of(memory_of(state));

	image_create(&f->image, length, "d", 7);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, memory_of(state), length, 0, f->source.backing);
	assert_ok(lazymem_dirty_create(f->guest.memory, &f->present));
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	lazymem_dirty_destroy(f->present);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static unsigned char *page_at(const struct fixture *f, size_t page)
{
	return f->guest.host + page * f->guest.page;
}

static void say_present(struct fixture *f, size_t page, size_t count)
{
	const struct lazymem_guest_range range = {guest_address(page * f->guest.page),
						  count * f->guest.page};

	assert_ok(lazymem_dirty_add(f->present, range));
}

static struct lazymem_attach_options options_of(const struct fixture *f, void **state)
{
	return (struct lazymem_attach_options){
		.size = sizeof(struct lazymem_attach_options),
		.flags = LAZYMEM_ATTACH_TRACK,
		.tracking_most = tracking_of(state),
		.present = f->present,
	};
}

static void attach(struct fixture *f, void **state)
{
	const struct lazymem_attach_options options = options_of(f, state);

	guest_attach(&f->guest, NULL, &options);
}

static void test_what_is_there_stays_and_the_rest_is_read(void **state)
{
	struct fixture f;

	begin(&f, state);
	memset(page_at(&f, 1), 0x11, f.guest.page);
	memset(page_at(&f, 5), 0x55, f.guest.page);
	say_present(&f, 1, 1);
	say_present(&f, 4, 2); /* 4 has no memory */
	attach(&f, state);
	guest_prefetch(&f.guest, 0, 0);
	assert_true(image_matches(&f.image, 0, page_at(&f, 0), f.guest.page));
	assert_int_equal(page_at(&f, 1)[77], 0x11);
	assert_true(image_matches(&f.image, 2 * f.guest.page, page_at(&f, 2), 2 * f.guest.page));
	assert_true(all_zero(page_at(&f, 4), f.guest.page));
	assert_int_equal(page_at(&f, 5)[77], 0x55);
	assert_true(image_matches(&f.image, 6 * f.guest.page, page_at(&f, 6), 2 * f.guest.page));
	assert_int_equal(source_most_reads(&f.source, f.guest.page, f.guest.page), 0);
	assert_int_equal(source_most_reads(&f.source, 4 * f.guest.page, 2 * f.guest.page), 0);
	guest_finish(&f.guest);
	assert_int_equal(page_at(&f, 5)[78], 0x55);
	assert_true(all_zero(page_at(&f, 4), f.guest.page));
	end(&f);
}

static void test_a_page_that_was_missing_is_read_by_its_fault(void **state)
{
	struct fixture f;

	begin(&f, state);
	memset(page_at(&f, 2), 0x22, f.guest.page);
	say_present(&f, 2, 1);
	attach(&f, state);
	assert_true(image_matches(&f.image, 3 * f.guest.page, page_at(&f, 3), f.guest.page));
	assert_int_equal(page_at(&f, 2)[0], 0x22);
	end(&f);
}

static void test_what_is_there_counts_as_written(void **state)
{
	struct lazymem_dirty *dirty;
	struct fixture f;

	begin(&f, state);
	memset(page_at(&f, 1), 0x11, f.guest.page);
	say_present(&f, 1, 2); /* 2 has no memory: it is zero now */
	attach(&f, state);
	assert_ok(lazymem_dirty_create(f.guest.memory, &dirty));
	assert_ok(lazymem_attachment_collect(f.guest.attachment, dirty));
	assert_int_equal(lazymem_dirty_length(dirty), 2 * f.guest.page);
	assert_true(lazymem_dirty_test(dirty, guest_address(f.guest.page)));
	lazymem_dirty_clear(dirty);
	stamp(page_at(&f, 1));
	assert_ok(lazymem_attachment_collect(f.guest.attachment, dirty));
	assert_int_equal(lazymem_dirty_length(dirty), f.guest.page);
	lazymem_dirty_destroy(dirty);
	end(&f);
}

static void test_a_page_that_nobody_spoke_of_is_refused(void **state)
{
	struct lazymem_attach_options options;
	struct fixture f;

	begin(&f, state);
	memset(page_at(&f, 1), 0x11, f.guest.page);
	memset(page_at(&f, 3), 0x33, f.guest.page);
	say_present(&f, 1, 1);
	options = options_of(&f, state);
	assert_ok(lazymem_handler_create(NULL, &f.guest.handler));
	assert_refused(lazymem_handler_attach(f.guest.handler, f.guest.memory, &options,
					      &f.guest.attachment),
		       -EEXIST, "is not said to be present");
	assert_int_equal(page_at(&f, 1)[1], 0x11);
	say_present(&f, 3, 1);
	assert_ok(lazymem_handler_attach(f.guest.handler, f.guest.memory, &options,
					 &f.guest.attachment));
	assert_int_equal(page_at(&f, 3)[1], 0x33);
	end(&f);
}

/* Filled through the file, and not mapped yet. */
static void test_pages_of_a_file_need_not_be_mapped(void **state)
{
	unsigned char bytes[PAGE];
	struct fixture f;
	uint64_t offset;
	int fd;

	begin(&f, state);
	memset(bytes, 0x44, sizeof(bytes));
	assert_ok(lazymem_mapping_fd(f.guest.mapping, &fd, &offset));
	assert_int_equal(pwrite(fd, bytes, PAGE, (off_t)(offset + 4 * f.guest.page)), PAGE);
	say_present(&f, 4, 1);
	attach(&f, state);
	assert_int_equal(page_at(&f, 4)[5], 0x44);
	stamp(page_at(&f, 4));
	assert_true(image_matches(&f.image, 5 * f.guest.page, page_at(&f, 5), f.guest.page));
	end(&f);
}

static void test_a_set_of_other_memory_is_refused(void **state)
{
	struct lazymem_attach_options options;
	struct lazymem_dirty *other;
	struct fixture f;
	struct guest larger;

	begin(&f, state);
	guest_map(&larger, memory_of(state), f.guest.length + f.guest.page, 0, NULL);
	assert_ok(lazymem_dirty_create(larger.memory, &other));
	options = options_of(&f, state);
	options.present = other;
	assert_ok(lazymem_handler_create(NULL, &f.guest.handler));
	assert_refused(lazymem_handler_attach(f.guest.handler, f.guest.memory, &options,
					      &f.guest.attachment),
		       -EINVAL, "of other regions");
	options.present = f.present;
	options.flags = LAZYMEM_ATTACH_USERFAULTFD;
	options.userfaultfd = open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_refused(lazymem_handler_attach(f.guest.handler, f.guest.memory, &options,
					      &f.guest.attachment),
		       -EINVAL, "so is LAZYMEM_ATTACH_USERFAULTFD");
	close(options.userfaultfd);
	lazymem_dirty_destroy(other);
	guest_end(&larger);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_EACH_WAY(test_what_is_there_stays_and_the_rest_is_read),
		IN_EACH_WAY(test_a_page_that_was_missing_is_read_by_its_fault),
		IN_EACH_WAY(test_what_is_there_counts_as_written),
		IN_EACH_WAY(test_a_page_that_nobody_spoke_of_is_refused),
		TEST_NAMED(test_pages_of_a_file_need_not_be_mapped, "not mapped (kernel)",
			   WAY(MEMFD, LAZYMEM_TRACKING_KERNEL)),
		TEST_NAMED(test_pages_of_a_file_need_not_be_mapped, "not mapped (faults)",
			   WAY(MEMFD, LAZYMEM_TRACKING_FAULTS)),
		TEST_NAMED(test_a_set_of_other_memory_is_refused, "other memory",
			   WAY(ANONYMOUS, LAZYMEM_TRACKING_KERNEL)),
	};

	require_faults();
	require_hugetlb(BLOCK, 2 * PAGES);
	return run_group(tests);
}
