/* SPDX-License-Identifier: MIT
 *
 * control.c - the server of the control socket.
 *
 * One thread accepts; each connection has a thread of its own, which reads a
 * line, runs the verb, and writes the answer. Whoever connects may send
 * anything: a line that is too long, or no text, that no verb has the name of, or
 * with too few words is answered with an error; the connection lives on, except after
 * the first two.
 *
 * A connection is closed by its thread, whose place is taken by the next: one that has ended holds
 * no descriptor that another waits for.
 *
 * Only the owner of the process may connect (mode 0600). Stopping shuts every
 * connection's reading side, so a verb that runs still gets its answer out, and its
 * thread finds the end of the connection after that. Who does not read his answers is
 * waited for a few seconds, and then no more.
 */
#include "control.h"
#include "complain.h"
#include "control_words.h"
#include "fault.h"
#include "link.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 5 /* with who does not read his answers */

struct connection {
	struct control *control;
	pthread_t thread;
	bool has_thread; /* else this place is free */
	int fd;          /* -1: it is closed */
};

struct control {
	struct monitor *monitor;
	char *path;
	int listener;
	int stop; /* an eventfd */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock; /* of the connections' fd */
	struct connection connections[CONTROL_CONNECTIONS_MAX];
};

/* ---- answers ------------------------------------------------------------------------ */

static void set_answer(struct control_answer *answer, bool is_error, const char *format,
		       va_list arguments)
{
	answer->is_error = is_error;
	vsnprintf(answer->text, sizeof(answer->text), format, arguments);
	for (char *c = answer->text; *c != '\0'; c++) {
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	}
}

void control_ok(struct control_answer *answer, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	set_answer(answer, false, format, arguments);
	va_end(arguments);
}

void control_error(struct control_answer *answer, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	set_answer(answer, true, format, arguments);
	va_end(arguments);
}

static int send_answer(int fd, const struct control_answer *answer)
{
	char line[CONTROL_LINE_MAX];
	const int length =
		snprintf(line, sizeof(line), "%s%s%s\n", answer->is_error ? "error" : "ok",
			 answer->text[0] != '\0' ? " " : "", answer->text);
	size_t sent = 0;

	while (sent < (size_t)length) {
		const ssize_t count = send(fd, line + sent, (size_t)length - sent, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -1;
		sent += (size_t)count;
	}
	return 0;
}

/* ---- commands ------------------------------------------------------------------------ */

static const struct control_verb *find_verb(const char *name)
{
	for (const struct control_verb *const *verb = control_verbs; *verb != NULL; verb++) {
		if (strcmp((*verb)->name, name) == 0)
			return *verb;
	}
	return NULL;
}

static void answer_line(struct monitor *monitor, char *line, struct control_answer *answer)
{
	char *words[CONTROL_WORDS_MAX];
	const struct control_verb *verb;
	size_t count;

	if (control_split(line, words, &count) != 0) {
		control_error(answer, "%s", fault_message());
		return;
	}
	verb = find_verb(words[0]);
	if (verb == NULL)
		control_error(answer, "unknown command %.64s", words[0]);
	else if (count < verb->words_least || count > verb->words_most)
		control_error(answer, "usage: %s%s%s", verb->name,
			      verb->usage[0] != '\0' ? " " : "", verb->usage);
	else
		verb->run(monitor, words, count, answer);
}

static void serve_connection(struct connection *connection)
{
	char line[CONTROL_LINE_MAX];

	for (;;) {
		struct control_answer answer = {.connection = connection->fd};
		const int length = control_read_line(connection->fd, line, sizeof(line));

		if (length == -EMSGSIZE || length == -EBADMSG) {
			control_error(&answer, "a command is a line of text of less than %d bytes",
				      CONTROL_LINE_MAX);
			send_answer(connection->fd, &answer);
			return;
		}
		if (length < 0)
			return;
		answer_line(connection->control->monitor, line, &answer);
		if (send_answer(connection->fd, &answer) != 0)
			return;
	}
}

static void *connection_thread(void *context)
{
	struct connection *connection = context;

	serve_connection(connection);
	pthread_mutex_lock(&connection->control->lock);
	shutdown(connection->fd, SHUT_RDWR); /* a child may have it for a moment */
	close(connection->fd);
	connection->fd = -1;
	pthread_mutex_unlock(&connection->control->lock);
	return NULL;
}

/* ---- connections ----------------------------------------------------------------------- */

static void release_connection(struct connection *connection)
{
	pthread_join(connection->thread, NULL);
	connection->has_thread = false;
}

/* A place for one more; NULL: all are taken. On the thread that accepts. */
static struct connection *find_place(struct control *control)
{
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		struct connection *connection = &control->connections[i];
		bool is_over;

		pthread_mutex_lock(&control->lock);
		is_over = connection->fd < 0;
		pthread_mutex_unlock(&control->lock);
		if (is_over && connection->has_thread)
			release_connection(connection);
		if (is_over)
			return connection;
	}
	return NULL;
}

static void refuse_connection(int fd, const char *why)
{
	struct control_answer answer = {0};

	control_error(&answer, "%s", why);
	send_answer(fd, &answer);
	close(fd);
}

static void let_in(struct control *control, int fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct connection *place;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	place = find_place(control);
	if (place == NULL) {
		refuse_connection(fd, "too many connections");
		return;
	}
	*place = (struct connection){.control = control, .fd = fd};
	place->has_thread = pthread_create(&place->thread, NULL, connection_thread, place) == 0;
	if (!place->has_thread) {
		place->fd = -1;
		refuse_connection(fd, "no thread for this connection");
	}
}

static void *accept_thread(void *context)
{
	struct control *control = context;
	int fd;

	while ((fd = link_accept(control->listener, control->stop, SOCK_CLOEXEC)) >= 0)
		let_in(control, fd);
	return NULL;
}

/* ---- life -------------------------------------------------------------------------------- */

/* A socket that nobody listens on is left over from a process that died. */
static int remove_stale(const char *path, const struct sockaddr_un *address)
{
	struct stat status;
	int fd;
	int error;

	if (lstat(path, &status) != 0)
		return errno == ENOENT ? 0 : fault("%s: %s", path, strerror(errno));
	if (!S_ISSOCK(status.st_mode))
		return fault("%s: is there already, and is no socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault("%s: %s", path, strerror(errno));
	error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
	close(fd);
	if (error != ECONNREFUSED)
		return fault("%s: is the control socket of another machine", path);
	return unlink(path) == 0 ? 0 : fault("%s: %s", path, strerror(errno));
}

static int listen_at(struct control *control)
{
	struct sockaddr_un address;

	if (control_address(control->path, &address) != 0 ||
	    remove_stale(control->path, &address) != 0)
		return -1;
	control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (control->listener < 0 || fchmod(control->listener, 0600) != 0 ||
	    bind(control->listener, (const struct sockaddr *)&address, sizeof(address)) != 0)
		return fault("%s: %s", control->path, strerror(errno));
	if (listen(control->listener, CONTROL_CONNECTIONS_MAX) != 0)
		return fault("%s: %s", control->path, strerror(errno));
	return 0;
}

static int start(struct control *control)
{
	int error;

	if (control->path == NULL)
		return fault("no memory for a control socket");
	control->stop = eventfd(0, EFD_CLOEXEC);
	if (control->stop < 0)
		return fault("eventfd: %s", strerror(errno));
	if (listen_at(control) != 0)
		return -1;
	error = pthread_create(&control->thread, NULL, accept_thread, control);
	if (error != 0)
		return fault("%s: no thread: %s", control->path, strerror(error));
	control->has_thread = true;
	return 0;
}

int control_start(const char *path, struct monitor *monitor, struct control **ret_control)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL)
		return fault("no memory for a control socket");
	control->monitor = monitor;
	control->path = strdup(path);
	control->listener = -1;
	control->stop = -1;
	pthread_mutex_init(&control->lock, NULL);
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		control->connections[i].fd = -1;
	if (start(control) != 0) {
		control_stop(control);
		return -1;
	}
	*ret_control = control;
	return 0;
}

static void stop_threads(struct control *control)
{
	const uint64_t one = 1;

	while (write(control->stop, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
	pthread_join(control->thread, NULL);
	for (size_t i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		struct connection *connection = &control->connections[i];

		if (!connection->has_thread)
			continue;
		pthread_mutex_lock(&control->lock);
		if (connection->fd >= 0)
			shutdown(connection->fd, SHUT_RD);
		pthread_mutex_unlock(&control->lock);
		release_connection(connection);
	}
}

void control_stop(struct control *control)
{
	if (control == NULL)
		return;
	if (control->has_thread) {
		unlink(control->path);
		stop_threads(control);
	}
	if (control->listener >= 0)
		close(control->listener);
	if (control->stop >= 0)
		close(control->stop);
	pthread_mutex_destroy(&control->lock);
	free(control->path);
	free(control);
}
