/* SPDX-License-Identifier: MIT
 *
 * fault_test.c - each page arrives with the bytes of its source when it is
 * touched, by whatever touches it.
 */
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <unistd.h>

#define LENGTH (16 * MIB)
#define LAYOUT "dddhzdhh"

static void with_guest(void **state, void (*check)(struct guest *guest, struct source *source))
{
	struct image image;
	struct source source;
	struct guest guest;

	image_create(&image, LENGTH, LAYOUT, 1);
	source_create(&source, &image);
	guest_start(&guest, kind_of(state), LENGTH, source.backing);
	check(&guest, &source);
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

static void touch_in_order(struct guest *guest, struct source *source)
{
	for (size_t at = 0; at < LENGTH; at += PAGE)
		assert_true(image_matches(source->image, at, guest->host + at, PAGE));
}

static void test_every_page_holds_its_own_bytes(void **state)
{
	with_guest(state, touch_in_order);
}

static void touch_backwards(struct guest *guest, struct source *source)
{
	for (size_t at = LENGTH; at > 0; at -= PAGE)
		assert_true(image_matches(source->image, at - PAGE, guest->host + at - PAGE, PAGE));
}

static void test_pages_arrive_in_any_order(void **state)
{
	with_guest(state, touch_backwards);
}

static void write_first(struct guest *guest, struct source *source)
{
	for (size_t at = 0; at < LENGTH; at += PAGE)
		guest->host[at + 100] = STAMP;
	for (size_t at = 0; at < LENGTH; at += PAGE) {
		assert_int_equal(guest->host[at + 100], STAMP);
		assert_true(image_matches(source->image, at, guest->host + at, 100));
		assert_true(
			image_matches(source->image, at + 101, guest->host + at + 101, PAGE - 101));
	}
}

static void test_a_write_keeps_the_other_bytes_of_its_page(void **state)
{
	with_guest(state, write_first);
}

static void one_touch(struct guest *guest, struct source *source)
{
	(void)source;
	touch(guest->host);
	touch(guest->host);
	struct lazymem_statistics s = statistics_at_rest(guest->attachment);
	assert_int_equal(s.faults, 1);
	assert_int_equal(s.pages_populated, 1);
	assert_int_equal(s.pages_total, LENGTH / guest->page);
	assert_int_equal(s.pages_prefetched, 0);
}

static void test_a_touch_populates_one_page_once(void **state)
{
	with_guest(state, one_touch);
}

static void call_on_data(struct guest *guest, struct source *source)
{
	unsigned char bytes[PAGE];
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], guest->host, PAGE), PAGE);
	assert_int_equal(read(ends[0], bytes, PAGE), PAGE);
	assert_true(image_matches(source->image, 0, bytes, PAGE));
	close(ends[0]);
	close(ends[1]);
}

static void test_a_system_call_reads_a_missing_page(void **state)
{
	with_guest(state, call_on_data);
}

static void call_writes(struct guest *guest, struct source *source)
{
	unsigned char *at = guest->host + LENGTH - guest->page + 7;

	assert_int_equal(call_writing(at), 0);
	assert_int_equal(*at, STAMP);
	assert_true(image_matches(source->image, LENGTH - guest->page, at - 7, 7));
}

static void test_a_system_call_writes_a_missing_page(void **state)
{
	with_guest(state, call_writes);
}

static void read_by_guest_address(struct guest *guest, struct source *source)
{
	static unsigned char bytes[3 * PAGE];

	assert_ok(lazymem_memory_read(guest->memory, guest_address(BLOCK - PAGE - 3), bytes,
				      sizeof(bytes)));
	assert_true(image_matches(source->image, BLOCK - PAGE - 3, bytes, sizeof(bytes)));
}

static void test_a_read_by_guest_address_fills_what_it_crosses(void **state)
{
	with_guest(state, read_by_guest_address);
}

static void test_the_end_of_a_partial_last_page_is_zero(void **state)
{
	struct image image;
	struct source source;
	struct guest guest;
	size_t page = page_size_of(kind_of(state));
	uint64_t length = 4 * page - 1234;

	image_create(&image, length, "d", 2);
	source_create(&source, &image);
	guest_start(&guest, kind_of(state), 4 * page, source.backing);
	assert_true(image_matches(&image, 0, guest.host, length));
	assert_true(all_zero(guest.host + length, 1234));
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_every_page_holds_its_own_bytes),
		TEST_EACH_KIND(test_pages_arrive_in_any_order),
		TEST_EACH_KIND(test_a_write_keeps_the_other_bytes_of_its_page),
		TEST_EACH_KIND(test_a_touch_populates_one_page_once),
		TEST_EACH_KIND(test_a_system_call_reads_a_missing_page),
		TEST_EACH_KIND(test_a_system_call_writes_a_missing_page),
		TEST_EACH_KIND(test_a_read_by_guest_address_fills_what_it_crosses),
		TEST_EACH_KIND(test_the_end_of_a_partial_last_page_is_zero),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
