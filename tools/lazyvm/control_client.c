/* SPDX-License-Identifier: MIT */
#include "complain.h"
#include "control.h"
#include "control_words.h"
#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_to(const char *path)
{
	struct sockaddr_un address;
	int fd;

	if (control_address(path, &address) != 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		fault("%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static int send_line(int fd, const char *path, const char *line, size_t length)
{
	while (length > 0) {
		const ssize_t count = send(fd, line, length, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EPIPE)
			return 0; /* refused; the answer says why */
		if (count < 0)
			return fault("%s: %s", path, strerror(errno));
		line += count;
		length -= (size_t)count;
	}
	return 0;
}

static int tell_answer(const char *path, const char *line)
{
	if (strncmp(line, "error ", 6) == 0)
		return fault("%s", line + 6);
	if (strncmp(line, "ok", 2) != 0 || (line[2] != '\0' && line[2] != ' '))
		return fault("%s: answers what no lazyvm does", path);
	if (line[2] == ' ')
		puts(line + 3);
	return 0;
}

static int ask(int fd, const char *path, char *const *words, size_t count)
{
	char line[CONTROL_LINE_MAX];
	int length = control_join(words, count, line, sizeof(line));

	if (length < 0 || send_line(fd, path, line, (size_t)length) != 0)
		return -1;
	length = control_read_line(fd, line, sizeof(line));
	if (length < 0)
		return fault("%s: no answer: %s", path, strerror(-length));
	return tell_answer(path, line);
}

int control_ask(const char *path, char *const *words, size_t count)
{
	const int fd = connect_to(path);
	const int result = fd >= 0 ? ask(fd, path, words, count) : -1;

	if (fd >= 0)
		close(fd);
	if (result == 0)
		return EXIT_SUCCESS;
	complain("%s", fault_message());
	return EXIT_RUN_FAILED;
}
