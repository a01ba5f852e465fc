/* SPDX-License-Identifier: MIT
 *
 * machine.h - what the numbers were measured on.
 */
#ifndef UFFDBENCH_MACHINE_H
#define UFFDBENCH_MACHINE_H

#include <stdint.h>

struct machine {
	char kernel[128];
	char architecture[64];
	char cpu[128];
	unsigned cpus;              /* that this process may use */
	uint64_t memory_bytes;      /* of the machine */
	char clock[64];             /* clock source of the kernel */
	char hugepages[64];         /* transparent_hugepage/enabled */
	unsigned realtime_priority; /* of this process; 0: it has none */
	uint64_t filesystem;        /* magic number of the image's file system; 0: unknown */
};

struct machine machine_read(const char *directory);

#endif
