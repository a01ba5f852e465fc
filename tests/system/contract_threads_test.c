/* SPDX-License-Identifier: MIT
 *
 * contract_threads_test.c - the contract of lazily filled memory under several
 * threads: guests that write pages of their own, one that discards its own, two that
 * sync (and let that fail), one that prefetches and reads, and one that takes
 * moments, which are written while all of them go on.
 *
 * A page has one owner, who alone writes or discards it, and gives it versions.
 * `begun` is set before that and `done` after it; so what is durable once a sync has
 * returned is at least what was done before it, and at most what has begun after it.
 * The guests stand still while a moment is taken, and for nothing else.
 */
#include <lazymem/bytes.h>
#include <lazymem/inject.h>
#include <lazymem/moment.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/contract_storage.h>
#include <support/disk.h>
#include <support/guest.h>
#include <support/tracked.h>
#include <unistd.h>

#define MOMENTS (TEST_SANITIZED ? 4u : 12u)
#define PAGES 192u
#define HUGE_PAGES 4u

enum { WRITERS = 3, DISCARDERS = 1, OWNERS = WRITERS + DISCARDERS, SYNCERS = 2 };

/* What an actor ends with when something differs. */
enum { PAGE_CHANGED = 1, PAGE_NOT_AS_WRITTEN, NOT_DURABLE };

/* What a version of a page begins and ends with; 0 when it is discarded. */
#define TAG (UINT64_C(0x5a5a) << 48)

struct version {
	_Atomic uint64_t begun, done;
	_Atomic uint64_t discarded; /* the last one that was a discard */
};

struct crowd {
	struct image image;
	struct disk disk;
	struct lazymem_backing *late;
	struct guest guest;
	size_t pages;
	struct version *versions;
	unsigned char *now; /* what the guests have; each page its owner's */
	pthread_rwlock_t still;
	atomic_bool over;
	uint64_t seed;
	struct lazymem_snapshot *newest;
};

struct member {
	struct crowd *crowd;
	uint64_t seed;
	size_t number; /* among its like */
};

static uint64_t below(struct member *member, uint64_t limit)
{
	return next_random(&member->seed) % limit;
}

/* ---- guests ------------------------------------------------------------------ */

static uint64_t *first_word(unsigned char *page)
{
	return (uint64_t *)(void *)page;
}

static uint64_t *last_word(unsigned char *page, size_t size)
{
	return (uint64_t *)(void *)(page + size - sizeof(uint64_t));
}

static bool is_as_left(struct crowd *crowd, size_t page)
{
	const size_t size = crowd->guest.page;
	unsigned char *host = crowd->guest.host + page * size, *now = crowd->now + page * size;

	return __atomic_load_n(first_word(host), __ATOMIC_RELAXED) == *first_word(now) &&
	       __atomic_load_n(last_word(host, size), __ATOMIC_RELAXED) == *last_word(now, size);
}

static void write_page(struct crowd *crowd, size_t page)
{
	const size_t size = crowd->guest.page;
	unsigned char *host = crowd->guest.host + page * size, *now = crowd->now + page * size;
	struct version *version = &crowd->versions[page];
	const uint64_t next = atomic_load(&version->done) + 1;

	atomic_store(&version->begun, next);
	__atomic_store_n(first_word(host), TAG | next, __ATOMIC_RELAXED);
	__atomic_store_n(last_word(host, size), TAG | next, __ATOMIC_RELAXED);
	*first_word(now) = *last_word(now, size) = TAG | next;
	atomic_store(&version->done, next);
}

static int discard_page(struct crowd *crowd, size_t page)
{
	const size_t size = crowd->guest.page;
	struct version *version = &crowd->versions[page];
	const uint64_t next = atomic_load(&version->done) + 1;
	int error;

	atomic_store(&version->discarded, next);
	atomic_store(&version->begun, next);
	error = lazymem_mapping_discard(crowd->guest.mapping, page * size, size);
	memset(crowd->now + page * size, 0, size);
	atomic_store(&version->done, next);
	return error;
}

/* 0, or what went wrong. */
static int live(void *argument)
{
	struct member *member = argument;
	struct crowd *crowd = member->crowd;
	const bool discards = member->number >= WRITERS;
	int error = 0;

	while (error == 0 && !atomic_load(&crowd->over)) {
		const size_t page = below(member, crowd->pages / OWNERS) * OWNERS + member->number;

		pthread_rwlock_rdlock(&crowd->still);
		if (below(member, 4) == 0)
			error = is_as_left(crowd, page) ? 0 : PAGE_CHANGED;
		if (error == 0 && discards && below(member, 2) == 0)
			error = discard_page(crowd, page);
		else if (error == 0)
			write_page(crowd, page);
		if (error == 0 && !is_as_left(crowd, page))
			error = PAGE_NOT_AS_WRITTEN;
		pthread_rwlock_unlock(&crowd->still);
		if (below(member, 32) == 0)
			usleep(50);
	}
	return error;
}

/* ---- who syncs --------------------------------------------------------------- */

/* May the object have this of the page, when `least` was done before the sync? */
static bool may_be_durable(struct crowd *crowd, size_t page, uint64_t least, uint64_t word)
{
	const struct version *version = &crowd->versions[page];
	uint64_t image;

	memcpy(&image, crowd->image.bytes + page * crowd->guest.page, sizeof(image));
	if (word == image && least == 0)
		return true;
	if (word == 0)
		return atomic_load(&version->discarded) > 0 &&
		       atomic_load(&version->discarded) >= least;
	return (word & TAG) == TAG && (word & ~TAG) >= least &&
	       (word & ~TAG) <= atomic_load(&version->begun);
}

static bool is_durable(struct crowd *crowd, size_t page, uint64_t least)
{
	const size_t size = crowd->guest.page;
	uint64_t first, last;

	pthread_mutex_lock(&crowd->disk.lock);
	memcpy(&first, crowd->disk.durable + page * size, sizeof(first));
	memcpy(&last, crowd->disk.durable + (page + 1) * size - sizeof(last), sizeof(last));
	pthread_mutex_unlock(&crowd->disk.lock);
	/* Both ends, which the image has otherwise. */
	return may_be_durable(crowd, page, least, first) &&
	       (least == 0 || may_be_durable(crowd, page, least, last));
}

static int sync_range(struct crowd *crowd, size_t page, size_t count, uint64_t *least)
{
	const size_t size = crowd->guest.page;

	for (size_t i = page; i < page + count; i++)
		least[i] = atomic_load(&crowd->versions[i].done);
	if (lazymem_mapping_sync(crowd->guest.mapping, page * size, count * size) != 0)
		return 0; /* it was made to fail, by this thread or the other one */
	for (size_t i = page; i < page + count; i++)
		if (!is_durable(crowd, i, least[i]))
			return NOT_DURABLE;
	return 0;
}

static int sync_often(void *argument)
{
	struct member *member = argument;
	struct crowd *crowd = member->crowd;
	uint64_t *least = calloc(crowd->pages, sizeof(*least));
	int error = 0;

	assert_non_null(least);
	while (error == 0 && !atomic_load(&crowd->over)) {
		const size_t page = below(member, 2) == 0 ? 0 : below(member, crowd->pages);
		const size_t count = 1 + below(member, crowd->pages - page);
		const bool fails = below(member, 4) == 0;

		if (fails && below(member, 2) == 0)
			atomic_store(&crowd->disk.fails_flushes, true);
		else if (fails)
			atomic_store(&crowd->disk.fails_writes, true);
		error = sync_range(crowd, page, count, least);
		atomic_store(&crowd->disk.fails_flushes, false);
		atomic_store(&crowd->disk.fails_writes, false);
		usleep(500);
	}
	free(least);
	return error;
}

/* ---- who prefetches ---------------------------------------------------------- */

static int prefetch_often(void *argument)
{
	struct member *member = argument;
	struct crowd *crowd = member->crowd;
	const size_t size = crowd->guest.page;
	int error = 0;

	while (error == 0 && !atomic_load(&crowd->over)) {
		const size_t page = below(member, crowd->pages);
		const size_t count = 1 + below(member, crowd->pages - page);
		const int byte = touch(crowd->guest.host + page * size + below(member, size));

		if (byte >= SIGNALLED)
			return byte;
		error = lazymem_mapping_prefetch(crowd->guest.mapping, page * size, count * size);
		if (error == 0 && below(member, 4) == 0)
			error = lazymem_attachment_wait(crowd->guest.attachment, SOON_NS);
		usleep(1000);
	}
	return error;
}

/* ---- who takes moments ------------------------------------------------------- */

static const char *layer_name(unsigned number)
{
	static char name[32];

	snprintf(name, sizeof(name), "layer-%u", number);
	return name;
}

static void open_newest(struct crowd *crowd, unsigned number)
{
	lazymem_snapshot_unref(crowd->newest);
	crowd->newest = NULL;
	assert_ok(lazymem_snapshot_open(scratch_path(layer_name(number)), NULL, &crowd->newest));
}

/* What there was before anybody wrote. */
static void write_base(struct crowd *crowd)
{
	const struct lazymem_snapshot_region region = {guest_address(0), crowd->guest.length, 0};
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan), .regions = &region, .region_count = 1};

	assert_ok(lazymem_bytes_create(crowd->image.bytes, crowd->image.length, NULL, NULL,
				       &plan.source));
	assert_ok(lazymem_snapshot_write(scratch_path(layer_name(0)), &plan));
	lazymem_backing_unref(plan.source);
	open_newest(crowd, 0);
}

/* Everything done since `collected` is told; that is what is done now, then. */
static void check_told(struct crowd *crowd, struct lazymem_dirty *dirty, uint64_t *collected)
{
	lazymem_dirty_clear(dirty);
	assert_ok(lazymem_attachment_collect(crowd->guest.attachment, dirty));
	for (size_t i = 0; i < crowd->pages; i++) {
		const uint64_t done = atomic_load(&crowd->versions[i].done);

		if (done != collected[i] &&
		    !lazymem_dirty_test(dirty, guest_address(i * crowd->guest.page)))
			fail_msg("page %zu was written, and is not told", i);
		collected[i] = done;
	}
}

static void compare_newest(const struct crowd *crowd, unsigned char *bytes,
			   const unsigned char *taken)
{
	assert_ok(lazymem_backing_read(lazymem_snapshot_backing(crowd->newest), 0, bytes,
				       crowd->guest.length));
	for (size_t i = 0; i < crowd->guest.length; i += PAGE)
		if (memcmp(bytes + i, taken + i, PAGE) != 0)
			fail_msg("the snapshot differs from the moment at %#zx", i);
}

static void take_one(struct crowd *crowd, unsigned number, struct lazymem_dirty *dirty,
		     uint64_t *collected, unsigned char *taken)
{
	struct lazymem_snapshot_plan plan = {.size = sizeof(plan), .parent = crowd->newest};
	struct lazymem_moment *moment = NULL;
	char parent_path[32];
	uint64_t length;

	assert_ok(lazymem_moment_create(crowd->guest.attachment, &moment));
	for (unsigned i = number % 3; i > 0; i--)
		assert_ok(lazymem_moment_copy(moment, &length));
	pthread_rwlock_wrlock(&crowd->still);
	if (number % 2 == 0)
		check_told(crowd, dirty, collected);
	assert_ok(lazymem_moment_take(moment, &length));
	memcpy(taken, crowd->now, crowd->guest.length);
	pthread_rwlock_unlock(&crowd->still);
	snprintf(parent_path, sizeof(parent_path), "%s", layer_name(number - 1));
	plan.parent_path = parent_path;
	assert_ok(lazymem_moment_write(moment, scratch_path(layer_name(number)), &plan));
	lazymem_moment_destroy(moment);
}

static void take_moments(struct crowd *crowd)
{
	unsigned char *taken = malloc(crowd->guest.length), *bytes = malloc(crowd->guest.length);
	uint64_t *collected = calloc(crowd->pages, sizeof(*collected));
	struct lazymem_dirty *dirty = NULL;

	assert_non_null(taken);
	assert_non_null(bytes);
	assert_non_null(collected);
	assert_ok(lazymem_dirty_create(crowd->guest.memory, &dirty));
	for (unsigned number = 1; number <= MOMENTS; number++) {
		usleep(3000);
		take_one(crowd, number, dirty, collected, taken);
		open_newest(crowd, number);
		compare_newest(crowd, bytes, taken);
	}
	lazymem_dirty_destroy(dirty);
	free(taken);
	free(bytes);
	free(collected);
}

/* ---- all together ------------------------------------------------------------ */

static void attach(struct crowd *crowd, enum lazymem_tracking tracking)
{
	struct lazymem_identity identity;
	const struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
		.tracking_most = tracking,
		.origin = &identity,
		.write_back_interval = MILLISECONDS(5),
	};

	assert_ok(lazymem_backing_identity(lazymem_snapshot_backing(crowd->newest), &identity));
	guest_attach(&crowd->guest, NULL, &options);
}

static void begin(struct crowd *crowd, void **state)
{
	const struct lazymem_inject_range all = {0};
	const enum memory_kind kind = memory_of(state);
	pthread_rwlockattr_t attributes;

	*crowd = (struct crowd){.seed = harness_seed()};
	crowd->pages = kind == HUGETLB ? HUGE_PAGES : PAGES;
	image_create(&crowd->image, crowd->pages * page_size_of(kind), "ddz", crowd->seed);
	disk_create(&crowd->disk, &crowd->image, crowd->seed % 2 == 0);
	assert_ok(
		lazymem_inject_delay(crowd->disk.backing, all, MILLISECONDS(1) / 5, &crowd->late));
	guest_map(&crowd->guest, kind, crowd->image.length, 0, crowd->late);
	crowd->versions = calloc(crowd->pages, sizeof(*crowd->versions));
	crowd->now = malloc(crowd->guest.length);
	assert_non_null(crowd->versions);
	assert_non_null(crowd->now);
	memcpy(crowd->now, crowd->image.bytes, crowd->guest.length);
	/* Who takes a moment must not wait for ever for those who only go on. */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&crowd->still, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	write_base(crowd);
	attach(crowd, tracking_of(state));
}

static void end(struct crowd *crowd)
{
	guest_end(&crowd->guest);
	lazymem_snapshot_unref(crowd->newest);
	lazymem_backing_unref(crowd->late);
	disk_destroy(&crowd->disk);
	image_destroy(&crowd->image);
	pthread_rwlock_destroy(&crowd->still);
	free(crowd->versions);
	free(crowd->now);
}

static void test_a_crowd_and_the_arrays_never_differ(void **state)
{
	int (*const acts[])(void *argument) = {live, sync_often, prefetch_often};
	const size_t counts[] = {OWNERS, SYNCERS, 1};
	struct member members[OWNERS + SYNCERS + 1];
	struct actor actors[OWNERS + SYNCERS + 1];
	struct crowd crowd;
	size_t all = 0;

	begin(&crowd, state);
	for (size_t kind = 0; kind < 3; kind++)
		for (size_t i = 0; i < counts[kind]; i++, all++) {
			members[all] = (struct member){&crowd, next_random(&crowd.seed), i};
			actor_start(&actors[all], acts[kind], &members[all]);
		}
	take_moments(&crowd);
	atomic_store(&crowd.over, true);
	for (size_t i = 0; i < all; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	assert_ok(lazymem_mapping_sync(crowd.guest.mapping, 0, crowd.guest.length));
	assert_memory_equal(crowd.disk.durable, crowd.now, crowd.guest.length);
	assert_memory_equal(crowd.guest.host, crowd.now, crowd.guest.length);
	end(&crowd);
}

#define IN_THE_WORST_WAY(function)                                                                 \
	TEST_NAMED(function, #function " (anonymous, populated)",                                  \
		   WAY(ANONYMOUS, LAZYMEM_TRACKING_POPULATED)),                                    \
		TEST_NAMED(function, #function " (memfd, populated)",                              \
			   WAY(MEMFD, LAZYMEM_TRACKING_POPULATED)),                                \
		TEST_NAMED(function, #function " (hugetlb, populated)",                            \
			   WAY(HUGETLB, LAZYMEM_TRACKING_POPULATED))

/* An argument is what the names of the tests to run are like: "*memfd*". */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		IN_EACH_WAY(test_a_crowd_and_the_arrays_never_differ),
		IN_THE_WORST_WAY(test_a_crowd_and_the_arrays_never_differ),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	storage_in_memory();
	require_faults();
	require_hugetlb(BLOCK, HUGE_PAGES);
	return run_group(tests);
}
