/* SPDX-License-Identifier: MIT
 *
 * contract_test.c - a model checker of the contract of guest memory that is filled
 * lazily: random sequences of all that may happen to it, for each kind of memory and
 * each way of tracking, beside plain arrays to which the same is done. They never
 * differ.
 *
 * A sequence that fails tells its last steps and its seed; LAZYMEM_TEST_SEED=seed
 * begins with that one. The worker is a second thread, so what is under way at
 * which step may differ from run to run.
 */
#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <support/contract_guest.h>
#include <support/contract_moment.h>
#include <support/tracked.h>

#define STEPS 80u

/* A page of 2 MiB takes as long as hundreds of small ones. */
static unsigned sequences(enum memory_kind kind)
{
	if (kind == HUGETLB)
		return TEST_SANITIZED ? 6 : 60;
	return TEST_SANITIZED ? 40 : 400;
}

/* ---- made durable, told ------------------------------------------------------ */

/* What was discarded takes no room in a file any more. */
static void check_holes(struct world *w, size_t page, size_t count)
{
	const unsigned flags = STORAGE_FILE | STORAGE_HOLES;

	if ((w->storage.flags & flags) != flags)
		return;
	for (size_t i = page; i < page + count; i++)
		if (w->model.pages[i].given_back && model_stored(&w->model, i) == w->size &&
		    !storage_is_hole(&w->storage, world_offset(w, i), w->size))
			fail_msg("page %zu was discarded and synced, and is no hole", i);
}

static void sync_pages(struct world *w)
{
	const uint64_t failed = storage_failed_writes(&w->storage);
	const struct world_region *region;
	size_t page, count;
	int error;

	world_pick(w, 16, &page, &count);
	region = world_region_of(w, page);
	world_note("sync pages %zu+%zu", page, count);
	if (page + count <= region->first + region->count)
		error = lazymem_mapping_sync(region->mapping, (page - region->first) * w->size,
					     count * w->size - world_random(w, w->size));
	else
		error = lazymem_memory_sync(w->memory, world_address(w, page), count * w->size);
	if (!w->writes_back) {
		assert_ok(error);
	} else if (error == 0) {
		assert_int_equal(storage_failed_writes(&w->storage), failed);
		model_synced(&w->model, page, count);
		check_holes(w, page, count);
	} else {
		assert_int_equal(error, -EIO);
		assert_int_not_equal(storage_failed_writes(&w->storage), failed);
		model_tried(&w->model, page, count);
	}
	if (w->count * w->size < MIB || world_random(w, 4) == 0)
		world_check_durable(w);
}

static bool is_untold(const struct model_page *page)
{
	return page->untold;
}

static void collect(struct world *w)
{
	world_note("collect");
	lazymem_dirty_clear(w->dirty);
	assert_ok(lazymem_attachment_collect(w->attachment, w->dirty));
	world_check_told(w, w->dirty, "who collects", is_untold);
	for (size_t i = 0; i < w->count; i++)
		w->model.pages[i].untold = false;
}

/* ---- failures ---------------------------------------------------------------- */

static struct storage_failure pick_failure(struct world *w, unsigned operations)
{
	struct storage_failure failure = {.range.operations = operations};
	size_t page, count;

	world_pick(w, 8, &page, &count);
	failure.range.start = world_offset(w, page);
	failure.range.length = count * w->size;
	if (world_random(w, 4) == 0)
		failure.range.length = 0;
	failure.count = world_random(w, 2) == 0 ? UINT64_MAX : 1 + world_random(w, 3);
	return failure;
}

static void fail_reads(struct world *w)
{
	const struct storage_failure failure = pick_failure(w, LAZYMEM_INJECT_READ);

	world_note("reads of %#llx+%#llx fail, %lld of them",
		   (unsigned long long)failure.range.start,
		   (unsigned long long)failure.range.length, (long long)failure.count);
	storage_fail(&w->storage, failure);
}

static void fail_writes(struct world *w)
{
	static const unsigned operations[] = {
		LAZYMEM_INJECT_WRITE,
		LAZYMEM_INJECT_FLUSH,
		LAZYMEM_INJECT_DISCARD,
		LAZYMEM_INJECT_WRITE | LAZYMEM_INJECT_FLUSH | LAZYMEM_INJECT_DISCARD,
	};
	const struct storage_failure failure = pick_failure(w, operations[world_random(w, 4)]);

	world_note("operations %#x of %#llx+%#llx fail, %lld of them", failure.range.operations,
		   (unsigned long long)failure.range.start,
		   (unsigned long long)failure.range.length, (long long)failure.count);
	storage_fail(&w->storage, failure);
}

static void heal(struct world *w)
{
	world_note("nothing fails");
	storage_heal(&w->storage);
}

/* ---- letting go, and beginning anew ------------------------------------------ */

static void come_to_an_end(struct world *w, bool finished)
{
	w->attachment = NULL;
	world_check_let_go(w, finished);
	moment_outlives_attachment(w);
	world_check_durable(w);
	world_unmap(w);
}

/* False: refused, and it goes on being served. */
static bool finish(struct world *w)
{
	const uint64_t failed = storage_failed_writes(&w->storage);
	bool may_fail = false;
	int error;

	world_note("finish");
	for (size_t i = 0; i < w->count; i++)
		may_fail |= world_may_refuse(w, i);
	world_check_statistics(w);
	error = lazymem_attachment_finish(w->attachment);
	if (error != 0) {
		if (error != -EIO || !(may_fail || storage_failed_writes(&w->storage) != failed))
			assert_ok(error);
		model_may_come(&w->model, 0, w->count);
		if (w->writes_back)
			model_tried(&w->model, 0, w->count);
		return false;
	}
	if (w->writes_back)
		model_synced(&w->model, 0, w->count);
	come_to_an_end(w, true);
	return true;
}

/* What can be written of it is written. */
static void let_go(struct world *w)
{
	const uint64_t failed = storage_failed_writes(&w->storage);

	world_note("abort");
	world_check_statistics(w);
	if (w->writes_back)
		model_tried(&w->model, 0, w->count);
	lazymem_attachment_abort(w->attachment);
	if (w->writes_back && storage_failed_writes(&w->storage) == failed)
		model_synced(&w->model, 0, w->count);
	come_to_an_end(w, false);
}

/* From one point on, nothing reaches the object any more. */
static void crash(struct world *w)
{
	const unsigned all = LAZYMEM_INJECT_WRITE | LAZYMEM_INJECT_FLUSH | LAZYMEM_INJECT_DISCARD;

	world_note("crash");
	storage_fail(&w->storage,
		     (struct storage_failure){.range.operations = all, .count = UINT64_MAX});
	lazymem_attachment_abort(w->attachment);
	come_to_an_end(w, false);
}

/* The power fails after each end: what is to last was flushed before. */
static void begin_from_storage(struct world *w)
{
	world_note("begin anew");
	storage_lose_power(&w->storage, world_random(w, 3));
	world_check_durable(w);
	if (world_random(w, 2) == 0)
		storage_reopen(&w->storage);
	memset(w->buffer, 0, w->count * w->size);
	for (size_t i = 0; i < w->count; i++)
		storage_read_durable(&w->storage, world_offset(w, i), w->buffer + i * w->size,
				     model_stored(&w->model, i));
	model_restart(&w->model, w->buffer);
	moment_chain_begins(w);
}

static void begin_from_snapshot(struct world *w)
{
	const struct lazymem_snapshot *newest = w->chain.newest;
	struct lazymem_backing *backing = lazymem_snapshot_backing(newest);
	const uint64_t cut = w->count * w->size - lazymem_backing_length(backing);

	world_note("begin with the newest snapshot");
	storage_destroy(&w->storage);
	storage_create_over(&w->storage, backing);
	for (size_t i = 0; i < 2; i++)
		w->regions[i].offset =
			moment_offset(newest, (lazymem_guest_address){w->regions[i].guest});
	model_restart(&w->model, w->chain.bytes);
	for (size_t i = 0; i < w->count; i++)
		if (world_offset(w, i) + w->size == w->count * w->size)
			w->model.cut_page = i;
	w->model.cut = w->size - cut;
	moment_chain_follows(w);
}

static void begin_anew(struct world *w)
{
	storage_heal(&w->storage);
	if (!w->writes_back && w->chain.newest != NULL && world_random(w, 2) == 0)
		begin_from_snapshot(w);
	else
		begin_from_storage(w);
	world_attach(w);
}

static void end_once(struct world *w)
{
	const uint64_t way = world_random(w, 3);

	if (way == 0 && !finish(w))
		return;
	if (way == 1)
		let_go(w);
	if (way == 2)
		crash(w);
	begin_anew(w);
}

/* ---- sequences --------------------------------------------------------------- */

static const struct {
	void (*act)(struct world *w);
	unsigned weight;
} acts[] = {
	{guest_reads, 8},
	{guest_writes, 10},
	{guest_reads_by_address, 3},
	{guest_writes_by_address, 3},
	{guest_calls_the_system, 3},
	{guest_is_prefetched, 4},
	{guest_prefetches_are_over, 1},
	{guest_discards, 6},
	{guest_is_advised_away, 2},
	{sync_pages, 6},
	{collect, 4},
	{fail_reads, 1},
	{fail_writes, 2},
	{heal, 3},
	{moment_goes_on, 9},
	{moment_is_restored, 1},
	{world_check_statistics, 1},
	{end_once, 2},
};

static void act_once(struct world *w)
{
	uint64_t total = 0, choice;
	size_t i = 0;

	for (size_t j = 0; j < sizeof(acts) / sizeof(acts[0]); j++)
		total += acts[j].weight;
	choice = world_random(w, total);
	for (; choice >= acts[i].weight; i++)
		choice -= acts[i].weight;
	acts[i].act(w);
}

static void play(enum memory_kind kind, enum lazymem_tracking tracking, uint64_t seed)
{
	static struct world w; /* for the report of a failure */

	world_begin(&w, kind, tracking, seed);
	moment_chain_begins(&w);
	world_attach(&w);
	for (unsigned step = 0; step < STEPS; step++)
		act_once(&w);
	heal(&w);
	guest_prefetches_are_over(&w);
	world_check_all(&w);
	let_go(&w);
	moment_chain_ends(&w);
	world_end(&w);
}

static void test_memory_and_model_never_differ(void **state)
{
	const uint64_t seed = harness_seed();

	for (unsigned i = 0; i < sequences(memory_of(state)); i++)
		play(memory_of(state), tracking_of(state), seed + i);
}

static int report(void **state)
{
	world_report();
	return harness_teardown(state);
}

#define PLAYED(label, kind, tracking)                                                              \
	{                                                                                          \
		label, test_memory_and_model_never_differ, harness_setup, report,                  \
			&(struct test_case)                                                        \
		{                                                                                  \
			label, WAY(kind, tracking)                                                 \
		}                                                                                  \
	}

/* An argument is what the names of the tests to run begin with: "memfd*". */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		PLAYED("anonymous memory, the kernel tells", ANONYMOUS, LAZYMEM_TRACKING_KERNEL),
		PLAYED("anonymous memory, faults tell", ANONYMOUS, LAZYMEM_TRACKING_FAULTS),
		PLAYED("anonymous memory, nobody tells", ANONYMOUS, LAZYMEM_TRACKING_POPULATED),
		PLAYED("memfd, the kernel tells", MEMFD, LAZYMEM_TRACKING_KERNEL),
		PLAYED("memfd, faults tell", MEMFD, LAZYMEM_TRACKING_FAULTS),
		PLAYED("memfd, nobody tells", MEMFD, LAZYMEM_TRACKING_POPULATED),
		PLAYED("hugetlb, the kernel tells", HUGETLB, LAZYMEM_TRACKING_KERNEL),
		PLAYED("hugetlb, faults tell", HUGETLB, LAZYMEM_TRACKING_FAULTS),
		PLAYED("hugetlb, nobody tells", HUGETLB, LAZYMEM_TRACKING_POPULATED),
	};

	storage_in_memory();
	/* The arrays of one sequence are those of the next. */
	mallopt(M_MMAP_THRESHOLD, 1 << 25);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	require_faults();
	require_hugetlb(BLOCK, WORLD_HUGE_PAGES);
	return run_group(tests);
}
