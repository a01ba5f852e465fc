/* SPDX-License-Identifier: MIT */
#include "interrupt.h"
#include "complain.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

static const int deferred[] = {SIGINT, SIGTERM, SIGHUP};

#define DEFERRED_COUNT (sizeof(deferred) / sizeof(*deferred))

/* A signal often comes twice: timeout(1) sends it to the process and to its
 * group. Only one that comes later than this is from somebody who is impatient. */
#define PATIENCE_S 1

static volatile sig_atomic_t came;
static struct timespec came_at;
static struct sigaction before[DEFERRED_COUNT];

static bool is_impatient(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - came_at.tv_sec > PATIENCE_S;
}

static void notice(int number)
{
	if (came == 0) {
		clock_gettime(CLOCK_MONOTONIC, &came_at);
		came = number;
	} else if (is_impatient()) {
		signal(number, SIG_DFL);
		raise(number); /* once this has returned */
	}
}

/* A signal that the caller ignores, as nohup does, stays ignored. A file that
 * grows beyond a limit is an error of the write, and no death in the middle. */
void interrupt_defer(void)
{
	struct sigaction action = {.sa_handler = notice, .sa_flags = SA_RESTART};

	for (size_t i = 0; i < DEFERRED_COUNT; i++)
		sigaddset(&action.sa_mask, deferred[i]);
	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < DEFERRED_COUNT; i++) {
		sigaction(deferred[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(deferred[i], &action, NULL);
	}
}

bool interrupt_came(void)
{
	return came != 0;
}

void interrupt_deliver(void)
{
	const int number = came;

	for (size_t i = 0; i < DEFERRED_COUNT; i++)
		sigaction(deferred[i], &before[i], NULL);
	if (number == 0)
		return;
	complain("interrupted; nothing was written");
	raise(number);
}
