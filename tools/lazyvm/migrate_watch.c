/* SPDX-License-Identifier: MIT
 *
 * A migration as others see it: what it is doing, and that they want it to end.
 */
#include "fault.h"
#include "migrate.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What others may ask for and be told while it runs. */
static struct {
	pthread_mutex_t lock;
	enum migrate_phase phase;
	bool is_lost;   /* there is no connection; after the switch-over */
	bool is_forced; /* the guest is to be resumed here, come what may */
	bool is_back;   /* it is here again, for good; what is left is to tidy up */
	int stop_fd;
	char destination[128];
	struct wire_progress progress;
} current = {.lock = PTHREAD_MUTEX_INITIALIZER, .stop_fd = -1};

void migrate_set_phase(enum migrate_phase phase, bool is_lost)
{
	pthread_mutex_lock(&current.lock);
	current.phase = phase;
	current.is_lost = is_lost;
	pthread_mutex_unlock(&current.lock);
}

void migrate_describe(char *text, size_t length)
{
	static const char *const names[] = {
		[MIGRATE_PREPARING] = "preparing",
		[MIGRATE_COPYING] = "copying",
		[MIGRATE_SWITCHING] = "switching",
		[MIGRATE_FILLING] = "filling",
	};

	text[0] = '\0';
	pthread_mutex_lock(&current.lock);
	if (current.phase != MIGRATE_NONE && !current.is_back)
		snprintf(text, length, " migration=%s destination=%s%s there=%" PRIu64 "/%" PRIu64,
			 names[current.phase], current.destination,
			 current.is_lost ? " destination-lost=yes" : "", current.progress.populated,
			 current.progress.total);
	pthread_mutex_unlock(&current.lock);
}

static void stop(void)
{
	const uint64_t one = 1;

	while (write(current.stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

int migrate_cancel(bool force)
{
	int result = 0;

	pthread_mutex_lock(&current.lock);
	if (current.phase == MIGRATE_NONE || current.is_back)
		result = fault("no migration is under way");
	else if (current.phase >= MIGRATE_SWITCHING && !force)
		result = fault("the guest was switched over to %s and may run there: it is given "
			       "up there only with --force",
			       current.destination);
	else {
		current.is_forced = current.phase >= MIGRATE_SWITCHING;
		stop();
	}
	pthread_mutex_unlock(&current.lock);
	return result;
}

int migrate_check_here(void)
{
	int result = 0;

	pthread_mutex_lock(&current.lock);
	if (current.phase >= MIGRATE_SWITCHING && !current.is_back)
		result = fault("the guest was switched over to %s, and can be paused only there",
			       current.destination);
	pthread_mutex_unlock(&current.lock);
	return result;
}

void migrate_take_back(void)
{
	pthread_mutex_lock(&current.lock);
	current.is_back = true;
	pthread_mutex_unlock(&current.lock);
}

bool migrate_is_forced(void)
{
	bool forced;

	pthread_mutex_lock(&current.lock);
	forced = current.is_forced;
	pthread_mutex_unlock(&current.lock);
	return forced;
}

int migrate_commit(void)
{
	struct pollfd stopped = {.fd = current.stop_fd, .events = POLLIN};
	int result = 0;

	pthread_mutex_lock(&current.lock);
	if (poll(&stopped, 1, 0) > 0)
		result = fault("it was cancelled");
	else
		current.phase = MIGRATE_SWITCHING;
	pthread_mutex_unlock(&current.lock);
	return result;
}

int migrate_begin(const struct migrate_options *options, int *ret_stop_fd)
{
	int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (stop_fd < 0)
		return fault("eventfd: %s", strerror(errno));
	pthread_mutex_lock(&current.lock);
	current.stop_fd = stop_fd;
	current.phase = MIGRATE_PREPARING;
	current.is_lost = false;
	current.is_forced = false;
	current.is_back = false;
	current.progress = (struct wire_progress){0};
	snprintf(current.destination, sizeof(current.destination), "%s", options->address);
	pthread_mutex_unlock(&current.lock);
	*ret_stop_fd = stop_fd;
	return 0;
}

void migrate_end(void)
{
	pthread_mutex_lock(&current.lock);
	current.phase = MIGRATE_NONE;
	close(current.stop_fd);
	current.stop_fd = -1;
	pthread_mutex_unlock(&current.lock);
}

bool migrate_is_committed(void)
{
	bool committed;

	pthread_mutex_lock(&current.lock);
	committed = current.phase >= MIGRATE_SWITCHING;
	pthread_mutex_unlock(&current.lock);
	return committed;
}

void migrate_show_progress(const struct wire_progress *progress)
{
	pthread_mutex_lock(&current.lock);
	current.progress = *progress;
	pthread_mutex_unlock(&current.lock);
}
