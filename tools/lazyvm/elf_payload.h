/* SPDX-License-Identifier: MIT
 *
 * elf_payload.h - the segments of a 64-bit ELF program that is loaded at the
 * physical addresses that it names. No field of it is trusted.
 */
#ifndef LAZYVM_ELF_PAYLOAD_H
#define LAZYVM_ELF_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#define ELF_PAYLOAD_SEGMENTS_MAX 16

struct elf_payload_segment {
	uint64_t address; /* in the guest */
	uint64_t length;
	const unsigned char *bytes; /* of the file; the rest is zero */
	uint64_t stored;
};

struct elf_payload {
	uint64_t entry;
	size_t segment_count;
	struct elf_payload_segment segments[ELF_PAYLOAD_SEGMENTS_MAX];
	uint64_t end; /* the first address behind all of them */
};

/* Find the segments in the bytes of a file, which must stay. 0, or -1 and a sentence. */
int elf_payload_parse(const unsigned char *bytes, size_t length, struct elf_payload *ret_payload);

#endif
