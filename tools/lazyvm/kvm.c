/* SPDX-License-Identifier: MIT */
#include "kvm.h"
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Pages that Intel's virtualisation needs for itself, below the firmware's place. */
#define IDENTITY_MAP 0xfffbc000ul
#define TASK_STATE 0xfffbd000ul

#define CPUID_ENTRIES 256

#define FEATURE_VMX (1u << 5) /* leaf 1, ECX */
#define FEATURE_SVM (1u << 2) /* leaf 0x80000001, ECX */

int kvm_call_named(int fd, unsigned long request, unsigned long argument, const char *name)
{
	const int result = ioctl(fd, request, argument);

	return result >= 0 ? result : fault("%s: %s", name, strerror(errno));
}

static int open_system(struct kvm *kvm)
{
	int version;
	int length;

	kvm->system = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm->system < 0)
		return fault("/dev/kvm: %s", strerror(errno));
	version = kvm_call(kvm->system, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return fault("/dev/kvm: its interface is of version %d, and not %d", version,
			     KVM_API_VERSION);
	if (kvm_call(kvm->system, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0)
		return fault("/dev/kvm: has no immediate exit: Linux 4.13 has");
	length = kvm_call(kvm->system, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (length < (int)sizeof(struct kvm_run))
		return fault("/dev/kvm: shares only %d bytes for a vCPU", length);
	kvm->run_length = (size_t)length;
	return 0;
}

static int create_vm(struct kvm *kvm)
{
	const struct kvm_pit_config timer = {0};
	const unsigned long identity_map = IDENTITY_MAP;
	int length;

	kvm->vm = kvm_call(kvm->system, KVM_CREATE_VM, 0);
	if (kvm->vm < 0 || kvm_call(kvm->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
	    kvm_call(kvm->vm, KVM_SET_TSS_ADDR, TASK_STATE) < 0 ||
	    kvm_call(kvm->vm, KVM_CREATE_IRQCHIP, 0) < 0 ||
	    kvm_call(kvm->vm, KVM_CREATE_PIT2, &timer) < 0)
		return -1;
	length = kvm_call(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	kvm->xsave_length = length > (int)sizeof(struct kvm_xsave) ? (size_t)length : 0;
	return 0;
}

int kvm_create(struct kvm *ret_kvm)
{
	struct kvm kvm = {.system = -1, .vm = -1};

	if (open_system(&kvm) != 0 || create_vm(&kvm) != 0) {
		kvm_close(&kvm);
		return -1;
	}
	*ret_kvm = kvm;
	return 0;
}

void kvm_close(struct kvm *kvm)
{
	if (kvm->vm >= 0)
		close(kvm->vm);
	if (kvm->system >= 0)
		close(kvm->system);
	kvm->vm = -1;
	kvm->system = -1;
}

static void hide_nested(struct kvm_cpuid2 *cpuid)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == 1)
			cpuid->entries[i].ecx &= ~FEATURE_VMX;
		if (cpuid->entries[i].function == 0x80000001u)
			cpuid->entries[i].ecx &= ~FEATURE_SVM;
	}
}

struct kvm_cpuid2 *kvm_supported_cpuid(const struct kvm *kvm)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));

	if (cpuid == NULL) {
		fault("no memory for the features of a vCPU");
		return NULL;
	}
	cpuid->nent = CPUID_ENTRIES;
	if (kvm_call(kvm->system, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
		free(cpuid);
		return NULL;
	}
	hide_nested(cpuid);
	return cpuid;
}

struct kvm_msr_list *kvm_msr_list(const struct kvm *kvm)
{
	struct kvm_msr_list *list =
		calloc(1, sizeof(*list) + KVM_MSRS_MOST * sizeof(list->indices[0]));

	if (list == NULL) {
		fault("no memory for the registers of a vCPU");
		return NULL;
	}
	list->nmsrs = KVM_MSRS_MOST;
	if (kvm_call(kvm->system, KVM_GET_MSR_INDEX_LIST, list) < 0) {
		free(list);
		return NULL;
	}
	return list;
}
