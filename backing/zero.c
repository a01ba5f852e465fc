/* SPDX-License-Identifier: MIT
 *
 * zero.c - zeros as a backing object: no state, one extent.
 */
#include <lazymem/zero.h>

#include <string.h>

static void zero_read(void *object, struct lazymem_read *read)
{
	(void)object;
	memset(read->buffer, 0, read->length);
	lazymem_read_complete(read, 0);
}

static int zero_extent(void *object, uint64_t offset, uint64_t length,
		       struct lazymem_extent *ret_extent)
{
	(void)object;
	*ret_extent = (struct lazymem_extent){offset, length, LAZYMEM_EXTENT_ZERO};
	return 0;
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = zero_read,
	.extent = zero_extent,
};

int lazymem_zero_create(uint64_t length, struct lazymem_backing **ret_backing)
{
	return lazymem_backing_create(&operations, NULL, length, "zeros", ret_backing);
}
