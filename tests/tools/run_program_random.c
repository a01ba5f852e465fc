/* SPDX-License-Identifier: MIT
 *
 * run_program_random.c - a long row of random calls, beside a model of what each
 * page must hold.
 *
 * All mappings lie in a room of slots, a page each. A slot shows a page of the
 * file, or nothing; a private one may have a content of its own. Several threads
 * each have a room and a share of the file's pages.
 */
#include "run_program.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define STEPS 4000u
#define THREADS 3u
#define ROOM 3u    /* slots for a page of the file */
#define LONGEST 48 /* pages of one call */
#define NOTHING SIZE_MAX
#define CLEAN UINT32_MAX

struct slot {
	size_t page;
	unsigned own;
	bool private;
};

struct model {
	const struct target *target;
	size_t first; /* page of the file */
	size_t pages;
	bool alone; /* the length of the file is not somebody else's too */
	size_t slot_count;
	struct slot *slots;
	unsigned *contents; /* of the pages */
	char *room;
	uint64_t random;
};

/* A range of slots or pages. */
struct range {
	size_t first;
	size_t count;
};

static struct range draw_range(struct model *m, size_t limit)
{
	struct range range = {.first = draw(&m->random, limit)};

	range.count = 1 + draw(&m->random, LONGEST);
	if (range.count > limit - range.first)
		range.count = limit - range.first;
	return range;
}

/* In the file. */
static off_t offset_of(const struct model *m, size_t page)
{
	return (off_t)((m->first + page) * m->target->page);
}

static char *address(const struct model *m, size_t slot)
{
	return m->room + slot * m->target->page;
}

static size_t bytes(const struct model *m, struct range range)
{
	return range.count * m->target->page;
}

static void reserve_slots(struct model *m, struct range range)
{
	char *at = address(m, range.first);

	CHECK(mmap(at, bytes(m, range), PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == at);
	for (size_t i = 0; i < range.count; i++)
		m->slots[range.first + i].page = NOTHING;
}

static void map_slots(struct model *m)
{
	struct range range = draw_range(m, m->slot_count);
	const size_t page = draw(&m->random, m->pages);
	const bool private = draw(&m->random, 3) == 0;
	const bool populate = draw(&m->random, 8) == 0;
	const int flags =
		(private ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED | (populate ? MAP_POPULATE : 0);
	char *at = address(m, range.first);

	if (range.count > m->pages - page)
		range.count = m->pages - page;
	CHECK(mmap(at, bytes(m, range), BOTH, flags, m->target->fd, offset_of(m, page)) == at);
	/* A private mapping is populated with copies. */
	for (size_t i = 0; i < range.count; i++)
		m->slots[range.first + i] =
			(struct slot){.page = page + i,
				      .own = private && populate ? m->contents[page + i] : CLEAN,
				      .private = private};
}

static void unmap_slots(struct model *m)
{
	const struct range range = draw_range(m, m->slot_count);

	if (draw(&m->random, 2) == 0)
		CHECK(munmap(address(m, range.first), bytes(m, range)) == 0);
	reserve_slots(m, range);
}

/* Slots from `first` on that one mapping may hold. */
static size_t run_length(const struct model *m, size_t first)
{
	const struct slot *slots = m->slots + first;
	size_t length = 1;

	while (length < LONGEST && first + length < m->slot_count &&
	       slots[length].page == slots->page + length &&
	       slots[length].private == slots->private)
		length++;
	return length;
}

static bool overlap(struct range a, struct range b)
{
	return a.first < b.first + b.count && b.first < a.first + a.count;
}

/* Two mappings that were made one by one may be two for the kernel too, and are
 * then not moved at once. */
static void move_slots(struct model *m)
{
	struct range from = draw_range(m, m->slot_count);
	struct range to = draw_range(m, m->slot_count);
	const bool keep = draw(&m->random, 4) == 0;
	void *at;

	if (m->slots[from.first].page == NOTHING)
		return;
	from.count = run_length(m, from.first);
	to.count = from.count;
	if (to.first + to.count > m->slot_count || overlap(from, to))
		return;
	at = mremap(address(m, from.first), bytes(m, from), bytes(m, from),
		    MREMAP_MAYMOVE | MREMAP_FIXED | (keep ? MREMAP_DONTUNMAP : 0),
		    address(m, to.first));
	if (at == MAP_FAILED) {
		/* The target may be gone by then. */
		CHECK(errno == EFAULT || errno == EINVAL);
		reserve_slots(m, to);
		return;
	}
	CHECK(at == address(m, to.first));
	for (size_t i = 0; i < from.count; i++) {
		m->slots[to.first + i] = m->slots[from.first + i];
		m->slots[from.first + i].own = CLEAN;
	}
	if (!keep)
		reserve_slots(m, from);
}

static void discard_content(struct model *m, size_t page)
{
	m->contents[page] = ZEROS;
}

static void advise_slots(struct model *m)
{
	struct range range = draw_range(m, m->slot_count);
	const int advice = draw(&m->random, 2) == 0 ? MADV_DONTNEED : MADV_REMOVE;
	const struct slot *slots = m->slots + range.first;

	if (slots->page == NOTHING || (advice == MADV_REMOVE && slots->private))
		return;
	range.count = run_length(m, range.first);
	CHECK(madvise(address(m, range.first), bytes(m, range), advice) == 0);
	for (size_t i = 0; i < range.count; i++) {
		if (advice == MADV_REMOVE)
			discard_content(m, slots[i].page);
		m->slots[range.first + i].own = CLEAN;
	}
}

static void punch_pages(struct model *m)
{
	const struct range range = draw_range(m, m->pages);

	CHECK(fallocate(m->target->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			offset_of(m, range.first), (off_t)bytes(m, range)) == 0);
	for (size_t i = 0; i < range.count; i++)
		discard_content(m, range.first + i);
}

static void allocate_pages(struct model *m)
{
	const struct range range = draw_range(m, m->pages);

	CHECK(posix_fallocate(m->target->fd, offset_of(m, range.first), (off_t)bytes(m, range)) ==
	      0);
}

/* Only a few pages at the end, so that the rest stays of use. */
static void cut_off(struct model *m)
{
	const size_t cut = 1 + draw(&m->random, 8);
	const size_t left = m->pages - cut;

	CHECK(ftruncate(m->target->fd, offset_of(m, left)) == 0);
	CHECK(ftruncate(m->target->fd, (off_t)m->target->size) == 0);
	for (size_t page = left; page < m->pages; page++)
		discard_content(m, page);
	/* What was private of them is gone as well. */
	for (size_t i = 0; i < m->slot_count; i++) {
		if (m->slots[i].page != NOTHING && m->slots[i].page >= left)
			m->slots[i].own = CLEAN;
	}
}

static void expect_slot(const struct model *m, size_t i)
{
	const struct slot *slot = &m->slots[i];
	const size_t page = m->target->page;

	if (slot->page == NOTHING)
		return;
	expect(m->target, address(m, i), (uint64_t)offset_of(m, slot->page), page,
	       slot->private && slot->own != CLEAN ? slot->own : m->contents[slot->page]);
}

static void write_slot(struct model *m, size_t i)
{
	struct slot *slot = &m->slots[i];
	const size_t page = m->target->page;
	const unsigned content = WRITTEN + (unsigned)draw(&m->random, 100);

	if (slot->page == NOTHING)
		return;
	fill(m->target, address(m, i), (uint64_t)offset_of(m, slot->page), page, content);
	if (slot->private)
		slot->own = content;
	else
		m->contents[slot->page] = content;
}

static void take_step(struct model *m)
{
	const size_t slot = draw(&m->random, m->slot_count);
	const uint64_t what = draw(&m->random, 64);

	if (what < 10)
		map_slots(m);
	else if (what < 12)
		unmap_slots(m);
	else if (what < 16)
		move_slots(m);
	else if (what < 20)
		advise_slots(m);
	else if (what < 21)
		punch_pages(m);
	else if (what < 22)
		allocate_pages(m);
	else if (what < 23 && m->alone)
		cut_off(m);
	else if (what < 40)
		write_slot(m, slot);
	else
		expect_slot(m, slot);
}

static void prepare(struct model *m)
{
	m->slot_count = m->pages * ROOM;
	m->slots = calloc(m->slot_count, sizeof(*m->slots));
	m->contents = calloc(m->pages, sizeof(*m->contents));
	CHECK(m->slots != NULL && m->contents != NULL);
	m->room = reserve(m->slot_count * m->target->page);
	for (size_t i = 0; i < m->slot_count; i++)
		m->slots[i].page = NOTHING;
}

static void take_steps(struct model *m)
{
	for (unsigned i = 0; i < STEPS; i++)
		take_step(m);
	for (size_t i = 0; i < m->slot_count; i++)
		expect_slot(m, i);
}

void random_calls(struct target *t)
{
	struct model m = {
		.target = t, .pages = t->size / t->page, .alone = true, .random = t->seed};

	prepare(&m);
	take_steps(&m);
}

/* Nothing else is mapped while a room may have holes: it could come to lie in one. */
static pthread_barrier_t all_are_there;

static void take_own_steps(size_t number, void *context)
{
	struct model *models = context;

	pthread_barrier_wait(&all_are_there);
	take_steps(&models[number]);
	pthread_barrier_wait(&all_are_there);
}

void random_threads(struct target *t)
{
	const size_t share = t->size / t->page / THREADS;
	struct model models[THREADS];

	for (size_t i = 0; i < THREADS; i++) {
		models[i] = (struct model){.target = t,
					   .first = i * share,
					   .pages = share,
					   .random = t->seed * THREADS + i};
		prepare(&models[i]);
	}
	CHECK(pthread_barrier_init(&all_are_there, NULL, THREADS) == 0);
	run_threads(THREADS, take_own_steps, models);
}
