/* SPDX-License-Identifier: MIT
 *
 * hugetlb_pool_test.c - a discarded hugetlb page goes back to the pool. When
 * it is wanted again and the pool is empty, its user learns so by SIGBUS, as
 * without us, and does not hang.
 */
#include <signal.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <sys/mman.h>

#define LENGTH (4 * BLOCK)
#define MOST 1024u

/* Every page that is free now. */
static size_t take_all(void *pages[MOST])
{
	size_t n = 0;

	while (n < MOST) {
		pages[n] =
			mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE | (21 << 26),
			     -1, 0);
		if (pages[n] == MAP_FAILED)
			break;
		n++;
	}
	return n;
}

static void give_back(void *pages[MOST], size_t n)
{
	for (size_t i = 0; i < n; i++)
		munmap(pages[i], BLOCK);
}

static void test_a_discarded_page_with_an_empty_pool_raises_sigbus(void **state)
{
	static void *pages[MOST];
	struct image image;
	struct source source;
	struct guest guest;

	image_create(&image, LENGTH, "d", 25);
	source_create(&source, &image);
	guest_start(&guest, kind_of(state), LENGTH, source.backing);
	assert_int_equal(touch(guest.host), image.bytes[0]);
	assert_ok(lazymem_memory_discard(guest.memory, guest_address(0), BLOCK));
	size_t taken = take_all(pages);
	int byte = touch(guest.host);
	give_back(pages, taken);
	/* The kernel may have kept the page reserved for us: then it is zero. */
	assert_true(byte == SIGNALLED + SIGBUS || byte == 0);
	assert_true(image_matches(&image, BLOCK, guest.host + BLOCK, LENGTH - BLOCK));
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_NAMED(test_a_discarded_page_with_an_empty_pool_raises_sigbus,
			   "a discarded page with an empty pool", HUGETLB),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
