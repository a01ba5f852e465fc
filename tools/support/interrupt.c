/* SPDX-License-Identifier: MIT */
#include "interrupt.h"
#include "complain.h"

#include <signal.h>
#include <stddef.h>

static const int deferred[] = {SIGINT, SIGTERM, SIGHUP};

#define DEFERRED_COUNT (sizeof(deferred) / sizeof(*deferred))

static volatile sig_atomic_t came;
static struct sigaction before[DEFERRED_COUNT];

static void notice(int number)
{
	came = number;
}

/* A signal that the caller ignores, as nohup does, stays ignored. A file that
 * grows beyond a limit is an error of the write, and no death in the middle. */
void interrupt_defer(void)
{
	const struct sigaction action = {.sa_handler = notice,
					 .sa_flags = SA_RESTART | (int)SA_RESETHAND};

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
