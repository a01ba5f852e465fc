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
	const unsigned char *bytes;
	void (*release)(void *context);
	void *context;
};

static void bytes_read(void *object, struct lazymem_read *read)
{
	const struct bytes *bytes = object;

	memcpy(read->buffer, bytes->bytes + read->offset, read->length);
	lazymem_read_complete(read, 0);
}

static void bytes_close(void *object)
{
	struct bytes *bytes = object;

	if (bytes->release != NULL)
		bytes->release(bytes->context);
	free(bytes);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = bytes_read,
	.close = bytes_close,
};

int lazymem_bytes_create(const void *bytes, size_t length, void (*release)(void *context),
			 void *context, struct lazymem_backing **ret_backing)
{
	struct bytes *object;
	int error;

	if (bytes == NULL)
		return lm_error(-EINVAL, "no bytes to make a backing object of");
	object = malloc(sizeof(*object));
	if (object == NULL)
		return lm_error(-ENOMEM, "no memory for a backing object of %zu bytes", length);
	*object = (struct bytes){bytes, release, context};
	error = lazymem_backing_create(&operations, object, length, "bytes", ret_backing);
	if (error != 0)
		free(object);
	return error;
}
