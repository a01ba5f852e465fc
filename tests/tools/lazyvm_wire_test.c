/* SPDX-License-Identifier: MIT
 *
 * The messages of a migration, from a peer that means well, and from one that does not.
 */
#include "fault.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct wire_hello hello = {
	.token = {1, 2, 3, 250},
	.state_version = 7,
	.page_size = 4096,
	.vcpu_count = 3,
	.memory = {2, {{0, 0x200000}, {0x100000000, 0x400000}}},
};

static const struct wire_export export = {
	.port = 65535,
	.security = WIRE_PSK,
	.has_rounds = true,
	.bytes_per_second = UINT64_MAX,
	.name_count = 2,
	.names = {"4", "five-6"},
};

/* A message of exactly these bytes, so that a sanitizer sees who reads past them. */
static struct wire_message message_of(enum wire_type type, const void *payload, size_t length)
{
	unsigned char *bytes = malloc(length > 0 ? length : 1);

	assert_non_null(bytes);
	if (length > 0)
		memcpy(bytes, payload, length);
	return (struct wire_message){type, bytes, length};
}

static void drop(struct wire_message *message)
{
	free((void *)(uintptr_t)message->payload);
}

/* Take any message apart as its type says. */
static int take(const struct wire_message *message)
{
	struct wire_hello ret_hello;
	struct wire_export ret_export;
	struct wire_round ret_round;
	struct wire_progress ret_progress;
	enum wire_standing ret_standing;
	unsigned char token[WIRE_TOKEN];
	char sentence[WIRE_SENTENCE_MOST + 1];
	uint64_t number;

	switch (message->type) {
	case WIRE_HELLO:
		return wire_get_hello(message, &ret_hello);
	case WIRE_RETURN:
		return wire_get_return(message, token);
	case WIRE_EXPORT:
		return wire_get_export(message, &ret_export);
	case WIRE_ROUND:
	case WIRE_LAST:
		return wire_get_round(message, &ret_round);
	case WIRE_PROGRESS:
	case WIRE_COMPLETE:
		return wire_get_progress(message, &ret_progress);
	case WIRE_STANDING:
		return wire_get_standing(message, &ret_standing);
	case WIRE_SWITCH:
	case WIRE_RUNNING:
	case WIRE_ROUND_DONE:
		return wire_get_number(message, &number);
	case WIRE_REFUSE:
	case WIRE_FAILED:
	case WIRE_CANCEL:
		wire_get_sentence(message, sentence);
		return strlen(sentence) <= WIRE_SENTENCE_MOST ? 0 : -1;
	default:
		return 0;
	}
}

static void hello_comes_back(void **state)
{
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message =
		message_of(WIRE_HELLO, payload, wire_put_hello(payload, &hello));
	struct wire_hello got;

	(void)state;
	assert_int_equal(wire_get_hello(&message, &got), 0);
	assert_memory_equal(got.token, hello.token, WIRE_TOKEN);
	assert_int_equal(got.state_version, 7);
	assert_int_equal(got.vcpu_count, 3);
	assert_int_equal(got.memory.region_count, 2);
	assert_int_equal(got.memory.regions[1].base, 0x100000000);
	assert_int_equal(got.memory.regions[1].length, 0x400000);
	drop(&message);
}

static void export_comes_back(void **state)
{
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message =
		message_of(WIRE_EXPORT, payload, wire_put_export(payload, &export));
	struct wire_export got;

	(void)state;
	assert_int_equal(wire_get_export(&message, &got), 0);
	assert_int_equal(got.port, 65535);
	assert_int_equal(got.security, WIRE_PSK);
	assert_true(got.has_rounds);
	assert_int_equal(got.bytes_per_second, UINT64_MAX);
	assert_int_equal(got.name_count, 2);
	assert_string_equal(got.names[1], "five-6");
	drop(&message);
}

static void ranges_come_back(void **state)
{
	const struct lazymem_guest_range ranges[] = {{{0x1000}, 4096}, {{UINT64_MAX - 4095}, 1}};
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message =
		message_of(WIRE_RANGES, payload, wire_put_ranges(payload, ranges, 2));

	(void)state;
	assert_int_equal(wire_range_count(&message), 2);
	assert_int_equal(wire_get_range(&message, 1).start.value, UINT64_MAX - 4095);
	assert_int_equal(wire_get_range(&message, 1).length, 1);
	drop(&message);
}

static void rounds_come_back(void **state)
{
	const struct wire_round round = {.number = 3, .range_count = 1000, .zero_count = 7};
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message =
		message_of(WIRE_ROUND, payload, wire_put_round(payload, &round));
	struct wire_round got;

	(void)state;
	assert_int_equal(wire_get_round(&message, &got), 0);
	assert_int_equal(got.number, 3);
	assert_int_equal(got.range_count, 1000);
	assert_int_equal(got.zero_count, 7);
	assert_false(got.is_everything);
	/* It is no LAST, which has no number. */
	message.type = WIRE_LAST;
	assert_int_equal(wire_get_round(&message, &got), -1);
	drop(&message);
}

static void more_ranges_than_pages_are_refused(void **state)
{
	const struct wire_round round = {.number = 1, .range_count = UINT64_C(1) << 40};
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message =
		message_of(WIRE_ROUND, payload, wire_put_round(payload, &round));
	struct wire_round got;

	(void)state;
	assert_int_equal(wire_get_round(&message, &got), -1);
	drop(&message);
}

static void more_ranges_of_zeros_than_pages_are_refused(void **state)
{
	const struct wire_round round = {.is_everything = true, .zero_count = UINT64_C(1) << 40};
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message =
		message_of(WIRE_LAST, payload, wire_put_round(payload, &round));
	struct wire_round got;

	(void)state;
	assert_int_equal(wire_get_round(&message, &got), -1);
	assert_non_null(strstr(fault_message(), "more than memory"));
	drop(&message);
}

static void more_regions_than_there_can_be_are_refused(void **state)
{
	unsigned char payload[WIRE_SMALL_MOST];
	size_t length = wire_put_hello(payload, &hello);
	struct wire_message message;
	struct wire_hello got;

	(void)state;
	payload[WIRE_TOKEN + 12] = GUEST_MEMORY_REGIONS_MAX + 1;
	message = message_of(WIRE_HELLO, payload, length);
	assert_int_equal(wire_get_hello(&message, &got), -1);
	assert_non_null(strstr(fault_message(), "regions of memory"));
	drop(&message);
}

/* It becomes a part of a URI. */
static void a_name_with_a_slash_is_refused(void **state)
{
	struct wire_export bad = export;
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message;
	struct wire_export got;

	(void)state;
	strcpy(bad.names[0], "../x");
	message = message_of(WIRE_EXPORT, payload, wire_put_export(payload, &bad));
	assert_int_equal(wire_get_export(&message, &got), -1);
	assert_non_null(strstr(fault_message(), "no name"));
	drop(&message);
}

static void a_port_of_zero_is_refused(void **state)
{
	struct wire_export bad = export;
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message;
	struct wire_export got;

	(void)state;
	bad.port = 0;
	message = message_of(WIRE_EXPORT, payload, wire_put_export(payload, &bad));
	assert_int_equal(wire_get_export(&message, &got), -1);
	drop(&message);
}

/* Whoever prints it is safe from it. */
static void a_sentence_has_nothing_but_text(void **state)
{
	static const char said[] = "be\033[2Jware\n\x80";
	unsigned char payload[WIRE_SENTENCE_MOST];
	char got[WIRE_SENTENCE_MOST + 1];
	struct wire_message message =
		message_of(WIRE_REFUSE, payload, wire_put_sentence(payload, said));

	(void)state;
	wire_get_sentence(&message, got);
	assert_string_equal(got, "be?[2Jware??");
	drop(&message);
}

static void a_long_sentence_is_cut(void **state)
{
	char said[2 * WIRE_SENTENCE_MOST];
	unsigned char payload[WIRE_SENTENCE_MOST];

	(void)state;
	memset(said, 'a', sizeof(said) - 1);
	said[sizeof(said) - 1] = '\0';
	assert_int_equal(wire_put_sentence(payload, said), WIRE_SENTENCE_MOST);
}

static void a_header_comes_back(void **state)
{
	static const unsigned char payload[16] = {9};
	unsigned char header[WIRE_HEADER];
	struct wire_header got;

	(void)state;
	wire_seal(header, WIRE_RANGES, payload, sizeof(payload));
	assert_int_equal(wire_parse_header(header, &got), 0);
	assert_int_equal(got.type, WIRE_RANGES);
	assert_int_equal(got.length, sizeof(payload));
	assert_int_equal(wire_verify(header, payload, sizeof(payload)), 0);
}

/* The checksum is that of IEEE 802.3: another implementation can be written. */
static void the_header_of_alive_never_changes(void **state)
{
	static const unsigned char expected[12] = {'L', 'Z', 'V', 'M', 2, 0, WIRE_ALIVE, 0};
	unsigned char header[WIRE_HEADER];

	(void)state;
	wire_seal(header, WIRE_ALIVE, NULL, 0);
	assert_memory_equal(header, expected, sizeof(expected));
	assert_int_equal(WIRE_REFUSE, 3);
}

static void every_changed_bit_is_found(void **state)
{
	unsigned char bytes[WIRE_HEADER + WIRE_SMALL_MOST];
	size_t length = wire_put_hello(bytes + WIRE_HEADER, &hello);
	struct wire_header got;

	(void)state;
	wire_seal(bytes, WIRE_HELLO, bytes + WIRE_HEADER, length);
	for (size_t bit = 0; bit < 8 * (WIRE_HEADER + length); bit++) {
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_true(wire_parse_header(bytes, &got) != 0 || got.length != length ||
			    wire_verify(bytes, bytes + WIRE_HEADER, length) != 0);
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	assert_int_equal(wire_verify(bytes, bytes + WIRE_HEADER, length), 0);
}

static void no_type_may_be_longer_than_any(void **state)
{
	unsigned char header[WIRE_HEADER];
	struct wire_header got;

	(void)state;
	for (unsigned type = 0; type < 64; type++) {
		wire_seal(header, (enum wire_type)type, NULL, 0);
		header[8] = 1;
		header[10] = 0x10; /* WIRE_PAYLOAD_MOST + 1 */
		assert_int_equal(wire_parse_header(header, &got), -1);
	}
}

static void unknown_types_are_refused(void **state)
{
	unsigned char header[WIRE_HEADER];
	struct wire_header got;

	(void)state;
	wire_seal(header, (enum wire_type)0, NULL, 0);
	assert_int_equal(wire_parse_header(header, &got), -1);
	wire_seal(header, WIRE_TYPES, NULL, 0);
	assert_int_equal(wire_parse_header(header, &got), -1);
	assert_non_null(strstr(fault_message(), "unknown"));
}

static void a_message_that_is_cut_off_is_refused(void **state)
{
	unsigned char payload[WIRE_SMALL_MOST];
	size_t length = wire_put_hello(payload, &hello);

	(void)state;
	for (size_t cut = 0; cut < length; cut++) {
		struct wire_message message = message_of(WIRE_HELLO, payload, cut);
		struct wire_hello got;

		assert_int_equal(wire_get_hello(&message, &got), -1);
		drop(&message);
	}
}

static void a_message_with_bytes_too_many_is_refused(void **state)
{
	unsigned char payload[WIRE_SMALL_MOST] = {0};
	struct wire_message message =
		message_of(WIRE_EXPORT, payload, wire_put_export(payload, &export) + 1);
	struct wire_export got;

	(void)state;
	assert_int_equal(wire_get_export(&message, &got), -1);
	assert_non_null(strstr(fault_message(), "too many"));
	drop(&message);
}

/* Whatever the bytes: no access outside of them, which a sanitizer would find. */
static void random_bytes_are_survived(void **state)
{
	unsigned char payload[600];
	unsigned seed = 12345;

	(void)state;
	for (unsigned turn = 0; turn < 20000; turn++) {
		size_t length = (size_t)rand_r(&seed) % sizeof(payload);
		struct wire_message message;

		for (size_t i = 0; i < length; i++)
			payload[i] = (unsigned char)(rand_r(&seed) % (turn % 3 == 0 ? 4 : 256));
		message =
			message_of((enum wire_type)(1 + turn % (WIRE_TYPES - 1)), payload, length);
		take(&message);
		drop(&message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_comes_back),
		cmocka_unit_test(export_comes_back),
		cmocka_unit_test(ranges_come_back),
		cmocka_unit_test(rounds_come_back),
		cmocka_unit_test(more_ranges_than_pages_are_refused),
		cmocka_unit_test(more_ranges_of_zeros_than_pages_are_refused),
		cmocka_unit_test(more_regions_than_there_can_be_are_refused),
		cmocka_unit_test(a_name_with_a_slash_is_refused),
		cmocka_unit_test(a_port_of_zero_is_refused),
		cmocka_unit_test(a_sentence_has_nothing_but_text),
		cmocka_unit_test(a_long_sentence_is_cut),
		cmocka_unit_test(a_header_comes_back),
		cmocka_unit_test(the_header_of_alive_never_changes),
		cmocka_unit_test(every_changed_bit_is_found),
		cmocka_unit_test(no_type_may_be_longer_than_any),
		cmocka_unit_test(unknown_types_are_refused),
		cmocka_unit_test(a_message_that_is_cut_off_is_refused),
		cmocka_unit_test(a_message_with_bytes_too_many_is_refused),
		cmocka_unit_test(random_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
