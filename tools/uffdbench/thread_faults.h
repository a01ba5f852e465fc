/* SPDX-License-Identifier: MIT
 *
 * thread_faults.h - what the kernel knows of the faults of a thread.
 */
#ifndef UFFDBENCH_THREAD_FAULTS_H
#define UFFDBENCH_THREAD_FAULTS_H

#include <sys/resource.h>

/* Page faults of this thread so far, whoever has resolved them. */
static inline long thread_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

#endif
