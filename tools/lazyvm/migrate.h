/* SPDX-License-Identifier: MIT
 *
 * migrate.h - this side of a migration that the guest leaves from. There is one at a time.
 */
#ifndef LAZYVM_MIGRATE_H
#define LAZYVM_MIGRATE_H

#include "link.h"
#include "monitor.h"

#define MIGRATE_PATIENCE_MS 5000 /* unless told otherwise */
#define MIGRATE_PATIENCE_MOST_MS 3600000u
#define MIGRATE_ROUNDS_MOST 1000u

struct migrate_options {
	const char *address; /* of the destination */
	struct link_security security;
	unsigned rounds;           /* of pre-copy, at most */
	uint64_t bytes_per_second; /* of what nobody waits for; 0: no limit */
	unsigned patience_ms;      /* how long the destination may be silent */
	bool stops_first;          /* the guest stands still while all of its memory is copied */
};

struct migrate_report {
	uint64_t pause_ns; /* from the guest's last instruction here to word of its first there */
	uint64_t total_ns;
	unsigned rounds;
	uint64_t state_length; /* bytes of vCPUs and devices */
	unsigned reconnects;
	struct wire_progress progress; /* as the destination last told it */
};

/* Move the guest. 0: it runs there, and has all it needs. -1 and a sentence: it
 * runs here as if nothing had been, unless the sentence says otherwise. The
 * caller holds monitor->job. */
int migrate_run(struct monitor *monitor, const struct migrate_options *options,
		struct migrate_report *ret_report);

/* The command `pause` holds the guest: it would run there, and does not here. */
bool migrate_is_paused(struct monitor *monitor);

/* Is it up to this process whether the guest runs? -1: it was switched over. With `paused` of the
 * monitor held it stays so. */
int migrate_check_here(void);

/* Give the migration up. Once the guest was switched over only by force: it may
 * then run in two places. */
int migrate_cancel(bool force);

/* What `status` says of it: words of the form " name=value", or "". */
void migrate_describe(char *text, size_t length);

/* ---- between the files of it ------------------------------------------------------- */

enum migrate_phase {
	MIGRATE_NONE,
	MIGRATE_PREPARING, /* the destination is asked, and what is missing here is read */
	MIGRATE_COPYING,   /* in rounds, while the guest runs */
	MIGRATE_SWITCHING, /* the guest stands still; it was told to the destination, and from
			    * then on it alone decides who runs */
	MIGRATE_FILLING,   /* the guest runs there, and reads its memory here */
};

struct migration {
	struct monitor *monitor;
	const struct migrate_options *options;
	struct link link;
	struct export *export;
	struct lazymem_dirty *dirty; /* NULL without rounds */
	struct lazymem_dirty *zeros; /* what the next ROUND or LAST says of them */
	struct machine_state state;
	unsigned char token[WIRE_TOKEN];
	uint64_t paused_ns; /* CLOCK_MONOTONIC when the guest stopped; 0: it runs */
	struct migrate_report report;
};

/* ---- migrate_watch.c */

int migrate_begin(const struct migrate_options *options, int *ret_stop_fd);
void migrate_end(void);
void migrate_set_phase(enum migrate_phase phase, bool is_lost);
void migrate_show_progress(const struct wire_progress *progress);

/* From here on the destination decides. -1: it was cancelled just before. */
int migrate_commit(void);
bool migrate_is_committed(void);

/* The guest is about to be resumed here after all: to others, the migration is over. */
void migrate_take_back(void);

/* The guest is to be resumed here, come what may. */
bool migrate_is_forced(void);

/* ---- migrate.c */

enum link_result migrate_connect(struct migration *migration);

/* The next message but PROGRESS. LINK_STOPPED as well when the guest has ended. */
enum link_result migrate_await(struct migration *migration, struct wire_message *ret_message);

/* The same, which must be of this type: else LINK_NONSENSE. */
enum link_result migrate_expect(struct migration *migration, enum wire_type type,
				struct wire_message *ret_message);

/* Has the guest not ended by itself, or by somebody's will? */
enum link_result migrate_check_guest(struct migration *migration);
int migrate_note_progress(struct migration *migration, const struct wire_message *message);

/* Everything but the word, and the word. Both may be said again, over a new connection. */
enum link_result migrate_send_last(struct migration *migration);
enum link_result migrate_send_switch(struct migration *migration);

/* If it was stopped. */
void migrate_resume_guest(struct migration *migration);

/* ---- migrate_memory.c */

/* Read what the guest has not touched yet, so that its memory can be read by others. `tick` is
 * called now and then, and may fail. */
int migrate_populate(struct guest_memory *memory, int (*tick)(void *context), void *context);

/* The first part of the range that is not in the set (NULL: empty): *range is what lies behind it
 * then. False: there is none. */
bool migrate_take_gap(const struct lazymem_dirty *set, struct lazymem_guest_range *range,
		      struct lazymem_guest_range *ret_gap);

/* ---- migrate_zeros.c */

/* Make `zeros` what reads as zeros for sure now and whoever reads the memory file cannot tell. After
 * migrate_populate: nothing that is not zero may be missing. */
int migrate_find_zeros(struct lazymem_memory *memory, struct lazymem_dirty *zeros);

/* ---- migrate_rounds.c */

/* What was written, and what is zeros, as a ROUND or a LAST. */
enum link_result migrate_send_written(struct migration *migration, enum wire_type type,
				      unsigned number);

/* Rounds until little is left to send, or there have been enough. */
enum link_result migrate_copy_rounds(struct migration *migration);

/* ---- migrate_fate.c */

/* After SWITCH was said: the result of all of it. */
int migrate_await_fate(struct migration *migration);

#endif
