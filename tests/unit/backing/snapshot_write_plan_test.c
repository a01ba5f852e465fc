/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_plan_test.c - plans that cannot be carried out: one mistake a
 * test, refused before there is a file.
 */
#include "write_fixture.h"

static struct memory memory;
static char *path;
static struct lazymem_snapshot_plan plan; /* in order, but for what a test changes */

static int set_up(void **state)
{
	make_directory(state);
	path = path_of("snapshot");
	make_memory(&memory, "d", 10 * PAGE - 5);
	plan = plan_of(memory.backing);
	return 0;
}

static int tear_down(void **state)
{
	lazymem_backing_unref(memory.backing);
	free(path);
	return remove_directory(state);
}

static void assert_refused(int error, const char *says)
{
	assert_int_equal(lazymem_snapshot_write(path, &plan), error);
	assert_says(path);
	assert_says(says);
	assert_int_equal(files_in_directory(), 0);
}

static void plan_that_is_in_order_is_carried_out(void **state)
{
	(void)state;
	write_snapshot(path, &plan);
	assert_int_equal(files_in_directory(), 1);
}

/* ---- path and source ----------------------------------------------------- */

static void no_path_is_refused(void **state)
{
	(void)state;
	assert_int_equal(lazymem_snapshot_write(NULL, &plan), -EINVAL);
	assert_says("no path");
}

static void path_without_a_file_or_a_directory_is_refused(void **state)
{
	char *beside = path_of("missing/snapshot");

	(void)state;
	assert_int_equal(lazymem_snapshot_write(beside, &plan), -ENOENT);
	assert_says(beside);
	assert_int_equal(lazymem_snapshot_write(directory, &plan), -EISDIR);
	assert_int_equal(lazymem_snapshot_write("", &plan), -EISDIR);
	assert_int_equal(files_in_directory(), 0);
	free(beside);
}

static void no_plan_and_no_source_are_refused(void **state)
{
	(void)state;
	assert_int_equal(lazymem_snapshot_write(path, NULL), -EINVAL);
	assert_says("no source");
	plan.source = NULL;
	assert_refused(-EINVAL, "no source");
}

static void size_of_the_plan_is_checked(void **state)
{
	struct {
		struct lazymem_snapshot_plan plan;
		char later[8];
	} larger = {.plan = plan};

	(void)state;
	plan.size = 4;
	assert_refused(-EINVAL, "struct lazymem_snapshot_plan");
	larger.plan.size = sizeof(larger);
	assert_int_equal(lazymem_snapshot_write(path, &larger.plan), 0);
	larger.later[7] = 1;
	assert_int_equal(lazymem_snapshot_write(path, &larger.plan), -E2BIG);
}

static void memory_that_is_too_long_is_refused(void **state)
{
	struct memory endless;

	(void)state;
	make_memory(&endless, "h", (UINT64_C(1) << 56) + 1);
	plan.source = endless.backing;
	assert_refused(-EINVAL, "longer than 2^56");
	lazymem_backing_unref(endless.backing);
}

/* ---- regions ------------------------------------------------------------- */

/* Two regions, one after the other. */
static struct lazymem_snapshot_region regions[2];

static void plan_regions(uint64_t base0, uint64_t length0, uint64_t base1, uint64_t length1)
{
	regions[0] = (struct lazymem_snapshot_region){{base0}, length0, 99};
	regions[1] = (struct lazymem_snapshot_region){{base1}, length1, 99};
	plan.regions = regions;
	plan.region_count = 2;
}

static void regions_and_their_number_belong_together(void **state)
{
	(void)state;
	plan.region_count = 1;
	assert_refused(-EINVAL, "1 regions, and no array of them");
	plan_regions(0, 4 * PAGE, 4 * PAGE, 6 * PAGE);
	plan.region_count = 0;
	assert_refused(-EINVAL, "0 regions, and an array of them");
}

static void too_many_regions_are_refused(void **state)
{
	(void)state;
	plan_regions(0, 4 * PAGE, 4 * PAGE, 6 * PAGE);
	plan.region_count = 65537;
	assert_refused(-EINVAL, "65537 regions");
}

static void regions_are_in_whole_pages(void **state)
{
	(void)state;
	plan_regions(0, 4 * PAGE, 4 * PAGE + 1, 6 * PAGE);
	assert_refused(-EINVAL, "region 1 [0x4001+0x6000] is not in whole pages");
}

static void regions_do_not_overlap(void **state)
{
	(void)state;
	plan_regions(0, 4 * PAGE, 3 * PAGE, 6 * PAGE);
	assert_refused(-EINVAL, "region 1 [0x3000+0x6000] overlaps region 0 [0x0+0x4000]");
}

static void regions_are_as_long_as_the_source(void **state)
{
	(void)state;
	plan_regions(0, 4 * PAGE, 4 * PAGE, 5 * PAGE);
	assert_refused(-EINVAL, "the regions are 9 pages long, the memory has 10");
}

/* ---- the parent ---------------------------------------------------------- */

static char *parent_path;
static struct lazymem_snapshot *parent;

static int set_up_parent(void **state)
{
	set_up(state);
	parent_path = path_of("parent");
	return 0;
}

static int tear_down_parent(void **state)
{
	free(parent_path);
	lazymem_snapshot_unref(parent);
	parent = NULL;
	return tear_down(state);
}

/* Of a memory of `length` bytes. */
static void plan_parent(uint64_t length, const struct lazymem_snapshot_region *with, size_t count)
{
	struct memory below;

	make_memory(&below, "d", length);
	struct lazymem_snapshot_plan below_plan = plan_of(below.backing);

	below_plan.regions = with;
	below_plan.region_count = count;
	write_snapshot(parent_path, &below_plan);
	lazymem_backing_unref(below.backing);
	parent = open_snapshot(parent_path);
	plan.parent = parent;
	plan.parent_path = "parent";
}

static void assert_layer_refused(const char *says)
{
	assert_int_equal(lazymem_snapshot_write(path, &plan), -EINVAL);
	assert_says(path);
	assert_says(says);
	assert_int_equal(files_in_directory(), 1);
}

static void parent_and_its_path_belong_together(void **state)
{
	(void)state;
	plan_parent(10 * PAGE - 5, NULL, 0);
	plan.parent_path = NULL;
	assert_layer_refused("a parent and a parent_path belong together");
	plan.parent = NULL;
	plan.parent_path = "parent";
	assert_layer_refused("a parent and a parent_path belong together");
}

static void path_of_the_parent_fits_in_the_format(void **state)
{
	char *longest = malloc(4097);

	(void)state;
	assert_non_null(longest);
	plan_parent(10 * PAGE - 5, NULL, 0);
	plan.parent_path = "";
	assert_layer_refused("parent_path has 0 bytes");
	memset(longest, 'p', 4096);
	longest[4096] = '\0';
	plan.parent_path = longest;
	assert_layer_refused("parent_path has 4096 bytes");
	longest[4095] = '\0';
	assert_int_equal(lazymem_snapshot_write(path, &plan), 0);
	free(longest);
}

static void parent_is_as_long_as_the_source(void **state)
{
	(void)state;
	plan_parent(10 * PAGE, NULL, 0);
	assert_layer_refused("the parent has 40960 bytes, the source has 40955");
}

static void parent_has_the_same_regions(void **state)
{
	const struct lazymem_snapshot_region others[] = {{{0}, 5 * PAGE, 0},
							 {{0x100000}, 5 * PAGE, 0}};

	(void)state;
	plan_parent(10 * PAGE - 5, others, 2);
	assert_layer_refused("the parent has 2 regions, the plan has 1");
	plan_regions(0, 5 * PAGE, 0x200000, 5 * PAGE);
	assert_layer_refused("region 1 of the parent is another one");
	plan_regions(0, 5 * PAGE, 0x100000, 5 * PAGE);
	assert_int_equal(lazymem_snapshot_write(path, &plan), 0);
}

static void identity_of_the_parent_is_refused(void **state)
{
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

	(void)state;
	plan_parent(10 * PAGE - 5, NULL, 0);
	assert_int_equal(lazymem_snapshot_layer_at(parent, 0, &layer), 0);
	plan.identity = &layer.identity;
	assert_layer_refused("the identity is that of the parent");
}

/* Such a file would be refused as its own ancestor. */
static void identity_of_an_ancestor_is_refused(void **state)
{
	struct lazymem_snapshot_layer base = {.size = sizeof(base)};
	struct lazymem_snapshot *layer;
	char *layer_path;

	(void)state;
	plan_parent(10 * PAGE - 5, NULL, 0);
	layer_path = path_of("layer");
	assert_int_equal(lazymem_snapshot_write(layer_path, &plan), 0);
	layer = open_snapshot(layer_path);
	assert_int_equal(lazymem_snapshot_layer_at(layer, 1, &base), 0);
	plan.parent = layer;
	plan.parent_path = "layer";
	plan.identity = &base.identity;
	assert_int_equal(lazymem_snapshot_write(path, &plan), -EINVAL);
	assert_says("the identity is that of the parent");
	assert_says(parent_path);
	assert_int_equal(files_in_directory(), 2);
	lazymem_snapshot_unref(layer);
	free(layer_path);
}

/* ---- compression --------------------------------------------------------- */

static void kind_that_is_no_compression_is_refused(void **state)
{
	(void)state;
	plan.compression = LAZYMEM_CHUNK_RAW;
	assert_refused(-EINVAL, "kind 2 is no compression");
	plan.compression = LAZYMEM_CHUNK_PARENT;
	assert_refused(-EINVAL, "kind 1 is no compression");
	plan.compression = (enum lazymem_chunk_kind)5;
	assert_refused(-EINVAL, "kind 5 is no compression");
}

static void compression_that_is_not_built_in_is_refused(void **state)
{
	(void)state;
	for (enum lazymem_chunk_kind kind = LAZYMEM_CHUNK_LZ4; kind <= LAZYMEM_CHUNK_ZSTD; kind++) {
		if (lazymem_snapshot_supports(kind))
			continue;
		plan.compression = kind;
		assert_refused(-EPROTONOSUPPORT, "built without");
	}
}

static void level_that_is_not_there_is_refused(void **state)
{
	(void)state;
	plan.level = 3;
	assert_refused(-EINVAL, "level 3, and no compression");
	plan.compression = LAZYMEM_CHUNK_LZ4;
	plan.level = 77;
	if (lazymem_snapshot_supports(LAZYMEM_CHUNK_LZ4))
		assert_refused(-EINVAL, "no level 77");
	plan.compression = LAZYMEM_CHUNK_ZSTD;
	if (lazymem_snapshot_supports(LAZYMEM_CHUNK_ZSTD))
		assert_refused(-EINVAL, "no level 77");
}

static void chunk_size_is_a_power_of_two_of_some_pages(void **state)
{
	(void)state;
	plan.chunk_size = 3 * PAGE;
	assert_refused(-EINVAL, "chunk_size 12288");
	plan.chunk_size = 2048;
	assert_refused(-EINVAL, "chunk_size 2048");
	plan.chunk_size = 128 * PAGE;
	assert_refused(-EINVAL, "chunk_size 524288");
}

/* ---- blobs --------------------------------------------------------------- */

static struct lazymem_snapshot_blob_source blobs[2];

static void plan_blobs(const char *first, const char *second)
{
	blobs[0] = (struct lazymem_snapshot_blob_source){first, "x", 1};
	blobs[1] = (struct lazymem_snapshot_blob_source){second, "y", 1};
	plan.blobs = blobs;
	plan.blob_count = 2;
}

static void blobs_and_their_number_belong_together(void **state)
{
	(void)state;
	plan.blob_count = 1;
	assert_refused(-EINVAL, "1 blobs, and no array of them");
}

static void too_many_blobs_are_refused(void **state)
{
	(void)state;
	plan_blobs("a", "b");
	plan.blob_count = 65537;
	assert_refused(-EINVAL, "65537 blobs");
}

static void blob_has_a_name(void **state)
{
	(void)state;
	plan_blobs("a", NULL);
	assert_refused(-EINVAL, "blob 1 has no name");
	plan_blobs("", "b");
	assert_refused(-EINVAL, "blob 0 has no name");
}

static void name_of_a_blob_fits_in_the_format(void **state)
{
	char longest[257];

	(void)state;
	memset(longest, 'n', 256);
	longest[256] = '\0';
	plan_blobs("a", longest);
	assert_refused(-EINVAL, "blob 1: its name has 256 bytes");
	longest[255] = '\0';
	write_snapshot(path, &plan);
	struct lazymem_snapshot *snapshot = open_snapshot(path);

	assert_string_equal(lazymem_snapshot_blob_name(snapshot, 1), longest);
	lazymem_snapshot_unref(snapshot);
}

static void blobs_have_names_of_their_own(void **state)
{
	(void)state;
	plan_blobs("same", "same");
	assert_refused(-EINVAL, "two blobs have the name same");
}

static void blob_with_a_length_has_bytes(void **state)
{
	(void)state;
	plan_blobs("a", "b");
	blobs[1].bytes = NULL;
	assert_refused(-EINVAL, "blob b has a length and no bytes");
}

/* ---- identity ------------------------------------------------------------ */

static void identity_of_zeros_is_refused(void **state)
{
	const struct lazymem_identity none = {{0}};

	(void)state;
	plan.identity = &none;
	assert_refused(-EINVAL, "the identity is all zeros");
}

#define with_plan(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define with_parent(test) cmocka_unit_test_setup_teardown(test, set_up_parent, tear_down_parent)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_plan(plan_that_is_in_order_is_carried_out),
		with_plan(no_path_is_refused),
		with_plan(path_without_a_file_or_a_directory_is_refused),
		with_plan(no_plan_and_no_source_are_refused),
		with_plan(size_of_the_plan_is_checked),
		with_plan(memory_that_is_too_long_is_refused),
		with_plan(regions_and_their_number_belong_together),
		with_plan(too_many_regions_are_refused),
		with_plan(regions_are_in_whole_pages),
		with_plan(regions_do_not_overlap),
		with_plan(regions_are_as_long_as_the_source),
		with_parent(parent_and_its_path_belong_together),
		with_parent(path_of_the_parent_fits_in_the_format),
		with_parent(parent_is_as_long_as_the_source),
		with_parent(parent_has_the_same_regions),
		with_parent(identity_of_the_parent_is_refused),
		with_parent(identity_of_an_ancestor_is_refused),
		with_plan(kind_that_is_no_compression_is_refused),
		with_plan(compression_that_is_not_built_in_is_refused),
		with_plan(level_that_is_not_there_is_refused),
		with_plan(chunk_size_is_a_power_of_two_of_some_pages),
		with_plan(blobs_and_their_number_belong_together),
		with_plan(too_many_blobs_are_refused),
		with_plan(blob_has_a_name),
		with_plan(name_of_a_blob_fits_in_the_format),
		with_plan(blobs_have_names_of_their_own),
		with_plan(blob_with_a_length_has_bytes),
		with_plan(identity_of_zeros_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
