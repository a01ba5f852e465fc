/* SPDX-License-Identifier: MIT */
#include "control_words.h"
#include "control.h"
#include "fault.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Cut one word off, in place; what follows it. */
static char *cut_word(char *word)
{
	const char *from = word;
	char *to = word;

	while (*from != '\0' && *from != ' ') {
		if (*from == '\\' && from[1] != '\0')
			from++;
		*to++ = *from++;
	}
	from += strspn(from, " ");
	*to = '\0'; /* the space that from has passed, or the end */
	return word + (from - word);
}

int control_split(char *line, char **words, size_t *ret_count)
{
	char *next = line + strspn(line, " ");
	size_t count = 0;

	while (*next != '\0') {
		if (count == CONTROL_WORDS_MAX)
			return fault("a command has at most %d words", CONTROL_WORDS_MAX);
		words[count++] = next;
		next = cut_word(next);
	}
	if (count == 0)
		return fault("an empty command");
	*ret_count = count;
	return 0;
}

/* NULL: it does not fit. */
static char *append_word(char *to, const char *end, const char *word)
{
	for (; *word != '\0'; word++) {
		if (end - to < 3)
			return NULL;
		if (*word == ' ' || *word == '\\')
			*to++ = '\\';
		*to++ = *word;
	}
	return end - to < 2 ? NULL : to;
}

int control_join(char *const *words, size_t count, char *line, size_t size)
{
	char *to = line;

	for (size_t i = 0; i < count; i++) {
		if (words[i][0] == '\0' || strpbrk(words[i], "\r\n") != NULL)
			return fault("what is empty, or of several lines, cannot be sent");
		if (i > 0)
			*to++ = ' ';
		to = append_word(to, line + size, words[i]);
		if (to == NULL)
			return fault("a command has less than %zu bytes", size);
	}
	*to++ = '\n';
	return (int)(to - line);
}

int control_read_line(int fd, char *line, size_t size)
{
	size_t length = 0;

	for (;;) {
		const ssize_t count = recv(fd, line + length, 1, 0);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count == 0 ? -ECONNRESET : -errno;
		if (line[length] == '\n')
			break;
		if (++length == size)
			return -EMSGSIZE;
	}
	if (length > 0 && line[length - 1] == '\r')
		length--;
	line[length] = '\0';
	return memchr(line, '\0', length) == NULL ? (int)length : -EBADMSG;
}

int control_address(const char *path, struct sockaddr_un *ret_address)
{
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return fault("%s: the name of a socket has at most %zu bytes", path,
			     sizeof(ret_address->sun_path) - 1);
	strcpy(ret_address->sun_path, path);
	return 0;
}
