/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_random_test.c - memories, regions, working sets, compressions
 * and parents at random: what was written is what is read.
 */
#include "write_fixture.h"

#include <time.h>

enum { ROUNDS = 30, MOST_PAGES = 700, MOST_REGIONS = 5 };

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

/* Repeat a run with LAZYMEM_TEST_SEED. */
static int set_up(void **state)
{
	const char *given = getenv("LAZYMEM_TEST_SEED");
	const uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	print_message("LAZYMEM_TEST_SEED=%llu\n", (unsigned long long)seed);
	random_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	return make_directory(state);
}

/* Letters of pages, mostly in runs. */
static void choose_letters(char *letters, size_t count)
{
	static const char all[] = "dDrRzh";
	char letter = 'd';

	for (size_t i = 0; i < count; i++) {
		if (random_below(4) == 0)
			letter = all[random_below(sizeof(all) - 1)];
		letters[i] = letter;
	}
	letters[count] = '\0';
}

/* Regions of these pages, with gaps, in any order. */
static size_t choose_regions(struct lazymem_snapshot_region *regions, uint64_t pages)
{
	const size_t count = 1 + random_below(MOST_REGIONS);
	uint64_t address = random_below(8) * PAGE;
	size_t used = 0;

	for (size_t i = 0; i < count && pages > 0; i++) {
		const uint64_t length = i + 1 == count ? pages : 1 + random_below(pages);

		regions[used++] = (struct lazymem_snapshot_region){{address}, length * PAGE, 0};
		address += (length + random_below(3)) * PAGE;
		pages -= length;
	}
	for (size_t i = used - 1; i > 0; i--) {
		const size_t other = random_below(i + 1);
		const struct lazymem_snapshot_region region = regions[i];

		regions[i] = regions[other];
		regions[other] = region;
	}
	return used;
}

static struct lazymem_trace *choose_trace(void)
{
	struct lazymem_trace *trace = NULL;
	const uint64_t count = random_below(40);

	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	for (uint64_t i = 0; i < count; i++) {
		const struct lazymem_guest_range range = {{random_below(MOST_PAGES) * PAGE},
							  (1 + random_below(30)) * PAGE};

		assert_int_equal(lazymem_trace_append(trace, range), 0);
	}
	return trace;
}

static void choose_compression(struct lazymem_snapshot_plan *plan)
{
	const enum lazymem_chunk_kind kind = (enum lazymem_chunk_kind)(2 + random_below(3));

	if (kind != LAZYMEM_CHUNK_RAW && lazymem_snapshot_supports(kind)) {
		plan->compression = kind;
		plan->level = (int)random_below(13);
	}
	plan->chunk_size = PAGE << random_below(7);
}

/* Every page of the working set is in one of the regions and comes up once. */
static void assert_trace_in_order(const struct lazymem_snapshot *snapshot)
{
	static bool seen[MOST_PAGES + 64];
	const struct lazymem_trace *trace = lazymem_snapshot_trace(snapshot);

	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; trace != NULL && i < lazymem_trace_count(trace); i++) {
		const struct lazymem_guest_range range = lazymem_trace_range(trace, i);

		for (uint64_t page = range.start.value / PAGE;
		     page < (range.start.value + range.length) / PAGE; page++) {
			bool is_inside = false;

			assert_true(page < sizeof(seen) && !seen[page]);
			seen[page] = true;
			for (size_t j = 0; j < lazymem_snapshot_region_count(snapshot); j++) {
				const struct lazymem_snapshot_region region =
					lazymem_snapshot_region_at(snapshot, j);

				is_inside |= page * PAGE - region.base.value < region.length;
			}
			assert_true(is_inside);
		}
	}
}

static void write_one(const char *path, struct memory *memory,
		      const struct lazymem_snapshot_region *regions, size_t region_count,
		      const char *parent_name)
{
	struct lazymem_snapshot_plan plan = plan_of(memory->backing);
	struct lazymem_snapshot *parent = NULL, *snapshot;
	struct lazymem_trace *trace = random_below(2) == 0 ? choose_trace() : NULL;

	plan.regions = regions;
	plan.region_count = region_count;
	plan.trace = trace;
	choose_compression(&plan);
	if (parent_name != NULL) {
		char *parent_path = path_of(parent_name);

		parent = open_snapshot(parent_path);
		free(parent_path);
		plan.parent = parent;
		plan.parent_path = parent_name;
	}
	write_snapshot(path, &plan);
	lazymem_snapshot_unref(parent);
	lazymem_trace_destroy(trace);
	assert_holds(path, memory);
	snapshot = open_snapshot(path);
	assert_trace_in_order(snapshot);
	lazymem_snapshot_unref(snapshot);
}

/* A stack of up to three files, each of them with its own choices. */
static void write_stack(void)
{
	static char letters[MOST_PAGES + 1];
	struct lazymem_snapshot_region regions[MOST_REGIONS];
	const uint64_t pages = 1 + random_below(MOST_PAGES);
	const uint64_t length = pages * PAGE - (random_below(2) == 0 ? 0 : random_below(PAGE));
	const size_t region_count = choose_regions(regions, pages);
	const size_t depth = 1 + random_below(3);
	static const char *const names[] = {"first", "second", "third"};

	for (size_t i = 0; i < depth; i++) {
		struct memory memory;
		char *path = path_of(names[i]);

		choose_letters(letters, pages);
		make_memory(&memory, letters, length);
		write_one(path, &memory, regions, region_count, i > 0 ? names[i - 1] : NULL);
		lazymem_backing_unref(memory.backing);
		free(path);
	}
}

static void what_was_written_is_what_is_read(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++)
		write_stack();
	assert_in_range(files_in_directory(), 1, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_written_is_what_is_read, set_up,
						remove_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
