/* SPDX-License-Identifier: MIT
 *
 * pin.h - where the threads that touch and the threads that serve run.
 */
#ifndef UFFDBENCH_PIN_H
#define UFFDBENCH_PIN_H

#include <pthread.h>
#include <sched.h>

enum pin {
	PIN_NONE,  /* anywhere */
	PIN_SAME,  /* both on the first CPU that this process may use */
	PIN_OTHER, /* touchers on the first, handler on the second */
};

struct pin_cpus {
	int toucher; /* -1: anywhere */
	int handler; /* -1: anywhere */
};

/* The CPUs that `pin` means. -1, after a message, when there are too few. */
int pin_choose(enum pin pin, struct pin_cpus *ret_cpus);

const char *pin_name(enum pin pin);

/* Have a new thread run on `cpu`; nothing for -1. */
void pin_attributes(pthread_attr_t *attributes, int cpu);

/* Move the calling thread to `cpu` and back; nothing for -1. */
void pin_enter(int cpu, cpu_set_t *ret_before);
void pin_leave(int cpu, const cpu_set_t *before);

#endif
