/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <sys/mman.h>

/* Every test sees make_three: [0x1000+0x2000] [0x3000+0x2000] [0x8000+0x1000]. */
static int set_up(void **state)
{
	*state = make_three();
	return 0;
}

static int tear_down(void **state)
{
	lazymem_memory_unref(*state);
	return 0;
}

static unsigned char *host_at(struct lazymem_memory *memory, size_t region, size_t offset)
{
	return host_of(lazymem_region_mapping(lazymem_memory_region(memory, region))) + offset;
}

/* ---- bytes --------------------------------------------------------------- */

static void written_bytes_are_read_back_across_regions(void **state)
{
	unsigned char out[0x20], in[0x20];

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)(i + 1);
	assert_int_equal(lazymem_memory_write(*state, AT(0x2ff0), out, sizeof(out)), 0);
	assert_int_equal(*host_at(*state, 0, 0x1fff), 0x10);
	assert_int_equal(*host_at(*state, 1, 0), 0x11);
	assert_int_equal(lazymem_memory_read(*state, AT(0x2ff0), in, sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
}

static void write_touches_no_byte_around_its_range(void **state)
{
	assert_int_equal(lazymem_memory_write(*state, AT(0x1010), "xx", 2), 0);
	assert_int_equal(*host_at(*state, 0, 0xf), 0);
	assert_int_equal(*host_at(*state, 0, 0x10), 'x');
	assert_int_equal(*host_at(*state, 0, 0x11), 'x');
	assert_int_equal(*host_at(*state, 0, 0x12), 0);
}

static void range_that_is_partly_missing_copies_nothing(void **state)
{
	unsigned char buffer[4] = {7, 7, 7, 7};

	*host_at(*state, 1, 0x1ffe) = 1;
	assert_int_equal(lazymem_memory_read(*state, AT(0x4ffe), buffer, 3), -EFAULT);
	assert_says("0x5000");
	assert_int_equal(buffer[0], 7);
	assert_int_equal(lazymem_memory_write(*state, AT(0x4ffe), buffer, 3), -EFAULT);
	assert_int_equal(*host_at(*state, 1, 0x1ffe), 1);
}

static void range_that_wraps_is_refused(void **state)
{
	unsigned char byte = 7;

	assert_int_equal(lazymem_memory_read(*state, AT(0x1000), &byte, SIZE_MAX - 0xfff + 1),
			 -EOVERFLOW);
	assert_int_equal(lazymem_memory_write(*state, AT(0x1000), &byte, SIZE_MAX - 0xfff + 1),
			 -EOVERFLOW);
	assert_says("[0x1000+0xfffffffffffff001]");
	assert_int_equal(byte, 7);
}

static void no_bytes_succeed_inside_a_region_only(void **state)
{
	assert_int_equal(lazymem_memory_read(*state, AT(0x1000), NULL, 0), 0);
	assert_int_equal(lazymem_memory_write(*state, AT(0x1000), NULL, 0), 0);
	assert_int_equal(lazymem_memory_read(*state, AT(0x5000), NULL, 0), -EFAULT);
	assert_int_equal(lazymem_memory_write(*state, AT(0x5000), NULL, 0), -EFAULT);
}

static void last_bytes_of_the_address_space_can_be_used(void **state)
{
	struct lazymem_region *region = make_region(UINT64_MAX - PAGE + 1, PAGE);
	struct lazymem_memory *memory = make_memory(&region, 1);
	unsigned char byte = 0;

	(void)state;
	assert_int_equal(lazymem_memory_write(memory, AT(UINT64_MAX), "z", 1), 0);
	assert_int_equal(lazymem_memory_read(memory, AT(UINT64_MAX), &byte, 1), 0);
	assert_int_equal(byte, 'z');
	assert_int_equal(lazymem_memory_read(memory, AT(UINT64_MAX), &byte, 2), -EOVERFLOW);
	lazymem_memory_unref(memory);
}

static void protection_of_the_mapping_is_kept(void **state)
{
	const struct lazymem_mapping_options options = {.size = sizeof(options),
							.protection = PROT_READ};
	struct lazymem_mapping *mapping = NULL;
	struct lazymem_region *regions[2];
	struct lazymem_memory *memory;
	unsigned char bytes[2] = {1, 1};
	uint8_t byte = 7;

	(void)state;
	assert_int_equal(lazymem_mapping_create_anonymous(PAGE, &options, &mapping), 0);
	regions[0] = make_region(0, PAGE);
	regions[1] = make_region_of(mapping, 0x1000);
	memory = make_memory(regions, 2);
	assert_int_equal(lazymem_memory_write(memory, AT(0xfff), bytes, 2), -EACCES);
	assert_says("region 1 [0x1000+0x1000] is mapped without permission to write");
	assert_int_equal(lazymem_memory_store_u8(memory, AT(0x1000), 1), -EACCES);
	assert_int_equal(lazymem_memory_load_u8(memory, AT(0x1000), &byte), 0);
	assert_int_equal(lazymem_memory_load_u8(memory, AT(0xfff), &byte), 0);
	assert_int_equal(byte, 0);
	lazymem_memory_unref(memory);
}

/* ---- numbers ------------------------------------------------------------- */

static void numbers_are_little_endian(void **state)
{
	static const unsigned char bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t u8 = 0;
	uint16_t u16 = 0;
	uint32_t u32 = 0;
	uint64_t u64 = 0;

	memcpy(host_at(*state, 0, 0), bytes, sizeof(bytes));
	assert_int_equal(lazymem_memory_load_u8(*state, AT(0x1000), &u8), 0);
	assert_int_equal(lazymem_memory_load_u16(*state, AT(0x1000), &u16), 0);
	assert_int_equal(lazymem_memory_load_u32(*state, AT(0x1000), &u32), 0);
	assert_int_equal(lazymem_memory_load_u64(*state, AT(0x1000), &u64), 0);
	assert_int_equal(u8, 0x01);
	assert_int_equal(u16, 0x0201);
	assert_int_equal(u32, 0x04030201);
	assert_true(u64 == UINT64_C(0x0807060504030201));
}

static void stored_numbers_are_loaded_at_any_address(void **state)
{
	for (uint64_t address = 0x2ff0; address < 0x3008; address++) {
		uint8_t u8 = 0;
		uint16_t u16 = 0;
		uint32_t u32 = 0;
		uint64_t u64 = 0;

		assert_int_equal(lazymem_memory_store_u8(*state, AT(address), 0x81), 0);
		assert_int_equal(lazymem_memory_load_u8(*state, AT(address), &u8), 0);
		assert_int_equal(u8, 0x81);
		assert_int_equal(lazymem_memory_store_u16(*state, AT(address), 0x8182), 0);
		assert_int_equal(lazymem_memory_load_u16(*state, AT(address), &u16), 0);
		assert_int_equal(u16, 0x8182);
		assert_int_equal(lazymem_memory_store_u32(*state, AT(address), 0x81828384), 0);
		assert_int_equal(lazymem_memory_load_u32(*state, AT(address), &u32), 0);
		assert_int_equal(u32, 0x81828384);
		assert_int_equal(
			lazymem_memory_store_u64(*state, AT(address), UINT64_C(0x8182838485868788)),
			0);
		assert_int_equal(lazymem_memory_load_u64(*state, AT(address), &u64), 0);
		assert_true(u64 == UINT64_C(0x8182838485868788));
	}
}

static void number_across_regions_is_split_between_them(void **state)
{
	assert_int_equal(lazymem_memory_store_u32(*state, AT(0x2ffe), 0x04030201), 0);
	assert_int_equal(*host_at(*state, 0, 0x1ffe), 1);
	assert_int_equal(*host_at(*state, 0, 0x1fff), 2);
	assert_int_equal(*host_at(*state, 1, 0), 3);
	assert_int_equal(*host_at(*state, 1, 1), 4);
}

static void number_that_is_not_all_there_is_refused(void **state)
{
	static const uint64_t wrong[] = {0x5000, 0x4ffd, 0x0ffe};
	uint32_t value = 7;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(lazymem_memory_load_u32(*state, AT(wrong[i]), &value), -EFAULT);
		assert_int_equal(lazymem_memory_store_u32(*state, AT(wrong[i]), 1), -EFAULT);
	}
	assert_int_equal(value, 7);
	assert_int_equal(*host_at(*state, 1, 0x1ffd), 0);
}

static void number_past_the_end_of_the_address_space_is_refused(void **state)
{
	uint64_t value = 7;

	assert_int_equal(lazymem_memory_load_u64(*state, AT(UINT64_MAX - 1), &value), -EOVERFLOW);
	assert_int_equal(lazymem_memory_store_u64(*state, AT(UINT64_MAX - 1), 1), -EOVERFLOW);
	assert_int_equal(value, 7);
}

#define on_three(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_three(written_bytes_are_read_back_across_regions),
		on_three(write_touches_no_byte_around_its_range),
		on_three(range_that_is_partly_missing_copies_nothing),
		on_three(range_that_wraps_is_refused),
		on_three(no_bytes_succeed_inside_a_region_only),
		on_three(last_bytes_of_the_address_space_can_be_used),
		on_three(protection_of_the_mapping_is_kept),
		on_three(numbers_are_little_endian),
		on_three(stored_numbers_are_loaded_at_any_address),
		on_three(number_across_regions_is_split_between_them),
		on_three(number_that_is_not_all_there_is_refused),
		on_three(number_past_the_end_of_the_address_space_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
