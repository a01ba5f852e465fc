/* SPDX-License-Identifier: MIT
 *
 * actor.h - a thread that does one thing, which may block in a fault, and an
 * access that survives the signal a poisoned page raises.
 */
#ifndef TEST_ACTOR_H
#define TEST_ACTOR_H

#include "harness.h"
#include <pthread.h>

struct actor {
	pthread_t thread;
	int (*act)(void *argument);
	void *argument;
	int result;
	uint64_t took_ns;
	int done[2]; /* a pipe: readable once it is over */
};

void actor_start(struct actor *actor, int (*act)(void *argument), void *argument);
bool actor_is_done(struct actor *actor, int timeout_ms);

/* Its result; fails the test when it is not done soon. */
int actor_join(struct actor *actor);

/* The byte at `at`, or SIGNALLED + the signal that reading it raised. */
#define SIGNALLED 0x1000
int touch(void *at);

/* Write STAMP there: STAMP, or SIGNALLED + the signal. */
#define STAMP 0x5a
int stamp(void *at);

/* write(2) one byte from `at`, read(2) one byte (STAMP) to it: 0 or -errno. */
int call_reading(void *at);
int call_writing(void *at);

#endif
