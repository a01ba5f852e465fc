/* SPDX-License-Identifier: MIT */
#include "contract_guest.h"

#include "actor.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

void guest_reads(struct world *w)
{
	size_t page, count;

	world_pick(w, 4, &page, &count);
	world_note("read pages %zu+%zu", page, count);
	for (size_t i = page; i < page + count; i++)
		world_check_page(w, i);
}

/* Bytes of the memory: a few, or many, often from the start of a page on. */
static void pick_bytes(struct world *w, size_t page, size_t *ret_at, size_t *ret_length)
{
	*ret_at = world_random(w, 3) == 0 ? 0 : world_random(w, w->size);
	*ret_length = 1 + world_random(w, world_random(w, 2) == 0 ? 16 : w->size);
	if (*ret_length > w->size - *ret_at)
		*ret_length = w->size - *ret_at;
	*ret_at += page * w->size;
}

/* Zeros are often what somebody writes, and then no hole. */
static unsigned char pick_value(struct world *w)
{
	return world_random(w, 4) == 0 ? 0 : (unsigned char)world_random(w, 256);
}

void guest_writes(struct world *w)
{
	const size_t page = world_random(w, w->count);
	const unsigned char value = pick_value(w);
	size_t at, length;

	pick_bytes(w, page, &at, &length);
	world_note("write %#x to bytes %#zx+%#zx, page %zu", value, at, length, page);
	if (!world_write(w, page, at % w->size, value))
		return;
	memset(world_host(w, page) + at % w->size, value, length);
	memset(w->model.now + at, value, length);
	model_written(&w->model, at, length);
	world_check_page(w, page);
}

/* A range of bytes none of whose pages can be refused. */
static bool pick_safe(struct world *w, size_t *ret_at, size_t *ret_length)
{
	size_t page, count;

	world_pick(w, 4, &page, &count);
	for (size_t i = page; i < page + count; i++)
		if (world_may_refuse(w, i))
			return false;
	pick_bytes(w, page, ret_at, ret_length);
	if (count > 1)
		*ret_length = (page + count) * w->size - *ret_at - world_random(w, w->size - 1);
	for (size_t i = page; i < page + count; i++)
		world_accessed(w, i, false, false);
	return true;
}

void guest_reads_by_address(struct world *w)
{
	lazymem_guest_address address;
	size_t at, length;

	if (!pick_safe(w, &at, &length))
		return;
	world_note("read bytes %#zx+%#zx by address", at, length);
	address = world_address(w, at / w->size);
	address.value += at % w->size;
	assert_ok(lazymem_memory_read(w->memory, address, w->buffer, length));
	world_compare(w, at / w->size, w->buffer, w->model.now + at, length, "read by address");
}

void guest_writes_by_address(struct world *w)
{
	lazymem_guest_address address;
	size_t at, length;

	if (!pick_safe(w, &at, &length))
		return;
	world_note("write bytes %#zx+%#zx by address", at, length);
	address = world_address(w, at / w->size);
	address.value += at % w->size;
	memset(w->model.now + at, pick_value(w), length);
	assert_ok(lazymem_memory_write(w->memory, address, w->model.now + at, length));
	model_written(&w->model, at, length);
}

void guest_calls_the_system(struct world *w)
{
	const size_t page = world_random(w, w->count), at = world_random(w, w->size);
	const bool writes = world_random(w, 2) == 0, could = world_may_refuse(w, page);
	unsigned char *host = world_host(w, page) + at;
	int answer;

	world_note("a system call %s page %zu", writes ? "writes" : "reads", page);
	answer = writes ? call_writing(host) : call_reading(host);
	if (answer != 0 && answer != -EFAULT)
		fail_msg("a system call on page %zu answers %s", page, strerror(-answer));
	world_accessed(w, page, could, answer != 0);
	if (answer != 0 || !writes)
		return;
	w->model.now[page * w->size + at] = STAMP;
	model_written(&w->model, page * w->size + at, 1);
}

/* ---- populated and given back ------------------------------------------------ */

static struct lazymem_guest_range range_of(const struct world *w, size_t page, size_t count)
{
	return (struct lazymem_guest_range){world_address(w, page), count * w->size};
}

/* What has been waited for, while nothing failed, is there. */
static void came(struct world *w, size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++) {
		w->model.pages[i].present = YES;
		w->model.pages[i].poisoned = NO;
	}
}

static void prefetch(struct world *w, size_t page, size_t count, bool waits)
{
	const struct lazymem_guest_range range = range_of(w, page, count);
	const struct lazymem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = &range, .range_count = 1};
	bool fails = false;

	for (size_t i = page; i < page + count; i++)
		fails |= storage_fails_reads(&w->storage, world_offset(w, i), w->size);
	model_may_come(&w->model, page, count);
	w->prefetching = true;
	if (count == w->count)
		assert_ok(lazymem_attachment_prefetch(w->attachment, NULL));
	else if (world_random(w, 3) == 0)
		assert_ok(lazymem_memory_prefetch(w->memory, range.start, range.length));
	else
		assert_ok(lazymem_attachment_prefetch(w->attachment, &prefetch));
	if (!waits)
		return;
	guest_prefetches_are_over(w);
	if (!fails)
		came(w, page, count);
}

void guest_is_prefetched(struct world *w)
{
	const bool waits = world_random(w, 2) == 0;
	size_t page = 0, count = w->count;

	if (world_random(w, 16) != 0)
		world_pick(w, 32, &page, &count);
	world_note("prefetch pages %zu+%zu%s", page, count, waits ? " and wait" : "");
	prefetch(w, page, count, waits);
}

void guest_prefetches_are_over(struct world *w)
{
	assert_ok(lazymem_attachment_wait(w->attachment, SOON_NS));
	w->prefetching = false;
}

static void check_discarded(struct world *w, size_t page, size_t count)
{
	if (world_random(w, 2) == 0)
		world_check_page(w, page + world_random(w, count));
}

void guest_discards(struct world *w)
{
	const struct world_region *region;
	size_t page, count;

	world_pick(w, 12, &page, &count);
	region = world_region_of(w, page);
	world_note("discard pages %zu+%zu", page, count);
	if (page + count <= region->first + region->count && world_random(w, 2) == 0)
		assert_ok(lazymem_mapping_discard(region->mapping, (page - region->first) * w->size,
						  count * w->size));
	else
		assert_ok(
			lazymem_memory_discard(w->memory, world_address(w, page), count * w->size));
	model_discarded(&w->model, page, count);
	check_discarded(w, page, count);
}

/* Of shared memory this drops no data, but discards what is not there: so it must be known
 * what is. */
static bool is_known(const struct world *w, size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++)
		if (w->model.pages[i].present == MAYBE || w->model.pages[i].poisoned == MAYBE)
			return false;
	return !w->prefetching && !w->reads_ahead;
}

static void shared_is_advised_away(struct world *w, size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++) {
		if (w->model.pages[i].present == NO)
			model_discarded(&w->model, i, 1);
		w->model.pages[i].was_unmapped = true;
	}
}

void guest_is_advised_away(struct world *w)
{
	const struct world_region *region;
	size_t page, count;

	world_pick(w, 6, &page, &count);
	region = world_region_of(w, page);
	if (page + count > region->first + region->count)
		count = region->first + region->count - page;
	if (w->kind != ANONYMOUS && !is_known(w, page, count))
		return;
	world_note("advise pages %zu+%zu away", page, count);
	assert_int_equal(madvise(world_host(w, page), count * w->size, MADV_DONTNEED), 0);
	if (w->kind == ANONYMOUS)
		model_discarded_again(&w->model, page, count);
	else
		shared_is_advised_away(w, page, count);
	check_discarded(w, page, count);
}
