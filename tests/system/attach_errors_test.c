/* SPDX-License-Identifier: MIT
 *
 * attach_errors_test.c - what cannot be attached is refused with a documented
 * errno and a message that names the culprit, and leaves nothing behind.
 */
#include <errno.h>
#include <lazymem/zero.h>
#include <stdio.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <support/source.h>
#include <sys/mman.h>
#include <unistd.h>

#define LENGTH (4 * MIB)

struct fixture {
	struct lazymem_backing *zeros;
	struct guest guest;
	struct lazymem_attachment *attachment;
};

static void begin(struct fixture *f, enum memory_kind kind)
{
	*f = (struct fixture){0};
	assert_ok(lazymem_zero_create(LENGTH, &f->zeros));
	guest_map(&f->guest, kind, LENGTH, 0, f->zeros);
	assert_ok(lazymem_handler_create(NULL, &f->guest.handler));
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	lazymem_backing_unref(f->zeros);
}

#define attach(f, options)                                                                         \
	lazymem_handler_attach((f)->guest.handler, (f)->guest.memory, options, &(f)->attachment)

/* Refused, output untouched, memory not registered, nothing left. */
static void expect_refused(struct fixture *f, const struct lazymem_attach_options *options,
			   int expected, const char *part)
{
	struct residue before = residue_now();

	assert_refused(attach(f, options), expected, part);
	assert_null(f->attachment);
	assert_false(is_registered(f->guest.host, LENGTH));
	assert_nothing_left(before);
}

static void test_memory_that_was_touched_is_refused_and_keeps_its_bytes(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	f.guest.host[LENGTH - 1] = STAMP;
	expect_refused(&f, NULL, -EEXIST, "0x100000000");
	assert_int_equal(f.guest.host[LENGTH - 1], STAMP);
	end(&f);
}

static void test_memory_without_any_source_is_refused(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	lazymem_memory_unref(f.guest.memory);
	lazymem_mapping_unref(f.guest.mapping);
	struct lazymem_handler *handler = f.guest.handler;
	guest_map(&f.guest, kind_of(state), LENGTH, 0, NULL);
	f.guest.handler = handler;
	expect_refused(&f, NULL, -ENODATA, "");
	end(&f);
}

static void test_memory_that_is_attached_already_is_refused_and_goes_on(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	assert_ok(attach(&f, NULL));
	f.guest.attachment = f.attachment;
	f.attachment = NULL;
	struct residue before = residue_now();
	assert_refused(attach(&f, NULL), -EBUSY, "");
	assert_null(f.attachment);
	assert_nothing_left(before);
	assert_int_equal(touch(f.guest.host), 0);
	end(&f);
}

static void test_bad_options_are_refused(void **state)
{
	struct fixture f;
	struct lazymem_attach_options options = {.size = sizeof(options), .flags = 1u << 31};
	struct {
		struct lazymem_attach_options known;
		uint64_t unknown;
	} newer = {.known = {.size = sizeof(newer)}, .unknown = 1};

	begin(&f, kind_of(state));
	expect_refused(&f, &options, -EINVAL, "");
	expect_refused(&f, &newer.known, -E2BIG, "");
	options = (struct lazymem_attach_options){.size = 1};
	expect_refused(&f, &options, -EINVAL, "");
	end(&f);
}

static void test_a_newer_options_struct_with_zeros_is_accepted(void **state)
{
	struct fixture f;
	struct {
		struct lazymem_attach_options known;
		uint64_t unknown;
	} newer = {.known = {.size = sizeof(newer)}};

	begin(&f, kind_of(state));
	assert_ok(attach(&f, &newer.known));
	f.guest.attachment = f.attachment;
	end(&f);
}

/* Two regions, of which the second cannot be attached: the first is let go. */
static void test_a_refused_region_takes_none_of_the_others(void **state)
{
	struct fixture f;
	struct lazymem_mapping *second;
	struct lazymem_region *region;
	struct lazymem_memory *both;

	begin(&f, kind_of(state));
	assert_ok(lazymem_mapping_create_anonymous(LENGTH, NULL, &second));
	*(unsigned char *)lazymem_mapping_span(second).host = STAMP;
	assert_ok(lazymem_region_create(second, guest_address(LENGTH), f.zeros, 0, &region));
	assert_ok(lazymem_memory_with(f.guest.memory, region, &both));
	struct residue before = residue_now();
	assert_refused(lazymem_handler_attach(f.guest.handler, both, NULL, &f.attachment), -EEXIST,
		       "0x100400000");
	assert_null(f.attachment);
	assert_false(is_registered(f.guest.host, LENGTH));
	assert_nothing_left(before);
	lazymem_memory_unref(both);
	lazymem_region_unref(region);
	lazymem_mapping_unref(second);
	assert_ok(attach(&f, NULL)); /* the first one is still good */
	f.guest.attachment = f.attachment;
	end(&f);
}

static void test_an_adopted_regular_file_is_refused_by_name(void **state)
{
	struct lazymem_backing *zeros;
	struct lazymem_mapping *mapping;
	struct lazymem_region *region;
	struct lazymem_memory *memory;
	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment = NULL;
	struct image image;
	int error;

	(void)state;
	image_create(&image, LENGTH, "d", 1);
	FILE *file = fopen(image_write(&image, "adopted"), "r+e");
	assert_non_null(file);
	void *host = mmap(NULL, LENGTH, PROT_READ, MAP_SHARED, fileno(file), 0);
	assert_ptr_not_equal(host, MAP_FAILED);
	assert_ok(lazymem_zero_create(LENGTH, &zeros));
	assert_ok(lazymem_mapping_adopt(host, LENGTH, fileno(file), 0, NULL, &mapping));
	error = lazymem_region_create(mapping, guest_address(0), zeros, 0, &region);
	if (error == 0) { /* else it is refused even earlier, which is as good */
		assert_ok(lazymem_memory_create(&region, 1, &memory));
		assert_ok(lazymem_handler_create(NULL, &handler));
		assert_refused(lazymem_handler_attach(handler, memory, NULL, &attachment), -EINVAL,
			       "0x100000000");
		assert_ok(lazymem_handler_destroy(handler));
		lazymem_memory_unref(memory);
		lazymem_region_unref(region);
	} else {
		assert_int_equal(error, -EINVAL);
	}
	lazymem_mapping_unref(mapping);
	lazymem_backing_unref(zeros);
	munmap(host, LENGTH);
	fclose(file);
	image_destroy(&image);
}

static void test_bad_handler_options_are_refused(void **state)
{
	static const struct lazymem_handler_options bad[] = {
		{.size = sizeof(bad[0]), .demand_depth = 1025},
		{.size = sizeof(bad[0]), .prefetch_depth = 65},
		{.size = sizeof(bad[0]), .prefetch_piece = 3000},
		{.size = sizeof(bad[0]), .prefetch_piece = 2048},
		{.size = sizeof(bad[0]), .prefetch_piece = 4 * MIB},
		{.size = sizeof(bad[0]), .cpu_count = 1},
		{.size = sizeof(bad[0]), .workers = UINT32_MAX},
	};
	struct {
		struct lazymem_handler_options known;
		uint64_t unknown;
	} newer = {.known = {.size = sizeof(newer)}, .unknown = 1};
	struct lazymem_handler *handler = NULL;
	struct residue before = residue_now();

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(lazymem_handler_create(&bad[i], &handler), -EINVAL, "");
	assert_refused(lazymem_handler_create(&newer.known, &handler), -E2BIG, "");
	assert_null(handler);
	assert_nothing_left(before);
}

static void test_a_whole_life_leaves_nothing_behind(void **state)
{
	struct residue before = {0};

	for (unsigned i = 0; i < 20; i++) {
		struct fixture f;

		begin(&f, kind_of(state));
		assert_ok(attach(&f, NULL));
		f.guest.attachment = f.attachment;
		touch(f.guest.host);
		if (i % 2)
			guest_finish(&f.guest);
		end(&f);
		if (i == 3) /* what the C library keeps is there by now */
			before = residue_now();
	}
	assert_nothing_left(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_memory_that_was_touched_is_refused_and_keeps_its_bytes),
		TEST(test_memory_without_any_source_is_refused),
		TEST_EACH_KIND(test_memory_that_is_attached_already_is_refused_and_goes_on),
		TEST(test_bad_options_are_refused),
		TEST(test_a_newer_options_struct_with_zeros_is_accepted),
		TEST_EACH_KIND(test_a_refused_region_takes_none_of_the_others),
		TEST(test_an_adopted_regular_file_is_refused_by_name),
		TEST(test_bad_handler_options_are_refused),
		TEST_EACH_KIND(test_a_whole_life_leaves_nothing_behind),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
