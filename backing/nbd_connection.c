/* SPDX-License-Identifier: MIT
 *
 * nbd_connection.c - the one place where libnbd is called.
 *
 * libnbd checks that what a server sends lies inside of what was asked for, but
 * not that all of it came: an answer may be "done" with bytes missing. So each
 * piece is taken from a list of gaps, which must be empty in the end; a piece that
 * comes twice, or does not lie in a gap, is an error as well. That makes it safe
 * not to clear buffers before they are read into.
 *
 * libnbd ends what was asked with ENOTCONN when the connection dies. That is no
 * answer: whoever asked hears of it as the death of the connection. A server that
 * says that it is shutting down means the same.
 */
#include "backing/nbd_connection.h"

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LARGEST_EXPORT (UINT64_C(1) << 56)
#define LARGEST_LEAST 65536             /* by the protocol */
#define USUAL_LEAST 512                 /* of servers that do not say */
#define USUAL_MOST ((uint32_t)32 << 20) /* likewise, by the protocol */

struct lm_nbd_connection {
	struct nbd_handle *handle;
	uint64_t timeout_ns;
	bool was_up;
	bool shuts_down; /* the server said so */
	int error;
	char complaint[512];
};

/* ---- errors ---------------------------------------------------------------- */

/* What libnbd's last call on this thread has complained of. */
static void note_error(struct lm_nbd_connection *connection)
{
	const char *text = nbd_get_error();
	const int error = nbd_get_errno();

	connection->error = error > 0 ? -error : -EPROTO;
	if (error == ENOTSUP)
		connection->error = -EPROTONOSUPPORT;
	snprintf(connection->complaint, sizeof(connection->complaint), "%s",
		 text != NULL ? text : "no reason is known");
}

int lm_nbd_connection_error(const struct lm_nbd_connection *connection)
{
	return connection->error != 0 ? connection->error : -ECONNRESET;
}

const char *lm_nbd_connection_complaint(const struct lm_nbd_connection *connection)
{
	if (connection->shuts_down)
		return "the server is shutting down";
	return connection->complaint[0] != '\0' ? connection->complaint
						: "the server closed the connection";
}

/* ---- life ------------------------------------------------------------------- */

/* nbd:// must not fall back to TLS or from it, and a password file that a URI
 * names is the business of whoever gave the URI. */
static bool configure(struct nbd_handle *handle)
{
	return nbd_set_uri_allow_local_file(handle, true) == 0 &&
	       nbd_add_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 &&
	       nbd_set_pread_initialize(handle, false) == 0;
}

struct lm_nbd_connection *lm_nbd_connection_create(const char *uri, uint64_t timeout_ns,
						   int *ret_error)
{
	struct lm_nbd_connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL) {
		*ret_error = lm_error(-ENOMEM, "no memory for a connection");
		return NULL;
	}
	connection->timeout_ns = timeout_ns;
	connection->handle = nbd_create();
	if (connection->handle == NULL || !configure(connection->handle) ||
	    nbd_aio_connect_uri(connection->handle, uri) != 0) {
		note_error(connection);
		*ret_error = lm_error(connection->error, "%s", connection->complaint);
		lm_nbd_connection_destroy(connection);
		return NULL;
	}
	return connection;
}

void lm_nbd_connection_destroy(struct lm_nbd_connection *connection)
{
	if (connection == NULL)
		return;
	if (connection->handle != NULL && nbd_aio_is_ready(connection->handle) == 1)
		(void)nbd_aio_disconnect(connection->handle, 0); /* out of courtesy */
	nbd_close(connection->handle);
	free(connection);
}

/* A peer that is silently gone is found out even when nothing is asked of it.
 * Other sockets than those of TCP know none of it. */
static void keep_alive(const struct lm_nbd_connection *connection)
{
	const int fd = nbd_aio_get_fd(connection->handle);
	const int on = 1, probes = 3;
	const uint64_t seconds = connection->timeout_ns / UINT64_C(4000000000);
	const int pause = (int)lm_min(seconds < 1 ? 1 : seconds, 3600);

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &pause, sizeof(pause)) != 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &pause, sizeof(pause));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

int lm_nbd_connection_fd(const struct lm_nbd_connection *connection)
{
	return nbd_aio_get_fd(connection->handle);
}

short lm_nbd_connection_events(const struct lm_nbd_connection *connection)
{
	const unsigned direction = nbd_aio_get_direction(connection->handle);

	return (short)(((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? POLLIN : 0) |
		       ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? POLLOUT : 0));
}

static enum lm_nbd_progress progress(struct lm_nbd_connection *connection)
{
	struct nbd_handle *handle = connection->handle;

	if (connection->shuts_down || nbd_aio_is_dead(handle) != 0 ||
	    nbd_aio_is_closed(handle) != 0)
		return LM_NBD_DEAD;
	if (nbd_aio_is_connecting(handle) != 0)
		return LM_NBD_CONNECTING;
	if (!connection->was_up)
		keep_alive(connection);
	connection->was_up = true;
	return LM_NBD_UP;
}

enum lm_nbd_progress lm_nbd_connection_advance(struct lm_nbd_connection *connection, short revents)
{
	const unsigned direction = nbd_aio_get_direction(connection->handle);
	const bool gone = (revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
	int result = 0;

	if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 && ((revents & POLLIN) != 0 || gone))
		result = nbd_aio_notify_read(connection->handle);
	else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 &&
		 ((revents & POLLOUT) != 0 || gone))
		result = nbd_aio_notify_write(connection->handle);
	if (result != 0)
		note_error(connection);
	return progress(connection);
}

/* ---- the export -------------------------------------------------------------- */

static int check_size(int64_t size)
{
	if (size == 0)
		return lm_error(-ENODATA, "the export is empty");
	if (size < 0 || (uint64_t)size > LARGEST_EXPORT)
		return lm_error(-EFBIG, "the export has %" PRIu64 " bytes, above 2^56",
				(uint64_t)size);
	return 0;
}

static int check_blocks(int64_t least, int64_t most)
{
	if (least < 1 || least > LARGEST_LEAST || !lm_is_power_of_two((uint64_t)least))
		return lm_error(-EPROTO, "the server wants blocks of %" PRId64 " bytes", least);
	if (most < least)
		return lm_error(-EPROTO,
				"the server takes requests of %" PRId64 " bytes at most, in blocks "
				"of %" PRId64,
				most, least);
	return 0;
}

int lm_nbd_connection_limits(struct lm_nbd_connection *connection, struct lm_nbd_limits *ret_limits)
{
	struct nbd_handle *handle = connection->handle;
	const int64_t size = nbd_get_size(handle);
	int64_t least = nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM);
	int64_t most = nbd_get_block_size(handle, LIBNBD_SIZE_MAXIMUM);
	int error;

	if (least == 0)
		least = USUAL_LEAST;
	if (most == 0)
		most = USUAL_MOST;
	error = check_size(size);
	if (error == 0)
		error = check_blocks(least, most);
	if (error != 0)
		return error;
	ret_limits->size = (uint64_t)size;
	ret_limits->least = (uint32_t)least;
	ret_limits->most =
		(uint32_t)lm_align_down(lm_min((uint64_t)most, USUAL_MOST), (uint64_t)least);
	ret_limits->tells_extents =
		nbd_can_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
	return 0;
}

/* ---- reading ------------------------------------------------------------------ */

/* Take [start, end) out of the gap that it lies in. */
static bool fill(struct lm_nbd_ask *ask, size_t start, size_t end)
{
	for (unsigned i = 0; i < ask->gap_count; i++) {
		struct lm_nbd_gap *gap = &ask->gaps[i];
		const struct lm_nbd_gap behind = {end, gap->end};

		if (start < gap->start || end > gap->end)
			continue;
		if (start > gap->start) {
			gap->end = start;
			if (behind.start == behind.end)
				return true;
			if (ask->gap_count == LM_NBD_GAPS)
				return false;
			ask->gaps[ask->gap_count++] = behind;
		} else if (behind.start < behind.end) {
			*gap = behind;
		} else {
			*gap = ask->gaps[--ask->gap_count];
		}
		return true;
	}
	return false;
}

static int chunk_came(void *context, const void *bytes, size_t length, uint64_t offset,
		      unsigned status, int *error)
{
	struct lm_nbd_ask *ask = context;
	size_t start;

	(void)bytes;
	if (status == LIBNBD_READ_ERROR || length == 0)
		return 0;
	start = (size_t)(offset - ask->offset);
	if (fill(ask, start, start + length))
		return 0;
	*error = EPROTO;
	return -1;
}

/* Was it the connection that ended, and not the request? */
static bool note_loss(struct lm_nbd_connection *connection, int error)
{
	if (error == ESHUTDOWN)
		connection->shuts_down = true;
	return error == ENOTCONN || error == ESHUTDOWN;
}

static int ask_over(void *context, int *error)
{
	struct lm_nbd_ask *ask = context;
	int result = -*error;

	if (note_loss(ask->connection, *error))
		return 1;
	if (result == 0 && ask->gap_count != 0)
		result = -EPROTO;
	ask->answered(ask, result);
	return 1; /* libnbd may forget it */
}

/* A connection that dies while a command is sent has taken it all the same, and
 * has no descriptor any more that would tell. */
static int judge(struct lm_nbd_connection *connection, int64_t cookie)
{
	if (cookie >= 0 && progress(connection) != LM_NBD_DEAD)
		return 0;
	note_error(connection);
	return connection->error;
}

int lm_nbd_connection_ask(struct lm_nbd_connection *connection, struct lm_nbd_ask *ask)
{
	const nbd_chunk_callback chunk = {.callback = chunk_came, .user_data = ask};
	const nbd_completion_callback over = {.callback = ask_over, .user_data = ask};

	ask->connection = connection;
	ask->gaps[0] = (struct lm_nbd_gap){0, ask->length};
	ask->gap_count = 1;
	return judge(connection,
		     nbd_aio_pread_structured(connection->handle, ask->buffer, ask->length,
					      ask->offset, chunk, over, 0));
}

/* ---- extents ------------------------------------------------------------------- */

static int extents_came(void *context, const char *name, uint64_t offset, uint32_t *entries,
			size_t count, int *error)
{
	struct lm_nbd_extents_ask *ask = context;

	if (strcmp(name, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
		return 0;
	*error = EPROTO;
	if (ask->told++ > 0 || offset != ask->offset || count < 2 || count % 2 != 0)
		return -1;
	for (size_t i = 0; i < count; i += 2) {
		const bool is_zero = (entries[i + 1] & LIBNBD_STATE_ZERO) != 0;
		const int result = entries[i] != 0 ? ask->next(ask, entries[i], is_zero) : -EPROTO;

		*error = -result;
		if (result != 0)
			return -1;
	}
	return 0;
}

static int extents_over(void *context, int *error)
{
	struct lm_nbd_extents_ask *ask = context;
	int result = -*error;

	if (note_loss(ask->connection, *error))
		return 1;
	if (result == 0 && ask->told == 0)
		result = -EPROTO;
	ask->answered(ask, result);
	return 1;
}

int lm_nbd_connection_ask_extents(struct lm_nbd_connection *connection,
				  struct lm_nbd_extents_ask *ask)
{
	const nbd_extent_callback extent = {.callback = extents_came, .user_data = ask};
	const nbd_completion_callback over = {.callback = extents_over, .user_data = ask};

	ask->connection = connection;
	ask->told = 0;
	return judge(connection, nbd_aio_block_status(connection->handle, ask->length, ask->offset,
						      extent, over, 0));
}
