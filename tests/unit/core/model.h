/* SPDX-License-Identifier: MIT
 *
 * model.h - what the unit tests of core make their mappings, regions and guest
 * memories with. The tests speak of base pages of 4 KiB.
 */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <lazymem/memory.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)
#define AT(number) ((lazymem_guest_address){number})

/* The message of the last failure contains `part`. */
static inline void assert_says(const char *part)
{
	if (strstr(lazymem_error_message(), part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, lazymem_error_message());
}

static inline struct lazymem_mapping *make_mapping(size_t length)
{
	struct lazymem_mapping *mapping = NULL;

	assert_int_equal(lazymem_mapping_create_anonymous(length, NULL, &mapping), 0);
	return mapping;
}

/* The region holds the only reference to its mapping. */
static inline struct lazymem_region *make_region_of(struct lazymem_mapping *mapping, uint64_t base)
{
	struct lazymem_region *region = NULL;

	assert_int_equal(lazymem_region_create(mapping, AT(base), NULL, 0, &region), 0);
	lazymem_mapping_unref(mapping);
	return region;
}

static inline struct lazymem_region *make_region(uint64_t base, size_t length)
{
	return make_region_of(make_mapping(length), base);
}

/* The memory holds the only references to its regions. */
static inline struct lazymem_memory *make_memory(struct lazymem_region **regions, size_t count)
{
	struct lazymem_memory *memory = NULL;

	assert_int_equal(lazymem_memory_create(regions, count, &memory), 0);
	for (size_t i = 0; i < count; i++)
		lazymem_region_unref(regions[i]);
	return memory;
}

/* Two pages at 0x1000, two right after them, and one at 0x8000. */
static inline struct lazymem_memory *make_three(void)
{
	struct lazymem_region *regions[] = {
		make_region(0x8000, PAGE),
		make_region(0x1000, 2 * PAGE),
		make_region(0x3000, 2 * PAGE),
	};

	return make_memory(regions, 3);
}

/* Does smaps show `flag` among the VmFlags of the mapping that holds host? */
static inline bool has_vm_flag(const void *host, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	bool inside = false, found = false;
	char padded[8], line[512];

	assert_non_null(file);
	snprintf(padded, sizeof(padded), " %s ", flag);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)host >= start && (uintptr_t)host < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, padded) != NULL;
	}
	fclose(file);
	return found;
}

/* A file of `length` bytes, all `fill`, that is gone when it is closed. */
static inline int make_file(size_t length, unsigned char fill)
{
	FILE *file = tmpfile();
	int fd;

	assert_non_null(file);
	for (size_t i = 0; i < length; i++)
		assert_int_equal(fputc(fill, file), fill);
	assert_int_equal(fflush(file), 0);
	fd = dup(fileno(file));
	assert_true(fd >= 0);
	fclose(file);
	return fd;
}

static inline unsigned char *host_of(struct lazymem_mapping *mapping)
{
	return lazymem_mapping_span(mapping).host;
}

#endif
