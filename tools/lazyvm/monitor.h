/* SPDX-License-Identifier: MIT
 *
 * monitor.h - a machine that runs, with a control socket, until it ends. What
 * run, restore and receive have in common once they have a machine.
 */
#ifndef LAZYVM_MONITOR_H
#define LAZYVM_MONITOR_H

#include "machine.h"
#include "snapshots.h"

#include <pthread.h>
#include <stdbool.h>

struct monitor {
	struct machine *machine;
	struct snapshots snapshots;
	uint64_t began;         /* CLOCK_MONOTONIC, ns: when the command began */
	pthread_mutex_t job;    /* held by whoever snapshots, migrates or discards: one at a time */
	pthread_mutex_t paused; /* of the next */
	bool is_paused;         /* by the command `pause` */
	int quit_fd;            /* eventfd: somebody said `quit` */
};

/* As the command `quit`. Any thread. */
void monitor_quit(struct monitor *monitor);

struct monitor_options {
	const char *control;   /* path of the socket; NULL: none */
	bool begins_paused;    /* until `resume` */
	bool prints_first_run; /* say on stderr how long it took to the first instruction */
	uint64_t began;        /* CLOCK_MONOTONIC, ns */
	const struct lazymem_snapshot *parent; /* that the guest came from; NULL: none */
};

/* Resume the machine and serve the control socket until the machine has ended
 * (and `quit` was said, where it failed and there is a control socket). The machine
 * is the caller's, paused once, and its memory attached. Returns the exit status of the
 * process. */
int monitor_run(struct machine *machine, const struct monitor_options *options);

#endif
