/* SPDX-License-Identifier: MIT
 *
 * vm_state.c - what KVM knows of the machine beside its vCPUs: the interrupt
 * controllers, the timer, and the clock.
 */
#include "fault.h"
#include "machine_parts.h"

#include <string.h>

#define IRQCHIPS 3 /* two 8259, one IOAPIC */

const void *record_of_length(const struct machine_state *state, enum machine_record type,
			     uint32_t index, size_t length, const char *what)
{
	size_t found;
	const void *bytes = machine_state_find(state, type, index, &found);

	if (bytes == NULL) {
		fault("the state of the machine lacks %s (record %d.%u)", what, (int)type, index);
		return NULL;
	}
	if (found != length) {
		fault("the state of the machine has %zu bytes for %s (record %d.%u), and not %zu",
		      found, what, (int)type, index, length);
		return NULL;
	}
	return bytes;
}

static int save_irqchip(const struct kvm *kvm, uint32_t index, struct machine_state *state)
{
	struct kvm_irqchip chip = {.chip_id = index};

	if (kvm_call(kvm->vm, KVM_GET_IRQCHIP, &chip) < 0)
		return -1;
	return machine_state_add(state, RECORD_IRQCHIP, index, &chip, sizeof(chip));
}

static int restore_irqchip(const struct kvm *kvm, uint32_t index, const struct machine_state *state)
{
	const void *bytes = record_of_length(state, RECORD_IRQCHIP, index,
					     sizeof(struct kvm_irqchip), "an interrupt controller");
	struct kvm_irqchip chip;

	if (bytes == NULL)
		return -1;
	memcpy(&chip, bytes, sizeof(chip));
	chip.chip_id = index;
	return kvm_call(kvm->vm, KVM_SET_IRQCHIP, &chip) < 0 ? -1 : 0;
}

int vm_save(const struct kvm *kvm, struct machine_state *state)
{
	struct kvm_clock_data clock = {0};
	struct kvm_pit_state2 timer = {0};

	for (uint32_t i = 0; i < IRQCHIPS; i++) {
		if (save_irqchip(kvm, i, state) != 0)
			return -1;
	}
	if (kvm_call(kvm->vm, KVM_GET_PIT2, &timer) < 0 ||
	    machine_state_add(state, RECORD_PIT, 0, &timer, sizeof(timer)) != 0 ||
	    kvm_call(kvm->vm, KVM_GET_CLOCK, &clock) < 0)
		return -1;
	return machine_state_add(state, RECORD_CLOCK, 0, &clock, sizeof(clock));
}

/* The guest's clock goes on from where it was: what passed meanwhile is not seen. */
static int restore_clock(const struct kvm *kvm, const struct machine_state *state)
{
	const struct kvm_clock_data *saved =
		record_of_length(state, RECORD_CLOCK, 0, sizeof(*saved), "the clock");
	struct kvm_clock_data clock = {0};

	if (saved == NULL)
		return -1;
	clock.clock = saved->clock;
	return kvm_call(kvm->vm, KVM_SET_CLOCK, &clock) < 0 ? -1 : 0;
}

int vm_restore(const struct kvm *kvm, const struct machine_state *state)
{
	const void *timer =
		record_of_length(state, RECORD_PIT, 0, sizeof(struct kvm_pit_state2), "the timer");

	if (timer == NULL || kvm_call(kvm->vm, KVM_SET_PIT2, timer) < 0)
		return -1;
	for (uint32_t i = 0; i < IRQCHIPS; i++) {
		if (restore_irqchip(kvm, i, state) != 0)
			return -1;
	}
	return restore_clock(kvm, state);
}
