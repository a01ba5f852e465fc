/* SPDX-License-Identifier: MIT
 *
 * nbd_object.h - an NBD export as a backing object: what its files share.
 *
 *   nbd         open, the operations, statistics: any thread
 *   nbd_thread  the loop of the object's own thread
 *   nbd_link    a connection that is made again when it is lost, and what has
 *               become of the server
 *   nbd_request bytes on their way over a link
 *   nbd_scan    asking for the holes
 *   nbd_reads, nbd_window, nbd_connection: see their headers
 */
#ifndef LM_NBD_OBJECT_H
#define LM_NBD_OBJECT_H

#include "backing/extent_map.h"
#include "backing/nbd_connection.h"
#include "backing/nbd_reads.h"
#include "backing/nbd_window.h"

#include <lazymem/nbd.h>
#include <pthread.h>
#include <stdatomic.h>

#define LM_NBD_CONNECTIONS_MOST 16 /* of a role */
#define LM_NBD_LINKS_MOST (LM_NBD_ROLES * LM_NBD_CONNECTIONS_MOST)
#define LM_NBD_DEPTH 32 /* requests under way over one connection */
#define LM_NBD_SENTENCE 640
#define LM_NBD_FIRST_PAUSE_NS UINT64_C(1000000) /* before a link is made again */

struct lm_nbd;

/* Bytes of one read on their way. In one list: that of its link, of those to be
 * asked for again, or of the spare ones. */
struct lm_nbd_request {
	struct lm_nbd_ask ask; /* the first member */
	struct lm_nbd_request *next, *previous;
	struct lm_nbd_link *link; /* it is under way over, or NULL */
	struct lm_nbd *object;
	struct lm_nbd_range left; /* what is to be brought */
	size_t brings;            /* bytes of it that were asked for */
	unsigned char *bounce;    /* where they come to when more has to be asked for, or NULL */
	enum lm_nbd_role role;    /* when it went off */
	uint64_t sent;            /* when it did, ns */
};

struct lm_nbd_requests {
	struct lm_nbd_request *first, *last;
};

enum lm_nbd_link_state { LM_NBD_LINK_DOWN, LM_NBD_LINK_CONNECTING, LM_NBD_LINK_UP };

struct lm_nbd_link {
	struct lm_nbd_connection *connection; /* unless it is down */
	struct lm_nbd_limits limits;          /* when it is up */
	struct lm_nbd_requests requests;      /* under way */
	size_t bytes;                         /* of them */
	unsigned count;
	enum lm_nbd_role role;
	enum lm_nbd_link_state state;
	bool was_up;
	bool is_dead;        /* found out while it was asked */
	bool owes;           /* an answer, at least one */
	uint64_t since;      /* when it came into this state, ns */
	uint64_t due;        /* when to connect again, ns */
	uint64_t pause;      /* before the next try, ns */
	uint64_t last_heard; /* when it last answered, or began to owe an answer, ns */
	uint64_t patience;   /* how long it may owe one, ns */
};

enum lm_nbd_scan_state {
	LM_NBD_SCAN_IDLE,
	LM_NBD_SCAN_WANTED, /* from the beginning on */
	LM_NBD_SCAN_ASKED,
	LM_NBD_SCAN_NEXT, /* to be asked */
};

/* Asking for the holes of the whole export. */
struct lm_nbd_scan {
	struct lm_nbd_extents_ask ask; /* the first member */
	struct lm_nbd *object;
	enum lm_nbd_scan_state state;
	struct lm_nbd_link *link; /* it is asked over, or NULL */
	struct lm_extent_map map; /* so far */
	uint64_t offset;          /* the same */
	unsigned answers;
};

/* What is counted. Of the thread; anybody reads. */
struct lm_nbd_counts {
	_Atomic uint64_t connections, reconnects, repeated, failed, hurried, window;
	_Atomic uint64_t requests[LM_NBD_ROLES], bytes[LM_NBD_ROLES];
};

struct lm_nbd {
	char *uri;
	unsigned link_counts[LM_NBD_ROLES];
	uint64_t give_up_ns, timeout_ns;
	bool has_identity;
	struct lazymem_identity identity;
	void (*on_state)(void *context, enum lazymem_nbd_state state, const char *sentence);
	void *context;

	struct lm_nbd_reads reads;
	struct lm_nbd_counts counts;
	pthread_t thread;
	int wake_fd; /* eventfd */

	pthread_rwlock_t map_lock;
	struct lm_extent_map map; /* which bytes are data, when has_map */
	bool has_map;

	/* What others ask of the thread, and what it answers. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closing, abandoned, is_orphan;
	bool is_opening;  /* until it was opened with all that belongs to it */
	bool opened;      /* or could not be: open_error */
	bool scan_wanted; /* until the thread has seen it */
	bool scan_over;
	int open_error, scan_error;
	char sentence[LM_NBD_SENTENCE]; /* of the error */
	pthread_mutex_t update_lock;    /* one scan at a time */

	/* The thread's own. */
	struct lm_nbd_link *links;
	unsigned link_count;
	unsigned up[LM_NBD_ROLES]; /* links */
	unsigned next_stream;      /* link to be served */
	uint64_t size;             /* of the export; 0: never connected */
	enum lazymem_nbd_state state;
	int ended;                /* nothing is connected any more, and reads end with this */
	uint64_t silent_since;    /* nobody has answered what was asked, or is there; 0: one does */
	uint64_t no_stream_since; /* no stream link is up */
	struct lm_nbd_window window;
	struct lm_nbd_request *pool;
	struct lm_nbd_requests spare, again;
	struct lm_nbd_scan scan;
};

/* Is an answer due over this link? */
static inline bool lm_nbd_link_is_owed(const struct lm_nbd *object, const struct lm_nbd_link *link)
{
	return link->count > 0 ||
	       (object->scan.state == LM_NBD_SCAN_ASKED && object->scan.link == link);
}

/* ---- nbd_thread.c */

/* Serve the object until it is closed. */
void *lm_nbd_serve(void *object);

/* Let the thread look at what has changed. Any thread. */
void lm_nbd_wake(const struct lm_nbd *object);

/* Free all but the thread. */
void lm_nbd_destroy(struct lm_nbd *object);

/* ---- nbd_link.c, on the thread */

/* Connect what is due, give up what was silent for too long; and when to look again. */
void lm_nbd_links_tick(struct lm_nbd *object, uint64_t now);
uint64_t lm_nbd_links_due(const struct lm_nbd *object);

/* poll(2) said this of the link. */
void lm_nbd_link_advance(struct lm_nbd *object, struct lm_nbd_link *link, short revents);

/* The server has answered over it; something is asked over it. */
void lm_nbd_link_heard(struct lm_nbd *object, struct lm_nbd_link *link, uint64_t now);
void lm_nbd_link_owes(struct lm_nbd_link *link, uint64_t now);

/* The link to ask over; NULL: none now, and *ret_due is lowered if that may be a
 * matter of time. */
struct lm_nbd_link *lm_nbd_link_for(struct lm_nbd *object, enum lm_nbd_role role, uint64_t now,
				    uint64_t *ret_due);

/* Let go of the server for good: every read ends with this error. */
void lm_nbd_links_end(struct lm_nbd *object, int error);

/* ---- nbd_request.c, on the thread */

int lm_nbd_requests_create(struct lm_nbd *object);
void lm_nbd_requests_destroy(struct lm_nbd *object);

/* Ask for what reads want, as far as links and the window allow. */
void lm_nbd_requests_send(struct lm_nbd *object, uint64_t now, uint64_t *ret_due);

/* The link is lost: its requests are asked again, or end with the error that reads
 * are refused with. */
void lm_nbd_requests_take_back(struct lm_nbd *object, struct lm_nbd_link *link);

/* What is to be asked again ends with this error. */
void lm_nbd_requests_fail(struct lm_nbd *object, int error);

/* ---- nbd_scan.c, on the thread */

/* Begin a scan that is wanted, if there is a link for it. */
void lm_nbd_scan_go_on(struct lm_nbd *object, uint64_t now);

/* The link is lost: what was asked over it is asked again from the beginning. */
void lm_nbd_scan_lost(struct lm_nbd *object, const struct lm_nbd_link *link);

/* Whoever waits is told of this error; the sentence is lazymem_error_message's. */
void lm_nbd_scan_end(struct lm_nbd *object, int error);

#endif
