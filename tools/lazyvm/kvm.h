/* SPDX-License-Identifier: MIT
 *
 * kvm.h - the descriptors of /dev/kvm, and its ioctls with a sentence for each
 * that fails.
 */
#ifndef LAZYVM_KVM_H
#define LAZYVM_KVM_H

#include <linux/kvm.h>
#include <stddef.h>

struct kvm {
	int system;
	int vm;
	size_t run_length;   /* of what KVM shares with us for each vCPU */
	size_t xsave_length; /* of an XSAVE area; 0: KVM_GET_XSAVE, and its struct */
};

/* One ioctl. 0 or what it answered, or -1 and a sentence with `what` in it. */
#define kvm_call(fd, request, argument)                                                            \
	kvm_call_named(fd, request, (unsigned long)(argument), #request)
int kvm_call_named(int fd, unsigned long request, unsigned long argument, const char *name);

/* Open /dev/kvm, and make a virtual machine with interrupt controllers and a
 * timer. Functions that can fail return 0, or -1 and leave a sentence. */
int kvm_create(struct kvm *ret_kvm);
void kvm_close(struct kvm *kvm);

/* The features that this host and KVM have, without nested virtualisation,
 * whose state would be one more to keep. For the caller to free. NULL: a sentence. */
struct kvm_cpuid2 *kvm_supported_cpuid(const struct kvm *kvm);

#define KVM_MSRS_MOST 4096

/* The registers that are to be kept, at most so many. For the caller to free. NULL: a sentence. */
struct kvm_msr_list *kvm_msr_list(const struct kvm *kvm);

#endif
