/* SPDX-License-Identifier: MIT
 *
 * memory_cost_test.c - what an attachment costs: at most 0.1 % of the guest
 * memory for its tables, and nothing at all for each fault.
 */
#include <errno.h>
#include <fcntl.h>
#include <lazymem/file.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE (16 * GIB)

/* The allocator of the whole program, counted; the sanitizers have their own. */
#if !TEST_SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
__attribute__((visibility("default"))) void *malloc(size_t size);
__attribute__((visibility("default"))) void *calloc(size_t count, size_t size);
__attribute__((visibility("default"))) void *realloc(void *old, size_t size);

static atomic_ulong allocations;

void *malloc(size_t size)
{
	atomic_fetch_add(&allocations, 1);
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	atomic_fetch_add(&allocations, 1);
	return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	atomic_fetch_add(&allocations, 1);
	return __libc_realloc(old, size);
}
#endif

static struct lazymem_backing *open_sparse(uint64_t length, bool holes)
{
	struct lazymem_file_options options = {.size = sizeof(options),
					       .flags = holes ? 0 : LAZYMEM_FILE_NO_HOLES};
	const char *path = scratch_path("large-sparse-image");
	struct lazymem_backing *backing;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)length), 0);
	close(fd);
	assert_ok(lazymem_file_open(path, &options, &backing));
	return backing;
}

static void test_tables_take_a_thousandth_of_the_guest_memory(void **state)
{
	struct lazymem_backing *backing = open_sparse(LARGE, true);
	struct guest guest;

	guest_start(&guest, kind_of(state), MIB,
		    backing); /* what threads and libraries cost once */
	touch(guest.host);
	guest_end(&guest);

	guest_map(&guest, kind_of(state), LARGE, LAZYMEM_MAPPING_HUGEPAGES, backing);
	assert_ok(lazymem_handler_create(NULL, &guest.handler));
	size_t virtual_before = status_kib("VmSize"), resident_before = status_kib("VmRSS");
	assert_ok(lazymem_handler_attach(guest.handler, guest.memory, NULL, &guest.attachment));
	size_t size = status_kib("VmSize") - virtual_before;
	if (kind_of(state) == MEMFD)
		size -= LARGE / 1024; /* the second mapping, which holds no memory of its own */
	size_t resident = status_kib("VmRSS") - resident_before;
	print_message("tables for 16 GiB: %zu KiB mapped, %zu KiB resident\n", size, resident);
	assert_true(size <= LARGE / 1000 / 1024);
	assert_true(resident <= LARGE / 1000 / 1024);
	guest_end(&guest);
	lazymem_backing_unref(backing);
}

#if TEST_SANITIZED
static void test_ten_thousand_faults_allocate_nothing(void **state)
{
	(void)state;
	print_message("not looked at: a sanitizer counts allocations of its own\n");
}
#else
/* Faults from one thread and from several, in data and in holes. */
static void touch_pages(struct guest *guest, size_t from, size_t count)
{
	for (size_t i = from; i < from + count; i++)
		*(volatile unsigned char *)(guest->host + i * guest->page);
}

static void test_ten_thousand_faults_allocate_nothing(void **state)
{
	struct lazymem_backing *backing = open_sparse(64 * MIB, false);
	struct guest guest;

	guest_start(&guest, kind_of(state), 64 * MIB, backing);
	touch_pages(&guest, 0, 200);
	unsigned long allocations_before = atomic_load(&allocations);
	size_t mappings_before = residue_now().mappings;
	unsigned long by_looking = atomic_load(&allocations) - allocations_before;
	allocations_before = atomic_load(&allocations);
	touch_pages(&guest, 200, 10000);
	unsigned long by_faults = atomic_load(&allocations) - allocations_before;
	assert_true(by_looking > 0); /* the count works */
	assert_int_equal(by_faults, 0);
	assert_int_equal(residue_now().mappings, mappings_before);
	assert_true(statistics_at_rest(guest.attachment).faults >= 10200);
	guest_end(&guest);
	lazymem_backing_unref(backing);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_NAMED(test_tables_take_a_thousandth_of_the_guest_memory, "tables (anonymous)",
			   ANONYMOUS),
		TEST_NAMED(test_tables_take_a_thousandth_of_the_guest_memory, "tables (memfd)",
			   MEMFD),
		TEST_NAMED(test_ten_thousand_faults_allocate_nothing, "10,000 faults (anonymous)",
			   ANONYMOUS),
		TEST_NAMED(test_ten_thousand_faults_allocate_nothing, "10,000 faults (memfd)",
			   MEMFD),
	};

	require_faults();
	return run_group(tests);
}
