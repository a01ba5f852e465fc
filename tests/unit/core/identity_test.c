/* SPDX-License-Identifier: MIT */
#include "core/identity.h"

#include "core/memory.h"

#include "model.h"

/* ---- folding ------------------------------------------------------------- */

static struct lazymem_identity fold_numbers(const uint64_t *numbers, size_t count)
{
	struct lazymem_identity identity = {{0}};

	for (size_t i = 0; i < count; i++)
		lm_identity_fold_number(&identity, numbers[i]);
	return identity;
}

static unsigned bits_apart(const struct lazymem_identity *a, const struct lazymem_identity *b)
{
	unsigned count = 0;

	for (size_t i = 0; i < sizeof(a->bytes); i++)
		count += (unsigned)__builtin_popcount(a->bytes[i] ^ b->bytes[i]);
	return count;
}

static void assert_unlike(const struct lazymem_identity *a, const struct lazymem_identity *b)
{
	/* half of 256, and eight standard deviations */
	assert_in_range(bits_apart(a, b), 64, 192);
}

static void zeros_are_none_and_nothing_else_is(void **state)
{
	struct lazymem_identity identity = {{0}};

	(void)state;
	assert_true(lm_identity_is_none(&identity));
	for (size_t i = 0; i < sizeof(identity.bytes); i++) {
		identity.bytes[i] = 0x80;
		assert_false(lm_identity_is_none(&identity));
		identity.bytes[i] = 0;
	}
}

static void every_byte_is_compared(void **state)
{
	struct lazymem_identity a = {{1, 2, 3}}, b = a;

	(void)state;
	assert_true(lm_identity_equal(&a, &b));
	for (size_t i = 0; i < sizeof(b.bytes); i++) {
		b.bytes[i] ^= 1;
		assert_false(lm_identity_equal(&a, &b));
		b.bytes[i] ^= 1;
	}
}

static void every_bit_of_a_number_matters_at_every_place(void **state)
{
	uint64_t numbers[3] = {0};
	const struct lazymem_identity zeros = fold_numbers(numbers, 3);

	(void)state;
	for (size_t place = 0; place < 3; place++) {
		for (unsigned bit = 0; bit < 64; bit++) {
			struct lazymem_identity other;

			numbers[place] = UINT64_C(1) << bit;
			other = fold_numbers(numbers, 3);
			assert_unlike(&zeros, &other);
		}
		numbers[place] = 0;
	}
}

static void every_bit_of_an_identity_matters(void **state)
{
	struct lazymem_identity more = {{0}}, zeros = {{0}};

	(void)state;
	lm_identity_fold(&zeros, &more);
	for (unsigned bit = 0; bit < 256; bit++) {
		struct lazymem_identity other = {{0}};

		more.bytes[bit / 8] = (unsigned char)(1u << bit % 8);
		lm_identity_fold(&other, &more);
		assert_unlike(&zeros, &other);
		more.bytes[bit / 8] = 0;
	}
}

static void every_bit_of_what_came_before_matters(void **state)
{
	struct lazymem_identity zeros = {{0}};

	(void)state;
	lm_identity_fold_number(&zeros, 1);
	for (unsigned bit = 0; bit < 256; bit++) {
		struct lazymem_identity other = {{0}};

		other.bytes[bit / 8] = (unsigned char)(1u << bit % 8);
		lm_identity_fold_number(&other, 1);
		assert_false(lm_identity_equal(&zeros, &other));
	}
}

static void order_and_count_matter(void **state)
{
	const uint64_t up[] = {1, 2, 0}, down[] = {2, 1};
	const struct lazymem_identity a = fold_numbers(up, 2), b = fold_numbers(down, 2),
				      longer = fold_numbers(up, 3);

	(void)state;
	assert_unlike(&a, &b);
	assert_unlike(&a, &longer);
}

static void zeros_fold_into_something(void **state)
{
	const uint64_t zero = 0;
	const struct lazymem_identity identity = fold_numbers(&zero, 1);

	(void)state;
	assert_false(lm_identity_is_none(&identity));
}

/* Files hold what is made here: it may never change. */
static void folding_gives_what_it_always_gave(void **state)
{
	const uint64_t numbers[] = {1, 2, 3};
	const struct lazymem_identity identity = fold_numbers(numbers, 3);
	static const unsigned char expected[32] = {0x70, 0x1e, 0x1a, 0x78, 0x85, 0x13, 0x55, 0x10,
						   0x2c, 0x7a, 0x9c, 0x0c, 0x3b, 0x33, 0x28, 0xdb,
						   0xba, 0xba, 0xbd, 0x0d, 0x6c, 0x3d, 0x9a, 0x16,
						   0xb3, 0xb6, 0x72, 0x46, 0xc3, 0x3d, 0xa3, 0x88};

	(void)state;
	assert_memory_equal(identity.bytes, expected, sizeof(expected));
}

/* ---- of guest memory ------------------------------------------------------ */

static void never_read(void *object, struct lazymem_read *read)
{
	(void)object;
	lazymem_read_complete(read, -EIO);
}

static int identity_of_object(void *object, struct lazymem_identity *ret_identity)
{
	*ret_identity = *(const struct lazymem_identity *)object;
	return 0;
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations), .read = never_read, .identity = identity_of_object};

/* A backing object of 16 pages that is known by this. */
static struct lazymem_backing *make_backing(struct lazymem_identity *identity)
{
	struct lazymem_backing *backing = NULL;

	assert_int_equal(
		lazymem_backing_create(&operations, identity, 16 * PAGE, "known", &backing), 0);
	return backing;
}

struct place {
	uint64_t base;
	struct lazymem_backing *backing;
	uint64_t offset;
};

static struct lazymem_identity first_image = {{1}}, second_image = {{2}}, no_image = {{0}};
static struct lazymem_backing *first, *second, *unknown;

/* Has the last memory the first image, and the one that it is as a whole? */
static bool has_first_image, has_whole_image;

/* The identity of a memory of regions of a page; what the call answers. */
static int identify(const struct place *places, size_t count, struct lazymem_identity *ret_identity)
{
	struct lazymem_region *regions[4];
	struct lazymem_memory *memory;
	int error;

	for (size_t i = 0; i < count; i++) {
		struct lazymem_mapping *mapping = make_mapping(PAGE);

		assert_int_equal(lazymem_region_create(mapping, AT(places[i].base),
						       places[i].backing, places[i].offset,
						       &regions[i]),
				 0);
		lazymem_mapping_unref(mapping);
	}
	memory = make_memory(regions, count);
	error = lazymem_memory_identity(memory, ret_identity);
	has_first_image = lm_memory_has_image(memory, &first_image);
	has_whole_image = error == 0 && lm_memory_has_image(memory, ret_identity);
	lazymem_memory_unref(memory);
	return error;
}

static int set_up(void **state)
{
	(void)state;
	first = make_backing(&first_image);
	second = make_backing(&second_image);
	unknown = make_backing(&no_image);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lazymem_backing_unref(first);
	lazymem_backing_unref(second);
	lazymem_backing_unref(unknown);
	return 0;
}

static void one_backing_object_lends_its_identity(void **state)
{
	const struct place places[] = {
		{0x1000, first, 0}, {0x2000, NULL, 0}, {0x8000, first, PAGE}};
	struct lazymem_identity identity = {{0}};

	(void)state;
	assert_int_equal(identify(places, 3, &identity), 0);
	assert_true(lm_identity_equal(&identity, &first_image));
}

static void several_backing_objects_make_one_identity(void **state)
{
	const struct place places[] = {{0x1000, first, 0}, {0x2000, second, 0}, {0x8000, NULL, 0}};
	struct lazymem_identity identity = {{0}}, again = {{0}};

	(void)state;
	assert_int_equal(identify(places, 3, &identity), 0);
	assert_false(lm_identity_is_none(&identity));
	assert_false(lm_identity_equal(&identity, &first_image));
	assert_int_equal(identify(places, 3, &again), 0);
	assert_true(lm_identity_equal(&identity, &again));
}

static void where_several_backing_objects_lie_matters(void **state)
{
	const struct place places[][2] = {
		{{0x1000, first, 0}, {0x2000, second, 0}},
		{{0x1000, second, 0}, {0x2000, first, 0}},
		{{0x1000, first, 0}, {0x3000, second, 0}},
		{{0x1000, first, PAGE}, {0x2000, second, 0}},
	};
	struct lazymem_identity identities[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(identify(places[i], 2, &identities[i]), 0);
		for (size_t j = 0; j < i; j++)
			assert_false(lm_identity_equal(&identities[i], &identities[j]));
	}
}

static void memory_has_its_own_image_and_that_of_each_backing_object(void **state)
{
	const struct place places[] = {
		{0x1000, unknown, 0}, {0x2000, first, 0}, {0x4000, second, 0}, {0x8000, NULL, 0}};
	struct lazymem_identity identity;

	(void)state;
	assert_int_equal(identify(places, 2, &identity), -ENODATA);
	assert_true(has_first_image);
	assert_int_equal(identify(places + 1, 3, &identity), 0);
	assert_true(has_first_image && has_whole_image);
	assert_int_equal(identify(places + 2, 2, &identity), 0);
	assert_true(!has_first_image && has_whole_image);
	assert_int_equal(identify(places + 3, 1, &identity), -ENODATA);
	assert_false(has_first_image);
}

static void memory_without_backing_objects_has_no_identity(void **state)
{
	const struct place place = {0x1000, NULL, 0};
	struct lazymem_identity identity = {{9}};

	(void)state;
	assert_int_equal(identify(&place, 1, &identity), -ENODATA);
	assert_says("no region of the guest memory has a backing object");
	assert_int_equal(identity.bytes[0], 9);
}

static void one_unknown_backing_object_leaves_no_identity(void **state)
{
	const struct place places[] = {{0x1000, first, 0}, {0x2000, unknown, 0}};
	struct lazymem_identity identity = {{9}};

	(void)state;
	assert_int_equal(identify(places, 2, &identity), -ENODATA);
	assert_says("known: nothing tells");
	assert_int_equal(identify(places + 1, 1, &identity), -ENODATA);
	assert_int_equal(identity.bytes[0], 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_are_none_and_nothing_else_is),
		cmocka_unit_test(every_byte_is_compared),
		cmocka_unit_test(every_bit_of_a_number_matters_at_every_place),
		cmocka_unit_test(every_bit_of_an_identity_matters),
		cmocka_unit_test(every_bit_of_what_came_before_matters),
		cmocka_unit_test(order_and_count_matter),
		cmocka_unit_test(zeros_fold_into_something),
		cmocka_unit_test(folding_gives_what_it_always_gave),
		TEST(one_backing_object_lends_its_identity),
		TEST(several_backing_objects_make_one_identity),
		TEST(where_several_backing_objects_lie_matters),
		TEST(memory_has_its_own_image_and_that_of_each_backing_object),
		TEST(memory_without_backing_objects_has_no_identity),
		TEST(one_unknown_backing_object_leaves_no_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
