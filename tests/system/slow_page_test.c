/* SPDX-License-Identifier: MIT
 *
 * slow_page_test.c - a page whose read takes a second holds nobody else up.
 */
#include <lazymem/file.h>
#include <lazymem/inject.h>
#include <stdlib.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/image.h>

#define LENGTH (16 * MIB)

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool has_faulted(void *argument)
{
	struct lazymem_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_attachment_statistics(argument, &s));
	return s.faults > 0;
}

static bool faults_beside_a_slow_page_go_on(void *argument)
{
	const enum memory_kind kind = *(const enum memory_kind *)argument;
	struct image image;
	struct lazymem_backing *file, *slow;
	struct guest guest;
	struct actor actor;
	size_t page = page_size_of(kind), count = LENGTH / page - 1, next = 0;
	uint64_t *took = calloc(count, sizeof(*took));
	struct lazymem_inject_range last = {.start = LENGTH - page, .length = PAGE};

	image_create(&image, LENGTH, "d", 7);
	assert_ok(lazymem_file_open(image_write(&image, "slow"), NULL, &file));
	assert_ok(lazymem_inject_delay(file, last, SECONDS(1), &slow));
	guest_start(&guest, kind, LENGTH, slow);

	actor_start(&actor, touch, guest.host + last.start);
	assert_true(await(has_faulted, guest.attachment));
	while (!actor_is_done(&actor, 0) && next < count) {
		uint64_t start = now_ns();
		assert_true(image_matches(&image, next * page, guest.host + next * page, page));
		took[next++] = now_ns() - start;
	}
	qsort(took, next, sizeof(*took), by_size);
	uint64_t p99 = next > 0 ? took[next - 1 - next / 100] : UINT64_MAX;
	print_message("%zu faults beside the slow one, p99 %lu us\n", next, p99 / 1000);
	assert_int_equal(actor_join(&actor), image.bytes[last.start]);
	assert_true(actor.took_ns >= SECONDS(1));

	guest_end(&guest);
	lazymem_backing_unref(slow);
	lazymem_backing_unref(file);
	image_destroy(&image);
	free(took);
	/* A huge page is read from the disk whole; the bound allows for that. */
	return (next == count || next >= 100) &&
	       p99 < (page > PAGE ? MILLISECONDS(100) : MILLISECONDS(10)) * TIME_SCALE;
}

static void test_faults_beside_a_slow_page_go_on(void **state)
{
	enum memory_kind kind = kind_of(state);

	assert_true(holds_once(faults_beside_a_slow_page_go_on, &kind));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_faults_beside_a_slow_page_go_on),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
