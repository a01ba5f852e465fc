/* SPDX-License-Identifier: MIT
 *
 * nbd.c - an NBD export as a backing object: opening it, and its operations. All
 * that is asked of the server is asked by the object's own thread, see
 * nbd_object.h; what is here hands over to it, and waits where it has to.
 *
 * The last reference may be dropped by a completion, on the object's own thread,
 * which cannot join itself; it is then left an orphan, and frees the object when
 * it ends.
 */
#include <lazymem/nbd.h>

#include "backing/nbd_object.h"
#include "core/backing_object.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define DEFAULT_DEMAND_CONNECTIONS 1
#define DEFAULT_STREAM_CONNECTIONS 2
#define DEFAULT_TIMEOUT_NS UINT64_C(10000000000)
#define LONGEST_NS (UINT64_C(1) << 60)

/* ---- operations ------------------------------------------------------------------ */

static void nbd_read(void *argument, struct lazymem_read *read)
{
	struct lm_nbd *object = argument;

	if (lm_nbd_reads_add(&object->reads, read))
		lm_nbd_wake(object);
}

static void nbd_hurry(void *argument, struct lazymem_read *read)
{
	struct lm_nbd *object = argument;

	if (lm_nbd_reads_hurry(&object->reads, read))
		lm_nbd_wake(object);
}

static int nbd_extent(void *argument, uint64_t offset, uint64_t length,
		      struct lazymem_extent *ret_extent)
{
	struct lm_nbd *object = argument;

	*ret_extent = (struct lazymem_extent){offset, length, LAZYMEM_EXTENT_DATA};
	pthread_rwlock_rdlock(&object->map_lock);
	if (object->has_map)
		lm_extent_map_find(&object->map, offset, length, ret_extent);
	pthread_rwlock_unlock(&object->map_lock);
	return 0;
}

static int nbd_identity(void *argument, struct lazymem_identity *ret_identity)
{
	const struct lm_nbd *object = argument;

	if (!object->has_identity)
		return -ENODATA;
	*ret_identity = object->identity;
	return 0;
}

static void nbd_close(void *argument)
{
	struct lm_nbd *object = argument;
	const pthread_t thread = object->thread;
	const bool is_orphan = pthread_equal(thread, pthread_self()) != 0;

	pthread_mutex_lock(&object->lock);
	object->closing = true;
	object->is_orphan = is_orphan;
	lm_nbd_wake(object);
	pthread_mutex_unlock(&object->lock);
	if (is_orphan) {
		pthread_detach(thread);
		return;
	}
	pthread_join(thread, NULL);
	lm_nbd_destroy(object);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = nbd_read,
	.extent = nbd_extent,
	.read_parts = nbd_read,
	.hurry = nbd_hurry,
	.identity = nbd_identity,
	.close = nbd_close,
};

/* ---- opening --------------------------------------------------------------------- */

static int check_connections(const char *what, unsigned count)
{
	if (count <= LM_NBD_CONNECTIONS_MOST)
		return 0;
	return lm_error(-EINVAL, "nbd option %s is %u, above %d", what, count,
			LM_NBD_CONNECTIONS_MOST);
}

/* Fill in what was left away. */
static int check_options(struct lazymem_nbd_options *options)
{
	int error;

	if ((options->flags & ~LAZYMEM_NBD_LAZY_EXTENTS) != 0)
		return lm_error(-EINVAL, "unknown nbd flags %#x", options->flags);
	error = check_connections("demand_connections", options->demand_connections);
	if (error == 0)
		error = check_connections("stream_connections", options->stream_connections);
	if (error != 0)
		return error;
	if (options->timeout_ns > LONGEST_NS || options->give_up_ns > LONGEST_NS)
		return lm_error(-EINVAL, "a time of an nbd option is above 2^60 ns");
	if (options->demand_connections == 0)
		options->demand_connections = DEFAULT_DEMAND_CONNECTIONS;
	if (options->stream_connections == 0)
		options->stream_connections = DEFAULT_STREAM_CONNECTIONS;
	if (options->timeout_ns == 0)
		options->timeout_ns = DEFAULT_TIMEOUT_NS;
	return 0;
}

static void set_options(struct lm_nbd *object, const struct lazymem_nbd_options *options)
{
	object->link_counts[LM_NBD_DEMAND] = options->demand_connections;
	object->link_counts[LM_NBD_BACKGROUND] = options->stream_connections;
	object->link_count = options->demand_connections + options->stream_connections;
	object->give_up_ns = options->give_up_ns;
	object->timeout_ns = options->timeout_ns;
	object->on_state = options->on_state;
	object->context = options->context;
	object->has_identity = options->identity != NULL && !lm_identity_is_none(options->identity);
	if (object->has_identity)
		object->identity = *options->identity;
	lm_nbd_window_init(&object->window, options->bytes_per_second);
}

static int create_links(struct lm_nbd *object)
{
	object->links = calloc(object->link_count, sizeof(*object->links));
	if (object->links == NULL)
		return lm_error(-ENOMEM, "%s: no memory for its connections", object->uri);
	for (unsigned i = 0; i < object->link_count; i++) {
		const bool is_demand = i < object->link_counts[LM_NBD_DEMAND];

		object->links[i].role = is_demand ? LM_NBD_DEMAND : LM_NBD_BACKGROUND;
		object->links[i].pause = LM_NBD_FIRST_PAUSE_NS;
		object->links[i].patience = object->timeout_ns;
	}
	return lm_nbd_requests_create(object);
}

static int create(const char *uri, const struct lazymem_nbd_options *options,
		  struct lm_nbd **ret_object)
{
	struct lm_nbd *object = calloc(1, sizeof(*object));
	int error;

	if (object == NULL)
		return lm_error(-ENOMEM, "no memory for %s", uri);
	lm_nbd_reads_init(&object->reads);
	pthread_mutex_init(&object->lock, NULL);
	pthread_mutex_init(&object->update_lock, NULL);
	pthread_cond_init(&object->changed, NULL);
	pthread_rwlock_init(&object->map_lock, NULL);
	object->scan.object = object;
	object->is_opening = true;
	set_options(object, options);
	object->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = object->wake_fd < 0 ? lm_error_errno(-errno, "cannot make an eventfd for %s", uri)
				    : 0;
	object->uri = strdup(uri);
	if (error == 0 && object->uri == NULL)
		error = lm_error(-ENOMEM, "no memory for %s", uri);
	if (error == 0)
		error = create_links(object);
	if (error != 0)
		lm_nbd_destroy(object);
	else
		*ret_object = object;
	return error;
}

/* A thread that takes no signals: they are the program's. */
static int start_thread(struct lm_nbd *object)
{
	pthread_attr_t attributes;
	sigset_t all;
	int error;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setsigmask_np(&attributes, &all);
	error = pthread_create(&object->thread, &attributes, lm_nbd_serve, object);
	pthread_attr_destroy(&attributes);
	if (error != 0)
		return lm_error_errno(-error, "cannot start the thread of %s", object->uri);
	return 0;
}

static int await_opened(struct lm_nbd *object)
{
	int error;

	pthread_mutex_lock(&object->lock);
	while (!object->opened)
		pthread_cond_wait(&object->changed, &object->lock);
	error = object->open_error;
	if (error != 0)
		lm_error(error, "%s", object->sentence);
	pthread_mutex_unlock(&object->lock);
	return error;
}

/* It is open, unless its first link was lost meanwhile. */
static int end_opening(struct lm_nbd *object)
{
	int error;

	pthread_mutex_lock(&object->lock);
	object->is_opening = false;
	error = object->open_error;
	if (error != 0)
		lm_error(error, "%s", object->sentence);
	pthread_mutex_unlock(&object->lock);
	return error;
}

/* Have the thread ask for the holes, and wait for the answer. */
static int scan(struct lm_nbd *object)
{
	int error;

	pthread_mutex_lock(&object->update_lock);
	pthread_mutex_lock(&object->lock);
	object->scan_wanted = true;
	object->scan_over = false;
	lm_nbd_wake(object);
	while (!object->scan_over)
		pthread_cond_wait(&object->changed, &object->lock);
	error = object->scan_error;
	if (error != 0)
		lm_error(error, "%s", object->sentence);
	pthread_mutex_unlock(&object->lock);
	pthread_mutex_unlock(&object->update_lock);
	return error;
}

int lazymem_nbd_open(const char *uri, const struct lazymem_nbd_options *options,
		     struct lazymem_backing **ret_backing)
{
	struct lazymem_nbd_options known;
	struct lm_nbd *object = NULL;
	int error = lm_options_copy(options, &known, sizeof(known), "struct lazymem_nbd_options");

	if (error == 0 && uri == NULL)
		error = lm_error(-EINVAL, "no URI of an NBD export");
	if (error == 0)
		error = check_options(&known);
	if (error == 0)
		error = create(uri, &known, &object);
	if (error != 0)
		return error;
	error = start_thread(object);
	if (error != 0) {
		lm_nbd_destroy(object);
		return error;
	}
	error = await_opened(object);
	if (error == 0 && (known.flags & LAZYMEM_NBD_LAZY_EXTENTS) == 0)
		error = scan(object);
	if (error == 0)
		error = end_opening(object);
	if (error == 0)
		error = lazymem_backing_create(&operations, object, object->size, uri, ret_backing);
	if (error != 0)
		nbd_close(object);
	return error;
}

/* ---- the rest of the interface ----------------------------------------------------- */

/* NULL, with a message, for another kind of object. */
static struct lm_nbd *find_object(const struct lazymem_backing *backing)
{
	struct lm_nbd *object = lm_backing_object(backing, nbd_read);

	if (object == NULL)
		lm_error(-EINVAL, "%s is no NBD export", lazymem_backing_name(backing));
	return object;
}

int lazymem_nbd_update_extents(struct lazymem_backing *backing)
{
	struct lm_nbd *object = find_object(backing);

	if (object == NULL)
		return -EINVAL;
	if (pthread_equal(object->thread, pthread_self()))
		return lm_error(-EDEADLK, "%s: its own thread cannot wait for it", object->uri);
	return scan(object);
}

int lazymem_nbd_give_up(struct lazymem_backing *backing)
{
	struct lm_nbd *object = find_object(backing);

	if (object == NULL)
		return -EINVAL;
	pthread_mutex_lock(&object->lock);
	object->abandoned = true;
	lm_nbd_wake(object);
	pthread_mutex_unlock(&object->lock);
	return 0;
}

int lazymem_nbd_get_statistics(struct lazymem_backing *backing,
			       struct lazymem_nbd_statistics *ret_statistics)
{
	const struct lm_nbd *object = find_object(backing);
	const struct lm_nbd_counts *counts;
	struct lazymem_nbd_statistics known;

	if (object == NULL)
		return -EINVAL;
	counts = &object->counts;
	known = (struct lazymem_nbd_statistics){
		.size = sizeof(known),
		.connections = counts->connections,
		.reconnects = counts->reconnects,
		.demand_requests = counts->requests[LM_NBD_DEMAND],
		.demand_bytes = counts->bytes[LM_NBD_DEMAND],
		.background_requests = counts->requests[LM_NBD_BACKGROUND],
		.background_bytes = counts->bytes[LM_NBD_BACKGROUND],
		.repeated_requests = counts->repeated,
		.failed_requests = counts->failed,
		.hurried_reads = counts->hurried,
		.window = counts->window,
	};
	return lm_options_return(&known, sizeof(known), ret_statistics,
				 "struct lazymem_nbd_statistics");
}
