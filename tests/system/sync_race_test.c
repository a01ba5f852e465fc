/* SPDX-License-Identifier: MIT
 *
 * sync_race_test.c - syncs while the memory is being filled, written, discarded
 * and collected by other threads, and while storage fails now and then: in the
 * end the storage has what the memory has, and nothing went untold.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/disk.h>
#include <support/tracked.h>
#include <unistd.h>

#define SYNCS (TEST_SANITIZED ? 8u : 30u)

struct race {
	struct image image;
	struct disk disk;
	struct guest guest;
	struct lazymem_dirty *told; /* to the one who collects */
	size_t pages;
	atomic_bool over;
};

/* One thread's part in it. */
struct runner {
	struct race *race;
	uint64_t seed;
};

static unsigned char *page_at(const struct race *race, size_t page)
{
	return race->guest.host + page * race->guest.page;
}

static size_t any_page(struct runner *runner)
{
	return next_random(&runner->seed) % runner->race->pages;
}

static int write_until_over(void *argument)
{
	struct runner *runner = argument;

	while (!atomic_load(&runner->race->over)) {
		unsigned char *at = page_at(runner->race, any_page(runner));

		__atomic_store_n(at + next_random(&runner->seed) % PAGE,
				 (unsigned char)runner->seed, __ATOMIC_RELAXED);
	}
	return 0;
}

static int discard_until_over(void *argument)
{
	struct runner *runner = argument;
	const size_t size = runner->race->guest.page;
	int error = 0;

	while (error == 0 && !atomic_load(&runner->race->over)) {
		error = lazymem_mapping_discard(runner->race->guest.mapping,
						any_page(runner) * size, size);
		usleep(200);
	}
	return error;
}

static int collect_until_over(void *argument)
{
	struct runner *runner = argument;
	int error = 0;

	while (error == 0 && !atomic_load(&runner->race->over)) {
		error = lazymem_attachment_collect(runner->race->guest.attachment,
						   runner->race->told);
		usleep(500);
	}
	return error;
}

/* Storage fails now and then: -EIO is no surprise. */
static int sync_often(void *argument)
{
	struct runner *runner = argument;
	struct race *race = runner->race;
	const size_t size = race->guest.page;
	int error = 0;

	for (unsigned i = 0; (error == 0 || error == -EIO) && i < SYNCS; i++) {
		race->disk.fails_writes = i % 5 == 2;
		race->disk.fails_flushes = i % 5 == 4;
		error = i % 2 == 0
				? lazymem_mapping_sync(race->guest.mapping, 0, race->pages * size)
				: lazymem_mapping_sync(race->guest.mapping, any_page(runner) * size,
						       size);
	}
	return error == -EIO ? 0 : error;
}

static void begin(struct race *race, void **state, uint64_t seed)
{
	struct lazymem_prefetch slowly = {.size = sizeof(slowly)};
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
		.tracking_most = tracking_of(state),
		.write_back_interval = MILLISECONDS(2),
	};

	*race = (struct race){.pages = memory_of(state) == HUGETLB ? 4 : 256};
	image_create(&race->image, race->pages * page_size_of(memory_of(state)), "ddzh", seed);
	disk_create(&race->disk, &race->image, seed % 2 == 0);
	guest_map(&race->guest, memory_of(state), race->image.length, 0, race->disk.backing);
	guest_attach(&race->guest, NULL, &options);
	assert_ok(lazymem_dirty_create(race->guest.memory, &race->told));
	slowly.bytes_per_second = 10 * race->image.length;
	assert_ok(lazymem_attachment_prefetch(race->guest.attachment, &slowly));
}

static void end(struct race *race)
{
	lazymem_dirty_destroy(race->told);
	guest_end(&race->guest);
	disk_destroy(&race->disk);
	image_destroy(&race->image);
}

/* What differs from the image was written or discarded, so it was told. */
static void expect_all_told(struct race *race)
{
	const size_t size = race->guest.page;

	assert_ok(lazymem_attachment_collect(race->guest.attachment, race->told));
	for (size_t page = 0; page < race->pages; page++)
		if (memcmp(page_at(race, page), race->image.bytes + page * size, size) != 0)
			assert_true(lazymem_dirty_test(race->told, guest_address(page * size)));
}

static void test_nothing_is_lost_between_all_that_run_at_once(void **state)
{
	static int (*const acts[])(void *argument) = {write_until_over, discard_until_over,
						      collect_until_over, sync_often, sync_often};
	enum { RUNNERS = sizeof(acts) / sizeof(acts[0]), FIRST_SYNC = 3 };
	const uint64_t seed = harness_seed();
	struct runner runners[RUNNERS];
	struct actor actors[RUNNERS];
	struct race race;

	begin(&race, state, seed);
	for (size_t i = 0; i < RUNNERS; i++) {
		runners[i] = (struct runner){&race, seed + i};
		actor_start(&actors[i], acts[i], &runners[i]);
	}
	for (size_t i = FIRST_SYNC; i < RUNNERS; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	atomic_store(&race.over, true);
	for (size_t i = 0; i < FIRST_SYNC; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	race.disk.fails_writes = race.disk.fails_flushes = false;
	assert_ok(lazymem_mapping_sync(race.guest.mapping, 0, race.image.length));
	guest_prefetch(&race.guest, 0, 0); /* no fault shall need the disk from here on */
	pthread_mutex_lock(&race.disk.lock);
	assert_memory_equal(race.disk.durable, race.guest.host, race.image.length);
	pthread_mutex_unlock(&race.disk.lock);
	expect_all_told(&race);
	end(&race);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_ALL_WAYS(test_nothing_is_lost_between_all_that_run_at_once),
	};

	require_faults();
	require_hugetlb(BLOCK, 4);
	return run_group(tests);
}
