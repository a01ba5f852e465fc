/* SPDX-License-Identifier: MIT
 *
 * guest_traces.h - the recordings of W7, which are part of the program.
 */
#ifndef UFFDBENCH_GUEST_TRACES_H
#define UFFDBENCH_GUEST_TRACES_H

#include <stddef.h>
#include <stdint.h>

/* A trace as in its file, lazymem-trace(5). */
struct guest_trace {
	const char *name;
	const unsigned char *start;
	const unsigned char *end;
};

/* Two runs of the same thing, each from the start on, in guests that were made
 * alike: one to replay, the other one to touch. */
struct guest_recording {
	const char *name;
	uint64_t memory; /* bytes of the guest */
	struct guest_trace replayed;
	struct guest_trace touched;
};

/* NULL when index is not below their number. */
const struct guest_recording *guest_recording(size_t index);

#endif
