/* SPDX-License-Identifier: MIT
 *
 * machine.h - a virtual machine: guest memory, vCPUs with a thread each, and
 * three devices (devices.h).
 *
 *    begun
 *      | complete
 *   created --- boot or restore ---> paused <--- pause, resume ---> running
 *                                      |                              |
 *                                      +---------> ended <------------+
 *
 * Pauses are counted: whoever pauses resumes, and the vCPUs run while nobody
 * holds them. `ended` is final: the guest has written to its exit port, or it cannot go
 * on. Its memory and its registers stay as they are, to be looked at, until the
 * machine is destroyed.
 *
 * Functions that can fail return 0, or -1 and leave a sentence in fault_message().
 */
#ifndef LAZYVM_MACHINE_H
#define LAZYVM_MACHINE_H

#include "guest_memory.h"
#include "machine_state.h"

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_VCPUS_MAX 64

struct machine;

struct machine_shape {
	unsigned vcpu_count;
	struct guest_memory_shape memory;
};

struct machine_options {
	struct machine_shape shape;
	struct guest_memory_options memory;
	const char *serial; /* a file that what the guest prints is appended to; NULL: standard
			     * output */
};

/* A machine of which nothing is known yet. The kernel goes on with some of it after this has
 * returned, and giving it memory waits for that: so begin before you look at what it is to be. */
int machine_begin(struct machine **ret_machine);

/* The rest. Paused once: the caller's to resume. Its memory is made, and not attached. A machine
 * that this fails for is only good to be destroyed. */
int machine_complete(struct machine *machine, const struct machine_options *options);

/* Both in one go. */
int machine_create(const struct machine_options *options, struct machine **ret_machine);

/* The vCPUs are stopped, and the memory is let go of. NULL is allowed. */
void machine_destroy(struct machine *machine);

/* What it was made of; borrowed. */
struct guest_memory *machine_memory(struct machine *machine);
const struct machine_shape *machine_shape(const struct machine *machine);

/* What a payload is told, in memory (boot.h). */
struct machine_payload {
	const char *name; /* for messages */
	const void *elf;  /* the bytes of the ELF file */
	size_t elf_length;
	const uint64_t *arguments;         /* words that it is handed */
	size_t argument_count;             /* at most BOOT_ARGUMENTS_MAX */
	const struct lazymem_trace *trace; /* pages to touch; NULL: none */
};

/* Load a payload, and set the vCPUs to its beginning. The memory is attached, the
 * machine paused. */
int machine_boot(struct machine *machine, const struct machine_payload *payload);

/* Every vCPU has left the kernel and stands still when this returns, or the machine has ended:
 * then one may still wait for a page. Any thread but a vCPU's. */
void machine_pause(struct machine *machine);

/* One pause less; the vCPUs run when it was the last. Any thread. */
void machine_resume(struct machine *machine);

/* The vCPUs stand still because somebody paused them. Any thread. */
bool machine_is_paused(struct machine *machine);

/* All state but the memory, for the caller to free. The machine is paused; refused where it has
 * ended and a vCPU still waits for a page. */
int machine_save(struct machine *machine, struct machine_state *ret_state);

/* The other way: into a machine that was just created, with its memory attached.
 * `state` was checked, and must be that of a machine of the same shape. The first
 * thing that differs is named. */
int machine_restore(struct machine *machine, const struct machine_state *state);

/* What shape does a state ask for, that was checked? To create the machine that it is
 * restored into. */
int machine_state_shape(const struct machine_state *state, struct machine_shape *ret_shape);

enum machine_end {
	MACHINE_GOES_ON = 0, /* not ended */
	MACHINE_EXITED,      /* by its exit port */
	MACHINE_FAILED,      /* it cannot go on; the sentence says why */
	MACHINE_LEFT,        /* somebody ended it: quit, or it goes on elsewhere */
};

/* End it: the first one counts. Never waits for vCPUs. status: the exit status of the
 * process. Any thread, vCPUs' too. */
void machine_end(struct machine *machine, enum machine_end end, int status, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* How it ended; ret_status and ret_reason (copied, for the caller to free) may be NULL.
 * Any thread. */
enum machine_end machine_get_end(struct machine *machine, int *ret_status, char **ret_reason);

/* Readable once it has ended, for poll. */
int machine_end_fd(const struct machine *machine);

/* Nanoseconds of CLOCK_MONOTONIC at which the first vCPU entered the guest; 0: none has. */
uint64_t machine_first_run(const struct machine *machine);

/* Exits to user space of all vCPUs together. Any thread. */
uint64_t machine_exits(const struct machine *machine);

/* Bytes that the guest has given back through its balloon. Any thread. */
uint64_t machine_discarded(const struct machine *machine);

#endif
