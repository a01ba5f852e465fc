/* SPDX-License-Identifier: MIT
 *
 * main.c - a program that has nothing of lazymem but what is installed. It
 * needs no permission: guest memory that is loaded eagerly.
 */
#include <lazymem/bytes.h>
#include <lazymem/file.h>
#include <lazymem/handler.h>
#include <lazymem/inject.h>
#include <lazymem/zero.h>
#include <stdio.h>

static const unsigned char bytes[4096] = {42};

int main(void)
{
	const lazymem_guest_address base = {0x10000};
	struct lazymem_backing *backing;
	struct lazymem_mapping *mapping;
	struct lazymem_region *region;
	struct lazymem_memory *memory;
	uint8_t value = 0;

	if (lazymem_bytes_create(bytes, sizeof(bytes), NULL, NULL, &backing) ||
	    lazymem_mapping_create_anonymous(sizeof(bytes), NULL, &mapping) ||
	    lazymem_region_create(mapping, base, backing, 0, &region) ||
	    lazymem_region_load(region) || lazymem_memory_create(&region, 1, &memory) ||
	    lazymem_memory_load_u8(memory, base, &value)) {
		fprintf(stderr, "consumer: %s\n", lazymem_error_message());
		return 1;
	}
	printf("lazymem %s: %d\n", lazymem_version(), value);
	lazymem_memory_unref(memory);
	lazymem_region_unref(region);
	lazymem_mapping_unref(mapping);
	lazymem_backing_unref(backing);
	return 0;
}
