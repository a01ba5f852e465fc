/* SPDX-License-Identifier: MIT
 *
 * Preloaded into the source of a migration: runs the command in LATE_COMMAND before the first STATE
 * message is sent, when everything was decided but the last word was not said.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define AT_TYPE 6
#define STATE 10
#define HEADER 16

static int is_state(const unsigned char *bytes, size_t length)
{
	return length >= HEADER && memcmp(bytes, "LZVM", 4) == 0 && bytes[AT_TYPE] == STATE;
}

__attribute__((visibility("default"))) ssize_t send(int fd, const void *bytes, size_t length,
						    int flags)
{
	static int has_run;
	ssize_t (*next)(int, const void *, size_t, int);
	void *found = dlsym(RTLD_NEXT, "send");

	memcpy(&next, &found, sizeof(next));
	if (!has_run && is_state(bytes, length)) {
		has_run = 1;
		if (system(getenv("LATE_COMMAND")) != 0)
			abort();
	}
	return next(fd, bytes, length, flags);
}
