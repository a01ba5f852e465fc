/* SPDX-License-Identifier: MIT
 *
 * machine_saving.c - a machine as a state, and back. The state says what shape
 * the machine had; restoring it into another one is refused before anything is done.
 */
#include "fault.h"
#include "machine_parts.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

/* RECORD_SHAPE; of the regions, those that there are. */
struct shape_record {
	uint32_t vcpu_count;
	uint32_t region_count;
	struct {
		uint64_t base;
		uint64_t length;
	} regions[GUEST_MEMORY_REGIONS_MAX];
};

static size_t record_length(size_t regions)
{
	return offsetof(struct shape_record, regions) + regions * 2 * sizeof(uint64_t);
}

static int save_shape(const struct machine_shape *shape, struct machine_state *state)
{
	struct shape_record record = {
		.vcpu_count = shape->vcpu_count,
		.region_count = (uint32_t)shape->memory.region_count,
	};

	for (size_t i = 0; i < shape->memory.region_count; i++) {
		record.regions[i].base = shape->memory.regions[i].base;
		record.regions[i].length = shape->memory.regions[i].length;
	}
	return machine_state_add(state, RECORD_SHAPE, 0, &record,
				 record_length(shape->memory.region_count));
}

int machine_state_shape(const struct machine_state *state, struct machine_shape *ret_shape)
{
	size_t length;
	const struct shape_record *record = machine_state_find(state, RECORD_SHAPE, 0, &length);
	struct machine_shape shape = {0};

	if (record == NULL || length < record_length(0))
		return fault("the state of the machine does not say what machine it is of");
	if (record->vcpu_count == 0 || record->vcpu_count > MACHINE_VCPUS_MAX)
		return fault("the state is of a machine with %" PRIu32
			     " vCPUs: there can be 1 to %d",
			     record->vcpu_count, MACHINE_VCPUS_MAX);
	if (record->region_count > GUEST_MEMORY_REGIONS_MAX ||
	    length != record_length(record->region_count))
		return fault("the state is of a machine with %" PRIu32
			     " regions of memory, in a record of %zu bytes",
			     record->region_count, length);
	shape.vcpu_count = record->vcpu_count;
	shape.memory.region_count = record->region_count;
	for (size_t i = 0; i < record->region_count; i++)
		shape.memory.regions[i] = (struct guest_region_shape){record->regions[i].base,
								      record->regions[i].length};
	if (guest_memory_check_shape(&shape.memory) != 0)
		return fault("the state of the machine: %s", fault_message());
	*ret_shape = shape;
	return 0;
}

static int check_shape(const struct machine *machine, const struct machine_state *state)
{
	const struct guest_memory_shape *own = &machine->shape.memory;
	struct machine_shape saved;

	if (machine_state_shape(state, &saved) != 0)
		return -1;
	if (saved.vcpu_count != machine->shape.vcpu_count)
		return fault("the state is of a machine with %u vCPUs, and this one has %u",
			     saved.vcpu_count, machine->shape.vcpu_count);
	if (saved.memory.region_count != own->region_count)
		return fault("the state is of a machine with %zu regions of memory, and this one "
			     "has %zu",
			     saved.memory.region_count, own->region_count);
	for (size_t i = 0; i < own->region_count; i++) {
		const struct guest_region_shape *a = &saved.memory.regions[i];
		const struct guest_region_shape *b = &own->regions[i];

		if (a->base != b->base || a->length != b->length)
			return fault("the state is of a machine with memory at [0x%" PRIx64
				     "+0x%" PRIx64 "], and this one has [0x%" PRIx64 "+0x%" PRIx64
				     "]",
				     a->base, a->length, b->base, b->length);
	}
	return 0;
}

static int save_all(struct machine *machine, struct machine_state *state)
{
	if (save_shape(&machine->shape, state) != 0 ||
	    devices_save(&machine->devices, state) != 0 || vm_save(&machine->kvm, state) != 0)
		return -1;
	for (unsigned i = 0; i < machine->shape.vcpu_count; i++) {
		if (vcpu_save(&machine->vcpus[i], state) != 0)
			return -1;
	}
	machine_state_seal(state);
	return 0;
}

int machine_save(struct machine *machine, struct machine_state *ret_state)
{
	struct machine_state state = {0};

	/* KVM would let us wait for a vCPU that waits for a page. */
	if (!machine_stands_still(machine))
		return fault("the guest has ended");
	if (save_all(machine, &state) != 0) {
		machine_state_free(&state);
		return -1;
	}
	*ret_state = state;
	return 0;
}

int machine_restore(struct machine *machine, const struct machine_state *state)
{
	if (check_shape(machine, state) != 0 || machine_give_memory(machine) != 0 ||
	    devices_restore(&machine->devices, state) != 0 || vm_restore(&machine->kvm, state) != 0)
		return -1;
	for (unsigned i = 0; i < machine->shape.vcpu_count; i++) {
		if (vcpu_restore(&machine->vcpus[i], state) != 0)
			return -1;
	}
	return 0;
}
