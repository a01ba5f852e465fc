/* SPDX-License-Identifier: MIT
 *
 * Who knocks at the port of a destination.
 *
 * Anybody can. So each connection has a thread that is patient for a while, and then
 * closes it; there are only so many, and who comes when all are taken is
 * turned away at once. Of those that said something sensible one waits at a time
 * until it is taken; the next is told to come back.
 */
#include "fault.h"
#include "receive.h"

#include "complain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CALLERS_MOST 8
#define FAREWELL_MS 200 /* to take what it is told */

struct caller {
	struct door *door;
	pthread_t thread;
	bool has_thread;
	bool is_over;
	int fd;
};

struct door {
	struct link_security security;
	unsigned patience_ms;
	int listener;
	int stop_fd;
	int wake_fd; /* of whoever takes visitors */
	uint16_t port;
	pthread_t thread;
	bool has_thread;
	struct caller callers[CALLERS_MOST];

	pthread_mutex_t lock; /* of the callers' is_over, and of what follows */
	struct visitor waiting;
	bool has_waiting;
};

static void ring(int fd)
{
	const uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

/* ---- one caller -------------------------------------------------------------------- */

static enum link_result understand(const struct wire_message *message, struct visitor *visitor)
{
	int result;

	visitor->returns = message->type == WIRE_RETURN;
	if (visitor->returns)
		result = wire_get_return(message, visitor->hello.token);
	else if (message->type == WIRE_HELLO)
		result = wire_get_hello(message, &visitor->hello);
	else
		result = fault("it began with %s", wire_type_name(message->type));
	return result == 0 ? LINK_OK : LINK_NONSENSE;
}

static enum link_result receive_first(struct visitor *visitor)
{
	struct wire_message message;
	enum link_result result = link_receive(&visitor->link, visitor->link.patience_ms, &message);

	if (result == LINK_QUIET)
		fault("it says nothing");
	return result == LINK_OK ? understand(&message, visitor) : result;
}

/* Its link is the door's then. */
static bool let_wait(struct door *door, const struct visitor *visitor)
{
	bool is_free;

	pthread_mutex_lock(&door->lock);
	is_free = !door->has_waiting;
	if (is_free) {
		door->waiting = *visitor;
		door->waiting.link.stop_fd = door->wake_fd;
		door->has_waiting = true;
	}
	pthread_mutex_unlock(&door->lock);
	if (is_free)
		ring(door->wake_fd);
	return is_free;
}

static void hear(struct door *door, int fd)
{
	struct visitor visitor = {0};
	enum link_result result;

	link_init(&visitor.link, door->stop_fd, door->patience_ms);
	result = link_adopt(&visitor.link, fd);
	if (result == LINK_OK)
		result = link_secure(&visitor.link, &door->security, true);
	if (result == LINK_OK)
		result = receive_first(&visitor);
	if (result == LINK_OK && let_wait(door, &visitor))
		return;
	if (result == LINK_OK)
		fault("another migration is being looked at; come again");
	if (result != LINK_STOPPED)
		complain("%s was turned away: %s", visitor.link.peer, fault_message());
	/* In the open, where there was no TLS to be had: it says no more than that. */
	visitor.link.patience_ms = FAREWELL_MS;
	if (visitor.link.fd >= 0)
		link_send_sentence(&visitor.link, WIRE_REFUSE, fault_message());
	link_close(&visitor.link);
}

static void *caller_thread(void *context)
{
	struct caller *caller = context;

	hear(caller->door, caller->fd);
	pthread_mutex_lock(&caller->door->lock);
	caller->is_over = true;
	pthread_mutex_unlock(&caller->door->lock);
	return NULL;
}

/* ---- all of them -------------------------------------------------------------------- */

/* NULL: every place is taken. */
static struct caller *find_place(struct door *door)
{
	for (size_t i = 0; i < CALLERS_MOST; i++) {
		struct caller *caller = &door->callers[i];
		bool is_over;

		pthread_mutex_lock(&door->lock);
		is_over = caller->is_over;
		pthread_mutex_unlock(&door->lock);
		if (is_over)
			pthread_join(caller->thread, NULL);
		if (is_over || !caller->has_thread) {
			*caller = (struct caller){.door = door};
			return caller;
		}
	}
	return NULL;
}

static void let_in(struct door *door, int fd)
{
	struct caller *place = find_place(door);

	if (place != NULL) {
		place->fd = fd;
		place->has_thread = pthread_create(&place->thread, NULL, caller_thread, place) == 0;
	}
	if (place == NULL || !place->has_thread)
		close(fd);
}

static void *door_thread(void *context)
{
	struct door *door = context;
	int fd;

	while ((fd = link_accept(door->listener, door->stop_fd, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		let_in(door, fd);
	return NULL;
}

bool door_take(struct door *door, struct visitor *ret_visitor)
{
	bool taken;

	pthread_mutex_lock(&door->lock);
	taken = door->has_waiting;
	if (taken)
		*ret_visitor = door->waiting;
	door->has_waiting = false;
	pthread_mutex_unlock(&door->lock);
	return taken;
}

uint16_t door_port(const struct door *door)
{
	return door->port;
}

static int start(struct door *door, const char *address)
{
	int error;

	door->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (door->stop_fd < 0)
		return fault("eventfd: %s", strerror(errno));
	if (link_listen(address, &door->listener) != 0 ||
	    link_port(door->listener, &door->port) != 0)
		return -1;
	error = pthread_create(&door->thread, NULL, door_thread, door);
	if (error != 0)
		return fault("%s: no thread: %s", address, strerror(error));
	door->has_thread = true;
	return 0;
}

int door_open(const struct receive_options *options, int wake_fd, struct door **ret_door)
{
	struct door *door = calloc(1, sizeof(*door));

	if (door == NULL)
		return fault("no memory to listen with");
	door->security = options->security;
	door->patience_ms = options->patience_ms;
	door->listener = -1;
	door->stop_fd = -1;
	door->wake_fd = wake_fd;
	pthread_mutex_init(&door->lock, NULL);
	if (start(door, options->address) != 0) {
		door_close(door);
		return -1;
	}
	*ret_door = door;
	return 0;
}

void door_close(struct door *door)
{
	struct visitor visitor;

	if (door == NULL)
		return;
	if (door->has_thread) {
		ring(door->stop_fd);
		pthread_join(door->thread, NULL);
	}
	for (size_t i = 0; i < CALLERS_MOST; i++)
		if (door->callers[i].has_thread)
			pthread_join(door->callers[i].thread, NULL);
	if (door_take(door, &visitor))
		link_close(&visitor.link);
	if (door->listener >= 0)
		close(door->listener);
	if (door->stop_fd >= 0)
		close(door->stop_fd);
	pthread_mutex_destroy(&door->lock);
	free(door);
}
