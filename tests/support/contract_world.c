/* SPDX-License-Identifier: MIT */
#include "contract_world.h"

#include "contract_guard.h"
#include "guest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what was done ----------------------------------------------------------- */

#define NOTES 40u

static pthread_mutex_t notes_lock = PTHREAD_MUTEX_INITIALIZER; /* a worker notes, too */

static struct {
	char lines[NOTES][128];
	unsigned count;
	const struct world *world; /* NULL: it was ended */
} notes;

void world_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	pthread_mutex_lock(&notes_lock);
	vsnprintf(notes.lines[notes.count++ % NOTES], sizeof(notes.lines[0]), format, arguments);
	pthread_mutex_unlock(&notes_lock);
	va_end(arguments);
}

void world_report(void)
{
	static const char *const trackings[] = {"none", "populated", "faults", "kernel"};
	static const char *const kinds[] = {"anonymous", "memfd", "hugetlb"};
	const struct world *w = notes.world;

	if (w == NULL)
		return;
	for (unsigned i = notes.count > NOTES ? notes.count - NOTES : 0; i < notes.count; i++)
		print_error("  %s\n", notes.lines[i % NOTES]);
	print_error("%s memory, tracking %s, %zu pages, storage %#x, step %u. To repeat: "
		    "LAZYMEM_TEST_SEED=%llu\n",
		    kinds[w->kind], trackings[w->tracking], w->count, w->storage.flags, notes.count,
		    (unsigned long long)w->first_seed);
	notes.world = NULL;
}

uint64_t world_random(struct world *w, uint64_t limit)
{
	return next_random(&w->seed) % limit;
}

/* ---- where pages are --------------------------------------------------------- */

const struct world_region *world_region_of(const struct world *w, size_t page)
{
	return &w->regions[page >= w->regions[1].first];
}

unsigned char *world_host(const struct world *w, size_t page)
{
	const struct world_region *region = world_region_of(w, page);

	return region->host + (page - region->first) * w->size;
}

lazymem_guest_address world_address(const struct world *w, size_t page)
{
	const struct world_region *region = world_region_of(w, page);

	return (lazymem_guest_address){region->guest + (page - region->first) * w->size};
}

uint64_t world_offset(const struct world *w, size_t page)
{
	const struct world_region *region = world_region_of(w, page);

	return region->offset + (page - region->first) * w->size;
}

void world_pick(struct world *w, size_t most, size_t *ret_page, size_t *ret_count)
{
	const size_t page = world_random(w, w->count);
	const struct world_region *region = world_region_of(w, page);
	const size_t end = w->gap == 0 ? w->count : region->first + region->count;
	size_t count = 1 + world_random(w, most);

	if (count > end - page)
		count = end - page;
	*ret_page = page;
	*ret_count = count;
}

/* ---- made and unmade --------------------------------------------------------- */

/* A third of the pages are zeros; each of the others tells where it is. */
static void fill_image(struct world *w, uint64_t length)
{
	for (uint64_t at = 0; at + sizeof(at) <= length; at += sizeof(at)) {
		if (at % PAGE == 0 && world_random(w, 3) == 0) {
			at += PAGE - sizeof(at);
			continue;
		}
		const uint64_t word = (at + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ w->first_seed;

		memcpy(w->image + at, &word, sizeof(word));
	}
}

/* The regions are as the image has them, or the other way round. */
static void lay_out(struct world *w)
{
	struct world_region *low = &w->regions[0], *high = &w->regions[1];

	low->count = 1 + world_random(w, w->count - 1);
	high->first = low->count;
	high->count = w->count - low->count;
	if (world_random(w, 3) == 0)
		low->offset = high->count * w->size;
	else
		high->offset = low->count * w->size;
	w->gap = world_random(w, 2) * w->size * 2;
	w->has_plain = w->gap > 0 && w->kind != HUGETLB && world_random(w, 2) == 0;
	low->guest = GUEST_BASE;
	high->guest = GUEST_BASE + low->count * w->size + w->gap;
}

/* What is stored, in the order of the model. */
static void in_model_order(struct world *w, const unsigned char *stored)
{
	for (size_t i = 0; i < w->count; i++)
		memcpy(w->buffer + i * w->size, stored + world_offset(w, i), w->size);
}

static void make_storage(struct world *w)
{
	const uint64_t whole = w->count * w->size;
	const size_t least = 1 + (world_random(w, 2) == 0 ? w->size - PAGE : 0);
	const size_t cut =
		world_random(w, 3) == 0 ? least + world_random(w, w->size - least) : w->size;
	const uint64_t length = whole - w->size + cut;
	unsigned flags = world_random(w, 2) == 0 ? STORAGE_FILE : 0;
	size_t last = 0;

	w->writes_back = world_random(w, 3) != 0;
	if (w->writes_back)
		flags |= STORAGE_WRITABLE | (world_random(w, 4) != 0 ? STORAGE_POWER : 0) |
			 (world_random(w, 4) != 0 ? STORAGE_HOLES : 0);
	fill_image(w, length);
	storage_create(&w->storage, flags, w->image, length, "contract-storage");
	while (world_offset(w, last) + w->size < whole)
		last++;
	in_model_order(w, w->image);
	model_create(&w->model, w->count, w->size, last, cut, w->buffer);
}

static void make_handler(struct world *w)
{
	struct lazymem_handler_options options = {.size = sizeof(options)};

	if (world_random(w, 4) == 0)
		options.fault_around = 4 * PAGE << world_random(w, 3);
	if (world_random(w, 4) == 0)
		options.fault_ahead = 64 * PAGE;
	w->reads_ahead = options.fault_ahead > 0;
	if (world_random(w, 2) == 0)
		options.prefetch_piece = PAGE << world_random(w, 5);
	if (options.prefetch_piece < options.fault_around)
		options.prefetch_piece = 0;
	assert_ok(lazymem_handler_create(&options, &w->handler));
}

static size_t choose_count(struct world *w)
{
	if (w->kind == HUGETLB)
		return 2 + world_random(w, WORLD_HUGE_PAGES - 1);
	if (world_random(w, 64) == 0) /* so that huge pages are advised */
		return 1024 + world_random(w, 64);
	return 2 + world_random(w, world_random(w, 8) == 0 ? 300 : 40);
}

void world_begin(struct world *w, enum memory_kind kind, enum lazymem_tracking tracking,
		 uint64_t seed)
{
	guard_begin(world_report);
	*w = (struct world){.kind = kind, .tracking = tracking, .seed = seed, .first_seed = seed};
	notes.world = w;
	notes.count = 0;
	w->size = page_size_of(kind);
	w->count = choose_count(w);
	w->flags = world_random(w, 4) == 0 ? LAZYMEM_MAPPING_HUGEPAGES : 0;
	w->patience = (unsigned)world_random(w, 2);
	w->image = calloc(w->count, w->size);
	w->buffer = calloc(w->count, w->size);
	assert_non_null(w->image);
	assert_non_null(w->buffer);
	lay_out(w);
	make_storage(w);
	make_handler(w);
}

void world_end(struct world *w)
{
	assert_ok(lazymem_handler_destroy(w->handler));
	storage_destroy(&w->storage);
	model_destroy(&w->model);
	free(w->image);
	free(w->buffer);
	notes.world = NULL;
}

static struct lazymem_mapping *map(const struct world *w, size_t length)
{
	const struct lazymem_mapping_options options = {
		.size = sizeof(options), .flags = w->flags, .name = "contract"};
	struct lazymem_mapping *mapping = NULL;

	if (w->kind == ANONYMOUS)
		assert_ok(lazymem_mapping_create_anonymous(length, &options, &mapping));
	else if (w->kind == MEMFD)
		assert_ok(lazymem_mapping_create_memfd(length, &options, &mapping));
	else
		assert_ok(lazymem_mapping_create_hugetlb(length, w->size, &options, &mapping));
	return mapping;
}

static struct lazymem_region *make_region(struct world *w, struct world_region *region)
{
	struct lazymem_region *made = NULL;

	region->mapping = map(w, region->count * w->size);
	region->host = lazymem_mapping_span(region->mapping).host;
	assert_ok(lazymem_region_create(region->mapping, (lazymem_guest_address){region->guest},
					w->storage.backing, region->offset, &made));
	return made;
}

/* It lies in the gap, and nothing is said of it anywhere. */
static struct lazymem_region *make_plain(const struct world *w)
{
	struct lazymem_mapping *mapping = map(w, w->gap);
	struct lazymem_region *made = NULL;

	assert_ok(lazymem_region_create(
		mapping, (lazymem_guest_address){w->regions[1].guest - w->gap}, NULL, 0, &made));
	lazymem_mapping_unref(mapping);
	return made;
}

static enum lazymem_verdict judge(void *context, const struct lazymem_failure *failure)
{
	const struct world *w = context;

	world_note("byte %llu cannot be read: %s", (unsigned long long)failure->backing_offset,
		   strerror(-failure->error));
	return failure->attempts > w->patience ? LAZYMEM_POISON : LAZYMEM_RETRY;
}

void world_attach(struct world *w)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = w->writes_back ? LAZYMEM_ATTACH_WRITE_BACK : LAZYMEM_ATTACH_TRACK,
		.tracking_most = w->tracking,
		.on_failure = judge,
		.context = w,
		.origin = w->chain.has_origin ? &w->chain.origin : NULL,
	};
	struct lazymem_region *regions[3] = {make_region(w, &w->regions[1]),
					     make_region(w, &w->regions[0])};
	const size_t count = w->has_plain ? 3 : 2;

	if (w->has_plain)
		regions[2] = make_plain(w);
	assert_ok(lazymem_memory_create(regions, count, &w->memory));
	for (size_t i = 0; i < count; i++)
		lazymem_region_unref(regions[i]);
	assert_ok(lazymem_handler_attach(w->handler, w->memory, &options, &w->attachment));
	assert_int_equal(lazymem_attachment_tracking(w->attachment), w->tracking);
	assert_ok(lazymem_dirty_create(w->memory, &w->dirty));
	w->prefetching = false;
}

void world_unmap(struct world *w)
{
	assert_null(w->attachment);
	lazymem_dirty_destroy(w->dirty);
	lazymem_memory_unref(w->memory);
	for (size_t i = 0; i < 2; i++)
		lazymem_mapping_unref(w->regions[i].mapping);
}

/* ---- accesses ---------------------------------------------------------------- */

bool world_may_refuse(struct world *w, size_t page)
{
	const struct model_page *it = &w->model.pages[page];

	return it->poisoned != NO ||
	       (it->present != YES &&
		storage_fails_reads(&w->storage, world_offset(w, page), w->size));
}

/* Others that were missing may have come with it: zeros at least come in runs. */
static void others_may_come(struct world *w)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->model.pages[i].present == NO && w->model.pages[i].poisoned == NO)
			w->model.pages[i].present = MAYBE;
}

/* Can something be under way that reads what is poisoned once more? */
static bool may_heal(const struct world *w)
{
	return w->prefetching || w->reads_ahead;
}

void world_accessed(struct world *w, size_t page, bool could, bool refused)
{
	struct model_page *it = &w->model.pages[page];

	if (refused && !could)
		fail_msg("page %zu is refused, and nothing has failed", page);
	if (!refused && it->poisoned == YES)
		fail_msg("page %zu is poisoned, and is served", page);
	if (it->present != YES)
		others_may_come(w);
	it->given_back = false;
	it->was_poisoned |= refused;
	it->present = refused ? NO : YES;
	it->poisoned = !refused ? NO : may_heal(w) ? MAYBE : YES;
}

static void differ(const struct world *w, size_t page, const unsigned char *got,
		   const unsigned char *expected, size_t length, const char *what)
{
	size_t at = 0;

	while (at < length && got[at] == expected[at])
		at++;
	fail_msg("%s: byte %#zx of page %zu (guest %#llx, byte %llu of the object) is %#x, not %#x",
		 what, at, page, (unsigned long long)world_address(w, page).value,
		 (unsigned long long)world_offset(w, page), got[at], expected[at]);
}

void world_compare(const struct world *w, size_t page, const unsigned char *got,
		   const unsigned char *expected, size_t length, const char *what)
{
	if (memcmp(got, expected, length) != 0)
		differ(w, page, got, expected, length, what);
}

static void compare_now(const struct world *w, size_t page)
{
	world_compare(w, page, world_host(w, page), w->model.now + page * w->size, w->size,
		      "guest memory");
}

bool world_read(struct world *w, size_t page, size_t byte)
{
	const bool could = world_may_refuse(w, page);
	const bool served = guard_read(world_host(w, page) + byte);

	world_accessed(w, page, could, !served);
	return served;
}

bool world_write(struct world *w, size_t page, size_t byte, unsigned char value)
{
	const bool could = world_may_refuse(w, page);
	const bool served = guard_write(world_host(w, page) + byte, value);

	world_accessed(w, page, could, !served);
	return served;
}

void world_check_page(struct world *w, size_t page)
{
	if (world_read(w, page, world_random(w, w->size)))
		compare_now(w, page);
}

void world_check_all(struct world *w)
{
	for (size_t i = 0; i < w->count; i++)
		world_check_page(w, i);
}

void world_check_let_go(struct world *w, bool finished)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct model_page *page = &w->model.pages[i];
		const bool refused = !guard_read(world_host(w, i));

		if (refused && (finished || page->present == YES))
			fail_msg("page %zu was there, and is refused after letting go", i);
		if (!refused)
			compare_now(w, i);
	}
}

/* ---- what else must hold ----------------------------------------------------- */

void world_check_durable(struct world *w)
{
	const struct model *model = &w->model;

	storage_read_durable(&w->storage, 0, w->buffer, w->storage.length);
	for (size_t i = 0; i < w->count; i++) {
		const unsigned char *stored = w->buffer + world_offset(w, i);

		if (!model_may_be_durable(model, i, stored))
			differ(w, i, stored, model->durable + i * w->size, model_stored(model, i),
			       "what is durable");
	}
}

void world_check_statistics(struct world *w)
{
	const struct lazymem_statistics statistics = statistics_at_rest(w->attachment);
	size_t poisoned = 0, maybe = 0;

	for (size_t i = 0; i < w->count; i++) {
		poisoned += w->model.pages[i].poisoned == YES;
		maybe += w->model.pages[i].poisoned == MAYBE;
	}
	assert_int_equal(statistics.pages_total, w->count);
	assert_in_range(statistics.pages_poisoned, poisoned, poisoned + maybe);
}

/* Where nothing is known of writes, all that may have come may be told. Elsewhere,
 * discards of what is discarded already, poison that somebody was about to heal, and what
 * was advised away. */
static bool may_be_told(const struct world *w, const struct model_page *page)
{
	if (w->tracking == LAZYMEM_TRACKING_POPULATED)
		return page->present != NO || page->poisoned != NO;
	return page->discarded || page->was_poisoned || page->was_unmapped;
}

void world_check_told(const struct world *w, const struct lazymem_dirty *told, const char *to,
		      bool (*must)(const struct model_page *page))
{
	uint64_t length = 0;

	for (size_t i = 0; i < w->count; i++) {
		const struct model_page *page = &w->model.pages[i];
		const bool is_told = lazymem_dirty_test(told, world_address(w, i));

		if (!is_told && must(page))
			fail_msg("page %zu was written, and %s is not told", i, to);
		if (is_told && !must(page) && !may_be_told(w, page))
			fail_msg("page %zu was not written, and %s is told", i, to);
		length += is_told ? w->size : 0;
	}
	assert_int_equal(lazymem_dirty_length(told), length);
}
