/* SPDX-License-Identifier: MIT
 *
 * machine_parts.h - what a machine is made of, for the files that make it up.
 */
#ifndef LAZYVM_MACHINE_PARTS_H
#define LAZYVM_MACHINE_PARTS_H

#include "kvm.h"
#include "machine.h"

#include <pthread.h>
#include <stdatomic.h>

/* What a guest may say at its ports (devices.c). */
struct devices {
	pthread_mutex_t lock; /* one vCPU at a time */
	int serial;           /* descriptor that what is printed goes to */
	bool owns_serial;
	bool is_stuck;              /* nobody took what was printed last */
	uint32_t discard_page;      /* of the balloon: where the range begins, in pages */
	uint32_t discard_result;    /* of the last range: 0, or 1 for a refusal */
	_Atomic uint64_t discarded; /* bytes given back */
};

struct vcpu {
	struct machine *machine;
	unsigned index;
	int fd;
	struct kvm_run *run; /* shared with the kernel */
	pthread_t thread;
	bool has_thread;
	bool is_running; /* may be in the guest; under the machine's lock */
	_Atomic uint64_t exits;
};

struct machine {
	struct machine_shape shape;
	struct kvm kvm;
	struct guest_memory *memory;
	struct devices devices;
	struct vcpu vcpus[MACHINE_VCPUS_MAX];

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	unsigned pauses;      /* of those who hold the vCPUs */
	bool leaves;          /* the threads are to end */
	enum machine_end end; /* and then the vCPUs stand still for good */
	int status;
	char *reason;

	/* pauses, leaves or end: the vCPUs must not be in the guest. */
	atomic_bool stands;
	int end_fd; /* an eventfd */
	_Atomic uint64_t first_run;
};

/* No vCPU is in the guest. */
bool machine_stands_still(struct machine *machine);

/* KVM sees the memory where the library has mapped it. Once, and after it was attached:
 * attaching would else change what KVM knows already. */
int machine_give_memory(struct machine *machine);

/* ---- vcpu.c: a thread that runs a vCPU while nobody holds it ------------------- */

/* Before any thread is started: once in the process. */
int vcpu_prepare_kicks(void);
int vcpu_create(struct machine *machine, unsigned index);
int vcpu_start(struct vcpu *vcpu);

/* The vCPU leaves the guest soon, and looks at machine->stands. Under the machine's lock. */
void vcpu_kick(struct vcpu *vcpu);

/* Its thread has been told to leave. Tolerates a vCPU of all zeros. */
void vcpu_destroy(struct vcpu *vcpu);

/* ---- vcpu_state.c, vm_state.c: what KVM knows, as records; all stand still ------- */

/* The features of a fresh vCPU, and that it runs from the beginning. */
int vcpu_reset(struct vcpu *vcpu);
int vcpu_save(struct vcpu *vcpu, struct machine_state *state);
int vcpu_restore(struct vcpu *vcpu, const struct machine_state *state);
int vm_save(const struct kvm *kvm, struct machine_state *state);
int vm_restore(const struct kvm *kvm, const struct machine_state *state);

/* A record of exactly this length. NULL leaves a sentence, which `what` is in. */
const void *record_of_length(const struct machine_state *state, enum machine_record type,
			     uint32_t index, size_t length, const char *what);

/* ---- devices.c -------------------------------------------------------------------- */

int devices_create(struct devices *devices, const char *serial);
void devices_destroy(struct devices *devices);
int devices_save(const struct devices *devices, struct machine_state *state);
int devices_restore(struct devices *devices, const struct machine_state *state);

/* The guest has read from or written to a port. On the thread of the vCPU. */
void devices_access(struct vcpu *vcpu);

#endif
