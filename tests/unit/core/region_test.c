/* SPDX-License-Identifier: MIT */
#include "core/mapping_operations.h"

#include "model.h"

#include <sys/mman.h>

/* A backing object of `length` bytes: byte i is i / PAGE + 1, but for a hole. */
struct source {
	uint64_t length;
	uint64_t hole_start, hole_length;
	int error;
	int reads;
	size_t largest;
	bool closed;
};

static void source_read(void *object, struct lazymem_read *read)
{
	struct source *source = object;

	source->reads++;
	if (read->length > source->largest)
		source->largest = read->length;
	for (size_t i = 0; i < read->length; i++)
		((unsigned char *)read->buffer)[i] = (unsigned char)((read->offset + i) / PAGE + 1);
	lazymem_read_complete(read, source->error);
}

static int source_extent(void *object, uint64_t offset, uint64_t length,
			 struct lazymem_extent *ret_extent)
{
	const struct source *source = object;
	const uint64_t hole_end = source->hole_start + source->hole_length;
	uint64_t end = offset + length;

	ret_extent->start = offset;
	ret_extent->kind = LAZYMEM_EXTENT_DATA;
	if (offset < source->hole_start && end > source->hole_start)
		end = source->hole_start;
	if (offset >= source->hole_start && offset < hole_end) {
		ret_extent->kind = LAZYMEM_EXTENT_ZERO;
		end = end < hole_end ? end : hole_end;
	}
	ret_extent->length = end - offset;
	return 0;
}

static void source_close(void *object)
{
	((struct source *)object)->closed = true;
}

static struct lazymem_backing *make_backing(struct source *source)
{
	static const struct lazymem_backing_operations operations = {.size = sizeof(operations),
								     .read = source_read,
								     .extent = source_extent,
								     .close = source_close};
	struct lazymem_backing *backing = NULL;

	assert_int_equal(
		lazymem_backing_create(&operations, source, source->length, "source", &backing), 0);
	return backing;
}

/* A region of `pages` pages over the source; everything else is let go. */
static struct lazymem_region *make_backed(struct source *source, size_t pages, uint64_t offset)
{
	struct lazymem_mapping *mapping = make_mapping(pages * PAGE);
	struct lazymem_backing *backing = make_backing(source);
	struct lazymem_region *region = NULL;

	assert_int_equal(lazymem_region_create(mapping, AT(0x1000), backing, offset, &region), 0);
	lazymem_mapping_unref(mapping);
	lazymem_backing_unref(backing);
	return region;
}

static int refuse(struct lazymem_mapping *mapping, uint64_t base, struct source *source,
		  uint64_t offset)
{
	struct lazymem_backing *backing = source != NULL ? make_backing(source) : NULL;
	struct lazymem_region *region = NULL;
	const int error = lazymem_region_create(mapping, AT(base), backing, offset, &region);

	assert_null(region);
	lazymem_backing_unref(backing);
	return error;
}

static void region_tells_what_it_was_made_of(void **state)
{
	struct source source = {.length = 4 * PAGE};
	struct lazymem_region *region = make_backed(&source, 2, PAGE);

	(void)state;
	assert_int_equal(lazymem_region_base(region).value, 0x1000);
	assert_int_equal(lazymem_region_length(region), 2 * PAGE);
	assert_int_equal(lazymem_region_backing_offset(region), PAGE);
	assert_non_null(lazymem_region_mapping(region));
	assert_string_equal(lazymem_backing_name(lazymem_region_backing(region)), "source");
	lazymem_region_unref(region);
}

static void region_without_backing_has_none(void **state)
{
	struct lazymem_region *region = make_region(0, PAGE);

	(void)state;
	assert_null(lazymem_region_backing(region));
	lazymem_region_unref(region);
}

static void last_reference_lets_mapping_and_backing_go(void **state)
{
	struct source source = {.length = PAGE};
	struct lazymem_region *region = make_backed(&source, 1, 0);

	(void)state;
	assert_ptr_equal(lazymem_region_ref(region), region);
	lazymem_region_unref(region);
	assert_false(source.closed);
	lazymem_region_unref(region);
	assert_true(source.closed);
	lazymem_region_unref(NULL);
}

static void base_must_be_a_multiple_of_the_page_size(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);

	(void)state;
	assert_int_equal(refuse(mapping, 0x1001, NULL, 0), -EINVAL);
	assert_says("region [0x1001+0x1000]");
	lazymem_mapping_unref(mapping);
}

static void region_may_end_at_the_end_of_the_address_space(void **state)
{
	struct lazymem_region *region = make_region(UINT64_MAX - 2 * PAGE + 1, 2 * PAGE);

	(void)state;
	assert_true(lazymem_region_base(region).value == UINT64_MAX - 2 * PAGE + 1);
	lazymem_region_unref(region);
}

static void region_past_the_end_of_the_address_space_is_refused(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(2 * PAGE);

	(void)state;
	assert_int_equal(refuse(mapping, UINT64_MAX - PAGE + 1, NULL, 0), -EOVERFLOW);
	assert_says("region [0xfffffffffffff000+0x2000]");
	lazymem_mapping_unref(mapping);
}

static void backing_may_end_inside_the_last_page(void **state)
{
	struct source source = {.length = PAGE + 1};
	struct lazymem_region *region = make_backed(&source, 2, 0);

	(void)state;
	lazymem_region_unref(region);
}

static void backing_that_ends_before_the_last_page_is_refused(void **state)
{
	struct source source = {.length = PAGE};
	struct lazymem_mapping *mapping = make_mapping(2 * PAGE);

	(void)state;
	assert_int_equal(refuse(mapping, 0, &source, 0), -ERANGE);
	assert_says("region [0x0+0x2000] needs 8192 bytes at offset 0 of source, which has 4096");
	lazymem_mapping_unref(mapping);
}

static void backing_offset_past_its_end_is_refused(void **state)
{
	struct source source = {.length = PAGE};
	struct lazymem_mapping *mapping = make_mapping(PAGE);

	(void)state;
	assert_int_equal(refuse(mapping, 0, &source, PAGE), -ERANGE);
	lazymem_mapping_unref(mapping);
}

static void backing_offset_that_wraps_is_refused(void **state)
{
	struct source source = {.length = UINT64_MAX};
	struct lazymem_mapping *mapping = make_mapping(2 * PAGE);

	(void)state;
	assert_int_equal(refuse(mapping, 0, &source, UINT64_MAX - 1), -ERANGE);
	lazymem_mapping_unref(mapping);
}

static void file_mapping_takes_no_backing(void **state)
{
	struct source source = {.length = PAGE};
	const int fd = make_file(PAGE, 'f');
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_create_file(fd, 0, PAGE, true, NULL, &mapping), 0);
	assert_int_equal(refuse(mapping, 0, &source, 0), -EINVAL);
	assert_says("region [0x0+0x1000] maps a file");
	lazymem_mapping_unref(mapping);
	close(fd);
}

/* ---- load ---------------------------------------------------------------- */

static void load_reads_the_whole_region(void **state)
{
	struct source source = {.length = 4 * PAGE};
	struct lazymem_region *region = make_backed(&source, 2, PAGE);
	const unsigned char *host = host_of(lazymem_region_mapping(region));

	(void)state;
	assert_int_equal(lazymem_region_load(region), 0);
	assert_int_equal(host[0], 2);
	assert_int_equal(host[PAGE - 1], 2);
	assert_int_equal(host[PAGE], 3);
	assert_int_equal(host[2 * PAGE - 1], 3);
	lazymem_region_unref(region);
}

static void load_reads_in_pieces_of_1_mib(void **state)
{
	struct source source = {.length = 2 * MIB + PAGE};
	struct lazymem_region *region = make_backed(&source, 513, 0);

	(void)state;
	assert_int_equal(lazymem_region_load(region), 0);
	assert_int_equal(source.reads, 3);
	assert_int_equal(source.largest, MIB);
	lazymem_region_unref(region);
}

static void load_skips_holes(void **state)
{
	struct source source = {.length = 4 * PAGE, .hole_start = PAGE, .hole_length = 2 * PAGE};
	struct lazymem_region *region = make_backed(&source, 4, 0);
	struct lazymem_mapping *mapping = lazymem_region_mapping(region);
	size_t bytes = 0;

	(void)state;
	assert_int_equal(lazymem_region_load(region), 0);
	assert_int_equal(lazymem_mapping_resident(mapping, PAGE, 2 * PAGE, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(host_of(mapping)[PAGE - 1], 1);
	assert_int_equal(host_of(mapping)[3 * PAGE], 4);
	assert_int_equal(source.reads, 2);
	lazymem_region_unref(region);
}

static void load_fills_the_partial_last_page_with_zeros(void **state)
{
	struct source source = {.length = PAGE + 5};
	struct lazymem_region *region = make_backed(&source, 2, 0);
	const unsigned char *host = host_of(lazymem_region_mapping(region));

	(void)state;
	assert_int_equal(lazymem_region_load(region), 0);
	assert_int_equal(host[PAGE + 4], 2);
	assert_int_equal(host[PAGE + 5], 0);
	lazymem_region_unref(region);
}

static void load_without_backing_is_refused(void **state)
{
	struct lazymem_region *region = make_region(0x1000, PAGE);

	(void)state;
	assert_int_equal(lazymem_region_load(region), -ENOENT);
	assert_says("region [0x1000+0x1000] has no backing object");
	lazymem_region_unref(region);
}

static void load_returns_the_error_of_the_source(void **state)
{
	struct source source = {.length = PAGE, .error = -EIO};
	struct lazymem_region *region = make_backed(&source, 1, 0);

	(void)state;
	assert_int_equal(lazymem_region_load(region), -EIO);
	assert_says("source");
	lazymem_region_unref(region);
}

static void load_of_a_served_region_is_refused(void **state)
{
	struct source source = {.length = PAGE};
	struct lazymem_region *region = make_backed(&source, 1, 0);
	struct lazymem_mapping *mapping = lazymem_region_mapping(region);
	const struct lm_mapping_operations served = lm_mapping_plain;

	(void)state;
	assert_int_equal(lm_mapping_attach(mapping, &served, NULL), 0);
	assert_int_equal(lazymem_region_load(region), -EBUSY);
	assert_says("is served by a handler");
	assert_int_equal(source.reads, 0);
	lm_mapping_detach(mapping);
	lazymem_region_unref(region);
}

static void load_into_memory_that_is_not_writable_is_refused(void **state)
{
	const struct lazymem_mapping_options options = {.size = sizeof(options),
							.protection = PROT_READ};
	struct source source = {.length = PAGE};
	struct lazymem_backing *backing = make_backing(&source);
	struct lazymem_mapping *mapping = NULL;
	struct lazymem_region *region = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_create_anonymous(PAGE, &options, &mapping), 0);
	assert_int_equal(lazymem_region_create(mapping, AT(0), backing, 0, &region), 0);
	assert_int_equal(lazymem_region_load(region), -EACCES);
	lazymem_region_unref(region);
	lazymem_mapping_unref(mapping);
	lazymem_backing_unref(backing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(region_tells_what_it_was_made_of),
		cmocka_unit_test(region_without_backing_has_none),
		cmocka_unit_test(last_reference_lets_mapping_and_backing_go),
		cmocka_unit_test(base_must_be_a_multiple_of_the_page_size),
		cmocka_unit_test(region_may_end_at_the_end_of_the_address_space),
		cmocka_unit_test(region_past_the_end_of_the_address_space_is_refused),
		cmocka_unit_test(backing_may_end_inside_the_last_page),
		cmocka_unit_test(backing_that_ends_before_the_last_page_is_refused),
		cmocka_unit_test(backing_offset_past_its_end_is_refused),
		cmocka_unit_test(backing_offset_that_wraps_is_refused),
		cmocka_unit_test(file_mapping_takes_no_backing),
		cmocka_unit_test(load_reads_the_whole_region),
		cmocka_unit_test(load_reads_in_pieces_of_1_mib),
		cmocka_unit_test(load_skips_holes),
		cmocka_unit_test(load_fills_the_partial_last_page_with_zeros),
		cmocka_unit_test(load_without_backing_is_refused),
		cmocka_unit_test(load_returns_the_error_of_the_source),
		cmocka_unit_test(load_of_a_served_region_is_refused),
		cmocka_unit_test(load_into_memory_that_is_not_writable_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
