/* SPDX-License-Identifier: MIT
 *
 * snapshot_restore_test.c - images at random, in stacks of every depth, come
 * back byte for byte: through faults, through prefetch, and through reads.
 */
#include <lazymem/snapshot.h>
#include <stdlib.h>
#include <string.h>
#include <support/snapshots.h>

#ifdef __SANITIZE_THREAD__
#define FEWER 4 /* each access costs it many times as much, and the threads are the same */
#else
#define FEWER 1
#endif

static uint64_t random_state;

struct fixture {
	struct snapshots snapshots;
	struct lazymem_snapshot *snapshot;
	struct lazymem_backing *backing;
};

static void begin(struct fixture *f, size_t parents)
{
	const uint64_t length = 1 + next_random(&random_state) % (2 * MIB);

	snapshots_write(&f->snapshots, length, parents, &random_state);
	assert_ok(lazymem_snapshot_open(f->snapshots.path, NULL, &f->snapshot));
	assert_int_equal(lazymem_snapshot_layer_count(f->snapshot), parents + 1);
	f->backing = lazymem_snapshot_backing(f->snapshot);
}

static void end(struct fixture *f)
{
	lazymem_snapshot_unref(f->snapshot);
	snapshots_destroy(&f->snapshots);
}

static void restore_by_faults(struct fixture *f)
{
	struct restored restored;

	restored_begin(&restored, &f->snapshots, f->backing, NULL);
	assert_restored(&restored);
	restored_end(&restored);
}

/* In the order of the trace, and then the rest. */
static void restore_by_prefetch(struct fixture *f)
{
	const struct lazymem_trace *trace = lazymem_snapshot_trace(f->snapshot);
	struct lazymem_prefetch replay = {.size = sizeof(replay), .trace = trace};
	struct lazymem_statistics s = {.size = sizeof(s)};
	struct restored restored;

	assert_int_equal(trace != NULL, f->snapshots.trace != NULL);
	restored_begin(&restored, &f->snapshots, f->backing, NULL);
	if (trace != NULL)
		assert_ok(lazymem_attachment_prefetch(restored.attachment, &replay));
	assert_ok(lazymem_attachment_prefetch(restored.attachment, NULL));
	assert_ok(lazymem_attachment_wait(restored.attachment, SOON_NS));
	assert_restored(&restored);
	assert_ok(lazymem_attachment_statistics(restored.attachment, &s));
	assert_int_equal(s.failed, 0);
	restored_end(&restored);
}

static void restore_by_reads(struct fixture *f)
{
	unsigned char *bytes = malloc(f->snapshots.length);

	assert_ok(lazymem_backing_read(f->backing, 0, bytes, f->snapshots.length));
	assert_memory_equal(bytes, f->snapshots.bytes, f->snapshots.length);
	for (int i = 0; i < 200; i++) {
		const uint64_t offset = next_random(&random_state) % f->snapshots.length;
		const uint64_t left = f->snapshots.length - offset;
		const size_t length =
			1 + next_random(&random_state) % (left < 30000 ? left : 30000);

		memset(bytes, 0xee, length);
		assert_ok(lazymem_backing_read(f->backing, offset, bytes, length));
		assert_memory_equal(bytes, f->snapshots.bytes + offset, length);
	}
	free(bytes);
}

/* Zeros by the index are zeros. */
static void compare_extents(struct fixture *f)
{
	for (uint64_t at = 0; at < f->snapshots.length;) {
		struct lazymem_extent extent;

		assert_ok(
			lazymem_backing_extent(f->backing, at, f->snapshots.length - at, &extent));
		if (extent.kind == LAZYMEM_EXTENT_ZERO)
			for (uint64_t i = 0; i < extent.length; i++)
				assert_int_equal(f->snapshots.bytes[at + i], 0);
		at += extent.length;
	}
}

static void restore(size_t parents)
{
	struct fixture f;

	begin(&f, parents);
	restore_by_reads(&f);
	compare_extents(&f);
	restore_by_faults(&f);
	restore_by_prefetch(&f);
	assert_ok(lazymem_snapshot_verify(f.snapshot, NULL));
	end(&f);
}

static void test_a_snapshot_alone_is_restored(void **state)
{
	(void)state;
	for (int i = 0; i < 20 / FEWER; i++)
		restore(0);
}

static void test_shallow_stacks_are_restored(void **state)
{
	(void)state;
	for (int i = 0; i < 4 / FEWER; i++) {
		restore(1);
		restore(2);
		restore(3);
	}
}

static void test_deep_stacks_are_restored(void **state)
{
	static const size_t depths[] = {7, 16, 33, 64};

	(void)state;
	for (size_t i = 0; i<4; i += FEWER> 1 ? 2 : 1)
		restore(depths[i]);
}

static void test_faults_are_served_with_o_direct(void **state)
{
	const struct lazymem_snapshot_options options = {.size = sizeof(options),
							 .flags = LAZYMEM_SNAPSHOT_DIRECT};
	struct lazymem_snapshot *direct;
	struct restored restored;
	struct fixture f;

	(void)state;
	begin(&f, 2);
	if (lazymem_snapshot_open(f.snapshots.path, &options, &direct) != 0) {
		end(&f);
		skip(); /* a file system without O_DIRECT */
	}
	restored_begin(&restored, &f.snapshots, lazymem_snapshot_backing(direct), NULL);
	assert_restored(&restored);
	restored_end(&restored);
	lazymem_snapshot_unref(direct);
	end(&f);
}

/* The snapshot may go while its memory is served. */
static void test_an_attachment_outlives_the_snapshot(void **state)
{
	struct restored restored;
	struct fixture f;

	(void)state;
	begin(&f, 2);
	restored_begin(&restored, &f.snapshots, f.backing, NULL);
	lazymem_snapshot_unref(f.snapshot);
	f.snapshot = NULL;
	assert_restored(&restored);
	restored_end(&restored);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_snapshot_alone_is_restored),
		TEST(test_shallow_stacks_are_restored),
		TEST(test_deep_stacks_are_restored),
		TEST(test_faults_are_served_with_o_direct),
		TEST(test_an_attachment_outlives_the_snapshot),
	};

	require_faults();
	random_state = harness_seed();
	return run_group(tests);
}
