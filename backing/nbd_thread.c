/* SPDX-License-Identifier: MIT
 *
 * nbd_thread.c - the loop of an NBD object's own thread.
 *
 * A round: links that are due; demand reads and then background reads are asked
 * for; wait; then every demand link is served, but one stream link only, so that
 * a demand answer never waits for more than one piece of the stream.
 *
 * `sleeps` is set before the lists are looked at, and makes whoever adds something
 * afterwards write to the eventfd: so nothing that was added is slept over.
 */
#include "backing/nbd_object.h"

#include "core/checked.h"
#include "core/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

void lm_nbd_wake(const struct lm_nbd *object)
{
	const uint64_t one = 1;
	ssize_t written;

	do {
		written = write(object->wake_fd, &one, sizeof(one));
	} while (written < 0 && errno == EINTR);
}

static void clear_wakes(const struct lm_nbd *object)
{
	uint64_t count;
	ssize_t got;

	do {
		got = read(object->wake_fd, &count, sizeof(count));
	} while (got < 0 && errno == EINTR);
}

void lm_nbd_destroy(struct lm_nbd *object)
{
	lm_nbd_requests_destroy(object);
	lm_extent_map_destroy(&object->map);
	lm_nbd_reads_destroy(&object->reads);
	pthread_rwlock_destroy(&object->map_lock);
	pthread_mutex_destroy(&object->update_lock);
	pthread_cond_destroy(&object->changed);
	pthread_mutex_destroy(&object->lock);
	if (object->wake_fd >= 0)
		close(object->wake_fd);
	free(object->links);
	free(object->uri);
	free(object);
}

/* ---- a round -------------------------------------------------------------------- */

/* What others have asked of the thread. False: it is to end. */
static bool take_orders(struct lm_nbd *object)
{
	bool closing, abandoned;

	pthread_mutex_lock(&object->lock);
	closing = object->closing;
	abandoned = object->abandoned;
	pthread_mutex_unlock(&object->lock);
	if (abandoned && object->ended == 0)
		lm_nbd_links_end(object, -ENOTCONN);
	return !closing;
}

/* Whoever came to wait since the last round makes the stream step back. */
static void look_at_arrivals(struct lm_nbd *object, uint64_t now)
{
	struct lm_nbd_reads *reads = &object->reads;
	unsigned arrivals, hurries;

	pthread_mutex_lock(&reads->lock);
	reads->sleeps = true;
	arrivals = reads->arrivals;
	hurries = reads->hurries;
	reads->arrivals = reads->hurries = 0;
	pthread_mutex_unlock(&reads->lock);
	if (arrivals > 0)
		lm_nbd_window_demand(&object->window, now);
	atomic_fetch_add_explicit(&object->counts.hurried, hurries, memory_order_relaxed);
}

static void be_awake(struct lm_nbd *object)
{
	pthread_mutex_lock(&object->reads.lock);
	object->reads.sleeps = false;
	pthread_mutex_unlock(&object->reads.lock);
}

/* The descriptors of the links, each at its own place behind the eventfd. */
static void gather_descriptors(const struct lm_nbd *object, struct pollfd *fds)
{
	fds[0] = (struct pollfd){.fd = object->wake_fd, .events = POLLIN};
	for (unsigned i = 0; i < object->link_count; i++) {
		const struct lm_nbd_link *link = &object->links[i];

		fds[i + 1] = (struct pollfd){.fd = -1};
		if (link->connection == NULL)
			continue;
		fds[i + 1].fd = lm_nbd_connection_fd(link->connection);
		fds[i + 1].events = lm_nbd_connection_events(link->connection);
	}
}

static void wait_until(struct pollfd *fds, unsigned count, uint64_t due)
{
	const uint64_t now = lm_clock_ns();
	const uint64_t left = due > now ? due - now : 0;
	const struct timespec timeout = {.tv_sec = (time_t)(left / LM_NS_PER_S),
					 .tv_nsec = (long)(left % LM_NS_PER_S)};

	if (ppoll(fds, count, due == UINT64_MAX ? NULL : &timeout, NULL) >= 0)
		return;
	for (unsigned i = 0; i < count; i++)
		fds[i].revents = 0;
}

/* Serve the demand links, and the next stream link that has something. A link may
 * go down while another one is served. */
static void serve_links(struct lm_nbd *object, const struct pollfd *fds)
{
	const unsigned demand = object->link_counts[LM_NBD_DEMAND];
	const unsigned streams = object->link_counts[LM_NBD_BACKGROUND];

	for (unsigned i = 0; i < demand; i++)
		if (fds[i + 1].revents != 0 && object->links[i].connection != NULL)
			lm_nbd_link_advance(object, &object->links[i], fds[i + 1].revents);
	for (unsigned i = 0; i < streams; i++) {
		const unsigned index = demand + (object->next_stream + i) % streams;

		if (fds[index + 1].revents == 0 || object->links[index].connection == NULL)
			continue;
		object->next_stream = (index - demand + 1) % streams;
		lm_nbd_link_advance(object, &object->links[index], fds[index + 1].revents);
		return;
	}
}

void *lm_nbd_serve(void *argument)
{
	struct lm_nbd *object = argument;
	struct pollfd fds[1 + LM_NBD_LINKS_MOST];
	bool is_orphan;

	while (take_orders(object)) {
		const uint64_t now = lm_clock_ns();
		uint64_t due = UINT64_MAX;

		look_at_arrivals(object, now);
		lm_nbd_links_tick(object, now);
		lm_nbd_scan_go_on(object, now);
		lm_nbd_requests_send(object, now, &due);
		gather_descriptors(object, fds);
		wait_until(fds, 1 + object->link_count, lm_min(due, lm_nbd_links_due(object)));
		be_awake(object);
		if (fds[0].revents != 0)
			clear_wakes(object);
		serve_links(object, fds);
	}
	lm_nbd_links_end(object, -ENOTCONN);
	pthread_mutex_lock(&object->lock);
	is_orphan = object->is_orphan;
	pthread_mutex_unlock(&object->lock);
	if (is_orphan)
		lm_nbd_destroy(object);
	return NULL;
}
