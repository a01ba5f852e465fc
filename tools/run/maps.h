/* SPDX-License-Identifier: MIT
 *
 * maps.h - what the kernel says of a mapping of this process.
 */
#ifndef RUN_MAPS_H
#define RUN_MAPS_H

#include <stdint.h>

struct run_mapped {
	uintptr_t start, end; /* of the whole mapping that holds the address */
	int protection;       /* PROT_* */
};

/* 0; EFAULT: nothing is mapped there; or an errno value after a message. */
int run_maps_find(uintptr_t address, struct run_mapped *ret_mapped);

#endif
