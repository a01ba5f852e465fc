/* SPDX-License-Identifier: MIT
 *
 * memory_access.c - bytes and numbers in and out of guest memory.
 *
 * The guest may write the same bytes at the same time; what a copy then holds
 * is a mixture, as on real hardware. Only the naturally aligned numbers are
 * promised in one piece. Host and guest addresses agree modulo the page size
 * at least, so a number that is aligned for the guest is aligned here and lies
 * in one page, hence in one region.
 */
#include "core/error.h"
#include "core/memory.h"

#include <endian.h>
#include <string.h>
#include <sys/mman.h>

/* No bytes: is there a region at all? */
static int check_empty(const struct lazymem_memory *memory, lazymem_guest_address address)
{
	struct lazymem_region *region;
	uint64_t offset;

	return lazymem_memory_find(memory, address, &region, &offset);
}

int lazymem_memory_read(const struct lazymem_memory *memory, lazymem_guest_address address,
			void *buffer, size_t length)
{
	struct lm_walk walk = {0};
	struct lm_piece piece;
	unsigned char *next = buffer;
	int error;

	if (length == 0)
		return check_empty(memory, address);
	error = lm_walk_begin(memory, address, length, PROT_READ, &walk);
	if (error != 0)
		return error;
	while (lm_walk_next(&walk, &piece)) {
		memcpy(next, piece.host, piece.length);
		next += piece.length;
	}
	return 0;
}

int lazymem_memory_write(const struct lazymem_memory *memory, lazymem_guest_address address,
			 const void *buffer, size_t length)
{
	struct lm_walk walk = {0};
	struct lm_piece piece;
	const unsigned char *next = buffer;
	int error;

	if (length == 0)
		return check_empty(memory, address);
	error = lm_walk_begin(memory, address, length, PROT_WRITE, &walk);
	if (error != 0)
		return error;
	while (lm_walk_next(&walk, &piece)) {
		memcpy(piece.host, next, piece.length);
		next += piece.length;
	}
	return 0;
}

/* Where an aligned number of `size` bytes lies, or NULL if it is not aligned. */
static int find_aligned(const struct lazymem_memory *memory, lazymem_guest_address address,
			size_t size, int protection, void **ret_host)
{
	struct lm_walk walk = {0};
	struct lm_piece piece;
	int error;

	if (address.value % size != 0) {
		*ret_host = NULL;
		return 0;
	}
	error = lm_walk_begin(memory, address, size, protection, &walk);
	if (error != 0)
		return error;
	lm_walk_next(&walk, &piece);
	*ret_host = piece.host;
	return 0;
}

#define swap_none(value) (value)

#define DEFINE_ACCESS(name, type, to_host, from_host)                                              \
	int lazymem_memory_load_##name(const struct lazymem_memory *memory,                        \
				       lazymem_guest_address address, type *ret_value)             \
	{                                                                                          \
		void *host = NULL;                                                                 \
		type value = 0;                                                                    \
		int error = find_aligned(memory, address, sizeof(value), PROT_READ, &host);        \
                                                                                                   \
		if (error == 0 && host != NULL)                                                    \
			value = __atomic_load_n((const type *)host, __ATOMIC_ACQUIRE);             \
		else if (error == 0)                                                               \
			error = lazymem_memory_read(memory, address, &value, sizeof(value));       \
		if (error == 0)                                                                    \
			*ret_value = to_host(value);                                               \
		return error;                                                                      \
	}                                                                                          \
                                                                                                   \
	int lazymem_memory_store_##name(const struct lazymem_memory *memory,                       \
					lazymem_guest_address address, type value)                 \
	{                                                                                          \
		const type little = from_host(value);                                              \
		void *host = NULL;                                                                 \
		const int error =                                                                  \
			find_aligned(memory, address, sizeof(little), PROT_WRITE, &host);          \
                                                                                                   \
		if (error != 0)                                                                    \
			return error;                                                              \
		if (host == NULL)                                                                  \
			return lazymem_memory_write(memory, address, &little, sizeof(little));     \
		__atomic_store_n((type *)host, little, __ATOMIC_RELEASE);                          \
		return 0;                                                                          \
	}

DEFINE_ACCESS(u8, uint8_t, swap_none, swap_none)
DEFINE_ACCESS(u16, uint16_t, le16toh, htole16)
DEFINE_ACCESS(u32, uint32_t, le32toh, htole32)
DEFINE_ACCESS(u64, uint64_t, le64toh, htole64)
