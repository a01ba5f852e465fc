/* SPDX-License-Identifier: MIT */
#include "fault.h"
#include "machine_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECKSUM_AT 24

static struct machine_state make(void)
{
	struct machine_state state = {0};

	assert_int_equal(machine_state_add(&state, RECORD_SHAPE, 0, "shape", 5), 0);
	assert_int_equal(machine_state_add(&state, RECORD_REGISTERS, 0, "zero", 4), 0);
	assert_int_equal(machine_state_add(&state, RECORD_REGISTERS, 1, "", 0), 0);
	machine_state_seal(&state);
	return state;
}

static void expect_record(const struct machine_state *state, enum machine_record type,
			  uint32_t index, const char *bytes, size_t length)
{
	size_t found;
	const void *record = machine_state_find(state, type, index, &found);

	assert_non_null(record);
	assert_int_equal((uintptr_t)record % 8, 0);
	assert_int_equal(found, length);
	assert_memory_equal(record, bytes, length);
}

static void what_was_added_is_found(void **unused)
{
	struct machine_state state = make();
	size_t length;

	(void)unused;
	assert_int_equal(machine_state_check(&state, "test"), 0);
	expect_record(&state, RECORD_SHAPE, 0, "shape", 5);
	expect_record(&state, RECORD_REGISTERS, 0, "zero", 4);
	expect_record(&state, RECORD_REGISTERS, 1, "", 0);
	assert_null(machine_state_find(&state, RECORD_REGISTERS, 2, &length));
	assert_null(machine_state_find(&state, RECORD_XSAVE, 0, &length));
	machine_state_free(&state);
}

static void a_large_record_is_kept_as_it_is(void **unused)
{
	struct machine_state state = {0};
	char *bytes = malloc(100001);

	(void)unused;
	assert_non_null(bytes);
	memset(bytes, 'x', 100001);
	assert_int_equal(machine_state_add(&state, RECORD_LAPIC, 7, bytes, 100001), 0);
	machine_state_seal(&state);
	assert_int_equal(machine_state_check(&state, "test"), 0);
	expect_record(&state, RECORD_LAPIC, 7, bytes, 100001);
	free(bytes);
	machine_state_free(&state);
}

static void every_truncation_is_refused(void **unused)
{
	struct machine_state state = make();

	(void)unused;
	for (size_t length = 0; length < state.length; length++) {
		/* A copy, so that a sanitizer sees a read past its end. */
		struct machine_state cut = {malloc(length + 1), length, length + 1};

		memcpy(cut.bytes, state.bytes, length);
		cut.bytes = realloc(cut.bytes, length > 0 ? length : 1);
		assert_int_equal(machine_state_check(&cut, "test"), -1);
		assert_non_null(strstr(fault_message(), "truncated"));
		machine_state_free(&cut);
	}
	machine_state_free(&state);
}

static void every_damaged_byte_is_noticed(void **unused)
{
	struct machine_state state = make();

	(void)unused;
	for (size_t i = 0; i < state.length; i++) {
		state.bytes[i] ^= 0x40;
		assert_int_equal(machine_state_check(&state, "test"), -1);
		state.bytes[i] ^= 0x40;
	}
	assert_int_equal(machine_state_check(&state, "test"), 0);
	machine_state_free(&state);
}

/* Whoever makes a state by hand can make its checksum, too: then the records are looked at. */
static void a_record_that_leaves_the_state_is_refused(void **unused)
{
	(void)unused;
	for (unsigned length = 6; length < 400; length += 7) {
		struct machine_state state = make();
		const uint64_t wrong = length < 300 ? length + 90 : UINT64_MAX - length + 300;

		memcpy(state.bytes + 32 + 8, &wrong, sizeof(wrong));
		machine_state_seal(&state);
		assert_int_equal(machine_state_check(&state, "test"), -1);
		assert_non_null(strstr(fault_message(), "past its end"));
		machine_state_free(&state);
	}
}

static void the_sentence_names_where_it_came_from(void **unused)
{
	struct machine_state state = make();

	(void)unused;
	state.bytes[CHECKSUM_AT] ^= 1;
	assert_int_equal(machine_state_check(&state, "some file"), -1);
	assert_non_null(strstr(fault_message(), "some file: "));
	machine_state_free(&state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_is_found),
		cmocka_unit_test(a_large_record_is_kept_as_it_is),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_damaged_byte_is_noticed),
		cmocka_unit_test(a_record_that_leaves_the_state_is_refused),
		cmocka_unit_test(the_sentence_names_where_it_came_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
