/* SPDX-License-Identifier: MIT
 *
 * bytes.c - bytes in memory as a backing object.
 */
#include <lazymem/bytes.h>

#include "core/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
	unsigned char *bytes; /* of a read-only object, never written through */
	void (*release)(void *context);
	void *context;
};

static void bytes_read(void *object, struct lazymem_read *read)
{
	const struct bytes *bytes = object;

	memcpy(read->buffer, bytes->bytes + read->offset, read->length);
	lazymem_read_complete(read, 0);
}

static void bytes_write(void *object, struct lazymem_write *write)
{
	const struct bytes *bytes = object;

	memcpy(bytes->bytes + write->offset, write->buffer, write->length);
	lazymem_write_complete(write, 0);
}

static int bytes_discard(void *object, uint64_t offset, uint64_t length)
{
	const struct bytes *bytes = object;

	memset(bytes->bytes + offset, 0, (size_t)length);
	return 0;
}

static void bytes_close(void *object)
{
	struct bytes *bytes = object;

	if (bytes->release != NULL)
		bytes->release(bytes->context);
	free(bytes);
}

static const struct lazymem_backing_operations read_only = {
	.size = sizeof(read_only),
	.read = bytes_read,
	.close = bytes_close,
};

static const struct lazymem_backing_operations writable = {
	.size = sizeof(writable),
	.read = bytes_read,
	.write = bytes_write,
	.discard = bytes_discard,
	.close = bytes_close,
};

static int create(const struct lazymem_backing_operations *operations, void *bytes, size_t length,
		  void (*release)(void *context), void *context,
		  struct lazymem_backing **ret_backing)
{
	struct bytes *object;
	int error;

	if (bytes == NULL)
		return lm_error(-EINVAL, "no bytes to make a backing object of");
	object = malloc(sizeof(*object));
	if (object == NULL)
		return lm_error(-ENOMEM, "no memory for a backing object of %zu bytes", length);
	*object = (struct bytes){bytes, release, context};
	error = lazymem_backing_create(operations, object, length, "bytes", ret_backing);
	if (error != 0)
		free(object);
	return error;
}

int lazymem_bytes_create(const void *bytes, size_t length, void (*release)(void *context),
			 void *context, struct lazymem_backing **ret_backing)
{
	return create(&read_only, (void *)(uintptr_t)bytes, length, release, context, ret_backing);
}

int lazymem_bytes_create_writable(void *bytes, size_t length, void (*release)(void *context),
				  void *context, struct lazymem_backing **ret_backing)
{
	return create(&writable, bytes, length, release, context, ret_backing);
}
