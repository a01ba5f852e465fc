/* SPDX-License-Identifier: MIT
 *
 * regions_test.c - guest memory of several regions, of several kinds, some of
 * them not lazy at all.
 */
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <support/source.h>

#define SIZE (4 * MIB)

/* Guest memory, in ascending order and adjacent: anonymous, memfd, hugetlb,
 * anonymous without a source. All from one image, one after the other. */
struct mixed {
	struct image image;
	struct source source;
	struct guest guest;
	struct lazymem_mapping *mappings[4];
	unsigned char *host[4];
};

static void begin(struct mixed *m)
{
	struct lazymem_region *regions[4];

	image_create(&m->image, 3 * SIZE, "ddhz", 18);
	source_create(&m->source, &m->image);
	m->guest = (struct guest){.length = 4 * SIZE, .page = PAGE};
	assert_ok(lazymem_mapping_create_anonymous(SIZE, NULL, &m->mappings[0]));
	assert_ok(lazymem_mapping_create_memfd(SIZE, NULL, &m->mappings[1]));
	assert_ok(lazymem_mapping_create_hugetlb(SIZE, BLOCK, NULL, &m->mappings[2]));
	assert_ok(lazymem_mapping_create_anonymous(SIZE, NULL, &m->mappings[3]));
	for (size_t i = 0; i < 4; i++) {
		m->host[i] = lazymem_mapping_span(m->mappings[i]).host;
		assert_ok(lazymem_region_create(m->mappings[i], guest_address(i * SIZE),
						i < 3 ? m->source.backing : NULL,
						i < 3 ? i * SIZE : 0, &regions[i]));
	}
	m->host[3][0] = STAMP; /* not lazy: may be there already */
	assert_ok(lazymem_memory_create(regions, 4, &m->guest.memory));
	for (size_t i = 0; i < 4; i++)
		lazymem_region_unref(regions[i]);
	guest_attach(&m->guest, NULL, NULL);
}

static void end(struct mixed *m)
{
	guest_end(&m->guest);
	for (size_t i = 0; i < 4; i++)
		lazymem_mapping_unref(m->mappings[i]);
	source_destroy(&m->source);
	image_destroy(&m->image);
}

static void test_each_region_is_filled_from_its_own_offset(void **state)
{
	struct mixed m;

	(void)state;
	begin(&m);
	for (size_t i = 0; i < 3; i++)
		assert_true(image_matches(&m.image, i * SIZE, m.host[i], SIZE));
	end(&m);
}

static void test_a_region_without_a_source_is_left_alone(void **state)
{
	struct mixed m;

	(void)state;
	begin(&m);
	assert_false(is_registered(m.host[3], SIZE));
	assert_int_equal(m.host[3][0], STAMP);
	assert_true(all_zero(m.host[3] + 1, SIZE - 1));
	assert_int_equal(statistics_at_rest(m.guest.attachment).faults, 0);
	end(&m);
}

static void test_a_read_crosses_regions_of_every_kind(void **state)
{
	static unsigned char bytes[SIZE + 2 * PAGE];
	struct mixed m;

	(void)state;
	begin(&m);
	assert_ok(lazymem_memory_read(m.guest.memory, guest_address(SIZE - PAGE), bytes,
				      sizeof(bytes)));
	assert_true(image_matches(&m.image, SIZE - PAGE, bytes, sizeof(bytes)));
	end(&m);
}

static void test_a_write_crosses_regions_of_every_kind(void **state)
{
	static unsigned char bytes[SIZE + 2];
	struct mixed m;

	(void)state;
	begin(&m);
	bytes[0] = bytes[SIZE + 1] = STAMP;
	assert_ok(lazymem_memory_write(m.guest.memory, guest_address(SIZE - 1), bytes,
				       sizeof(bytes)));
	assert_int_equal(m.host[0][SIZE - 1], STAMP);
	assert_true(all_zero(m.host[1], SIZE));
	assert_int_equal(m.host[2][0], STAMP);
	assert_true(image_matches(&m.image, 0, m.host[0], SIZE - 1));
	assert_true(image_matches(&m.image, 2 * SIZE + 1, m.host[2] + 1, SIZE - 1));
	end(&m);
}

static void test_a_discard_crosses_regions_of_every_kind(void **state)
{
	struct mixed m;

	(void)state;
	begin(&m);
	assert_ok(lazymem_memory_discard(m.guest.memory, guest_address(SIZE - PAGE),
					 SIZE + PAGE + BLOCK));
	assert_true(image_matches(&m.image, 0, m.host[0], SIZE - PAGE));
	assert_true(all_zero(m.host[0] + SIZE - PAGE, PAGE));
	assert_true(all_zero(m.host[1], SIZE));
	assert_true(all_zero(m.host[2], BLOCK));
	assert_true(image_matches(&m.image, 2 * SIZE + BLOCK, m.host[2] + BLOCK, SIZE - BLOCK));
	end(&m);
}

static void test_finish_fills_every_lazy_region(void **state)
{
	struct mixed m;

	(void)state;
	begin(&m);
	guest_finish(&m.guest);
	for (size_t i = 0; i < 3; i++) {
		assert_false(is_registered(m.host[i], SIZE));
		assert_true(image_matches(&m.image, i * SIZE, m.host[i], SIZE));
	}
	end(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_region_is_filled_from_its_own_offset),
		TEST(test_a_region_without_a_source_is_left_alone),
		TEST(test_a_read_crosses_regions_of_every_kind),
		TEST(test_a_write_crosses_regions_of_every_kind),
		TEST(test_a_discard_crosses_regions_of_every_kind),
		TEST(test_finish_fills_every_lazy_region),
	};

	require_faults();
	require_hugetlb(BLOCK, SIZE / BLOCK);
	return run_group(tests);
}
