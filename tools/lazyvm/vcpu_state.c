/* SPDX-License-Identifier: MIT
 *
 * vcpu_state.c - all that KVM knows of a vCPU, as records, and back.
 *
 * Restoring has an order: the features first, since they decide which registers
 * there are; the system registers before the LAPIC, whose base is one of them; the
 * LAPIC before the model-specific registers, one of which arms its timer; what
 * waits to be delivered last.
 */
#include "fault.h"
#include "machine_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Records that KVM fills and takes as a structure of a fixed length. */
struct fixed {
	enum machine_record type;
	size_t length;
	unsigned long get;
	unsigned long set;
	const char *get_name;
	const char *set_name;
	const char *what;
};

#define FIXED(record, type, name, what)                                                            \
	{                                                                                          \
		record, sizeof(type), KVM_GET_##name, KVM_SET_##name, "KVM_GET_" #name,            \
			"KVM_SET_" #name, what                                                     \
	}
#define FIXED_LENGTH_MAX 4096

static const struct fixed mp_state =
	FIXED(RECORD_MP_STATE, struct kvm_mp_state, MP_STATE, "whether a vCPU runs");
static const struct fixed registers =
	FIXED(RECORD_REGISTERS, struct kvm_regs, REGS, "the registers of a vCPU");
static const struct fixed system_registers =
	FIXED(RECORD_SYSTEM_REGISTERS, struct kvm_sregs, SREGS, "the system registers of a vCPU");
static const struct fixed extended_control =
	FIXED(RECORD_XCRS, struct kvm_xcrs, XCRS, "the extended control registers of a vCPU");
static const struct fixed debug_registers = FIXED(RECORD_DEBUG_REGISTERS, struct kvm_debugregs,
						  DEBUGREGS, "the debug registers of a vCPU");
static const struct fixed lapic =
	FIXED(RECORD_LAPIC, struct kvm_lapic_state, LAPIC, "the interrupt controller of a vCPU");
static const struct fixed events =
	FIXED(RECORD_EVENTS, struct kvm_vcpu_events, VCPU_EVENTS, "the events of a vCPU");

static int save_fixed(const struct vcpu *vcpu, const struct fixed *fixed,
		      struct machine_state *state)
{
	_Alignas(16) unsigned char bytes[FIXED_LENGTH_MAX] = {0};

	if (kvm_call_named(vcpu->fd, fixed->get, (unsigned long)bytes, fixed->get_name) < 0)
		return -1;
	return machine_state_add(state, fixed->type, vcpu->index, bytes, fixed->length);
}

static int restore_fixed(const struct vcpu *vcpu, const struct fixed *fixed,
			 const struct machine_state *state)
{
	const void *bytes =
		record_of_length(state, fixed->type, vcpu->index, fixed->length, fixed->what);

	if (bytes == NULL ||
	    kvm_call_named(vcpu->fd, fixed->set, (unsigned long)bytes, fixed->set_name) < 0)
		return -1;
	return 0;
}

/* ---- features ----------------------------------------------------------------- */

static int save_cpuid(const struct vcpu *vcpu, struct machine_state *state)
{
	struct kvm_cpuid2 *cpuid = kvm_supported_cpuid(&vcpu->machine->kvm);
	int result = -1;

	if (cpuid == NULL)
		return -1;
	cpuid->nent = 256;
	if (kvm_call(vcpu->fd, KVM_GET_CPUID2, cpuid) >= 0)
		result = machine_state_add(state, RECORD_CPUID, vcpu->index, cpuid->entries,
					   cpuid->nent * sizeof(cpuid->entries[0]));
	free(cpuid);
	return result;
}

static int restore_cpuid(const struct vcpu *vcpu, const struct machine_state *state)
{
	size_t length;
	const void *entries = machine_state_find(state, RECORD_CPUID, vcpu->index, &length);
	const size_t size = sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *cpuid;
	int result;

	if (entries == NULL || length == 0 || length % size != 0 || length / size > 256)
		return fault("the state of the machine lacks the features of vCPU %u", vcpu->index);
	cpuid = calloc(1, sizeof(*cpuid) + length);
	if (cpuid == NULL)
		return fault("no memory for the features of vCPU %u", vcpu->index);
	cpuid->nent = (uint32_t)(length / size);
	memcpy(cpuid->entries, entries, length);
	result = kvm_call(vcpu->fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	return result < 0 ? -1 : 0;
}

int vcpu_reset(struct vcpu *vcpu)
{
	const struct kvm_mp_state runs = {.mp_state = KVM_MP_STATE_RUNNABLE};
	struct kvm_cpuid2 *cpuid = kvm_supported_cpuid(&vcpu->machine->kvm);
	int result;

	if (cpuid == NULL)
		return -1;
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == 1) /* the number of its interrupt controller */
			entry->ebx = (entry->ebx & 0xffffff) | vcpu->index << 24;
		if (entry->function == 0xb || entry->function == 0x1f)
			entry->edx = vcpu->index;
	}
	result = kvm_call(vcpu->fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	if (result < 0)
		return -1;
	return kvm_call(vcpu->fd, KVM_SET_MP_STATE, &runs) < 0 ? -1 : 0;
}

/* ---- extended registers --------------------------------------------------------- */

static int save_xsave(const struct vcpu *vcpu, struct machine_state *state)
{
	const size_t length = vcpu->machine->kvm.xsave_length;
	void *area = calloc(1, length != 0 ? length : sizeof(struct kvm_xsave));
	int result;

	if (area == NULL)
		return fault("no memory for the extended registers of vCPU %u", vcpu->index);
	result = length != 0 ? kvm_call(vcpu->fd, KVM_GET_XSAVE2, area)
			     : kvm_call(vcpu->fd, KVM_GET_XSAVE, area);
	if (result >= 0)
		result = machine_state_add(state, RECORD_XSAVE, vcpu->index, area,
					   length != 0 ? length : sizeof(struct kvm_xsave));
	free(area);
	return result;
}

static int restore_xsave(const struct vcpu *vcpu, const struct machine_state *state)
{
	const size_t own = vcpu->machine->kvm.xsave_length;
	const void *area = record_of_length(state, RECORD_XSAVE, vcpu->index,
					    own != 0 ? own : sizeof(struct kvm_xsave),
					    "the extended registers of a vCPU");

	if (area == NULL)
		return -1;
	return kvm_call(vcpu->fd, KVM_SET_XSAVE, area) < 0 ? -1 : 0;
}

/* ---- model-specific registers --------------------------------------------------- */

/* Read or write registers, as far as KVM does: how many, and at most the one behind these is refused. */
static uint32_t access_msrs(const struct vcpu *vcpu, unsigned long request,
			    struct kvm_msr_entry *entries, uint32_t count)
{
	struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + count * sizeof(*entries));
	int done;

	if (msrs == NULL)
		return 0;
	msrs->nmsrs = count;
	memcpy(msrs->entries, entries, count * sizeof(*entries));
	done = ioctl(vcpu->fd, request, msrs);
	if (done > 0)
		memcpy(entries, msrs->entries, (uint32_t)done * sizeof(*entries));
	free(msrs);
	return done > 0 ? (uint32_t)done : 0;
}

/* Such as cannot be read are left out. How many were kept. */
static uint32_t read_msrs(const struct vcpu *vcpu, struct kvm_msr_entry *entries, uint32_t count)
{
	uint32_t kept = 0;

	while (kept < count) {
		kept += access_msrs(vcpu, KVM_GET_MSRS, entries + kept, count - kept);
		if (kept < count) {
			count--;
			memmove(entries + kept, entries + kept + 1,
				(count - kept) * sizeof(*entries));
		}
	}
	return kept;
}

static int save_msrs(const struct vcpu *vcpu, struct machine_state *state)
{
	struct kvm_msr_list *list = kvm_msr_list(&vcpu->machine->kvm);
	struct kvm_msr_entry *entries =
		list != NULL ? calloc(list->nmsrs + 1, sizeof(*entries)) : NULL;
	int result = -1;

	if (entries != NULL) {
		for (uint32_t i = 0; i < list->nmsrs; i++)
			entries[i].index = list->indices[i];
		result =
			machine_state_add(state, RECORD_MSRS, vcpu->index, entries,
					  read_msrs(vcpu, entries, list->nmsrs) * sizeof(*entries));
	} else if (list != NULL) {
		fault("no memory for %u registers of vCPU %u", list->nmsrs, vcpu->index);
	}
	free(entries);
	free(list);
	return result;
}

/* Some can be read, and not be written, at least not on this host: that matters only where
 * the vCPU would have another value than it had. */
static int check_msr(const struct vcpu *vcpu, const struct kvm_msr_entry *entry)
{
	struct kvm_msr_entry own = *entry;

	if (access_msrs(vcpu, KVM_GET_MSRS, &own, 1) == 1 && own.data == entry->data)
		return 0;
	return fault("vCPU %u: the model-specific register 0x%x cannot be 0x%llx on this host",
		     vcpu->index, entry->index, entry->data);
}

static int restore_msrs(const struct vcpu *vcpu, const struct machine_state *state)
{
	size_t length = 0;
	const void *saved = machine_state_find(state, RECORD_MSRS, vcpu->index, &length);
	struct kvm_msr_entry entries[KVM_MSRS_MOST];
	const uint32_t count = (uint32_t)(length / sizeof(entries[0]));

	if (saved == NULL || length % sizeof(entries[0]) != 0 || length > sizeof(entries))
		return fault("the state of the machine lacks the model-specific registers of "
			     "vCPU %u",
			     vcpu->index);
	memcpy(entries, saved, length);
	for (uint32_t done = 0; done < count; done++) {
		done += access_msrs(vcpu, KVM_SET_MSRS, entries + done, count - done);
		if (done < count && check_msr(vcpu, &entries[done]) != 0)
			return -1;
	}
	return 0;
}

/* ---- all of it ------------------------------------------------------------------ */

static int save_tsc_frequency(const struct vcpu *vcpu, struct machine_state *state)
{
	const int frequency = kvm_call(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	const uint64_t saved = (uint64_t)frequency;

	if (frequency < 0)
		return -1;
	return machine_state_add(state, RECORD_TSC_FREQUENCY, vcpu->index, &saved, sizeof(saved));
}

/* A host whose counter runs at another speed may have a way to make up for it; if it
 * has none, the guest's idea of time would be wrong. */
static int restore_tsc_frequency(const struct vcpu *vcpu, const struct machine_state *state)
{
	const uint64_t *saved = record_of_length(state, RECORD_TSC_FREQUENCY, vcpu->index,
						 sizeof(*saved), "the speed of a vCPU's clock");
	const int own = saved != NULL ? kvm_call(vcpu->fd, KVM_GET_TSC_KHZ, 0) : -1;

	if (own < 0)
		return -1;
	if ((uint64_t)own == *saved)
		return 0;
	return kvm_call(vcpu->fd, KVM_SET_TSC_KHZ, *saved) < 0 ? -1 : 0;
}

int vcpu_save(struct vcpu *vcpu, struct machine_state *state)
{
	if (save_cpuid(vcpu, state) != 0 || save_tsc_frequency(vcpu, state) != 0 ||
	    save_fixed(vcpu, &mp_state, state) != 0 || save_fixed(vcpu, &registers, state) != 0 ||
	    save_fixed(vcpu, &system_registers, state) != 0 || save_xsave(vcpu, state) != 0 ||
	    save_fixed(vcpu, &extended_control, state) != 0 ||
	    save_fixed(vcpu, &debug_registers, state) != 0 ||
	    save_fixed(vcpu, &lapic, state) != 0 || save_msrs(vcpu, state) != 0)
		return -1;
	return save_fixed(vcpu, &events, state);
}

int vcpu_restore(struct vcpu *vcpu, const struct machine_state *state)
{
	if (restore_cpuid(vcpu, state) != 0 || restore_tsc_frequency(vcpu, state) != 0 ||
	    restore_fixed(vcpu, &registers, state) != 0 ||
	    restore_fixed(vcpu, &system_registers, state) != 0 || restore_xsave(vcpu, state) != 0 ||
	    restore_fixed(vcpu, &extended_control, state) != 0 ||
	    restore_fixed(vcpu, &debug_registers, state) != 0 ||
	    restore_fixed(vcpu, &lapic, state) != 0 || restore_msrs(vcpu, state) != 0 ||
	    restore_fixed(vcpu, &mp_state, state) != 0)
		return -1;
	return restore_fixed(vcpu, &events, state);
}
