/* SPDX-License-Identifier: MIT
 *
 * The fixed newstyle handshake and the two commands that a reader sends, in the
 * order of the protocol's document; numbers have the names that it gives them.
 */
#include "nbd_fake.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NBDMAGIC UINT64_C(0x4e42444d41474943)
#define IHAVEOPT UINT64_C(0x49484156454f5054)
#define REPLYMAGIC UINT64_C(0x3e889045565a9)
#define REQUEST_MAGIC UINT32_C(0x25609513)
#define STRUCTURED_MAGIC UINT32_C(0x668e33ef)
#define SIMPLE_MAGIC UINT32_C(0x67446698)

enum { OPT_ABORT = 2, OPT_INFO = 6, OPT_GO = 7, OPT_STRUCTURED = 8, OPT_SET_META_CONTEXT = 10 };
enum { REP_ACK = 1, REP_INFO = 3, REP_META_CONTEXT = 4 };
#define REP_ERR_UNSUP (UINT32_C(1) << 31 | 1)
enum { INFO_EXPORT = 0, INFO_BLOCK_SIZE = 3 };
enum { CMD_READ = 0, CMD_DISC = 2, CMD_BLOCK_STATUS = 7 };
enum { CHUNK_NONE = 0, CHUNK_DATA = 1, CHUNK_STATUS = 5, CHUNK_ERROR = 32769 };
enum { CHUNK_DONE = 1 };
enum { ERROR_IO = 5, ERROR_SHUTDOWN = 108 };
enum { CONTEXT = 7, MOST_OPTION = 4096 };

unsigned char nbd_fake_byte(uint64_t offset)
{
	return (unsigned char)(1 + (offset * 31 + offset / 4096) % 251);
}

/* ---- bytes ---------------------------------------------------------------------- */

static bool get(const struct nbd_fake *fake, int fd, void *bytes, size_t length)
{
	char *to = bytes;

	while (length > 0) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		ssize_t got;

		if (fake->stopping)
			return false;
		if (poll(&poll_fd, 1, 20) == 0)
			continue;
		got = recv(fd, to, length, 0);
		if (got <= 0)
			return false;
		to += got;
		length -= (size_t)got;
	}
	return true;
}

static bool put(int fd, const void *bytes, size_t length)
{
	const char *from = bytes;

	while (length > 0) {
		const ssize_t sent = send(fd, from, length, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		from += sent;
		length -= (size_t)sent;
	}
	return true;
}

/* ---- the handshake ----------------------------------------------------------------- */

struct __attribute__((packed)) option_reply {
	uint64_t magic;
	uint32_t option, type, length;
};

static bool reply(int fd, uint32_t option, uint32_t type, const void *bytes, size_t length)
{
	const struct option_reply header = {htobe64(REPLYMAGIC), htobe32(option), htobe32(type),
					    htobe32((uint32_t)length)};

	return put(fd, &header, sizeof(header)) && (length == 0 || put(fd, bytes, length));
}

static bool describe(const struct nbd_fake *fake, int fd, uint32_t option)
{
	const struct __attribute__((packed)) {
		uint16_t type;
		uint64_t size;
		uint16_t flags;
	} export = {htobe16(INFO_EXPORT), htobe64(fake->size), htobe16(1 | 2)};
	const struct __attribute__((packed)) {
		uint16_t type;
		uint32_t least, preferred, most;
	} blocks = {htobe16(INFO_BLOCK_SIZE), htobe32(fake->least), htobe32(fake->least),
		    htobe32(fake->most)};

	return reply(fd, option, REP_INFO, &export, sizeof(export)) &&
	       (fake->least == 0 || reply(fd, option, REP_INFO, &blocks, sizeof(blocks))) &&
	       reply(fd, option, REP_ACK, NULL, 0);
}

static bool set_context(int fd)
{
	const struct __attribute__((packed)) {
		uint32_t id;
		char name[15];
	} context = {htobe32(CONTEXT),
		     {'b', 'a', 's', 'e', ':', 'a', 'l', 'l', 'o', 'c', 'a', 't', 'i', 'o', 'n'}};

	return reply(fd, OPT_SET_META_CONTEXT, REP_META_CONTEXT, &context, sizeof(context)) &&
	       reply(fd, OPT_SET_META_CONTEXT, REP_ACK, NULL, 0);
}

/* Until the client goes on to transmission. */
static bool negotiate(const struct nbd_fake *fake, int fd)
{
	const struct __attribute__((packed)) {
		uint64_t magic, options;
		uint16_t flags;
	} greeting = {htobe64(NBDMAGIC), htobe64(IHAVEOPT), htobe16(1 | 2)};
	struct __attribute__((packed)) {
		uint64_t magic;
		uint32_t option, length;
	} header;
	char data[MOST_OPTION];
	uint32_t flags;
	bool alive;

	if (fake->misdeed == NBD_NO_NBD)
		return put(fd, "220 mail.example ESMTP", 22) && false;
	alive = put(fd, &greeting, sizeof(greeting)) && get(fake, fd, &flags, sizeof(flags));
	while (alive && get(fake, fd, &header, sizeof(header))) {
		const uint32_t option = be32toh(header.option), length = be32toh(header.length);

		if (length > sizeof(data) || !get(fake, fd, data, length) || option == OPT_ABORT)
			return false;
		if (option == OPT_GO || option == OPT_INFO)
			alive = describe(fake, fd, option);
		else if (option == OPT_STRUCTURED)
			alive = reply(fd, option, REP_ACK, NULL, 0);
		else if (option == OPT_SET_META_CONTEXT)
			alive = set_context(fd);
		else
			alive = reply(fd, option, REP_ERR_UNSUP, NULL, 0);
		if (alive && option == OPT_GO)
			return true;
	}
	return false;
}

/* ---- commands ------------------------------------------------------------------------ */

struct __attribute__((packed)) request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint32_t length;
};

static bool chunk(int fd, uint64_t cookie, int flags, int type, const void *bytes, size_t length)
{
	const struct __attribute__((packed)) {
		uint32_t magic;
		uint16_t flags, type;
		uint64_t cookie;
		uint32_t length;
	} header = {htobe32(STRUCTURED_MAGIC), htobe16((uint16_t)flags), htobe16((uint16_t)type),
		    cookie, htobe32((uint32_t)length)};

	return put(fd, &header, sizeof(header)) && (length == 0 || put(fd, bytes, length));
}

/* `length` bytes from `offset` on; of these only `sent`, and then the end. */
static bool data(int fd, uint64_t cookie, int flags, uint64_t offset, size_t length, size_t sent)
{
	unsigned char *payload = malloc(8 + length);
	const uint64_t big = htobe64(offset);
	const struct __attribute__((packed)) {
		uint32_t magic;
		uint16_t flags, type;
		uint64_t cookie;
		uint32_t length;
	} header = {htobe32(STRUCTURED_MAGIC), htobe16((uint16_t)flags), htobe16(CHUNK_DATA),
		    cookie, htobe32((uint32_t)(8 + length))};
	bool alive;

	if (payload == NULL)
		return false;
	memcpy(payload, &big, sizeof(big));
	for (size_t i = 0; i < length; i++)
		payload[8 + i] = nbd_fake_byte(offset + i);
	alive = put(fd, &header, sizeof(header)) && put(fd, payload, 8 + sent) && sent == length;
	free(payload);
	return alive;
}

static bool error_chunk(int fd, uint64_t cookie, uint32_t error)
{
	const struct __attribute__((packed)) {
		uint32_t error;
		uint16_t length;
	} payload = {htobe32(error), 0};

	return chunk(fd, cookie, CHUNK_DONE, CHUNK_ERROR, &payload, sizeof(payload));
}

static bool send_backwards(int fd, uint64_t cookie, uint64_t offset, size_t length)
{
	const size_t piece = (length + 6) / 7;

	for (size_t end = length; end > 0;) {
		const size_t start = end > piece ? end - piece : 0;

		if (!data(fd, cookie, start == 0 ? CHUNK_DONE : 0, offset + start, end - start,
			  end - start))
			return false;
		end = start;
	}
	return true;
}

static bool answer_read(int fd, enum nbd_misdeed misdeed, const struct request *request)
{
	const uint64_t cookie = request->cookie, offset = be64toh(request->offset);
	const size_t length = be32toh(request->length), half = length / 2;
	const char garbage[64] = "this is no answer";

	switch (misdeed) {
	case NBD_LACKS_BYTES:
		return data(fd, cookie, CHUNK_DONE, offset, half, half);
	case NBD_SENDS_NOTHING:
		return chunk(fd, cookie, CHUNK_DONE, CHUNK_NONE, NULL, 0);
	case NBD_SENDS_TWICE:
		return data(fd, cookie, 0, offset, half, half) &&
		       data(fd, cookie, CHUNK_DONE, offset, half, half);
	case NBD_SENDS_OUTSIDE:
		return data(fd, cookie, CHUNK_DONE, offset + half, length, length);
	case NBD_OTHER_COOKIE:
		return data(fd, ~cookie, CHUNK_DONE, offset, length, length);
	case NBD_GARBAGE:
		return put(fd, garbage, sizeof(garbage));
	case NBD_ENDS_HALFWAY:
		return data(fd, cookie, CHUNK_DONE, offset, length, half);
	case NBD_SHUTS_DOWN:
		return error_chunk(fd, cookie, ERROR_SHUTDOWN);
	case NBD_SENDS_BACKWARDS:
		return send_backwards(fd, cookie, offset, length);
	default:
		return data(fd, cookie, CHUNK_DONE, offset, length, length);
	}
}

static bool extents(int fd, uint64_t cookie, int flags, const uint32_t *numbers, size_t count)
{
	uint32_t payload[16] = {htobe32(CONTEXT)};

	for (size_t i = 0; i < count; i++)
		payload[i + 1] = htobe32(numbers[i]);
	return chunk(fd, cookie, flags, CHUNK_STATUS, payload, (count + 1) * sizeof(*payload));
}

static bool answer_status(int fd, enum nbd_misdeed misdeed, const struct request *request)
{
	const uint32_t length = be32toh(request->length);
	const uint32_t all[] = {length, 0}, empty[] = {0, 0, length, 0};
	const uint32_t beyond[] = {length, 0, 4096, 3}, longer[] = {length + 4096, 0};
	const uint64_t cookie = request->cookie;

	switch (misdeed) {
	case NBD_EXTENT_EMPTY:
		return extents(fd, cookie, CHUNK_DONE, empty, 4);
	case NBD_EXTENTS_NONE:
		return chunk(fd, cookie, CHUNK_DONE, CHUNK_NONE, NULL, 0);
	case NBD_EXTENTS_TWICE:
		return extents(fd, cookie, 0, all, 2) && extents(fd, cookie, CHUNK_DONE, all, 2);
	case NBD_EXTENTS_BEYOND:
		return extents(fd, cookie, CHUNK_DONE, beyond, 4);
	case NBD_EXTENT_LONG:
		return extents(fd, cookie, CHUNK_DONE, longer, 2);
	case NBD_EXTENT_ERROR:
		return error_chunk(fd, cookie, ERROR_IO);
	default:
		return extents(fd, cookie, CHUNK_DONE, all, 2);
	}
}

/* What it does with this command: its misdeed, when it is of the right kind, as
 * often as it may. */
static enum nbd_misdeed next_misdeed(struct nbd_fake *fake, bool is_status)
{
	if ((fake->misdeed >= NBD_EXTENT_EMPTY) != is_status || fake->misdeeds == 0 ||
	    fake->misdeed == NBD_HANGS_UP)
		return NBD_HONEST;
	fake->misdeeds--;
	return fake->misdeed;
}

static void serve(struct nbd_fake *fake, int fd)
{
	struct request request;
	bool alive = negotiate(fake, fd);

	if (alive && fake->misdeed == NBD_HANGS_UP && fake->misdeeds > 0) {
		fake->misdeeds--;
		alive = false;
	}
	while (alive && get(fake, fd, &request, sizeof(request))) {
		const unsigned type = be16toh(request.type);

		fake->commands++;
		if (type == CMD_READ)
			alive = answer_read(fd, next_misdeed(fake, false), &request);
		else if (type == CMD_BLOCK_STATUS)
			alive = answer_status(fd, next_misdeed(fake, true), &request);
		else
			alive = false;
	}
	close(fd);
}

static void *listen_and_serve(void *argument)
{
	struct nbd_fake *fake = argument;

	while (!fake->stopping) {
		struct pollfd poll_fd = {.fd = fake->listener, .events = POLLIN};
		int fd;

		if (poll(&poll_fd, 1, 20) <= 0)
			continue;
		fd = accept(fake->listener, NULL, NULL);
		if (fd < 0)
			continue;
		fake->connections++;
		serve(fake, fd);
	}
	return NULL;
}

void nbd_fake_start(struct nbd_fake *fake, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(fake->socket, sizeof(fake->socket), "%s", scratch_path(name));
	snprintf(fake->uri, sizeof(fake->uri), "nbd+unix:///?socket=%s", fake->socket);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", fake->socket);
	unlink(fake->socket);
	fake->stopping = false;
	fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fake->listener >= 0);
	assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fake->listener, 16), 0);
	assert_int_equal(pthread_create(&fake->thread, NULL, listen_and_serve, fake), 0);
}

void nbd_fake_stop(struct nbd_fake *fake)
{
	fake->stopping = true;
	pthread_join(fake->thread, NULL);
	close(fake->listener);
}
