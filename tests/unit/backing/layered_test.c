/* SPDX-License-Identifier: MIT
 *
 * layered_test.c - raw images one over the other: whose byte it is, down to
 * holes that are smaller than a page, and what is refused.
 */
#include "layer_fixture.h"

#include <errno.h>
#include <lazymem/bytes.h>
#include <lazymem/layered.h>

#define MOST_LAYERS 12
#define LENGTH ((size_t)40000)

/* An image in memory with holes anywhere; its holes hold 0xbb, which must never
 * be served. */
struct sparse {
	unsigned char bytes[LENGTH];
	bool is_data[LENGTH];
	bool has_identity;
	unsigned char number;
	int error; /* of extents */
	struct lazymem_backing *backing;
	int closed;
};

static void sparse_read(void *object, struct lazymem_read *read)
{
	const struct sparse *sparse = object;

	memcpy(read->buffer, sparse->bytes + read->offset, read->length);
	lazymem_read_complete(read, 0);
}

static int sparse_extent(void *object, uint64_t offset, uint64_t length,
			 struct lazymem_extent *ret_extent)
{
	const struct sparse *sparse = object;
	uint64_t end = offset + 1;

	if (sparse->error != 0)
		return sparse->error;
	while (end < offset + length && sparse->is_data[end] == sparse->is_data[offset])
		end++;
	*ret_extent = (struct lazymem_extent){offset, end - offset,
					      sparse->is_data[offset] ? LAZYMEM_EXTENT_DATA
								      : LAZYMEM_EXTENT_ZERO};
	return 0;
}

static int sparse_identity(void *object, struct lazymem_identity *ret_identity)
{
	const struct sparse *sparse = object;

	if (!sparse->has_identity)
		return -ENODATA;
	memset(ret_identity->bytes, sparse->number, sizeof(ret_identity->bytes));
	return 0;
}

static void sparse_close(void *object)
{
	struct sparse *sparse = object;

	sparse->closed++;
}

/* Runs of data and holes; in steps of `grain` bytes. */
static void sparse_create(struct sparse *sparse, unsigned char number, size_t grain)
{
	static const struct lazymem_backing_operations operations = {.size = sizeof(operations),
								     .read = sparse_read,
								     .extent = sparse_extent,
								     .identity = sparse_identity,
								     .close = sparse_close};
	char name[32];

	sparse->has_identity = true;
	sparse->number = number;
	sparse->error = 0;
	sparse->closed = 0;
	for (size_t at = 0; at < LENGTH;) {
		const size_t length = grain * (1 + random_below(8));
		const bool is_data = random_below(2) != 0;

		for (size_t end = at + length; at < end && at < LENGTH; at++) {
			sparse->is_data[at] = is_data;
			sparse->bytes[at] = is_data ? (unsigned char)(number * 16 + at % 13) : 0xbb;
		}
	}
	snprintf(name, sizeof(name), "layer %u", number);
	assert_int_equal(
		lazymem_backing_create(&operations, sparse, LENGTH, name, &sparse->backing), 0);
}

static unsigned char expected_byte(const struct sparse *layers, size_t count, size_t at)
{
	for (size_t i = count; i-- > 0;)
		if (layers[i].is_data[at])
			return layers[i].bytes[at];
	return 0;
}

static struct sparse layers[MOST_LAYERS];

static struct lazymem_backing *make_layered(size_t count, size_t grain)
{
	struct lazymem_backing *objects[MOST_LAYERS], *layered;

	for (size_t i = 0; i < count; i++) {
		sparse_create(&layers[i], (unsigned char)(i + 1), grain);
		objects[i] = layers[i].backing;
	}
	assert_int_equal(lazymem_layered_create(objects, count, &layered), 0);
	for (size_t i = 0; i < count; i++)
		lazymem_backing_unref(objects[i]);
	return layered;
}

static void check_bytes(size_t count, size_t grain)
{
	struct lazymem_backing *layered = make_layered(count, grain);
	unsigned char *bytes = malloc(LENGTH);

	assert_int_equal(lazymem_backing_read(layered, 0, bytes, LENGTH), 0);
	for (size_t at = 0; at < LENGTH; at++)
		assert_int_equal(bytes[at], expected_byte(layers, count, at));
	for (size_t at = 0; at < LENGTH; at += PAGE) {
		const size_t length = LENGTH - at < PAGE ? LENGTH - at : PAGE;
		unsigned char page[4096];

		assert_int_equal(lazymem_backing_read(layered, at, page, length), 0);
		assert_memory_equal(page, bytes + at, length);
	}
	free(bytes);
	lazymem_backing_unref(layered);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(layers[i].closed, 1);
}

static void topmost_data_is_served_at_every_byte(void **state)
{
	(void)state;
	for (size_t count = 1; count <= MOST_LAYERS; count++) {
		check_bytes(count, PAGE);
		check_bytes(count, 512);
		check_bytes(count, 1);
	}
}

static int outcome = 1;

static void note_outcome(struct lazymem_read *read, int error)
{
	(void)read;
	outcome = error;
}

static void parts_are_read_like_ranges(void **state)
{
	struct lazymem_backing *layered = make_layered(4, 700);
	unsigned char bytes[100 * 1000];
	struct lazymem_read_part parts[100];
	struct lazymem_read read = {.buffer = bytes,
				    .parts = parts,
				    .part_count = 100,
				    .length = sizeof(bytes),
				    .complete = note_outcome};

	(void)state;
	assert_true(lazymem_backing_takes_parts(layered));
	for (size_t i = 0; i < 100; i++)
		parts[i] = (struct lazymem_read_part){random_below(LENGTH - 1000), 1000};
	lazymem_backing_submit(layered, &read);
	assert_int_equal(outcome, 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i],
				 expected_byte(layers, 4, parts[i / 1000].offset + i % 1000));
	lazymem_backing_unref(layered);
}

static void hole_in_all_is_an_extent_of_zeros(void **state)
{
	struct lazymem_backing *layered = make_layered(3, 512);

	(void)state;
	for (size_t at = 0; at < LENGTH; at += 256) {
		struct lazymem_extent extent;
		bool is_zero;

		assert_int_equal(lazymem_backing_extent(layered, at, LENGTH - at, &extent), 0);
		is_zero = extent.kind == LAZYMEM_EXTENT_ZERO;
		for (size_t i = at; i < at + extent.length; i++)
			assert_int_equal(!layers[0].is_data[i] && !layers[1].is_data[i] &&
						 !layers[2].is_data[i],
					 is_zero);
	}
	lazymem_backing_unref(layered);
}

static void identity_is_made_of_those_of_all_layers(void **state)
{
	struct lazymem_identity a, b;
	struct lazymem_backing *layered = make_layered(3, PAGE);
	struct lazymem_backing *objects[] = {layers[1].backing, layers[0].backing,
					     layers[2].backing};
	struct lazymem_backing *other;

	(void)state;
	assert_int_equal(lazymem_backing_identity(layered, &a), 0);
	assert_int_equal(lazymem_layered_create(objects, 3, &other), 0);
	assert_int_equal(lazymem_backing_identity(other, &b), 0);
	assert_memory_not_equal(&a, &b, sizeof(a));
	lazymem_backing_unref(other);
	layers[1].has_identity = false;
	assert_int_equal(lazymem_layered_create(objects, 3, &other), 0);
	assert_int_equal(lazymem_backing_identity(other, &b), -ENODATA);
	lazymem_backing_unref(other);
	lazymem_backing_unref(layered);
}

static void nothing_to_lay_is_refused(void **state)
{
	struct lazymem_backing *none = NULL, *layered;

	(void)state;
	assert_int_equal(lazymem_layered_create(NULL, 0, &layered), -EINVAL);
	assert_int_equal(lazymem_layered_create(&none, 0, &layered), -EINVAL);
	assert_int_equal(lazymem_layered_create(&none, 1, &layered), -EINVAL);
	assert_int_equal(lazymem_layered_create(&none, 65536, &layered), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "65536 layers"));
}

static void layers_of_other_lengths_are_refused_by_name(void **state)
{
	struct lazymem_backing *objects[2], *layered;

	(void)state;
	sparse_create(&layers[0], 1, PAGE);
	objects[0] = layers[0].backing;
	assert_int_equal(lazymem_bytes_create("12345", 5, NULL, NULL, &objects[1]), 0);
	assert_int_equal(lazymem_layered_create(objects, 2, &layered), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "layer 1"));
	assert_non_null(strstr(lazymem_error_message(), "bytes over it has 5"));
	lazymem_backing_unref(objects[0]);
	lazymem_backing_unref(objects[1]);
	assert_int_equal(layers[0].closed, 1);
}

static void failure_to_tell_an_extent_is_passed_on(void **state)
{
	struct lazymem_backing *objects[2], *layered;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		sparse_create(&layers[i], (unsigned char)(i + 1), PAGE);
		objects[i] = layers[i].backing;
	}
	layers[0].error = -EIO;
	assert_int_equal(lazymem_layered_create(objects, 2, &layered), -EIO);
	assert_non_null(strstr(lazymem_error_message(), "layer 1"));
	for (size_t i = 0; i < 2; i++) {
		lazymem_backing_unref(objects[i]);
		assert_int_equal(layers[i].closed, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topmost_data_is_served_at_every_byte),
		cmocka_unit_test(parts_are_read_like_ranges),
		cmocka_unit_test(hole_in_all_is_an_extent_of_zeros),
		cmocka_unit_test(identity_is_made_of_those_of_all_layers),
		cmocka_unit_test(nothing_to_lay_is_refused),
		cmocka_unit_test(layers_of_other_lengths_are_refused_by_name),
		cmocka_unit_test(failure_to_tell_an_extent_is_passed_on),
	};

	seed_random();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
