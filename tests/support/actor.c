/* SPDX-License-Identifier: MIT */
#include "actor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void *actor_main(void *argument)
{
	struct actor *actor = argument;
	uint64_t start = now_ns();

	actor->result = actor->act(actor->argument);
	actor->took_ns = now_ns() - start;
	if (write(actor->done[1], "", 1) != 1)
		abort();
	return NULL;
}

void actor_start(struct actor *actor, int (*act)(void *argument), void *argument)
{
	*actor = (struct actor){.act = act, .argument = argument};
	assert_int_equal(pipe(actor->done), 0);
	assert_int_equal(pthread_create(&actor->thread, NULL, actor_main, actor), 0);
}

bool actor_is_done(struct actor *actor, int timeout_ms)
{
	struct pollfd p = {.fd = actor->done[0], .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

int actor_join(struct actor *actor)
{
	assert_true(actor_is_done(actor, (int)(SOON_NS / 1000000)));
	assert_int_equal(pthread_join(actor->thread, NULL), 0);
	close(actor->done[0]);
	close(actor->done[1]);
	return actor->result;
}

static __thread sigjmp_buf escape;
static __thread volatile sig_atomic_t escaping;

static void on_signal(int number)
{
	if (escaping)
		siglongjmp(escape, number);
	signal(number, SIG_DFL); /* not ours: the access faults again, and ends the program */
}

static int survive(int (*access_byte)(volatile unsigned char *at), void *at)
{
	struct sigaction action = {.sa_handler = on_signal};
	int number = sigsetjmp(escape, 1);

	if (number) {
		escaping = 0;
		return SIGNALLED + number;
	}
	sigaction(SIGBUS, &action, NULL); /* CMocka puts its own in place for each test */
	sigaction(SIGSEGV, &action, NULL);
	escaping = 1;
	int result = access_byte(at);
	escaping = 0;
	return result;
}

/* Threads touch what others write: that is what the tests are about. */
#define RACES __attribute__((no_sanitize("thread")))

RACES static int read_byte(volatile unsigned char *at)
{
	return *at;
}

RACES static int write_byte(volatile unsigned char *at)
{
	*at = STAMP;
	return STAMP;
}

int touch(void *at)
{
	return survive(read_byte, at);
}

int stamp(void *at)
{
	return survive(write_byte, at);
}

int call_reading(void *at)
{
	int ends[2];

	if (pipe(ends) != 0)
		return -errno;
	int result = write(ends[1], at, 1) == 1 ? 0 : -errno;
	close(ends[0]);
	close(ends[1]);
	return result;
}

int call_writing(void *at)
{
	static const unsigned char byte = STAMP;
	int ends[2];

	if (pipe(ends) != 0)
		return -errno;
	int result = write(ends[1], &byte, 1) == 1 && read(ends[0], at, 1) == 1 ? 0 : -errno;
	close(ends[0]);
	close(ends[1]);
	return result;
}
