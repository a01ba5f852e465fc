/* SPDX-License-Identifier: MIT
 *
 * fault_loop.h - what floor, naive, mapped and reap have in common: guest
 * memory whose missing pages one thread serves, one message at a time.
 */
#ifndef UFFDBENCH_FAULT_LOOP_H
#define UFFDBENCH_FAULT_LOOP_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct fault_loop {
	/* Filled in by the engine. Both calls run on the thread and return 0 or
	 * a negative errno value. */
	int (*begin)(struct fault_loop *loop); /* before the first poll; may be NULL */
	int (*serve)(struct fault_loop *loop, size_t offset); /* install the page at offset */
	void *context;
	const char *name; /* for messages */
	size_t length;    /* of the guest memory, in bytes */
	int cpu;          /* where the thread runs; -1: anywhere */

	/* Filled in by fault_loop_start. */
	unsigned char *memory;
	int fd;
	uint64_t faults; /* messages read; stable while nothing faults */
	int error;       /* why the thread gave up, or 0; valid after fault_loop_stop */
	pthread_t thread;
};

/* Map the memory, register it and start the thread. 0, or -1 after a message. */
int fault_loop_start(struct fault_loop *loop);

/* Stop the thread and unmap. 0, or -1 after a message when serving had failed. */
int fault_loop_stop(struct fault_loop *loop);

/* Install one page and wake whoever waits for it. */
int fault_loop_install(struct fault_loop *loop, size_t offset, const void *page);

#endif
