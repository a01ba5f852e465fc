/* SPDX-License-Identifier: MIT
 *
 * guest_memory.c - the memory of a guest.
 *
 * It has two regions, one below the hole that a PC has under 4 GiB, and one above,
 * also where it is small enough for one: what is only true of large guests is
 * then true of those in the tests.
 *
 * It is always attached, with LAZYMEM_ATTACH_TRACK: a restored guest is filled
 * from the snapshot, a fresh one from an object of zeros. So there is one way to
 * serve faults, to tell what was written, and to give memory back.
 *
 * A page that cannot be read is never zeros. Reads are tried again for a while,
 * then the page is poisoned: the vCPU that wants it stops, and the sentence that
 * was left here says why.
 */
#include "guest_memory.h"
#include "fault.h"

#include <errno.h>
#include <inttypes.h>
#include <lazymem/nbd.h>
#include <lazymem/zero.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HUGETLB_PAGE ((size_t)2 << 20)
#define ATTEMPTS 5
#define FAULT_AHEAD ((size_t)1 << 20) /* bytes */

/* What is installed in one go of memory that comes from elsewhere: a fault waits behind
 * one piece that is installed and one that is on its way. */
#define NETWORK_PIECE ((size_t)128 << 10)

const char *const guest_memory_kinds[] = {
	[GUEST_MEMORY_ANONYMOUS] = "anonymous",
	[GUEST_MEMORY_MEMFD] = "memfd",
	[GUEST_MEMORY_HUGETLB] = "hugetlb",
	NULL,
};

/* ---- shape ------------------------------------------------------------------ */

int guest_memory_split(uint64_t length, struct guest_memory_shape *ret_shape)
{
	const uint64_t half = length / 2 / GUEST_MEMORY_ALIGNMENT * GUEST_MEMORY_ALIGNMENT;
	const uint64_t lower = half < GUEST_MEMORY_HOLE ? half : GUEST_MEMORY_HOLE;

	if (length % GUEST_MEMORY_ALIGNMENT != 0 || lower == 0 ||
	    length - lower > GUEST_MEMORY_MOST - GUEST_MEMORY_UPPER)
		return fault("%" PRIu64 " bytes of memory: give a multiple of 2 MiB, from 4 MiB "
			     "to 63 GiB",
			     length);
	*ret_shape = (struct guest_memory_shape){
		.region_count = 2,
		.regions = {{0, lower}, {GUEST_MEMORY_UPPER, length - lower}},
	};
	return 0;
}

static int check_region(const struct guest_region_shape *region, uint64_t least_base)
{
	const uint64_t base = region->base;
	const uint64_t length = region->length;

	if (base % GUEST_MEMORY_ALIGNMENT != 0 || length % GUEST_MEMORY_ALIGNMENT != 0 ||
	    length == 0)
		return fault("the region [0x%" PRIx64 "+0x%" PRIx64 "] is not in blocks of 2 MiB",
			     base, length);
	if (base < least_base)
		return fault("the region [0x%" PRIx64 "+0x%" PRIx64
			     "] does not lie behind the one before it",
			     base, length);
	if (base > GUEST_MEMORY_MOST || length > GUEST_MEMORY_MOST - base ||
	    (base < GUEST_MEMORY_UPPER && base + length > GUEST_MEMORY_HOLE))
		return fault("the region [0x%" PRIx64 "+0x%" PRIx64 "] lies where no memory can be",
			     base, length);
	return 0;
}

int guest_memory_check_shape(const struct guest_memory_shape *shape)
{
	uint64_t least_base = 0;

	if (shape->region_count == 0 || shape->region_count > GUEST_MEMORY_REGIONS_MAX)
		return fault("%zu regions of memory: there can be 1 to %d", shape->region_count,
			     GUEST_MEMORY_REGIONS_MAX);
	for (size_t i = 0; i < shape->region_count; i++) {
		if (check_region(&shape->regions[i], least_base) != 0)
			return -1;
		least_base = shape->regions[i].base + shape->regions[i].length;
	}
	return 0;
}

uint64_t guest_memory_length(const struct guest_memory_shape *shape)
{
	uint64_t length = 0;

	for (size_t i = 0; i < shape->region_count; i++)
		length += shape->regions[i].length;
	return length;
}

bool guest_memory_has_come(const struct guest_memory *memory)
{
	return memory->options.region_backings[0] != NULL;
}

/* ---- mappings, regions ------------------------------------------------------ */

static int create_mapping(const struct guest_memory_options *options, size_t length,
			  struct lazymem_mapping **ret_mapping)
{
	const struct lazymem_mapping_options mapping = {
		.size = sizeof(mapping),
		.flags = options->hugepages ? LAZYMEM_MAPPING_HUGEPAGES : 0,
		.name = "lazyvm guest",
	};

	switch (options->kind) {
	case GUEST_MEMORY_MEMFD:
		return lazymem_mapping_create_memfd(length, &mapping, ret_mapping);
	case GUEST_MEMORY_HUGETLB:
		return lazymem_mapping_create_hugetlb(length, HUGETLB_PAGE, &mapping, ret_mapping);
	default:
		return lazymem_mapping_create_anonymous(length, &mapping, ret_mapping);
	}
}

/* `offset`: where the region begins in an object that all are filled from. */
static int create_region(const struct guest_memory *memory, size_t index, uint64_t offset,
			 struct lazymem_region **ret_region)
{
	const struct guest_region_shape shape = memory->shape.regions[index];
	struct lazymem_backing *own = memory->options.region_backings[index];
	struct lazymem_mapping *mapping;
	int error = create_mapping(&memory->options, shape.length, &mapping);

	if (error != 0)
		return error;
	error = lazymem_region_create(mapping, (lazymem_guest_address){shape.base},
				      own != NULL ? own : memory->options.backing,
				      own != NULL ? 0 : offset, ret_region);
	lazymem_mapping_unref(mapping); /* the region has a reference */
	return error;
}

static int create_regions(struct guest_memory *memory)
{
	struct lazymem_region *regions[GUEST_MEMORY_REGIONS_MAX] = {NULL};
	const size_t count = memory->shape.region_count;
	uint64_t offset = 0;
	int error = 0;

	for (size_t i = 0; i < count && error == 0; i++) {
		error = create_region(memory, i, offset, &regions[i]);
		offset += memory->shape.regions[i].length;
	}
	if (error == 0)
		error = lazymem_memory_create(regions, count, &memory->memory);
	for (size_t i = 0; i < count; i++)
		lazymem_region_unref(regions[i]);
	return error == 0 ? 0 : fault_of_library("cannot make the memory of the guest");
}

/* An image of another length is that of another guest. */
static int check_length(const struct lazymem_backing *backing, uint64_t length)
{
	if (lazymem_backing_length(backing) == length)
		return 0;
	return fault("%s has %" PRIu64 " bytes, and the guest has %" PRIu64
		     " bytes of memory there",
		     lazymem_backing_name(backing), lazymem_backing_length(backing), length);
}

static void take_references(struct guest_memory_options *options)
{
	if (options->backing != NULL)
		lazymem_backing_ref(options->backing);
	for (size_t i = 0; i < GUEST_MEMORY_REGIONS_MAX; i++) {
		if (options->region_backings[i] != NULL)
			lazymem_backing_ref(options->region_backings[i]);
	}
}

static int check_region_backings(const struct guest_memory *memory)
{
	for (size_t i = 0; i < memory->shape.region_count; i++) {
		const struct lazymem_backing *backing = memory->options.region_backings[i];

		if (backing == NULL)
			return fault("region %zu of the guest has nothing to be filled from", i);
		if (check_length(backing, memory->shape.regions[i].length) != 0)
			return -1;
	}
	return 0;
}

static int complete_backings(struct guest_memory *memory)
{
	const uint64_t length = guest_memory_length(&memory->shape);

	if (memory->options.backing != NULL)
		return check_length(memory->options.backing, length);
	if (memory->options.region_backings[0] != NULL)
		return check_region_backings(memory);
	if (lazymem_zero_create(length, &memory->options.backing) != 0)
		return fault_of_library("cannot make the memory of the guest");
	return 0;
}

int guest_memory_create(const struct guest_memory_shape *shape,
			const struct guest_memory_options *options,
			struct guest_memory **ret_memory)
{
	struct guest_memory *memory;

	if (guest_memory_check_shape(shape) != 0)
		return -1;
	memory = calloc(1, sizeof(*memory));
	if (memory == NULL)
		return fault("no memory for a guest");
	pthread_mutex_init(&memory->lock, NULL);
	memory->shape = *shape;
	memory->options = *options;
	take_references(&memory->options);
	if (complete_backings(memory) != 0 || create_regions(memory) != 0) {
		guest_memory_destroy(memory);
		return -1;
	}
	*ret_memory = memory;
	return 0;
}

/* ---- attached --------------------------------------------------------------- */

static void note_failure(struct guest_memory *memory, const struct lazymem_failure *failure)
{
	char *none = NULL;
	char *sentence;

	if (asprintf(&sentence,
		     "guest memory at 0x%" PRIx64 " could not be read from %s at 0x%" PRIx64
		     " in %u attempts: %s",
		     failure->address.value, failure->backing, failure->backing_offset,
		     failure->attempts, strerror(-failure->error)) < 0)
		return;
	if (!atomic_compare_exchange_strong(&memory->failure, &none, sentence))
		free(sentence);
}

/* On a worker. A page is poisoned only where a fault waits for it. */
static enum lazymem_verdict on_failure(void *context, const struct lazymem_failure *failure)
{
	struct guest_memory *memory = context;
	const unsigned attempts =
		memory->options.attempts != 0 ? memory->options.attempts : ATTEMPTS;

	/* Who brings pages over a network has been patient already. */
	if (failure->attempts < attempts && failure->error != -ENOTCONN)
		return LAZYMEM_RETRY;
	if (failure->demand)
		note_failure(memory, failure);
	return LAZYMEM_POISON;
}

int guest_memory_attach(struct guest_memory *memory, const struct lazymem_dirty *present)
{
	/* A guest that goes through its memory in order faults ever more seldom. */
	const struct lazymem_handler_options handler = {
		.size = sizeof(handler),
		.fault_ahead = FAULT_AHEAD,
		.prefetch_piece = memory->options.region_backings[0] != NULL ? NETWORK_PIECE : 0,
	};
	const struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_TRACK,
		.on_failure = on_failure,
		.context = memory,
		.present = present,
	};

	if (lazymem_dirty_create(memory->memory, &memory->settled) != 0 ||
	    (present != NULL && lazymem_dirty_merge(memory->settled, present) != 0) ||
	    lazymem_handler_create(&handler, &memory->handler) != 0)
		return fault_of_library("cannot serve the memory of the guest");
	if (lazymem_handler_attach(memory->handler, memory->memory, &options,
				   &memory->attachment) != 0)
		return fault_of_library("cannot serve the memory of the guest");
	return 0;
}

int guest_memory_discard(struct guest_memory *memory, uint64_t start, uint64_t length)
{
	const struct lazymem_guest_range range = {{start}, length};

	if (lazymem_memory_discard(memory->memory, range.start, length) != 0)
		return fault_of_library(NULL);
	if (memory->settled == NULL)
		return 0;
	pthread_mutex_lock(&memory->lock);
	(void)lazymem_dirty_add(memory->settled, range); /* it was discarded, so it is sound */
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

int guest_memory_copy_settled(struct guest_memory *memory, struct lazymem_dirty **ret_settled)
{
	struct lazymem_dirty *settled;

	if (lazymem_dirty_create(memory->memory, &settled) != 0)
		return fault_of_library(NULL);
	pthread_mutex_lock(&memory->lock);
	(void)lazymem_dirty_merge(settled, memory->settled); /* of the same memory */
	pthread_mutex_unlock(&memory->lock);
	*ret_settled = settled;
	return 0;
}

const char *guest_memory_failure(struct guest_memory *memory)
{
	return atomic_load(&memory->failure);
}

/* What is no NBD object refuses this, and needs it not. */
void guest_memory_give_up(struct guest_memory *memory)
{
	const struct guest_memory_options *options = &memory->options;

	if (options->backing != NULL)
		(void)lazymem_nbd_give_up(options->backing);
	for (size_t i = 0; i < options->part_count; i++) {
		if (options->parts[i] != NULL)
			(void)lazymem_nbd_give_up(options->parts[i]);
	}
	for (size_t i = 0; i < GUEST_MEMORY_REGIONS_MAX; i++) {
		if (options->region_backings[i] != NULL)
			(void)lazymem_nbd_give_up(options->region_backings[i]);
	}
}

void guest_memory_let_go(struct guest_memory *memory)
{
	if (memory->attachment != NULL) {
		guest_memory_give_up(memory);
		lazymem_attachment_abort(memory->attachment);
	}
	memory->attachment = NULL;
}

void guest_memory_destroy(struct guest_memory *memory)
{
	if (memory == NULL)
		return;
	guest_memory_let_go(memory);
	lazymem_handler_destroy(
		memory->handler); /* NULL is allowed; nothing is attached any more */
	lazymem_dirty_destroy(memory->settled);
	lazymem_memory_unref(memory->memory);
	lazymem_backing_unref(memory->options.backing);
	for (size_t i = 0; i < GUEST_MEMORY_REGIONS_MAX; i++)
		lazymem_backing_unref(memory->options.region_backings[i]);
	pthread_mutex_destroy(&memory->lock);
	free(memory->failure);
	free(memory);
}
