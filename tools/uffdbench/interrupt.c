/* SPDX-License-Identifier: MIT */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t caught_signal;
static struct sigaction interrupt_before;
static struct sigaction terminate_before;

static void catch_signal(int number)
{
	caught_signal = number;
}

/* What is ignored, as in a job in the background, stays ignored. */
static void note(int number, struct sigaction *ret_before)
{
	struct sigaction action = {.sa_handler = catch_signal};

	sigaction(number, NULL, ret_before);
	if (ret_before->sa_handler != SIG_IGN)
		sigaction(number, &action, NULL);
}

void interrupt_begin(void)
{
	caught_signal = 0;
	note(SIGINT, &interrupt_before);
	note(SIGTERM, &terminate_before);
}

bool interrupt_came(void)
{
	return caught_signal != 0;
}

void interrupt_end(void)
{
	sigaction(SIGINT, &interrupt_before, NULL);
	sigaction(SIGTERM, &terminate_before, NULL);
	if (caught_signal != 0)
		raise(caught_signal);
	caught_signal = 0;
}
