/* SPDX-License-Identifier: MIT */
#include "core/crc32c.h"
#include "core/trace.h"

#include "model.h"

#include <endian.h>

/* The file of one trace in 4 KiB pages: [0x5000+0x1000] [0x1000+0x2000]. */
enum { SIZE = 64 + 2 * 16 + 4 };

static void put(unsigned char *bytes, size_t at, uint64_t value, size_t width)
{
	value = htole64(value);
	memcpy(bytes + at, &value, width);
}

static void reseal(unsigned char *bytes)
{
	put(bytes, SIZE - 4, lm_crc32c(0, bytes, SIZE - 4), 4);
}

/* Made by hand from lazymem-trace(5), not by the code under test. */
static void make_bytes(unsigned char *bytes)
{
	memset(bytes, 0, SIZE);
	memcpy(bytes, "LZMTRACE", 8);
	put(bytes, 8, 1, 4);
	put(bytes, 12, 64, 4);
	put(bytes, 16, 4096, 4);
	put(bytes, 24, 2, 8);
	put(bytes, 64, 0x5000, 8);
	put(bytes, 72, 0x1000, 8);
	put(bytes, 80, 0x1000, 8);
	put(bytes, 88, 0x2000, 8);
	reseal(bytes);
}

static void trace_is_written_as_the_manual_says(void **state)
{
	unsigned char expected[SIZE];
	struct lazymem_trace *trace = NULL;
	void *bytes = NULL;
	size_t size = 0;

	(void)state;
	make_bytes(expected);
	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	lazymem_trace_append(trace, (struct lazymem_guest_range){AT(0x5000), 0x1000});
	lazymem_trace_append(trace, (struct lazymem_guest_range){AT(0x1000), 0x2000});
	assert_int_equal(lm_trace_serialise(trace, &bytes, &size), 0);
	assert_int_equal(size, SIZE);
	assert_memory_equal(bytes, expected, SIZE);
	free(bytes);
	lazymem_trace_destroy(trace);
}

static void trace_is_read_as_the_manual_says(void **state)
{
	unsigned char bytes[SIZE];
	struct lazymem_trace *trace = NULL;

	(void)state;
	make_bytes(bytes);
	assert_int_equal(lm_trace_parse(bytes, SIZE, &trace), 0);
	assert_int_equal(lazymem_trace_page_size(trace), PAGE);
	assert_int_equal(lazymem_trace_count(trace), 2);
	assert_int_equal(lazymem_trace_range(trace, 0).start.value, 0x5000);
	assert_int_equal(lazymem_trace_range(trace, 1).length, 0x2000);
	assert_int_equal(lazymem_trace_length(trace), 0x3000);
	lazymem_trace_destroy(trace);
}

/* Where the manual says, and every byte of it another one. */
static void put_identity(unsigned char *bytes)
{
	for (size_t i = 0; i < 32; i++)
		bytes[32 + i] = (unsigned char)(0xa0 + i);
	reseal(bytes);
}

static void identity_is_written_as_the_manual_says(void **state)
{
	unsigned char expected[SIZE];
	struct lazymem_identity identity;
	struct lazymem_trace *trace = NULL;
	void *bytes = NULL;
	size_t size = 0;

	(void)state;
	make_bytes(expected);
	put_identity(expected);
	memcpy(identity.bytes, expected + 32, 32);
	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	lazymem_trace_append(trace, (struct lazymem_guest_range){AT(0x5000), 0x1000});
	lazymem_trace_append(trace, (struct lazymem_guest_range){AT(0x1000), 0x2000});
	lazymem_trace_bind(trace, &identity);
	assert_int_equal(lm_trace_serialise(trace, &bytes, &size), 0);
	assert_int_equal(size, SIZE);
	assert_memory_equal(bytes, expected, SIZE);
	free(bytes);
	lazymem_trace_destroy(trace);
}

static void identity_is_read_as_the_manual_says(void **state)
{
	unsigned char bytes[SIZE];
	struct lazymem_identity identity;
	struct lazymem_trace *trace = NULL;

	(void)state;
	make_bytes(bytes);
	put_identity(bytes);
	assert_int_equal(lm_trace_parse(bytes, SIZE, &trace), 0);
	identity = lazymem_trace_identity(trace);
	assert_memory_equal(identity.bytes, bytes + 32, 32);
	assert_int_equal(lazymem_trace_count(trace), 2);
	lazymem_trace_destroy(trace);
}

static void empty_trace_is_read_back(void **state)
{
	struct lazymem_trace *trace = NULL, *again = NULL;
	void *bytes = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(lazymem_trace_create(2 * MIB, &trace), 0);
	assert_int_equal(lm_trace_serialise(trace, &bytes, &size), 0);
	assert_int_equal(size, 68);
	assert_int_equal(lm_trace_parse(bytes, size, &again), 0);
	assert_int_equal(lazymem_trace_count(again), 0);
	assert_int_equal(lazymem_trace_page_size(again), 2 * MIB);
	free(bytes);
	lazymem_trace_destroy(trace);
	lazymem_trace_destroy(again);
}

/* One field wrong, the checksum right. */
static const struct {
	size_t at;
	uint64_t value;
	size_t width;
	int error;
	const char *says;
} rows[] = {
	{0, 'X', 1, -EBADMSG, "LZMTRACE"},
	{8, 0, 4, -EPROTONOSUPPORT, "version 0"},
	{8, 2, 4, -EPROTONOSUPPORT, "version 2"},
	{12, 63, 4, -EBADMSG, "header length 63"},
	{12, 0, 4, -EBADMSG, "header length 0"},
	{16, 0, 4, -EBADMSG, "page size 0"},
	{16, 2048, 4, -EBADMSG, "page size 2048"},
	{16, 4097, 4, -EBADMSG, "page size 4097"},
	{16, 0x80000000, 4, -EBADMSG, "page size 2147483648"},
	{16, 8192, 4, -EBADMSG, "whole pages of 8192"},
	{20, 1, 4, -EBADMSG, "reserved field is 0x1"},
	{24, 1, 8, -EBADMSG, "1 ranges need 84 bytes, it has 100"},
	{24, 3, 8, -EBADMSG, "3 ranges need 116 bytes"},
	{24, UINT64_MAX, 8, -EBADMSG, "fit in no file"},
	{24, UINT64_MAX / 16, 8, -EBADMSG, "fit in no file"},
	{24, (uint64_t)1 << 60, 8, -EBADMSG, "fit in no file"},
	{64, 0x5001, 8, -EBADMSG, "[0x5001+0x1000]"},
	{72, 0, 8, -EBADMSG, "[0x5000+0x0]"},
	{72, 0x1001, 8, -EBADMSG, "[0x5000+0x1001]"},
	{72, UINT64_MAX - 0xfff, 8, -EBADMSG, "past the end"},
	{80, UINT64_MAX - 0xfff, 8, -EBADMSG, "past the end"},
};

static void every_wrong_field_is_refused_and_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned char bytes[SIZE];
		struct lazymem_trace *trace = NULL;

		make_bytes(bytes);
		put(bytes, rows[i].at, rows[i].value, rows[i].width);
		reseal(bytes);
		assert_int_equal(lm_trace_parse(bytes, SIZE, &trace), rows[i].error);
		assert_says(rows[i].says);
		assert_null(trace);
	}
}

static void every_truncation_is_refused(void **state)
{
	unsigned char bytes[SIZE];
	struct lazymem_trace *trace = NULL;

	(void)state;
	make_bytes(bytes);
	for (size_t size = 0; size < SIZE; size++)
		assert_int_equal(lm_trace_parse(bytes, size, &trace), -EBADMSG);
	assert_null(trace);
}

static void every_flipped_bit_is_refused(void **state)
{
	unsigned char bytes[SIZE];
	struct lazymem_trace *trace = NULL;

	(void)state;
	make_bytes(bytes);
	for (size_t bit = 0; bit < (size_t)SIZE * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_int_not_equal(lm_trace_parse(bytes, SIZE, &trace), 0);
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	assert_null(trace);
}

static void damaged_run_is_found_by_the_checksum(void **state)
{
	unsigned char bytes[SIZE];
	struct lazymem_trace *trace = NULL;

	(void)state;
	make_bytes(bytes);
	put(bytes, 64, 0x7000, 8);
	assert_int_equal(lm_trace_parse(bytes, SIZE, &trace), -EBADMSG);
	assert_says("checksum");
	assert_null(trace);
}

static void header_tells_the_size_of_the_file(void **state)
{
	unsigned char bytes[SIZE];
	uint64_t size = 0;

	(void)state;
	make_bytes(bytes);
	assert_int_equal(lm_trace_parse_header(bytes, &size), 0);
	assert_int_equal(size, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trace_is_written_as_the_manual_says),
		cmocka_unit_test(trace_is_read_as_the_manual_says),
		cmocka_unit_test(identity_is_written_as_the_manual_says),
		cmocka_unit_test(identity_is_read_as_the_manual_says),
		cmocka_unit_test(empty_trace_is_read_back),
		cmocka_unit_test(every_wrong_field_is_refused_and_named),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(damaged_run_is_found_by_the_checksum),
		cmocka_unit_test(header_tells_the_size_of_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
