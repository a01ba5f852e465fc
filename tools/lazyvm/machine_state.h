/* SPDX-License-Identifier: MIT
 *
 * machine_state.h - all that a machine is beside its guest memory, as one array
 * of bytes: what a snapshot keeps in the blob "lazyvm", what `--state` reads
 * from a file, and what a migration sends.
 *
 *   header   magic, version, flags, length of all, checksum of what follows, number of records
 *   record   type, index (of the vCPU), length, bytes; begins at a multiple of 8
 *
 * Whoever reads it trusts none of that: bytes that are cut off, damaged, of
 * another version, with a flag or a type that is not known, are refused as a whole. The
 * bytes of most records are those of the KVM structures, whose layout never changes;
 * everything is little-endian.
 *
 * Functions that can fail return 0, or -1 and leave a sentence in fault_message().
 */
#ifndef LAZYVM_MACHINE_STATE_H
#define LAZYVM_MACHINE_STATE_H

#include <lazymem/snapshot.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_STATE_BLOB "lazyvm"
#define MACHINE_STATE_VERSION 1
#define MACHINE_STATE_MOST ((size_t)16 << 20) /* bytes; for who receives one */

enum machine_record {
	RECORD_SHAPE = 1, /* struct machine_shape, see machine_saving.c */
	RECORD_DEVICES,   /* see devices.c */
	RECORD_CLOCK,
	RECORD_IRQCHIP, /* index: which of the three */
	RECORD_PIT,
	RECORD_CPUID, /* from here on: one for each vCPU */
	RECORD_REGISTERS,
	RECORD_SYSTEM_REGISTERS,
	RECORD_XSAVE,
	RECORD_XCRS,
	RECORD_DEBUG_REGISTERS,
	RECORD_LAPIC,
	RECORD_MSRS,
	RECORD_EVENTS,
	RECORD_MP_STATE,
	RECORD_TSC_FREQUENCY,
	RECORD_TYPES,
};

struct machine_state {
	unsigned char *bytes; /* allocated with malloc */
	size_t length;
	size_t capacity;
};

/* Add a record. After the last one: machine_state_seal. */
int machine_state_add(struct machine_state *state, enum machine_record type, uint32_t index,
		      const void *bytes, size_t length);
void machine_state_seal(struct machine_state *state);

/* Is it sound, as far as can be said without knowing what is in the records? `name`: where it
 * came from, for the sentence. */
int machine_state_check(const struct machine_state *state, const char *name);

/* The bytes of a record of a state that was checked; borrowed, aligned to 8. NULL: there
 * is none. */
const void *machine_state_find(const struct machine_state *state, enum machine_record type,
			       uint32_t index, size_t *ret_length);

/* From the blob of a snapshot; checked. */
int machine_state_from_snapshot(struct machine_state *state,
				const struct lazymem_snapshot *snapshot);

/* Tolerates one of all zeros, and leaves one. */
void machine_state_free(struct machine_state *state);

#endif
