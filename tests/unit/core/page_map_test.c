/* SPDX-License-Identifier: MIT */
#include "core/page_map.h"

#include "model.h"

#include <pthread.h>

enum { PAGES = 16 };

static int set_up(void **state)
{
	struct lm_page_map *map = calloc(1, sizeof(*map));

	*state = map;
	return lm_page_map_create(PAGES, map);
}

static int tear_down(void **state)
{
	lm_page_map_destroy(*state);
	free(*state);
	return 0;
}

/* Bring page 3 into a state by the way that leads there. */
static void bring(struct lm_page_map *map, enum lm_page_state state)
{
	if (state == LM_PAGE_DISCARDED)
		lm_page_map_discard(map, 3, 1);
	else if (state != LM_PAGE_MISSING)
		assert_int_equal(lm_page_map_claim(map, 3, 1), 1);
	if (state == LM_PAGE_PRESENT)
		assert_true(lm_page_map_publish(map, 3));
	if (state == LM_PAGE_POISONED)
		assert_true(lm_page_map_poison(map, 3));
	assert_int_equal(lm_page_map_get(map, 3), state);
}

static void map_of_no_pages_is_refused(void **state)
{
	struct lm_page_map map = {NULL, 5};

	(void)state;
	assert_int_equal(lm_page_map_create(0, &map), -EINVAL);
	assert_int_equal(map.count, 5);
}

static void pages_begin_missing(void **state)
{
	for (size_t i = 0; i < PAGES; i++)
		assert_int_equal(lm_page_map_get(*state, i), LM_PAGE_MISSING);
}

static void destroy_may_be_called_twice(void **state)
{
	struct lm_page_map map;

	(void)state;
	assert_int_equal(lm_page_map_create(1, &map), 0);
	lm_page_map_destroy(&map);
	lm_page_map_destroy(&map);
	assert_null(map.pages);
}

static void claim_takes_missing_pages_up_to_the_first_that_is_not(void **state)
{
	bring(*state, LM_PAGE_PRESENT);
	assert_int_equal(lm_page_map_claim(*state, 0, PAGES), 3);
	assert_int_equal(lm_page_map_get(*state, 2), LM_PAGE_CLAIMED);
	assert_int_equal(lm_page_map_get(*state, 4), LM_PAGE_MISSING);
}

static void claim_stops_at_its_limit_and_at_the_end(void **state)
{
	assert_int_equal(lm_page_map_claim(*state, 0, 2), 2);
	assert_int_equal(lm_page_map_get(*state, 2), LM_PAGE_MISSING);
	assert_int_equal(lm_page_map_claim(*state, PAGES - 1, SIZE_MAX), 1);
	assert_int_equal(lm_page_map_claim(*state, PAGES, SIZE_MAX), 0);
}

/* What each step makes of each state; -1: refused, the state stays. */
static void each_step_leads_only_where_the_diagram_says(void **state)
{
	enum { STEPS = 7, STATES = 5 };
	static const int leads[STEPS][STATES] = {
		/* from missing, claimed, present, discarded, poisoned */
		{LM_PAGE_CLAIMED, -1, -1, -1, -1},  /* claim */
		{-1, -1, -1, -1, LM_PAGE_CLAIMED},  /* claim poisoned */
		{-1, LM_PAGE_PRESENT, -1, -1, -1},  /* publish */
		{-1, LM_PAGE_POISONED, -1, -1, -1}, /* poison */
		{-1, LM_PAGE_MISSING, -1, -1, -1},  /* release */
		{-1, -1, -1, LM_PAGE_PRESENT, -1},  /* publish zero */
		{LM_PAGE_DISCARDED, LM_PAGE_DISCARDED, LM_PAGE_DISCARDED, LM_PAGE_DISCARDED,
		 LM_PAGE_DISCARDED}, /* discard */
	};

	(void)state;
	for (int i = 0; i < STEPS * STATES; i++) {
		const int step = i / STATES, from = i % STATES;
		const int to = leads[step][from];
		struct lm_page_map map;
		bool taken = true;

		assert_int_equal(lm_page_map_create(PAGES, &map), 0);
		bring(&map, (enum lm_page_state)from);
		switch (step) {
		case 0:
			taken = lm_page_map_claim(&map, 3, 1) == 1;
			break;
		case 1:
			taken = lm_page_map_claim_poisoned(&map, 3, 1) == 1;
			break;
		case 2:
			taken = lm_page_map_publish(&map, 3);
			break;
		case 3:
			taken = lm_page_map_poison(&map, 3);
			break;
		case 4:
			taken = lm_page_map_release(&map, 3);
			break;
		case 5:
			taken = lm_page_map_publish_zero(&map, 3);
			break;
		default:
			lm_page_map_discard(&map, 3, 1);
		}
		assert_int_equal(taken, to >= 0);
		assert_int_equal(lm_page_map_get(&map, 3), to >= 0 ? to : from);
		lm_page_map_destroy(&map);
	}
}

static void discard_revokes_a_claim_for_good(void **state)
{
	assert_int_equal(lm_page_map_claim(*state, 3, 1), 1);
	lm_page_map_discard(*state, 3, 1);
	assert_false(lm_page_map_publish(*state, 3));
	assert_false(lm_page_map_release(*state, 3));
	assert_int_equal(lm_page_map_claim(*state, 3, 1), 0);
	assert_true(lm_page_map_publish_zero(*state, 3));
}

static void discard_takes_exactly_its_range(void **state)
{
	lm_page_map_discard(*state, 4, 2);
	assert_int_equal(lm_page_map_get(*state, 3), LM_PAGE_MISSING);
	assert_int_equal(lm_page_map_get(*state, 4), LM_PAGE_DISCARDED);
	assert_int_equal(lm_page_map_get(*state, 5), LM_PAGE_DISCARDED);
	assert_int_equal(lm_page_map_get(*state, 6), LM_PAGE_MISSING);
}

static void run_counts_pages_of_one_state(void **state)
{
	lm_page_map_discard(*state, 4, 3);
	assert_int_equal(lm_page_map_run(*state, 4, PAGES, LM_PAGE_DISCARDED), 3);
	assert_int_equal(lm_page_map_run(*state, 4, 2, LM_PAGE_DISCARDED), 2);
	assert_int_equal(lm_page_map_run(*state, 3, PAGES, LM_PAGE_DISCARDED), 0);
	assert_int_equal(lm_page_map_run(*state, 7, SIZE_MAX, LM_PAGE_MISSING), PAGES - 7);
	assert_int_equal(lm_page_map_run(*state, PAGES, SIZE_MAX, LM_PAGE_MISSING), 0);
	assert_int_equal(lm_page_map_run_before(*state, 7, PAGES, LM_PAGE_DISCARDED), 3);
	assert_int_equal(lm_page_map_run_before(*state, 7, 2, LM_PAGE_DISCARDED), 2);
	assert_int_equal(lm_page_map_run_before(*state, 8, PAGES, LM_PAGE_DISCARDED), 0);
	assert_int_equal(lm_page_map_run_before(*state, 4, PAGES, LM_PAGE_MISSING), 4);
	assert_int_equal(lm_page_map_run_before(*state, 0, PAGES, LM_PAGE_MISSING), 0);
}

static void next_finds_the_first_page_in_a_state(void **state)
{
	bring(*state, LM_PAGE_PRESENT);
	assert_int_equal(lm_page_map_next(*state, 0, PAGES, LM_PAGE_PRESENT), 3);
	assert_int_equal(lm_page_map_next(*state, 3, PAGES, LM_PAGE_PRESENT), 3);
	assert_int_equal(lm_page_map_next(*state, 4, PAGES, LM_PAGE_PRESENT), PAGES);
	assert_int_equal(lm_page_map_next(*state, 0, 3, LM_PAGE_PRESENT), 3);
	assert_int_equal(lm_page_map_next(*state, 0, 2, LM_PAGE_PRESENT), 2);
}

enum { CONTESTED = 20000 };

struct claimer {
	struct lm_page_map *map;
	size_t claimed;
};

static void *claim_all(void *argument)
{
	struct claimer *claimer = argument;

	for (size_t i = 0; i < CONTESTED; i++)
		claimer->claimed += lm_page_map_claim(claimer->map, i, 1);
	return NULL;
}

static void two_threads_claim_each_page_once(void **state)
{
	struct lm_page_map map;
	struct claimer first = {&map, 0}, second = {&map, 0};
	pthread_t thread;

	(void)state;
	assert_int_equal(lm_page_map_create(CONTESTED, &map), 0);
	assert_int_equal(pthread_create(&thread, NULL, claim_all, &first), 0);
	claim_all(&second);
	pthread_join(thread, NULL);
	assert_int_equal(first.claimed + second.claimed, CONTESTED);
	lm_page_map_destroy(&map);
}

#define on_a_map(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_of_no_pages_is_refused),
		cmocka_unit_test(destroy_may_be_called_twice),
		cmocka_unit_test(each_step_leads_only_where_the_diagram_says),
		cmocka_unit_test(two_threads_claim_each_page_once),
		on_a_map(pages_begin_missing),
		on_a_map(claim_takes_missing_pages_up_to_the_first_that_is_not),
		on_a_map(claim_stops_at_its_limit_and_at_the_end),
		on_a_map(discard_revokes_a_claim_for_good),
		on_a_map(discard_takes_exactly_its_range),
		on_a_map(run_counts_pages_of_one_state),
		on_a_map(next_finds_the_first_page_in_a_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
