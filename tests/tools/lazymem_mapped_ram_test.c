/* SPDX-License-Identifier: MIT */
#include "mapped_ram.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct parse_fault fault;

/* Bytes that are put one after the other. */
static unsigned char bytes[1024];
static size_t length;

static void put(uint64_t value, unsigned size)
{
	for (unsigned i = size; i > 0; i--)
		bytes[length++] = (unsigned char)(value >> 8 * (i - 1));
}

static void put_name(const char *name)
{
	put(strlen(name), 1);
	memcpy(bytes + length, name, strlen(name));
	length += strlen(name);
}

static void put_configuration(const char *part, const char *capability)
{
	put(0x07, 1);
	put(2, 4);
	put(0x7063, 2);
	put(0x05, 1);
	put_name(part);
	put(1, 4);
	put(1, 4);
	put_name(capability);
}

static void put_section(unsigned mark, const char *name, uint32_t version, uint64_t word)
{
	put(mark, 1);
	put(2, 4);
	put_name(name);
	put(0, 4);
	put(version, 4);
	put(word, 8);
}

static void begin(uint32_t version)
{
	length = 0;
	put(0x5145564d, 4);
	put(version, 4);
}

static void begin_mapped_ram(void)
{
	begin(3);
	put_configuration("configuration/capabilities", "mapped-ram");
}

static void assert_head_refused(const char *text)
{
	struct mapped_ram_head head = {.total = 77};

	assert_int_equal(mapped_ram_parse_head(bytes, length, &head, &fault), -EBADMSG);
	assert_non_null(strstr(fault.text, text));
	assert_int_equal(head.total, 77);
}

static void test_a_sound_head(void **state)
{
	struct mapped_ram_head head;

	(void)state;
	begin_mapped_ram();
	put_section(1, "ram", 4, 0x30004);
	assert_int_equal(mapped_ram_parse_head(bytes, length, &head, &fault), 0);
	assert_int_equal(head.total, 0x30000);
	assert_int_equal(head.first, length);
	assert_false(head.ignore_shared);
}

static void test_heads_that_are_refused(void **state)
{
	(void)state;
	begin(3);
	bytes[0] = 'q';
	assert_head_refused("no migration file");
	begin(2);
	assert_head_refused("version 2");
	begin(3);
	put_section(1, "ram", 4, 0x30004);
	assert_head_refused("was not written with the capability");
}

static void test_other_capabilities_are_not_enough(void **state)
{
	(void)state;
	begin(3);
	put_configuration("configuration/capabilities", "multifd");
	put_section(1, "ram", 4, 0x30004);
	assert_head_refused("not written with the capability mapped-ram");
	begin(3);
	put_configuration("configuration/nosuch", "mapped-ram");
	put_section(1, "ram", 4, 0x30004);
	assert_head_refused("\"configuration/nosuch\"");
}

static void test_sections_that_are_refused(void **state)
{
	(void)state;
	begin_mapped_ram();
	put_section(4, "cpu", 4, 0x30004);
	assert_head_refused("\"cpu\"");
	begin_mapped_ram();
	put_section(1, "ram", 3, 0x30004);
	assert_head_refused("version 3");
	begin_mapped_ram();
	put_section(1, "ram", 4, 0x30008);
	assert_head_refused("no list of RAM blocks");
}

static void test_every_truncation_of_a_head_is_refused(void **state)
{
	size_t whole;

	(void)state;
	begin_mapped_ram();
	put_section(1, "ram", 4, 0x30004);
	whole = length;
	for (length = 0; length < whole; length++)
		assert_head_refused("");
}

#define FILE_LENGTH UINT64_C(0x300000)
#define AT 100u

static const struct mapped_ram_head plain = {.total = 0x30000};
static const struct mapped_ram_head shared = {.total = 0x30000, .ignore_shared = true};

static void put_block(uint64_t block_length, uint32_t version, uint64_t page, uint64_t bitmap,
		      uint64_t pages)
{
	length = 0;
	put_name("pc.ram");
	put(block_length, 8);
	put(version, 4);
	put(page, 8);
	put(bitmap, 8);
	put(pages, 8);
}

static void assert_block_refused(const char *text)
{
	struct mapped_ram_block block = {.length = 77};

	assert_int_equal(
		mapped_ram_parse_block(&plain, bytes, length, AT, FILE_LENGTH, &block, &fault),
		-EBADMSG);
	assert_non_null(strstr(fault.text, text));
	assert_int_equal(block.length, 77);
}

static void test_a_sound_block(void **state)
{
	struct mapped_ram_block block;

	(void)state;
	put_block(0x41000, 1, 0x1000, 200, 0x100000);
	assert_int_equal(
		mapped_ram_parse_block(&plain, bytes, length, AT, FILE_LENGTH, &block, &fault), 0);
	assert_string_equal(block.name, "pc.ram");
	assert_int_equal(block.length, 0x41000);
	assert_true(block.is_stored);
	assert_int_equal(block.page_size, 0x1000);
	assert_int_equal(block.bitmap_offset, 200);
	assert_int_equal(block.bitmap_length, 16); /* 65 bits, in words of 64 */
	assert_int_equal(block.pages_offset, 0x100000);
	assert_int_equal(block.next, 0x141000);
}

static void test_blocks_that_are_refused(void **state)
{
	(void)state;
	put_block(0x40000, 2, 0x1000, 200, 0x100000);
	assert_block_refused("version 2");
	put_block(0x40000, 1, 0, 200, 0x100000);
	assert_block_refused("pages of 0 bytes");
	put_block(0x40000, 1, 0x1800, 200, 0x100000);
	assert_block_refused("pages of 6144 bytes");
	put_block(0x40800, 1, 0x1000, 200, 0x100000);
	assert_block_refused("not in whole pages");
	put_block(0, 1, 0x1000, 200, 0x100000);
	assert_block_refused("not in whole pages");
	put_block(0x40000, 1, 0x1000, FILE_LENGTH - 7, 0x100000);
	assert_block_refused("the bitmap");
	put_block(UINT64_MAX - 0xfff, 1, 0x1000, 200, 0x100000);
	assert_block_refused("the bitmap");
	put_block(0x40000, 1, 0x1000, 200, UINT64_MAX - 0xfff);
	assert_block_refused("past 2^64");
}

static void test_a_block_that_points_backwards_is_refused(void **state)
{
	(void)state;
	put_block(0x40000, 1, 0x1000, 8, 0x100000);
	assert_block_refused("points backwards");
	put_block(0x40000, 1, 0x1000, 200, 0);
	assert_block_refused("points backwards");
}

static void test_every_truncation_of_a_block_is_refused(void **state)
{
	size_t whole;

	(void)state;
	put_block(0x40000, 1, 0x1000, 200, 0x100000);
	whole = length;
	for (length = 0; length < whole; length++)
		assert_block_refused("ends in the header");
}

static void test_shared_memory_is_not_stored(void **state)
{
	struct mapped_ram_block block;

	(void)state;
	length = 0;
	put_name("m0");
	put(0x40000, 8);
	put(0x100000, 8);
	put(1, 4);
	put(0x1000, 8);
	put(0, 8);
	put(0, 8);
	assert_int_equal(
		mapped_ram_parse_block(&shared, bytes, length, AT, FILE_LENGTH, &block, &fault), 0);
	assert_false(block.is_stored);
	assert_int_equal(block.next, AT + length);
}

static void test_a_name_is_made_printable(void **state)
{
	struct mapped_ram_block block;

	(void)state;
	put_block(0x40000, 1, 0x1000, 200, 0x100000);
	bytes[1] = '\n';
	bytes[2] = 0;
	assert_int_equal(
		mapped_ram_parse_block(&plain, bytes, length, AT, FILE_LENGTH, &block, &fault), 0);
	assert_string_equal(block.name, "??.ram");
}

static void test_runs_of_pages(void **state)
{
	const struct mapped_ram_block block = {.length = 20 * 0x1000, .page_size = 0x1000};
	/* 1 to 3, 8, and the last one; bits past the last page do not count. */
	const unsigned char bitmap[8] = {0x0e, 0x01, 0xf8};
	uint64_t first;

	(void)state;
	assert_int_equal(mapped_ram_next_run(&block, bitmap, 0, &first), 3);
	assert_int_equal(first, 1);
	assert_int_equal(mapped_ram_next_run(&block, bitmap, 4, &first), 1);
	assert_int_equal(first, 8);
	assert_int_equal(mapped_ram_next_run(&block, bitmap, 9, &first), 1);
	assert_int_equal(first, 19);
	assert_int_equal(mapped_ram_next_run(&block, bitmap, 20, &first), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_sound_head),
		cmocka_unit_test(test_heads_that_are_refused),
		cmocka_unit_test(test_other_capabilities_are_not_enough),
		cmocka_unit_test(test_sections_that_are_refused),
		cmocka_unit_test(test_every_truncation_of_a_head_is_refused),
		cmocka_unit_test(test_a_sound_block),
		cmocka_unit_test(test_blocks_that_are_refused),
		cmocka_unit_test(test_a_block_that_points_backwards_is_refused),
		cmocka_unit_test(test_every_truncation_of_a_block_is_refused),
		cmocka_unit_test(test_shared_memory_is_not_stored),
		cmocka_unit_test(test_a_name_is_made_printable),
		cmocka_unit_test(test_runs_of_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
