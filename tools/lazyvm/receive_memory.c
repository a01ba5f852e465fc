/* SPDX-License-Identifier: MIT
 *
 * Memory of a guest that arrives: from the source's exports, one for each region.
 *
 *   open   The exports are connected to, and the machine is made over them.
 *          What the exports call holes is not asked: the source still runs. Where
 *          nothing will be pulled, the memory is attached; nobody touches it before
 *          the switch-over.
 *   pull   Pages are read into memory that nobody touches yet. In the first round
 *          these are all that the export has data for at the moment, which a
 *          connection of its own tells: what becomes data after that is written,
 *          and told by a later round or by LAST.
 *   fill   The guest runs, and its faults are served. Now that the source stands still the
 *          holes are asked for; and everything that is no hole is prefetched.
 *
 * A page that was pulled, and was not written since, is `present` when the
 * memory is attached. Of all others there is nothing in memory.
 */
#include "fault.h"
#include "machine_parts.h"
#include "migrate.h"
#include "receive.h"

#include "complain.h"

#include <errno.h>
#include <inttypes.h>
#include <lazymem/nbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
#define PULL_LENGTH ((size_t)1 << 20)
#define PULLS_MOST 16

/* ---- connecting ---------------------------------------------------------------------- */

/* `text` as a part of a URI: what is no letter, digit or one of `kept` as %XX. */
static void put_escaped(FILE *file, const char *text, const char *kept)
{
	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;
		bool letter = (byte | 32) >= 'a' && (byte | 32) <= 'z';

		if (letter || (byte >= '0' && byte <= '9') || strchr(kept, byte) != NULL)
			fputc(byte, file);
		else
			fprintf(file, "%%%02X", byte);
	}
}

static int put_uri(FILE *file, const struct arrival *arrival, size_t region)
{
	const struct link_security *security = &arrival->options->security;
	bool is_v6 = strchr(arrival->host, ':') != NULL;

	fputs(security->kind == WIRE_PLAIN ? "nbd://" : "nbds://", file);
	if (security->kind == WIRE_PSK) {
		char *name = link_psk_name(security->path);

		if (name == NULL)
			return -1;
		put_escaped(file, name, "-._~");
		fputc('@', file);
		free(name);
	}
	fputs(is_v6 ? "[" : "", file);
	put_escaped(file, arrival->host, ".:");
	fprintf(file, "%s:%u/%s", is_v6 ? "]" : "", arrival->export.port,
		arrival->export.names[region]);
	if (security->kind != WIRE_PLAIN) {
		fputs(security->kind == WIRE_PSK ? "?tls-psk-file=" : "?tls-certificates=", file);
		put_escaped(file, security->path, "-._~/");
	}
	return 0;
}

/* For the caller to free. NULL: a sentence. */
static char *make_uri(const struct arrival *arrival, size_t region)
{
	char *uri = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&uri, &length);
	int result;

	if (file == NULL) {
		fault("no memory for the name of an export");
		return NULL;
	}
	result = put_uri(file, arrival, region);
	if (fclose(file) == 0 && result == 0)
		return uri;
	free(uri);
	return NULL;
}

/* On a thread of the object. Without its source the guest must not go on, and
 * there is nothing that it could read in its place. */
static void on_state(void *context, enum lazymem_nbd_state state, const char *sentence)
{
	struct arrival *arrival = context;

	if (!atomic_load(&arrival->runs) || atomic_load(&arrival->stops))
		return;
	if (state == LAZYMEM_NBD_LOST || state == LAZYMEM_NBD_CONNECTED)
		complain("%s", sentence);
	else
		machine_end(arrival->machine, MACHINE_FAILED, EXIT_RUN_FAILED,
			    "the source of the migration is gone: %s", sentence);
}

static int open_export(struct arrival *arrival, size_t region, unsigned flags, unsigned give_up_ms,
		       struct lazymem_backing **ret_backing)
{
	const struct receive_options *options = arrival->options;
	const struct lazymem_nbd_options nbd = {
		.size = sizeof(nbd),
		.flags = flags,
		.bytes_per_second = arrival->export.bytes_per_second,
		.give_up_ns = give_up_ms * NS_PER_MS,
		.timeout_ns = options->patience_ms * NS_PER_MS,
		.on_state = on_state,
		.context = arrival,
	};
	char *uri = make_uri(arrival, region);
	int error;

	if (uri == NULL)
		return -1;
	error = lazymem_nbd_open(uri, &nbd, ret_backing);
	free(uri);
	return error == 0 ? 0 : fault_of_library("the source's memory");
}

static int create_machine(struct arrival *arrival)
{
	struct machine_options options = {
		.shape = {.vcpu_count = arrival->hello.vcpu_count, .memory = arrival->hello.memory},
		.memory = arrival->options->memory,
		.serial = arrival->options->serial,
	};
	struct lazymem_memory *memory;

	memcpy(options.memory.region_backings, arrival->backings, sizeof(arrival->backings));
	if (machine_create(&options, &arrival->machine) != 0)
		return -1;
	memory = machine_memory(arrival->machine)->memory;
	if (lazymem_dirty_create(memory, &arrival->present) != 0 ||
	    lazymem_dirty_create(memory, &arrival->written) != 0 ||
	    lazymem_dirty_create(memory, &arrival->zeros) != 0)
		return fault_of_library(NULL);
	return 0;
}

int arrival_attach(struct arrival *arrival, const struct lazymem_dirty *present)
{
	if (guest_memory_attach(machine_memory(arrival->machine), present) != 0 ||
	    machine_give_memory(arrival->machine) != 0)
		return -1;
	arrival->is_attached = true;
	return 0;
}

int arrival_open(struct arrival *arrival)
{
	for (size_t i = 0; i < arrival->hello.memory.region_count; i++)
		if (open_export(arrival, i, LAZYMEM_NBD_LAZY_EXTENTS, arrival->options->give_up_ms,
				&arrival->backings[i]) != 0)
			return -1;
	if (create_machine(arrival) != 0)
		return -1;
	/* What takes longer the larger the memory is need not be done in the pause. */
	return arrival->export.has_rounds ? 0 : arrival_attach(arrival, NULL);
}

void arrival_give_up(struct arrival *arrival)
{
	for (size_t i = 0; i < GUEST_MEMORY_REGIONS_MAX; i++)
		if (arrival->backings[i] != NULL)
			lazymem_nbd_give_up(arrival->backings[i]);
	pthread_mutex_lock(&arrival->probe_lock);
	if (arrival->probe != NULL)
		lazymem_nbd_give_up(arrival->probe);
	pthread_mutex_unlock(&arrival->probe_lock);
}

/* ---- pulling ---------------------------------------------------------------------------- */

struct pull {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct lazymem_read reads[PULLS_MOST];
	bool is_busy[PULLS_MOST];
	size_t busy_count;
	size_t index; /* of the region that they are of */
	int error;    /* the first */
};

static void end_read(struct lazymem_read *read, int error)
{
	struct pull *pull = read->context;

	pthread_mutex_lock(&pull->lock);
	pull->is_busy[read - pull->reads] = false;
	pull->busy_count--;
	if (pull->error == 0)
		pull->error = error;
	pthread_cond_signal(&pull->ended);
	pthread_mutex_unlock(&pull->lock);
}

/* A place for a read; NULL when one has failed. */
static struct lazymem_read *take_place(struct pull *pull)
{
	struct lazymem_read *read = NULL;

	pthread_mutex_lock(&pull->lock);
	while (pull->busy_count == PULLS_MOST)
		pthread_cond_wait(&pull->ended, &pull->lock);
	for (size_t i = 0; i < PULLS_MOST && pull->error == 0 && read == NULL; i++) {
		if (pull->is_busy[i])
			continue;
		pull->is_busy[i] = true;
		pull->busy_count++;
		read = &pull->reads[i];
	}
	pthread_mutex_unlock(&pull->lock);
	return read;
}

static int await_reads(struct pull *pull)
{
	pthread_mutex_lock(&pull->lock);
	while (pull->busy_count > 0)
		pthread_cond_wait(&pull->ended, &pull->lock);
	pthread_mutex_unlock(&pull->lock);
	return pull->error == 0 ? 0 : fault("the source's memory: %s", strerror(-pull->error));
}

/* Each region has an object of its own, with a limit of its own: they take turns, so that it is
 * that of all. */
static int turn_to(struct pull *pull, size_t index)
{
	if (pull->index == index)
		return 0;
	pull->index = index;
	return await_reads(pull);
}

/* Bytes of one region, straight to where the guest will have them. */
static int pull_bytes(struct pull *pull, struct arrival *arrival, size_t index, uint64_t start,
		      uint64_t length)
{
	struct lazymem_memory *memory = machine_memory(arrival->machine)->memory;
	struct lazymem_region *region = lazymem_memory_region(memory, index);
	unsigned char *host = lazymem_mapping_span(lazymem_region_mapping(region)).host;

	if (turn_to(pull, index) != 0)
		return -1;
	for (uint64_t at = start; at < start + length;) {
		uint64_t left = start + length - at;
		struct lazymem_read *read = take_place(pull);

		if (read == NULL)
			return -1;
		*read = (struct lazymem_read){
			.offset = at,
			.length = left < PULL_LENGTH ? (size_t)left : PULL_LENGTH,
			.buffer = host + at,
			.complete = end_read,
			.context = pull,
			.flags = LAZYMEM_READ_BACKGROUND,
		};
		at += read->length;
		lazymem_backing_submit(arrival->backings[index], read);
	}
	if (lazymem_dirty_add(arrival->present,
			      (struct lazymem_guest_range){
				      {lazymem_region_base(region).value + start}, length}) != 0)
		return fault_of_library(NULL);
	return atomic_load(&arrival->stops) ? fault("it was given up") : 0;
}

static void set_probe(struct arrival *arrival, struct lazymem_backing *probe)
{
	pthread_mutex_lock(&arrival->probe_lock);
	arrival->probe = probe;
	pthread_mutex_unlock(&arrival->probe_lock);
}

/* But for what is zeros. */
static int pull_extent(struct pull *pull, struct arrival *arrival, size_t index, uint64_t start,
		       uint64_t length)
{
	uint64_t base = arrival->hello.memory.regions[index].base;
	struct lazymem_guest_range range = {{base + start}, length};
	struct lazymem_guest_range gap;

	while (migrate_take_gap(arrival->zeros, &range, &gap))
		if (pull_bytes(pull, arrival, index, gap.start.value - base, gap.length) != 0)
			return -1;
	return 0;
}

static int pull_data(struct pull *pull, struct arrival *arrival, size_t index,
		     struct lazymem_backing *probe)
{
	uint64_t length = arrival->hello.memory.regions[index].length;

	if (atomic_load(&arrival->stops))
		return fault("it was given up");
	if (lazymem_nbd_update_extents(probe) != 0)
		return fault_of_library("the holes of the source's memory");
	for (uint64_t at = 0; at < length;) {
		struct lazymem_extent extent;

		if (lazymem_backing_extent(probe, at, length - at, &extent) != 0)
			return fault_of_library(NULL);
		if (extent.kind == LAZYMEM_EXTENT_DATA &&
		    pull_extent(pull, arrival, index, at, extent.length) != 0)
			return -1;
		at += extent.length;
	}
	return 0;
}

/* Everything that the export has data for now. Whoever gives up knows of the probe, or it of
 * him: a server that never tells its holes is not waited for. */
static int pull_region(struct pull *pull, struct arrival *arrival, size_t index)
{
	struct lazymem_backing *probe;
	int result;

	if (open_export(arrival, index, LAZYMEM_NBD_LAZY_EXTENTS, arrival->options->patience_ms,
			&probe) != 0)
		return -1;
	set_probe(arrival, probe);
	result = pull_data(pull, arrival, index, probe);
	set_probe(arrival, NULL);
	lazymem_backing_unref(probe);
	return result;
}

/* Of which region? A range of a set lies in one. */
static size_t region_of(const struct arrival *arrival, uint64_t address)
{
	const struct guest_memory_shape *shape = &arrival->hello.memory;
	size_t index = 0;

	while (index + 1 < shape->region_count && address >= shape->regions[index + 1].base)
		index++;
	return index;
}

static int pull_written(struct pull *pull, struct arrival *arrival)
{
	struct lazymem_guest_range range = {{0}, 0};

	while (lazymem_dirty_next(arrival->written, range.start, &range) == 0) {
		size_t index = region_of(arrival, range.start.value);

		if (pull_bytes(pull, arrival, index,
			       range.start.value - arrival->hello.memory.regions[index].base,
			       range.length) != 0)
			return -1;
		if (lazymem_guest_address_add(range.start, range.length, &range.start) != 0)
			break;
	}
	return 0;
}

static int pull_round(struct pull *pull, struct arrival *arrival)
{
	if (!arrival->round.is_everything)
		return pull_written(pull, arrival);
	for (size_t i = 0; i < arrival->hello.memory.region_count; i++)
		if (pull_region(pull, arrival, i) != 0)
			return -1;
	return 0;
}

int arrival_pull(struct arrival *arrival)
{
	struct pull pull = {.busy_count = 0};
	int result;
	int ended;

	pthread_mutex_init(&pull.lock, NULL);
	pthread_cond_init(&pull.ended, NULL);
	result = arrival_fill_zeros(arrival);
	if (result == 0)
		result = pull_round(&pull, arrival);
	ended = await_reads(&pull); /* the reads are on our stack */
	pthread_cond_destroy(&pull.ended);
	pthread_mutex_destroy(&pull.lock);
	return result == 0 ? ended : result;
}

/* ---- filling -------------------------------------------------------------------------------- */

static int tick(void *context)
{
	struct arrival *arrival = context;

	if (atomic_load(&arrival->stops) ||
	    machine_get_end(arrival->machine, NULL, NULL) != MACHINE_GOES_ON)
		return fault("the guest has ended");
	return 0;
}

int arrival_fill(struct arrival *arrival)
{
	for (size_t i = 0; i < arrival->hello.memory.region_count; i++)
		if (lazymem_nbd_update_extents(arrival->backings[i]) != 0)
			return fault_of_library("the holes of the source's memory");
	return migrate_populate(machine_memory(arrival->machine), tick, arrival);
}

static uint64_t received(const struct arrival *arrival)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < arrival->hello.memory.region_count; i++) {
		struct lazymem_nbd_statistics statistics = {.size = sizeof(statistics)};

		if (arrival->backings[i] != NULL &&
		    lazymem_nbd_get_statistics(arrival->backings[i], &statistics) == 0)
			bytes += statistics.demand_bytes + statistics.background_bytes;
	}
	return bytes;
}

void arrival_progress(struct arrival *arrival, struct wire_progress *ret_progress)
{
	struct lazymem_statistics statistics = {.size = sizeof(statistics)};
	uint64_t total = guest_memory_length(&arrival->hello.memory);

	*ret_progress = (struct wire_progress){.total = total};
	/* The job that opens them changes what is looked at here. */
	if (arrival->job == JOB_OPEN || arrival->machine == NULL)
		return;
	ret_progress->received = received(arrival);
	if (!atomic_load(&arrival->runs) ||
	    lazymem_attachment_statistics(machine_memory(arrival->machine)->attachment,
					  &statistics) != 0)
		return;
	ret_progress->faults = statistics.faults;
	ret_progress->populated = total / statistics.pages_total * statistics.pages_populated;
}
