/* SPDX-License-Identifier: MIT
 *
 * common.h - what every other header of lazymem stands on: visibility, the
 * guest address, the span and the error message.
 *
 * Conventions of the whole interface:
 *  - a call that can fail returns 0 or a negative errno value and leaves one
 *    sentence in lazymem_error_message();
 *  - outputs come last, are named ret_*, and are untouched on failure;
 *  - ranges are (start, length) in bytes;
 *  - options structs begin with their own size; fields that a newer header has
 *    and this library does not know are accepted only while they are zero.
 */
#ifndef LAZYMEM_COMMON_H
#define LAZYMEM_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAZYMEM_VERSION_MAJOR 0
#define LAZYMEM_VERSION_MINOR 1
#define LAZYMEM_VERSION_PATCH 0

#if defined(__GNUC__)
#define LAZYMEM_PUBLIC __attribute__((visibility("default")))
#else
#define LAZYMEM_PUBLIC
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* An address in the guest's physical address space. A struct of its own, so
 * that it cannot be mistaken for an offset, a length or a host pointer.
 * Since 0.1. */
typedef struct lazymem_guest_address {
	uint64_t value;
} lazymem_guest_address;

/* Host memory behind a piece of guest memory: `length` bytes from `host` on.
 * Since 0.1. */
struct lazymem_span {
	void *host;
	size_t length;
};

/* What a memory image is known by: equal identities, equal bytes. A trace is
 * bound to one, and a snapshot names its parent by it. All zeros mean none.
 * Since 0.1. */
struct lazymem_identity {
	unsigned char bytes[32];
};

/* The version of the library that runs, "MAJOR.MINOR.PATCH".
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC const char *lazymem_version(void);

/* One sentence for a person about the last call that failed on this thread;
 * names the culprit ("region 2 [0x1000+0x2000] overlaps region 1 [...]").
 * Never NULL; "" before the first failure. Valid until this thread's next
 * call into the library that fails. Any thread. Since 0.1. */
LAZYMEM_PUBLIC const char *lazymem_error_message(void);

/* address + length. -EOVERFLOW when the sum does not fit in 64 bits.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_guest_address_add(lazymem_guest_address address, uint64_t length,
					     lazymem_guest_address *ret_sum);

/* address - length. -EOVERFLOW when the difference would be below zero.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_guest_address_subtract(lazymem_guest_address address, uint64_t length,
						  lazymem_guest_address *ret_difference);

/* The bytes from `base` up to `address`. -EOVERFLOW when address < base.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_guest_address_offset(lazymem_guest_address address,
						lazymem_guest_address base, uint64_t *ret_offset);

/* The next multiple of `alignment` at or above address. -EINVAL when
 * alignment is no power of two, -EOVERFLOW when there is no such multiple
 * below 2^64. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_guest_address_align_up(lazymem_guest_address address, uint64_t alignment,
						  lazymem_guest_address *ret_aligned);

/* The multiple of `alignment` at or below address. -EINVAL when alignment is
 * no power of two. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_guest_address_align_down(lazymem_guest_address address,
						    uint64_t alignment,
						    lazymem_guest_address *ret_aligned);

/* address & mask. Any thread. Since 0.1. */
LAZYMEM_PUBLIC lazymem_guest_address lazymem_guest_address_mask(lazymem_guest_address address,
								uint64_t mask);

/* Below, equal or above zero as a is below, equal to or above b.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_guest_address_compare(lazymem_guest_address a, lazymem_guest_address b);

#ifdef __cplusplus
}
#endif
#endif
