/* SPDX-License-Identifier: MIT
 *
 * receive.h - this side of a migration that a guest arrives at.
 *
 * Functions that can fail return 0, or -1 and leave a sentence in fault_message().
 */
#ifndef LAZYVM_RECEIVE_H
#define LAZYVM_RECEIVE_H

#include "link.h"
#include "monitor.h"

#include <pthread.h>
#include <stdatomic.h>

#define RECEIVE_PATIENCE_MS 5000u /* unless told otherwise */
#define RECEIVE_GIVE_UP_MS 60000u

struct receive_options {
	const char *address; /* to listen at */
	struct link_security security;
	struct guest_memory_options memory; /* of the guest, without anything to fill it from */
	const char *serial;
	uint64_t expected_memory; /* bytes; 0: any */
	unsigned expected_vcpus;  /* 0: any */
	unsigned patience_ms;     /* how long the source may be silent */
	unsigned give_up_ms;      /* how long it may be gone */
};

/* ---- receive_door.c: who knocks -------------------------------------------------
 *
 * A thread accepts connections, and each has one of its own until it has said
 * HELLO or RETURN. So a stranger, or somebody who connects and says nothing, holds up
 * nobody. */

struct door;

/* Somebody who said what a source says first. */
struct visitor {
	struct link link;
	bool returns;            /* RETURN; else HELLO */
	struct wire_hello hello; /* of RETURN the token alone */
};

/* `wake_fd`, an eventfd, is written to when there is a visitor. */
int door_open(const struct receive_options *options, int wake_fd, struct door **ret_door);

/* Who waits, if anybody does. Its link is the caller's then. */
bool door_take(struct door *door, struct visitor *ret_visitor);

/* The port it listens on. */
uint16_t door_port(const struct door *door);

/* NULL is allowed. */
void door_close(struct door *door);

/* ---- receive_memory.c: where the bytes come from --------------------------------- */

struct arrival;

/* Work that waits for the source, on a thread of its own: one at a time. */
enum arrival_job {
	JOB_NONE,
	JOB_OPEN, /* connect to the export, and make the machine */
	JOB_PULL, /* read what a round says */
	JOB_FILL, /* read the rest, while the guest runs */
};

int arrival_open(struct arrival *arrival);
int arrival_pull(struct arrival *arrival);
int arrival_fill(struct arrival *arrival);

/* From now on missing pages are read when they are touched. `present`: those that are
 * not missing; NULL: none. */
int arrival_attach(struct arrival *arrival, const struct lazymem_dirty *present);

/* Every read fails from now on, also those under way. */
void arrival_give_up(struct arrival *arrival);

/* How far it is. */
void arrival_progress(struct arrival *arrival, struct wire_progress *ret_progress);

/* ---- receive_arrival.c: one guest that arrives ------------------------------------ */

struct arrival {
	const struct receive_options *options;
	int wake_fd;
	struct wire_hello hello;
	struct wire_export export;
	char host[80]; /* of the source */
	uint64_t began;

	struct machine *machine; /* NULL: not made yet */
	struct lazymem_backing *backings[GUEST_MEMORY_REGIONS_MAX];
	pthread_mutex_t probe_lock;    /* of the next */
	struct lazymem_backing *probe; /* asked for what is data now, by JOB_PULL; or NULL */
	struct lazymem_dirty *present; /* pages that are not missing; NULL: no machine yet */
	struct lazymem_dirty *written; /* pages that a ROUND or a LAST is about */
	struct lazymem_dirty *zeros;   /* pages that it says are zeros, written or not */
	struct wire_round round;       /* which one that is */
	uint64_t ranges_there;         /* of it */
	uint64_t zeros_there;          /* the same of its zeros */
	uint64_t ranges_end;           /* guest address that the next one lies behind */
	bool has_last;                 /* it is a LAST */
	bool is_attached;              /* the memory */
	struct machine_state state;    /* as far as it has arrived */

	pthread_t thread; /* of the job */
	enum arrival_job job;
	atomic_bool job_is_over;
	int job_result;
	char job_sentence[WIRE_SENTENCE_MOST];

	atomic_bool runs;  /* the memory is attached, and the guest about to run */
	atomic_bool stops; /* nothing is needed of the source any more, and no job goes on */
};

/* Check what the source says of itself. */
int arrival_create(const struct receive_options *options, const struct visitor *visitor,
		   int wake_fd, struct arrival **ret_arrival);

/* With its machine, which nobody may use any more. NULL is allowed. */
void arrival_destroy(struct arrival *arrival);

int arrival_take_export(struct arrival *arrival, const struct wire_message *message);

int arrival_start_job(struct arrival *arrival, enum arrival_job job);

/* Which job has ended since it was last asked, if any has, and how. */
enum arrival_job arrival_take_job(struct arrival *arrival, int *ret_result);

/* A ROUND or a LAST begins; its RANGES or ZEROS; are they all there? */
int arrival_take_round(struct arrival *arrival, const struct wire_message *message);
int arrival_take_ranges(struct arrival *arrival, const struct wire_message *message);
bool arrival_has_ranges(const struct arrival *arrival);

int arrival_take_state(struct arrival *arrival, const struct wire_message *message);

/* What is zeros needs not be read. Nobody may use the memory yet. */
int arrival_fill_zeros(struct arrival *arrival);

/* SWITCH: memory and state are made what they were there. The vCPUs stand still. */
int arrival_switch(struct arrival *arrival, const struct wire_message *message);

/* ---- receive.c ---------------------------------------------------------------------- */

/* Wait for a guest, run it, and return the exit status of the process. */
int receive_run(const struct receive_options *options, const struct monitor_options *monitor);

#endif
