/* SPDX-License-Identifier: MIT
 *
 * random_sequence_test.c - random sequences of everything that may happen to
 * guest memory, beside a plain array to which the same is done. They never
 * differ.
 *
 * The main thread acts and compares; two others touch at random, so that pages
 * are always on their way. Reads of the source are late, and some fail. The
 * seed is printed: LAZYMEM_TEST_SEED repeats a run as far as threads allow.
 */
#include <errno.h>
#include <lazymem/inject.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <sys/mman.h>
#include <unistd.h>

#define BASE_PAGES 512u
#define HUGE_PAGES 6u
#define STEPS (TEST_SANITIZED ? 200u : 1500u)
#define ROUNDS (TEST_SANITIZED ? 2u : 5u)

struct play {
	struct image image;
	struct source source;
	struct lazymem_backing *late;
	struct guest guest;
	unsigned char *model;
	unsigned char *bytes; /* as many, for what is read or written by guest address */
	uint64_t seed;
	atomic_bool over;
};

static uint64_t below(struct play *p, uint64_t limit)
{
	return next_random(&p->seed) % limit;
}

/* A random piece, short or long, within the guest. */
static void pick(struct play *p, size_t unit, size_t *start, size_t *length)
{
	size_t units = p->guest.length / unit;

	*start = below(p, units);
	*length = 1 + below(p, below(p, 4) ? 3 : 64);
	if (*length > units - *start)
		*length = units - *start;
	*start *= unit;
	*length *= unit;
}

static void compare(struct play *p, size_t start, size_t length)
{
	const unsigned char *got = p->guest.host + start;

	for (size_t i = 0; i < length; i++) {
		if (got[i] == p->model[start + i])
			continue;
		print_error("byte %#zx is %#x, not %#x\n", start + i, got[i], p->model[start + i]);
		fail();
	}
}

static void act_read(struct play *p)
{
	size_t start, length;

	pick(p, 512, &start, &length);
	compare(p, start, length);
}

static void act_write(struct play *p)
{
	size_t start, length;

	pick(p, 512, &start, &length);
	int value = (int)below(p, 256);
	memset(p->guest.host + start, value, length);
	memset(p->model + start, value, length);
}

static void act_read_by_address(struct play *p)
{
	size_t start, length;

	pick(p, 1, &start, &length);
	assert_ok(lazymem_memory_read(p->guest.memory, guest_address(start), p->bytes, length));
	assert_memory_equal(p->bytes, p->model + start, length);
}

static void act_write_by_address(struct play *p)
{
	size_t start, length;

	pick(p, 1, &start, &length);
	memset(p->model + start, (int)below(p, 256), length);
	assert_ok(lazymem_memory_write(p->guest.memory, guest_address(start), p->model + start,
				       length));
}

static void act_by_system_call(struct play *p)
{
	size_t at = below(p, p->guest.length);

	assert_int_equal(call_writing(p->guest.host + at), 0);
	p->model[at] = STAMP;
	assert_int_equal(call_reading(p->guest.host + below(p, p->guest.length)), 0);
}

static void act_prefetch(struct play *p)
{
	struct lazymem_guest_range range;
	struct lazymem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = &range, .range_count = 1};
	size_t start, length;

	pick(p, PAGE, &start, &length);
	range = (struct lazymem_guest_range){guest_address(start), length};
	prefetch.bytes_per_second = below(p, 2) ? 0 : 256 * MIB;
	assert_ok(lazymem_attachment_prefetch(p->guest.attachment,
					      below(p, 8) == 0 ? NULL : &prefetch));
	if (below(p, 4) == 0)
		assert_ok(lazymem_attachment_wait(p->guest.attachment, SOON_NS));
}

static void act_discard(struct play *p)
{
	size_t start, length;

	pick(p, p->guest.page, &start, &length);
	if (length > p->guest.length / 8)
		length = p->guest.page;
	assert_ok(lazymem_memory_discard(p->guest.memory, guest_address(start), length));
	memset(p->model + start, 0, length);
}

/* Only anonymous memory loses its data by this advice. */
static void act_dontneed(struct play *p)
{
	size_t start, length;

	if (lazymem_mapping_get_kind(p->guest.mapping) != LAZYMEM_MAPPING_ANONYMOUS)
		return;
	pick(p, PAGE, &start, &length);
	if (length > p->guest.length / 8)
		length = PAGE;
	assert_int_equal(madvise(p->guest.host + start, length, MADV_DONTNEED), 0);
	memset(p->model + start, 0, length);
}

/* As often as the default policy outlives. */
static void act_fail(struct play *p)
{
	size_t start, length;

	pick(p, p->guest.page, &start, &length);
	source_fail(&p->source, start, length, -EIO, 1 + below(p, 3));
}

static const struct {
	void (*act)(struct play *p);
	unsigned weight;
} acts[] = {
	{act_read, 8},
	{act_write, 5},
	{act_read_by_address, 3},
	{act_write_by_address, 3},
	{act_by_system_call, 2},
	{act_prefetch, 2},
	{act_discard, 4},
	{act_dontneed, 2},
	{act_fail, 1},
};

static void act_once(struct play *p)
{
	unsigned total = 0;

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		total += acts[i].weight;
	uint64_t choice = below(p, total);
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (choice < acts[i].weight) {
			acts[i].act(p);
			return;
		}
		choice -= acts[i].weight;
	}
}

struct toucher {
	struct play *play;
	uint64_t seed;
};

static int touch_at_random(void *argument)
{
	struct toucher *toucher = argument;
	const struct guest *guest = &toucher->play->guest;

	while (!atomic_load(&toucher->play->over)) {
		int byte = touch(guest->host + next_random(&toucher->seed) % guest->length);

		if (byte >= SIGNALLED)
			return byte;
		usleep(100);
	}
	return 0;
}

static void begin(struct play *p, enum memory_kind kind, uint64_t seed)
{
	size_t page = page_size_of(kind);
	size_t length = page * (page > PAGE ? HUGE_PAGES : BASE_PAGES * (1 + seed % 4));
	struct lazymem_inject_range all = {0};
	unsigned flags = seed & 16 ? LAZYMEM_MAPPING_HUGEPAGES : 0;

	*p = (struct play){.seed = seed};
	image_create(&p->image, length, "ddhdzhhhd", seed);
	source_create(&p->source, &p->image);
	assert_ok(lazymem_inject_delay(p->source.backing, all, MILLISECONDS(1) / 5, &p->late));
	p->model =
		mmap(NULL, 2 * length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(p->model, MAP_FAILED);
	p->bytes = p->model + length;
	memcpy(p->model, p->image.bytes, length);
	guest_map(&p->guest, kind, length, flags, p->late);
	guest_attach(&p->guest, NULL, NULL);
}

static void end(struct play *p)
{
	size_t length = p->guest.length;

	guest_end(&p->guest);
	lazymem_backing_unref(p->late);
	source_destroy(&p->source);
	image_destroy(&p->image);
	munmap(p->model, 2 * length);
}

static void play_once(enum memory_kind kind, uint64_t seed)
{
	struct play p;
	struct actor actors[2];
	struct toucher touchers[2];

	begin(&p, kind, seed);
	for (unsigned i = 0; i < 2; i++) {
		touchers[i] = (struct toucher){&p, next_random(&seed)};
		actor_start(&actors[i], touch_at_random, &touchers[i]);
	}
	for (unsigned step = 0; step < STEPS; step++)
		act_once(&p);
	source_fail(&p.source, 0, 0, 0, 0);
	if (below(&p, 2)) {
		assert_ok(lazymem_attachment_finish(p.guest.attachment));
		p.guest.attachment = NULL;
	}
	atomic_store(&p.over, true);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	compare(&p, 0, p.guest.length);
	end(&p);
}

static void test_memory_and_model_never_differ(void **state)
{
	uint64_t seed = harness_seed();

	for (unsigned round = 0; round < ROUNDS; round++)
		play_once(kind_of(state), next_random(&seed));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_memory_and_model_never_differ),
	};

	if (argc > 1)
		setenv("LAZYMEM_TEST_SEED", argv[1], 1);
	require_faults();
	require_hugetlb(BLOCK, HUGE_PAGES);
	return run_group(tests);
}
