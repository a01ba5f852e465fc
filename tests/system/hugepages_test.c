/* SPDX-License-Identifier: MIT
 *
 * hugepages_test.c - a region that was advised to have huge pages ends up in
 * huge pages, as the kernel itself reports.
 */
#include <stdatomic.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <support/source.h>

#define LENGTH (8 * MIB)
#define BLOCKS (LENGTH / BLOCK)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
	const char *field;
	atomic_bool begun, over;
};

static void begin(struct fixture *f, enum memory_kind kind, const char *layout, unsigned flags)
{
	f->field = kind == ANONYMOUS ? "AnonHugePages" : "ShmemPmdMapped";
	atomic_store(&f->begun, false);
	atomic_store(&f->over, false);
	image_create(&f->image, LENGTH, layout, 17);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, flags, f->source.backing);
	guest_attach(&f->guest, NULL, NULL);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static size_t huge_bytes(struct fixture *f)
{
	return smaps_kib(f->guest.host, LENGTH, f->field) * 1024;
}

static void test_an_advised_region_is_in_huge_pages_after_finish(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d", LAZYMEM_MAPPING_HUGEPAGES);
	guest_finish(&f.guest);
	assert_int_equal(huge_bytes(&f), LENGTH);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

static void test_holes_and_zeros_between_data_are_no_obstacle(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "dhzd", LAZYMEM_MAPPING_HUGEPAGES);
	for (size_t at = 0; at < LENGTH; at += 7 * PAGE)
		touch(f.guest.host + at);
	guest_finish(&f.guest);
	assert_int_equal(huge_bytes(&f), LENGTH);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

static bool all_collapsed(void *argument)
{
	struct lazymem_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_attachment_statistics(argument, &s));
	return s.blocks_collapsed == BLOCKS;
}

static void test_complete_blocks_collapse_while_they_are_served(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d", LAZYMEM_MAPPING_HUGEPAGES);
	for (size_t at = 0; at < LENGTH; at += PAGE)
		touch(f.guest.host + at);
	assert_true(await(all_collapsed, f.guest.attachment));
	assert_int_equal(huge_bytes(&f), LENGTH);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

static void test_advice_after_attaching_counts_too(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d", 0);
	assert_ok(lazymem_mapping_use_hugepages(f.guest.mapping));
	guest_finish(&f.guest);
	assert_int_equal(huge_bytes(&f), LENGTH);
	end(&f);
}

static void test_a_region_without_advice_is_not_collapsed(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d", 0);
	guest_prefetch(&f.guest, 0, 0);
	assert_int_equal(statistics_at_rest(f.guest.attachment).blocks_collapsed, 0);
	guest_finish(&f.guest);
	assert_int_equal(huge_bytes(&f), 0);
	end(&f);
}

/* Counts up in its own page of each block; the last count must be there. */
static int count_up(void *argument)
{
	struct fixture *f = argument;
	unsigned char n = 0;

	while (!atomic_load(&f->over)) {
		n++;
		for (size_t block = 0; block < BLOCKS; block++)
			*(volatile unsigned char *)(f->guest.host + block * BLOCK + 77) = n;
		for (size_t block = 0; block < BLOCKS; block++)
			if (*(volatile unsigned char *)(f->guest.host + block * BLOCK + 77) != n)
				return -1;
		atomic_store(&f->begun, true);
	}
	return n;
}

static bool has_begun(void *argument)
{
	struct fixture *f = argument;

	return atomic_load(&f->begun);
}

static void test_writes_during_a_collapse_are_not_lost(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state), "d", LAZYMEM_MAPPING_HUGEPAGES);
	actor_start(&actor, count_up, &f);
	guest_prefetch(&f.guest, 0, 0);
	assert_true(await(has_begun, &f));
	assert_ok(lazymem_attachment_finish(f.guest.attachment));
	f.guest.attachment = NULL;
	atomic_store(&f.over, true);
	int n = actor_join(&actor);
	assert_true(n >= 0);
	for (size_t block = 0; block < BLOCKS; block++) {
		assert_int_equal(f.guest.host[block * BLOCK + 77], n);
		f.guest.host[block * BLOCK + 77] = f.image.bytes[block * BLOCK + 77];
	}
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

static void test_a_discarded_page_in_a_block_stays_zero_after_finish(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d", LAZYMEM_MAPPING_HUGEPAGES);
	guest_prefetch(&f.guest, 0, 0);
	assert_ok(lazymem_memory_discard(f.guest.memory, guest_address(5 * PAGE), PAGE));
	guest_finish(&f.guest);
	assert_true(all_zero(f.guest.host + 5 * PAGE, PAGE));
	assert_true(image_matches(&f.image, 0, f.guest.host, 5 * PAGE));
	assert_true(image_matches(&f.image, 6 * PAGE, f.guest.host + 6 * PAGE, LENGTH - 6 * PAGE));
	end(&f);
}

#define TEST_BOTH(function)                                                                        \
	TEST_NAMED(function, #function " (anonymous)", ANONYMOUS),                                 \
		TEST_NAMED(function, #function " (memfd)", MEMFD)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_BOTH(test_an_advised_region_is_in_huge_pages_after_finish),
		TEST_BOTH(test_holes_and_zeros_between_data_are_no_obstacle),
		TEST_BOTH(test_complete_blocks_collapse_while_they_are_served),
		TEST_BOTH(test_advice_after_attaching_counts_too),
		TEST_BOTH(test_a_region_without_advice_is_not_collapsed),
		TEST_BOTH(test_writes_during_a_collapse_are_not_lost),
		TEST_BOTH(test_a_discarded_page_in_a_block_stays_zero_after_finish),
	};

	require_faults();
	return run_group(tests);
}
