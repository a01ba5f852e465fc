/* SPDX-License-Identifier: MIT
 *
 * moment_chain_test.c - a hundred moments of one guest, each written as a layer
 * over the one before; halfway the guest is restored from the newest, and goes on.
 * The last one restores to what the guest had.
 */
#include <lazymem/moment.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/contract_storage.h>
#include <support/guest.h>
#include <support/tracked.h>

#define PAGES 96u
#define HUGE_PAGES 4u

struct chain {
	enum memory_kind kind;
	enum lazymem_tracking tracking;
	uint64_t seed;
	struct image image;
	struct storage storage; /* of the image */
	struct guest guest;
	struct lazymem_snapshot *newest; /* NULL: none yet */
	unsigned layers;
	unsigned char *bytes; /* what the guest has */
	unsigned char *taken; /* what it had at the last moment */
};

/* A sanitizer looks at each byte of 2 MiB. */
static unsigned most_layers(const struct chain *c)
{
	return TEST_SANITIZED && c->kind == HUGETLB ? 12 : 100;
}

static uint64_t below(struct chain *c, uint64_t limit)
{
	return next_random(&c->seed) % limit;
}

static const char *layer_name(unsigned number)
{
	static char name[32];

	snprintf(name, sizeof(name), "layer-%u", number);
	return name;
}

static void attach(struct chain *c)
{
	const size_t page = page_size_of(c->kind);
	const struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_TRACK,
		.tracking_most = c->tracking,
	};

	guest_map(&c->guest, c->kind, (c->kind == HUGETLB ? HUGE_PAGES : PAGES) * page, 0,
		  c->newest ? lazymem_snapshot_backing(c->newest) : c->storage.backing);
	guest_attach(&c->guest, NULL, &options);
}

static void begin(struct chain *c, void **state)
{
	*c = (struct chain){.kind = memory_of(state), .tracking = tracking_of(state)};
	c->seed = harness_seed();
	image_create(&c->image,
		     c->kind == HUGETLB ? HUGE_PAGES * BLOCK - 3 * PAGE : PAGES * PAGE - 77, "ddz",
		     c->seed);
	storage_create(&c->storage, 0, c->image.bytes, c->image.length, "image");
	attach(c);
	c->bytes = calloc(1, c->guest.length);
	c->taken = calloc(1, c->guest.length);
	assert_non_null(c->bytes);
	assert_non_null(c->taken);
	memcpy(c->bytes, c->image.bytes, c->image.length);
}

static void end(struct chain *c)
{
	guest_end(&c->guest);
	lazymem_snapshot_unref(c->newest);
	storage_destroy(&c->storage);
	image_destroy(&c->image);
	free(c->bytes);
	free(c->taken);
}

static void write_some(struct chain *c)
{
	const size_t start = below(c, c->guest.length);
	const size_t most = below(c, 4) == 0 ? 2 * c->guest.page : 64;
	size_t length = 1 + below(c, most);

	if (length > c->guest.length - start)
		length = c->guest.length - start;
	const int value = (int)below(c, 3);
	memset(c->guest.host + start, value, length);
	memset(c->bytes + start, value, length);
}

static void discard_some(struct chain *c)
{
	const size_t page = below(c, c->guest.length / c->guest.page);
	const size_t start = page * c->guest.page;

	assert_ok(lazymem_mapping_discard(c->guest.mapping, start, c->guest.page));
	memset(c->bytes + start, 0, c->guest.page);
}

static void go_on(struct chain *c)
{
	for (uint64_t left = 1 + below(c, 5); left > 0; left--) {
		if (below(c, 4) == 0)
			discard_some(c);
		else
			write_some(c);
		const size_t at = below(c, c->guest.length);
		assert_int_equal(c->guest.host[at], c->bytes[at]);
	}
}

/* Between the moment and its writing the guest goes on: that is in the next one. */
static void add_layer(struct chain *c)
{
	struct lazymem_snapshot_plan plan = {.size = sizeof(plan), .parent = c->newest};
	struct lazymem_moment *moment = NULL;
	char parent_path[32];
	uint64_t length;

	assert_ok(lazymem_moment_create(c->guest.attachment, &moment));
	if (below(c, 2) == 0)
		assert_ok(lazymem_moment_copy(moment, &length));
	go_on(c);
	assert_ok(lazymem_moment_take(moment, &length));
	memcpy(c->taken, c->bytes, c->guest.length);
	go_on(c);
	if (c->newest != NULL) {
		snprintf(parent_path, sizeof(parent_path), "%s", layer_name(c->layers - 1));
		plan.parent_path = parent_path;
	}
	assert_ok(lazymem_moment_write(moment, scratch_path(layer_name(c->layers)), &plan));
	lazymem_moment_destroy(moment);
	lazymem_snapshot_unref(c->newest);
	assert_ok(lazymem_snapshot_open(scratch_path(layer_name(c->layers)), NULL, &c->newest));
	c->layers++;
}

/* What was written after the last moment is in no layer. */
static void restore(struct chain *c)
{
	guest_end(&c->guest);
	attach(c);
	memcpy(c->bytes, c->taken, c->guest.length);
	for (size_t start = 0; start < c->guest.length; start += c->guest.page)
		assert_memory_equal(c->guest.host + start, c->bytes + start, c->guest.page);
}

static void test_a_hundred_layers_restore_to_the_same_bytes(void **state)
{
	struct chain c;

	begin(&c, state);
	while (c.layers < most_layers(&c)) {
		go_on(&c);
		add_layer(&c);
		if (c.layers == most_layers(&c) / 2)
			restore(&c);
	}
	assert_int_equal(lazymem_snapshot_layer_count(c.newest), most_layers(&c));
	assert_ok(lazymem_snapshot_verify(c.newest, NULL));
	restore(&c);
	end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_EACH_WAY(test_a_hundred_layers_restore_to_the_same_bytes),
	};

	storage_in_memory();
	require_faults();
	require_hugetlb(BLOCK, HUGE_PAGES);
	return run_group(tests);
}
