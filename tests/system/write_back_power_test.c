/* SPDX-License-Identifier: MIT
 *
 * write_back_power_test.c - the power fails under memory that is written back:
 * the disk forgets what was not flushed, and nothing of what was synced, also
 * when writes and flushes fail in between.
 *
 *   guest memory -> writes and flushes that fail -> a disk that forgets -> its platter
 */
#include <errno.h>
#include <lazymem/bytes.h>
#include <lazymem/inject.h>
#include <stdlib.h>
#include <string.h>
#include <support/image.h>
#include <support/tracked.h>

#define NONE 0u
#define EVERY_SECTOR UINT64_C(0) /* a seed: all that was not flushed is lost */
#define BOOTS (TEST_SANITIZED ? 3u : 12u)

struct fixture {
	struct image image;
	struct lazymem_backing *platter, *disk, *writes, *top;
	struct guest guest;
	enum lazymem_tracking most;
	size_t pages;
};

/* Attach; the first writes and flushes of this boot fail. */
static void boot(struct fixture *f, enum memory_kind kind, uint64_t bad_writes,
		 uint64_t bad_flushes)
{
	const struct lazymem_inject_range writes = {.operations = LAZYMEM_INJECT_WRITE};
	const struct lazymem_inject_range flushes = {.operations = LAZYMEM_INJECT_FLUSH};
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
		.tracking_most = f->most,
	};

	assert_ok(lazymem_inject_fail(f->disk, writes, -EIO, bad_writes, &f->writes));
	assert_ok(lazymem_inject_fail(f->writes, flushes, -EIO, bad_flushes, &f->top));
	guest_map(&f->guest, kind, f->image.length, 0, f->top);
	guest_attach(&f->guest, NULL, &options);
	assert_int_equal(lazymem_attachment_tracking(f->guest.attachment), f->most);
}

static void begin(struct fixture *f, void **state, uint64_t bad_writes, uint64_t bad_flushes)
{
	*f = (struct fixture){.most = tracking_of(state),
			      .pages = memory_of(state) == HUGETLB ? 4 : 16};
	image_create(&f->image, f->pages * page_size_of(memory_of(state)), "ddz", 29);
	assert_ok(lazymem_bytes_create_writable(f->image.bytes, f->image.length, NULL, NULL,
						&f->platter));
	assert_ok(lazymem_inject_power(f->platter, &f->disk));
	boot(f, memory_of(state), bad_writes, bad_flushes);
}

/* What letting go writes belongs to a machine that has no power any more. */
static void go_down(struct fixture *f)
{
	unsigned char *platter = malloc(f->image.length);

	assert_non_null(platter);
	memcpy(platter, f->image.bytes, f->image.length);
	guest_end(&f->guest);
	lazymem_backing_unref(f->top);
	lazymem_backing_unref(f->writes);
	assert_ok(lazymem_inject_power_failure(f->disk, EVERY_SECTOR));
	memcpy(f->image.bytes, platter, f->image.length);
	free(platter);
}

static void end(struct fixture *f)
{
	go_down(f);
	lazymem_backing_unref(f->disk);
	lazymem_backing_unref(f->platter);
	image_destroy(&f->image);
}

static unsigned char *page_at(const struct fixture *f, size_t page)
{
	return f->guest.host + page * f->guest.page;
}

static int sync_pages(const struct fixture *f, size_t page, size_t count)
{
	return lazymem_mapping_sync(f->guest.mapping, page * f->guest.page, count * f->guest.page);
}

static int discard(const struct fixture *f, size_t page, size_t count)
{
	return lazymem_mapping_discard(f->guest.mapping, page * f->guest.page,
				       count * f->guest.page);
}

static void expect_on_platter(const struct fixture *f, size_t page, size_t count)
{
	const size_t size = f->guest.page;

	assert_memory_equal(f->image.bytes + page * size, page_at(f, page), count * size);
}

static void test_what_was_synced_survives(void **state)
{
	struct fixture f;

	begin(&f, state, NONE, NONE);
	memset(page_at(&f, 1), 0x11, f.guest.page);
	page_at(&f, 3)[9] = 0x33;
	assert_ok(discard(&f, 2, 1));
	assert_ok(sync_pages(&f, 0, f.pages));
	assert_ok(lazymem_inject_power_failure(f.disk, EVERY_SECTOR));
	expect_on_platter(&f, 0, f.pages);
	end(&f);
}

/* Else the test before this one would show nothing. */
static void test_what_was_not_synced_is_lost(void **state)
{
	struct fixture f;

	begin(&f, state, NONE, 1);
	memset(page_at(&f, 1), 0x11, f.guest.page);
	assert_refused(sync_pages(&f, 1, 1), -EIO, "sync of");
	assert_ok(lazymem_inject_power_failure(f.disk, EVERY_SECTOR));
	assert_true(f.image.bytes[f.guest.page] != 0x11 || f.image.bytes[f.guest.page + 1] != 0x11);
	end(&f);
}

static void test_a_sync_after_failures_makes_all_of_it_durable(void **state)
{
	struct fixture f;
	unsigned failed = 0;

	begin(&f, state, 2, 2);
	for (size_t page = 0; page < f.pages; page += 2)
		memset(page_at(&f, page), (int)page + 1, f.guest.page);
	assert_ok(discard(&f, 1, 1));
	while (sync_pages(&f, 0, f.pages) != 0)
		failed++;
	assert_in_range(failed, 2, 4);
	assert_ok(lazymem_inject_power_failure(f.disk, EVERY_SECTOR));
	expect_on_platter(&f, 0, f.pages);
	end(&f);
}

/* The disk forgets between two syncs, and says so by a flush that fails. */
static void test_what_a_disk_forgets_and_admits_is_written_again(void **state)
{
	struct fixture f;

	begin(&f, state, NONE, 1);
	memset(page_at(&f, 1), 0x11, f.guest.page);
	assert_ok(discard(&f, 2, 1));
	assert_refused(sync_pages(&f, 0, f.pages), -EIO, "sync of");
	assert_ok(lazymem_inject_power_failure(f.disk, EVERY_SECTOR));
	assert_ok(sync_pages(&f, 0, f.pages));
	assert_ok(lazymem_inject_power_failure(f.disk, EVERY_SECTOR));
	expect_on_platter(&f, 0, f.pages);
	end(&f);
}

/* ---- boot after boot, at random */

struct model {
	unsigned char *synced; /* what must be on the platter */
	bool *is_clean;        /* by page: nothing was written since it was synced */
	uint64_t seed;
};

static uint64_t below(struct model *model, uint64_t limit)
{
	return next_random(&model->seed) % limit;
}

static void note_synced(const struct fixture *f, struct model *model, size_t page, size_t count)
{
	const size_t size = f->guest.page;

	memcpy(model->synced + page * size, page_at(f, page), count * size);
	for (size_t i = page; i < page + count; i++)
		model->is_clean[i] = true;
}

static void act(struct fixture *f, struct model *model)
{
	const size_t page = below(model, f->pages);
	const size_t count = 1 + below(model, f->pages - page);

	switch (below(model, 8)) {
	case 0:
		assert_ok(discard(f, page, 1));
		model->is_clean[page] = false;
		break;
	case 1:
		guest_prefetch(&f->guest, page * f->guest.page, count * f->guest.page);
		break;
	case 2:
		if (sync_pages(f, page, count) == 0)
			note_synced(f, model, page, count);
		break;
	case 3:
		if (sync_pages(f, 0, f->pages) == 0)
			note_synced(f, model, 0, f->pages);
		break;
	default:
		page_at(f, page)[below(model, f->guest.page)] = (unsigned char)model->seed;
		model->is_clean[page] = false;
		break;
	}
}

static void expect_nothing_forgotten(const struct fixture *f, const struct model *model)
{
	const size_t size = f->guest.page;

	for (size_t page = 0; page < f->pages; page++) {
		if (!model->is_clean[page])
			continue;
		assert_memory_equal(f->image.bytes + page * size, model->synced + page * size,
				    size);
		assert_memory_equal(page_at(f, page), model->synced + page * size, size);
	}
}

static void run_boot(struct fixture *f, struct model *model)
{
	for (size_t page = 0; page < f->pages; page++)
		model->is_clean[page] = true;
	memcpy(model->synced, f->image.bytes, f->image.length);
	for (uint64_t steps = 5 + below(model, 60); steps > 0; steps--)
		act(f, model);
	assert_ok(lazymem_inject_power_failure(f->disk, below(model, 3) * model->seed));
	expect_nothing_forgotten(f, model);
}

static void test_nothing_that_was_synced_is_ever_forgotten(void **state)
{
	struct model model = {.seed = harness_seed()};
	struct fixture f;

	begin(&f, state, 1, 1);
	model.synced = malloc(f.image.length);
	model.is_clean = calloc(f.pages, sizeof(*model.is_clean));
	assert_non_null(model.synced);
	assert_non_null(model.is_clean);
	for (unsigned i = 0; i < BOOTS; i++) {
		run_boot(&f, &model);
		go_down(&f);
		boot(&f, memory_of(state), below(&model, 4), below(&model, 4));
	}
	free(model.synced);
	free(model.is_clean);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_ALL_WAYS(test_what_was_synced_survives),
		IN_ALL_WAYS(test_what_was_not_synced_is_lost),
		IN_ALL_WAYS(test_a_sync_after_failures_makes_all_of_it_durable),
		IN_ALL_WAYS(test_what_a_disk_forgets_and_admits_is_written_again),
		IN_ALL_WAYS(test_nothing_that_was_synced_is_ever_forgotten),
	};

	require_faults();
	require_hugetlb(BLOCK, 4);
	return run_group(tests);
}
