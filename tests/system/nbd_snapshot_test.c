/* SPDX-License-Identifier: MIT
 *
 * nbd_snapshot_test.c - layered snapshots whose files are exports of nbdkit: every page
 * comes back, through faults, through prefetch and through reads, also when the servers
 * come and go.
 */
#include <lazymem/nbd.h>
#include <lazymem/snapshot.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/nbd_server.h>
#include <support/snapshots.h>

#ifdef __SANITIZE_THREAD__
#define LENGTH (MIB / 2 + 1000) /* each access costs it many times as much */
#else
#define LENGTH (4 * MIB + 1000)
#endif
#define PAGES (LENGTH / PAGE + 1)
#define LAYERS 3

static uint64_t random_state;

struct fixture {
	struct snapshots snapshots;
	char paths[LAYERS][200];
	struct nbd_server servers[LAYERS];
	struct lazymem_snapshot *snapshot;
};

/* Each file as an export that is longer than the file. */
static void serve(struct fixture *f)
{
	for (size_t i = 0; i < LAYERS; i++)
		NBD_SERVER_START(&f->servers[i], "--readonly", "--filter=truncate", "file",
				 f->paths[i], "round-up=1M");
}

static void stop_serving(struct fixture *f)
{
	for (size_t i = 0; i < LAYERS; i++)
		nbd_server_kill(&f->servers[i]);
}

static void begin(struct fixture *f)
{
	struct lazymem_backing *files[LAYERS];
	char name[32];

	snapshots_write(&f->snapshots, LENGTH, LAYERS - 1, &random_state);
	for (size_t i = 0; i < LAYERS; i++) {
		snprintf(f->paths[i], sizeof(f->paths[i]), "%s", snapshots_path(LAYERS - 1 - i));
		snprintf(name, sizeof(name), "nbd-%zu", i);
		nbd_server_init(&f->servers[i], name);
	}
	serve(f);
	for (size_t i = 0; i < LAYERS; i++)
		assert_ok(lazymem_nbd_open(f->servers[i].uri, NULL, &files[i]));
	assert_ok(lazymem_snapshot_open_objects(files, LAYERS, &f->snapshot));
	for (size_t i = 0; i < LAYERS; i++)
		lazymem_backing_unref(files[i]);
}

static void end(struct fixture *f)
{
	lazymem_snapshot_unref(f->snapshot);
	stop_serving(f);
	snapshots_destroy(&f->snapshots);
}

static void test_every_page_comes_by_a_fault(void **state)
{
	struct restored restored;
	struct fixture f;

	(void)state;
	begin(&f);
	restored_begin(&restored, &f.snapshots, lazymem_snapshot_backing(f.snapshot), NULL);
	assert_restored(&restored);
	restored_end(&restored);
	end(&f);
}

static void test_every_page_comes_by_prefetch(void **state)
{
	struct lazymem_statistics s = {.size = sizeof(s)};
	struct lazymem_prefetch replay = {.size = sizeof(replay)};
	struct restored restored;
	struct fixture f;

	(void)state;
	begin(&f);
	replay.trace = lazymem_snapshot_trace(f.snapshot);
	restored_begin(&restored, &f.snapshots, lazymem_snapshot_backing(f.snapshot), NULL);
	if (replay.trace != NULL)
		assert_ok(lazymem_attachment_prefetch(restored.attachment, &replay));
	assert_ok(lazymem_attachment_prefetch(restored.attachment, NULL));
	assert_ok(lazymem_attachment_wait(restored.attachment, SOON_NS));
	assert_restored(&restored);
	assert_ok(lazymem_attachment_statistics(restored.attachment, &s));
	assert_int_equal(s.failed, 0);
	restored_end(&restored);
	end(&f);
}

static void test_every_checksum_can_be_compared(void **state)
{
	const struct lazymem_snapshot_verify_options options = {.size = sizeof(options),
								.threads = 4};
	struct fixture f;

	(void)state;
	begin(&f);
	assert_ok(lazymem_snapshot_verify(f.snapshot, &options));
	end(&f);
}

/* ---- servers that come and go ------------------------------------------------- */

struct walk {
	const struct restored *restored;
	atomic_size_t pages; /* gone through */
	size_t wrong;
};

/* Through guest memory, in an order that no prefetch would take. */
static void *go_through(void *argument)
{
	struct walk *walk = argument;
	const unsigned char *bytes = walk->restored->snapshots->bytes;

	for (size_t step = 0; step < 7; step++) {
		for (size_t page = step; page < PAGES; page += 7) {
			walk->wrong += memcmp(restored_page(walk->restored, page),
					      bytes + page * PAGE, PAGE) != 0;
			atomic_fetch_add(&walk->pages, 1);
		}
	}
	return NULL;
}

struct goal {
	struct walk *walk;
	size_t pages;
};

static bool is_reached(void *argument)
{
	struct goal *goal = argument;

	return atomic_load(&goal->walk->pages) >= goal->pages;
}

static void test_servers_may_come_and_go(void **state)
{
	struct restored restored;
	struct walk walk = {.restored = &restored};
	struct fixture f;
	pthread_t thread;

	(void)state;
	begin(&f);
	restored_begin(&restored, &f.snapshots, lazymem_snapshot_backing(f.snapshot), NULL);
	assert_ok(lazymem_attachment_prefetch(restored.attachment, NULL));
	assert_int_equal(pthread_create(&thread, NULL, go_through, &walk), 0);
	for (size_t i = 1; i <= 3; i++) {
		struct goal goal = {&walk, PAGES * i / 16};

		assert_true(await(is_reached, &goal));
		stop_serving(&f);
		serve(&f);
	}
	pthread_join(thread, NULL);
	assert_int_equal(walk.wrong, 0);
	assert_ok(lazymem_attachment_wait(restored.attachment, SOON_NS));
	restored_end(&restored);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_page_comes_by_a_fault),
		TEST(test_every_page_comes_by_prefetch),
		TEST(test_every_checksum_can_be_compared),
		TEST(test_servers_may_come_and_go),
	};

	require_nbd();
	require_faults();
	random_state = harness_seed();
	return run_group(tests);
}
