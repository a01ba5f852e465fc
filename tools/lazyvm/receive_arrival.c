/* SPDX-License-Identifier: MIT
 *
 * One guest that arrives: what the source has said of it, checked.
 *
 * Nothing is believed. Ranges must lie in memory that the guest has, there must be
 * as many as were announced, the state must be whole, and of a machine of the shape
 * that was announced. Whatever is not so ends the arrival, before it has run.
 */
#include "fault.h"
#include "receive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what the source says of itself ---------------------------------------------------- */

static int check_room(uint64_t length)
{
	uint64_t room = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (length > room)
		return fault("the guest has %" PRIu64 " bytes of memory, and this host %" PRIu64,
			     length, room);
	return 0;
}

static int check_hello(const struct receive_options *options, const struct wire_hello *hello)
{
	uint64_t length;

	if (hello->state_version != MACHINE_STATE_VERSION)
		return fault("the state of the machine is of version %u, and this lazyvm reads "
			     "version %d",
			     hello->state_version, MACHINE_STATE_VERSION);
	if (hello->page_size != (uint32_t)sysconf(_SC_PAGESIZE))
		return fault("the source has pages of %u bytes, and this host of %ld",
			     hello->page_size, sysconf(_SC_PAGESIZE));
	if (hello->vcpu_count == 0 || hello->vcpu_count > MACHINE_VCPUS_MAX)
		return fault("the guest has %u vCPUs: there can be 1 to %d", hello->vcpu_count,
			     MACHINE_VCPUS_MAX);
	if (guest_memory_check_shape(&hello->memory) != 0)
		return -1;
	length = guest_memory_length(&hello->memory);
	if (options->expected_vcpus != 0 && options->expected_vcpus != hello->vcpu_count)
		return fault("the guest has %u vCPUs, and %u are expected here", hello->vcpu_count,
			     options->expected_vcpus);
	if (options->expected_memory != 0 && options->expected_memory != length)
		return fault("the guest has %" PRIu64 " bytes of memory, and %" PRIu64
			     " are expected here",
			     length, options->expected_memory);
	return check_room(length);
}

int arrival_create(const struct receive_options *options, const struct visitor *visitor,
		   int wake_fd, struct arrival **ret_arrival)
{
	struct arrival *arrival;

	if (check_hello(options, &visitor->hello) != 0)
		return -1;
	arrival = calloc(1, sizeof(*arrival));
	if (arrival == NULL)
		return fault("no memory for a guest");
	pthread_mutex_init(&arrival->probe_lock, NULL);
	arrival->options = options;
	arrival->wake_fd = wake_fd;
	arrival->hello = visitor->hello;
	memcpy(arrival->host, visitor->link.peer, sizeof(arrival->host));
	*ret_arrival = arrival;
	return 0;
}

int arrival_take_export(struct arrival *arrival, const struct wire_message *message)
{
	static const char *const names[] = {"in plain", "with a PSK", "with certificates"};
	enum wire_security expected = arrival->options->security.kind;

	/* The machine is made of it, once. */
	if (arrival->export.name_count != 0)
		return fault("the source said EXPORT out of turn");
	if (wire_get_export(message, &arrival->export) != 0)
		return -1;
	if (arrival->export.security != expected)
		return fault("the source exports its memory %s, and it is expected %s",
			     names[arrival->export.security], names[expected]);
	if (arrival->export.name_count != arrival->hello.memory.region_count)
		return fault("the source exports %u regions of %zu", arrival->export.name_count,
			     arrival->hello.memory.region_count);
	return 0;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void ring(const struct arrival *arrival)
{
	const uint64_t one = 1;

	while (write(arrival->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

static void *job_thread(void *context)
{
	static int (*const jobs[])(struct arrival * arrival) = {
		[JOB_OPEN] = arrival_open,
		[JOB_PULL] = arrival_pull,
		[JOB_FILL] = arrival_fill,
	};
	struct arrival *arrival = context;

	arrival->job_result = jobs[arrival->job](arrival);
	if (arrival->job_result != 0)
		snprintf(arrival->job_sentence, sizeof(arrival->job_sentence), "%s",
			 fault_message());
	atomic_store(&arrival->job_is_over, true);
	ring(arrival);
	return NULL;
}

int arrival_start_job(struct arrival *arrival, enum arrival_job job)
{
	int error;

	if (arrival->job != JOB_NONE)
		return fault("the source asks for two things at once");
	atomic_store(&arrival->job_is_over, false);
	arrival->job = job;
	error = pthread_create(&arrival->thread, NULL, job_thread, arrival);
	if (error == 0)
		return 0;
	arrival->job = JOB_NONE;
	return fault("no thread: %s", strerror(error));
}

enum arrival_job arrival_take_job(struct arrival *arrival, int *ret_result)
{
	enum arrival_job job = arrival->job;

	if (job == JOB_NONE || !atomic_load(&arrival->job_is_over))
		return JOB_NONE;
	pthread_join(arrival->thread, NULL);
	arrival->job = JOB_NONE;
	*ret_result = arrival->job_result;
	if (arrival->job_result != 0)
		fault("%s", arrival->job_sentence);
	return job;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

int arrival_take_round(struct arrival *arrival, const struct wire_message *message)
{
	if (arrival->machine == NULL || arrival->job != JOB_NONE)
		return fault("the source said %s out of turn", wire_type_name(message->type));
	if (wire_get_round(message, &arrival->round) != 0)
		return -1;
	if (!arrival->export.has_rounds &&
	    (message->type != WIRE_LAST || !arrival->round.is_everything))
		return fault("the source said %s, and has announced no rounds",
			     wire_type_name(message->type));
	arrival->ranges_there = 0;
	arrival->zeros_there = 0;
	arrival->ranges_end = 0;
	arrival->has_last = message->type == WIRE_LAST;
	arrival->state.length = 0;
	lazymem_dirty_clear(arrival->written);
	lazymem_dirty_clear(arrival->zeros);
	return 0;
}

/* They ascend: so all of them together are no more work than memory has pages. */
static int take_range(struct arrival *arrival, struct lazymem_dirty *set,
		      struct lazymem_guest_range range)
{
	if (range.start.value < arrival->ranges_end)
		return fault("the source said ranges that do not ascend");
	if (lazymem_dirty_add(set, range) != 0)
		return fault_of_library("what the source says of its memory");
	arrival->ranges_end = range.start.value + range.length;
	return 0;
}

/* A page of ours is zeros as a whole, or else what is not zeros of it would be lost. */
static int take_zeros(struct arrival *arrival, struct lazymem_guest_range range)
{
	if ((range.start.value | range.length) % GUEST_MEMORY_ALIGNMENT != 0)
		return fault("the source said that [0x%" PRIx64 "+0x%" PRIx64
			     "] is zeros, which is not in blocks of 2 MiB",
			     range.start.value, range.length);
	return take_range(arrival, arrival->zeros, range);
}

/* How many may still come. ZEROS come after RANGES. */
static uint64_t ranges_left(const struct arrival *arrival, enum wire_type type)
{
	uint64_t left = arrival->round.range_count - arrival->ranges_there;

	if (type == WIRE_RANGES)
		return left;
	return left == 0 ? arrival->round.zero_count - arrival->zeros_there : 0;
}

static void note_ranges(struct arrival *arrival, enum wire_type type, size_t count)
{
	if (type == WIRE_RANGES)
		arrival->ranges_there += count;
	else
		arrival->zeros_there += count;
	/* Those of the other kind begin anew. */
	if (type == WIRE_RANGES && ranges_left(arrival, type) == 0)
		arrival->ranges_end = 0;
}

int arrival_take_ranges(struct arrival *arrival, const struct wire_message *message)
{
	size_t count = wire_range_count(message);

	if (arrival->machine == NULL || arrival->job != JOB_NONE ||
	    message->length % sizeof(uint64_t[2]) != 0 ||
	    count > ranges_left(arrival, message->type))
		return fault("the source said %s out of turn, or too many",
			     wire_type_name(message->type));
	for (size_t i = 0; i < count; i++) {
		struct lazymem_guest_range range = wire_get_range(message, i);

		if ((message->type == WIRE_ZEROS
			     ? take_zeros(arrival, range)
			     : take_range(arrival, arrival->written, range)) != 0)
			return -1;
	}
	note_ranges(arrival, message->type, count);
	return 0;
}

bool arrival_has_ranges(const struct arrival *arrival)
{
	return arrival->ranges_there == arrival->round.range_count &&
	       arrival->zeros_there == arrival->round.zero_count;
}

/* ---- the switch-over ------------------------------------------------------------------------- */

int arrival_take_state(struct arrival *arrival, const struct wire_message *message)
{
	struct machine_state *state = &arrival->state;
	size_t length = state->length + message->length;

	if (!arrival->has_last || !arrival_has_ranges(arrival))
		return fault("the source said STATE out of turn");
	if (length > MACHINE_STATE_MOST)
		return fault("the state of the machine has more than %zu bytes",
			     MACHINE_STATE_MOST);
	if (length > state->capacity) {
		size_t capacity = 2 * length;
		void *grown = realloc(state->bytes, capacity);

		if (grown == NULL)
			return fault("no memory for the state of the machine");
		state->bytes = grown;
		state->capacity = capacity;
	}
	memcpy(state->bytes + state->length, message->payload, message->length);
	state->length = length;
	return 0;
}

static bool is_same_memory(const struct guest_memory_shape *a, const struct guest_memory_shape *b)
{
	return a->region_count == b->region_count &&
	       memcmp(a->regions, b->regions, a->region_count * sizeof(*a->regions)) == 0;
}

static int check_state(const struct arrival *arrival, const struct wire_message *message)
{
	struct machine_shape shape = {0};
	uint64_t length;

	if (!arrival->has_last || !arrival_has_ranges(arrival))
		return fault("the source said SWITCH out of turn");
	if (wire_get_number(message, &length) != 0)
		return -1;
	if (length != arrival->state.length)
		return fault("the state of the machine has %" PRIu64 " bytes, and %zu have come",
			     length, arrival->state.length);
	if (machine_state_check(&arrival->state, "what the source sent") != 0 ||
	    machine_state_shape(&arrival->state, &shape) != 0)
		return -1;
	if (shape.vcpu_count != arrival->hello.vcpu_count ||
	    !is_same_memory(&shape.memory, &arrival->hello.memory))
		return fault("the state is of a machine of another shape than was announced");
	return 0;
}

/* Pages that were pulled and then written there are nowhere now. */
static int drop_written(struct arrival *arrival)
{
	struct lazymem_memory *memory = machine_memory(arrival->machine)->memory;
	struct lazymem_guest_range range = {{0}, 0};

	if (arrival->round.is_everything && lazymem_dirty_length(arrival->present) > 0)
		return fault("the source says that it has written everything");
	while (lazymem_dirty_next(arrival->written, range.start, &range) == 0) {
		if (lazymem_memory_discard(memory, range.start, range.length) != 0 ||
		    lazymem_dirty_remove(arrival->present, range) != 0)
			return fault_of_library("what the source has written");
		if (lazymem_guest_address_add(range.start, range.length, &range.start) != 0)
			break;
	}
	return 0;
}

/* Whatever is there of them is given back; and a page that is present and not there reads as
 * zeros. */
int arrival_fill_zeros(struct arrival *arrival)
{
	struct guest_memory *memory = machine_memory(arrival->machine);
	struct lazymem_guest_range range = {{0}, 0};

	while (lazymem_dirty_next(arrival->zeros, range.start, &range) == 0) {
		if (guest_memory_discard(memory, range.start.value, range.length) != 0)
			return -1;
		if (lazymem_dirty_add(arrival->present, range) != 0)
			return fault_of_library("what the source says is zeros");
		if (lazymem_guest_address_add(range.start, range.length, &range.start) != 0)
			break;
	}
	return 0;
}

int arrival_switch(struct arrival *arrival, const struct wire_message *message)
{
	const struct lazymem_dirty *present = arrival->present;

	if (check_state(arrival, message) != 0 || drop_written(arrival) != 0 ||
	    arrival_fill_zeros(arrival) != 0)
		return -1;
	if (lazymem_dirty_length(present) == 0)
		present = NULL;
	if (!arrival->is_attached && arrival_attach(arrival, present) != 0)
		return -1;
	return machine_restore(arrival->machine, &arrival->state);
}

/* ---- the end ---------------------------------------------------------------------------------- */

void arrival_destroy(struct arrival *arrival)
{
	if (arrival == NULL)
		return;
	/* A job may still be making the objects that are to be given up. */
	atomic_store(&arrival->stops, true);
	if (arrival->job == JOB_PULL || arrival->job == JOB_FILL)
		arrival_give_up(arrival);
	if (arrival->job != JOB_NONE)
		pthread_join(arrival->thread, NULL);
	arrival_give_up(arrival);
	for (size_t i = 0; i < GUEST_MEMORY_REGIONS_MAX; i++)
		lazymem_backing_unref(arrival->backings[i]);
	/* The objects that its memory has tell what becomes of them to `arrival`, and to the
	 * machine: it takes the last references to them with it. */
	lazymem_dirty_destroy(arrival->present);
	lazymem_dirty_destroy(arrival->written);
	lazymem_dirty_destroy(arrival->zeros);
	machine_destroy(arrival->machine);
	machine_state_free(&arrival->state);
	pthread_mutex_destroy(&arrival->probe_lock);
	free(arrival);
}
