/* SPDX-License-Identifier: MIT
 *
 * nbd_window_test.c - how much of a stream is under way, and when the next piece
 * goes off.
 */
#include "backing/nbd_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

#define MILLISECOND UINT64_C(1000000)
#define SECOND (1000 * MILLISECOND)
#define START SECOND

static struct lm_nbd_window window;

static size_t room_at(uint64_t now)
{
	uint64_t due = UINT64_MAX;

	return lm_nbd_window_room(&window, now, &due);
}

/* Send all that may go off at `now`; the number of bytes. */
static uint64_t fill(uint64_t now)
{
	uint64_t sent = 0;
	size_t room;

	while ((room = room_at(now)) > 0) {
		lm_nbd_window_sent(&window, room, now);
		sent += room;
	}
	return sent;
}

/* A round trip: all that is under way is answered, piece by piece, after so long,
 * and makes room for what is sent then. */
static void round_trip(uint64_t now, uint64_t takes)
{
	fill(now);
	for (uint64_t left = window.in_flight; left > 0; left -= LM_NBD_PIECE) {
		lm_nbd_window_answered(&window, LM_NBD_PIECE, now, now + takes);
		fill(now + takes);
	}
}

static void it_doubles_with_each_round_trip_up_to_its_end(void **state)
{
	uint64_t before, now = START;

	(void)state;
	lm_nbd_window_init(&window, 0);
	assert_int_equal(window.size, LM_NBD_WINDOW_LEAST);
	while (window.size < LM_NBD_WINDOW_MOST) {
		before = window.size;
		round_trip(now, MILLISECOND);
		now += MILLISECOND;
		assert_int_equal(window.size, 2 * before);
	}
	round_trip(now, MILLISECOND);
	assert_int_equal(window.size, LM_NBD_WINDOW_MOST);
}

static void it_does_not_grow_when_it_is_not_used(void **state)
{
	(void)state;
	lm_nbd_window_init(&window, 0);
	window.size = 8 * LM_NBD_PIECE;
	for (uint64_t now = START; now < START + SECOND; now += MILLISECOND) {
		lm_nbd_window_sent(&window, LM_NBD_PIECE, now);
		lm_nbd_window_answered(&window, LM_NBD_PIECE, now, now + MILLISECOND);
	}
	assert_int_equal(window.size, 8 * LM_NBD_PIECE);
}

static void demand_halves_it_down_to_one_piece(void **state)
{
	(void)state;
	lm_nbd_window_init(&window, 0);
	window.size = 8 * LM_NBD_PIECE;
	lm_nbd_window_demand(&window, START);
	assert_int_equal(window.size, 4 * LM_NBD_PIECE);
	for (int i = 0; i < 5; i++)
		lm_nbd_window_demand(&window, START);
	assert_int_equal(window.size, LM_NBD_WINDOW_LEAST);
	assert_int_equal(fill(START), LM_NBD_PIECE); /* the stream goes on */
}

static void what_went_off_before_the_demand_does_not_make_it_grow(void **state)
{
	(void)state;
	lm_nbd_window_init(&window, 0);
	lm_nbd_window_sent(&window, LM_NBD_PIECE, START);
	lm_nbd_window_demand(&window, START + 1);
	lm_nbd_window_answered(&window, LM_NBD_PIECE, START, START + MILLISECOND);
	assert_int_equal(window.size, LM_NBD_WINDOW_LEAST);
}

static void a_queue_on_the_way_makes_it_shrink(void **state)
{
	uint64_t size;

	(void)state;
	lm_nbd_window_init(&window, 0);
	for (int i = 0; i < 5; i++)
		round_trip(START, MILLISECOND);
	size = window.size;
	round_trip(START + SECOND, 100 * MILLISECOND);
	assert_true(window.size < size);
	assert_true(window.size >= size / 8 * 7); /* a little, whatever was under way */
	for (uint64_t i = 2; i < 100; i++)
		round_trip(START + i * SECOND, 100 * MILLISECOND);
	assert_int_equal(window.size, LM_NBD_WINDOW_LEAST);
}

static void what_is_lost_makes_room(void **state)
{
	(void)state;
	lm_nbd_window_init(&window, 0);
	fill(START);
	assert_int_equal(room_at(START), 0);
	lm_nbd_window_lost(&window, LM_NBD_PIECE);
	assert_int_equal(room_at(START), LM_NBD_PIECE);
}

/* ---- the cap ------------------------------------------------------------------- */

/* Bytes that go off in a second when everything is answered at once, and the
 * longest time without any. */
static uint64_t stream(uint64_t from, uint64_t *ret_longest)
{
	uint64_t sent = 0, last = from;

	*ret_longest = 0;
	for (uint64_t now = from; now < from + SECOND; now += MILLISECOND / 10) {
		const uint64_t some = fill(now);

		if (some == 0)
			continue;
		if (now - last > *ret_longest)
			*ret_longest = now - last;
		last = now;
		sent += some;
		window.in_flight = 0;
	}
	return sent;
}

static void assert_smooth_at(uint64_t bytes_per_second)
{
	uint64_t longest, sent;

	lm_nbd_window_init(&window, bytes_per_second);
	window.size = LM_NBD_WINDOW_MOST;
	sent = stream(START, &longest);
	assert_true(sent <= bytes_per_second + bytes_per_second / 50 + 2 * LM_NBD_PIECE);
	assert_true(sent >= bytes_per_second - bytes_per_second / 50 - LM_NBD_PIECE);
	assert_true(longest <= 20 * MILLISECOND);
}

static void a_cap_is_kept_without_bursts(void **state)
{
	(void)state;
	assert_smooth_at(1000000);
	assert_smooth_at(10000000);
	assert_smooth_at(100000000);
	assert_smooth_at(1000000000);
}

static void it_tells_when_the_next_piece_is_due(void **state)
{
	uint64_t due = UINT64_MAX;

	(void)state;
	lm_nbd_window_init(&window, 1 << 20);
	window.size = LM_NBD_WINDOW_MOST;
	fill(START);
	assert_int_equal(lm_nbd_window_room(&window, START, &due), 0);
	assert_true(due > START && due < START + 20 * MILLISECOND);
	assert_true(room_at(due) > 0);
}

static void what_was_idle_is_not_made_up_for(void **state)
{
	uint64_t longest;

	(void)state;
	lm_nbd_window_init(&window, 10000000);
	window.size = LM_NBD_WINDOW_MOST;
	stream(START, &longest);
	assert_true(stream(START + 60 * SECOND, &longest) < 11000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_doubles_with_each_round_trip_up_to_its_end),
		cmocka_unit_test(it_does_not_grow_when_it_is_not_used),
		cmocka_unit_test(demand_halves_it_down_to_one_piece),
		cmocka_unit_test(what_went_off_before_the_demand_does_not_make_it_grow),
		cmocka_unit_test(a_queue_on_the_way_makes_it_shrink),
		cmocka_unit_test(what_is_lost_makes_room),
		cmocka_unit_test(a_cap_is_kept_without_bursts),
		cmocka_unit_test(it_tells_when_the_next_piece_is_due),
		cmocka_unit_test(what_was_idle_is_not_made_up_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
