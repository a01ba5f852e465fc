/* SPDX-License-Identifier: MIT */
#include "contract_guard.h"

#include <signal.h>
#include <unistd.h>

/* A sanitizer blocks signals in handlers all the same. */
#define SAVES_MASK TEST_SANITIZED

static sigjmp_buf escape;
static volatile sig_atomic_t escaping;
static void (*when_unexpected)(void);

static void on_signal(int number)
{
	(void)number;
	if (escaping)
		siglongjmp(escape, 1);
	when_unexpected();
	_exit(1);
}

void guard_begin(void (*unexpected)(void))
{
	/* Not deferred: the jump leaves the mask of signals as it is. */
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};

	when_unexpected = unexpected;
	assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
}

bool guard_read(const unsigned char *at)
{
	if (sigsetjmp(escape, SAVES_MASK) != 0) {
		escaping = 0;
		return false;
	}
	escaping = 1;
	(void)*(const volatile unsigned char *)at;
	escaping = 0;
	return true;
}

bool guard_write(unsigned char *at, unsigned char byte)
{
	if (sigsetjmp(escape, SAVES_MASK) != 0) {
		escaping = 0;
		return false;
	}
	escaping = 1;
	*(volatile unsigned char *)at = byte;
	escaping = 0;
	return true;
}
