/* wrap: mmap madvise mlock2 */
/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <sys/mman.h>

static int mmap_calls_to_pass = -1;
static int advice_to_refuse = -1;
static int mlock2_error;

void *__real_mmap(void *host, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *host, size_t length, int protection, int flags, int fd, off_t offset);
int __real_madvise(void *host, size_t length, int advice);
int __wrap_madvise(void *host, size_t length, int advice);
int __real_mlock2(const void *host, size_t length, unsigned flags);
int __wrap_mlock2(const void *host, size_t length, unsigned flags);

void *__wrap_mmap(void *host, size_t length, int protection, int flags, int fd, off_t offset)
{
	if (mmap_calls_to_pass == 0) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	if (mmap_calls_to_pass > 0)
		mmap_calls_to_pass--;
	return __real_mmap(host, length, protection, flags, fd, offset);
}

int __wrap_madvise(void *host, size_t length, int advice)
{
	if (advice != advice_to_refuse)
		return __real_madvise(host, length, advice);
	errno = ENOMEM;
	return -1;
}

int __wrap_mlock2(const void *host, size_t length, unsigned flags)
{
	if (mlock2_error == 0)
		return __real_mlock2(host, length, flags);
	errno = mlock2_error;
	return -1;
}

static int tear_down(void **state)
{
	(void)state;
	mmap_calls_to_pass = -1;
	advice_to_refuse = -1;
	mlock2_error = 0;
	return 0;
}

static struct lazymem_mapping *make_with(size_t length, struct lazymem_mapping_options options)
{
	struct lazymem_mapping *mapping = NULL;

	options.size = sizeof(options);
	assert_int_equal(lazymem_mapping_create_anonymous(length, &options, &mapping), 0);
	return mapping;
}

static int refuse_with(size_t length, struct lazymem_mapping_options options)
{
	struct lazymem_mapping *const untouched = (struct lazymem_mapping *)&options;
	struct lazymem_mapping *mapping = untouched;
	int error;

	options.size = sizeof(options);
	error = lazymem_mapping_create_anonymous(length, &options, &mapping);
	assert_ptr_equal(mapping, untouched);
	return error;
}

static bool is_at_multiple(struct lazymem_mapping *mapping, size_t alignment)
{
	return (uintptr_t)host_of(mapping) % alignment == 0;
}

/* ---- length and alignment ------------------------------------------------ */

static void length_must_be_whole_pages(void **state)
{
	static const size_t wrong[] = {0, 1, PAGE - 1, PAGE + 1};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(refuse_with(wrong[i], (struct lazymem_mapping_options){0}),
				 -EINVAL);
	assert_says("length 4097");
}

static void from_2_mib_on_memory_lies_at_a_multiple_of_2_mib(void **state)
{
	struct lazymem_mapping *mappings[8];

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		mappings[i] = make_mapping(2 * MIB + i * PAGE);
		assert_true(is_at_multiple(mappings[i], 2 * MIB));
	}
	for (size_t i = 0; i < 8; i++)
		lazymem_mapping_unref(mappings[i]);
}

static void alignment_is_as_asked(void **state)
{
	struct lazymem_mapping *mapping =
		make_with(PAGE, (struct lazymem_mapping_options){.alignment = 64 * MIB});

	(void)state;
	assert_true(is_at_multiple(mapping, 64 * MIB));
	memset(host_of(mapping), 1, PAGE);
	lazymem_mapping_unref(mapping);
}

static void alignment_must_be_a_power_of_two_of_at_least_a_page(void **state)
{
	(void)state;
	assert_int_equal(refuse_with(PAGE, (struct lazymem_mapping_options){.alignment = 2048}),
			 -EINVAL);
	assert_says("alignment 2048");
	assert_int_equal(refuse_with(PAGE, (struct lazymem_mapping_options){.alignment = 12288}),
			 -EINVAL);
	assert_says("alignment 12288");
}

static void length_that_wraps_with_its_alignment_is_refused(void **state)
{
	(void)state;
	assert_int_equal(refuse_with(SIZE_MAX - PAGE + 1, (struct lazymem_mapping_options){0}),
			 -ENOMEM);
}

static void nothing_is_left_mapped_around_aligned_memory(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(2 * MIB);
	unsigned char *host = host_of(mapping);
	unsigned long start, end;
	char line[512];
	FILE *file = fopen("/proc/self/maps", "re");

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		assert_int_equal(sscanf(line, "%lx-%lx ", &start, &end), 2);
		if (strstr(line, "---p 00000000 00:00 0 \n") != NULL) {
			assert_false(start == (uintptr_t)host + 2 * MIB);
			assert_false(end == (uintptr_t)host);
		}
	}
	fclose(file);
	lazymem_mapping_unref(mapping);
}

static void refused_reservation_is_reported(void **state)
{
	(void)state;
	mmap_calls_to_pass = 0;
	assert_int_equal(refuse_with(2 * MIB, (struct lazymem_mapping_options){0}), -ENOMEM);
	assert_says("2097152 bytes");
}

static void refused_memory_gives_its_reservation_back(void **state)
{
	(void)state;
	mmap_calls_to_pass = 1;
	assert_int_equal(refuse_with(2 * MIB, (struct lazymem_mapping_options){0}), -ENOMEM);
	mmap_calls_to_pass = 0;
	assert_int_equal(refuse_with(PAGE, (struct lazymem_mapping_options){0}), -ENOMEM);
}

/* ---- options ------------------------------------------------------------- */

static void unknown_flag_is_named(void **state)
{
	(void)state;
	assert_int_equal(refuse_with(PAGE, (struct lazymem_mapping_options){.flags = 1u << 30 | 1}),
			 -EINVAL);
	assert_says("0x40000000");
}

static void unknown_protection_is_named(void **state)
{
	(void)state;
	assert_int_equal(refuse_with(PAGE, (struct lazymem_mapping_options){.protection = 0x1001}),
			 -EINVAL);
	assert_says("0x1000 ");
}

static void unknown_option_is_refused(void **state)
{
	struct {
		struct lazymem_mapping_options known;
		size_t newer;
	} options = {.known = {.size = sizeof(options)}, .newer = 1};
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_create_anonymous(PAGE, &options.known, &mapping), -E2BIG);
	assert_says("struct lazymem_mapping_options");
	assert_null(mapping);
}

static void memory_is_readable_and_writable_by_default(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);

	(void)state;
	assert_true(has_vm_flag(host_of(mapping), "rd"));
	assert_true(has_vm_flag(host_of(mapping), "wr"));
	assert_false(has_vm_flag(host_of(mapping), "ex"));
	lazymem_mapping_unref(mapping);
}

static void protection_is_as_asked(void **state)
{
	struct lazymem_mapping *mapping =
		make_with(PAGE, (struct lazymem_mapping_options){.protection = PROT_READ});

	(void)state;
	assert_true(has_vm_flag(host_of(mapping), "rd"));
	assert_false(has_vm_flag(host_of(mapping), "wr"));
	lazymem_mapping_unref(mapping);
}

/* ---- flags --------------------------------------------------------------- */

static void memory_is_left_out_of_core_dumps_by_default(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);

	(void)state;
	assert_true(has_vm_flag(host_of(mapping), "dd"));
	lazymem_mapping_unref(mapping);
}

static void dump_flag_leaves_memory_in_core_dumps(void **state)
{
	struct lazymem_mapping *mapping =
		make_with(PAGE, (struct lazymem_mapping_options){.flags = LAZYMEM_MAPPING_DUMP});

	(void)state;
	assert_false(has_vm_flag(host_of(mapping), "dd"));
	lazymem_mapping_unref(mapping);
}

static void dontfork_flag_keeps_memory_out_of_children(void **state)
{
	struct lazymem_mapping *mapping = make_with(
		PAGE, (struct lazymem_mapping_options){.flags = LAZYMEM_MAPPING_DONTFORK});

	(void)state;
	assert_true(has_vm_flag(host_of(mapping), "dc"));
	lazymem_mapping_unref(mapping);
}

static void mergeable_flag_offers_memory_for_merging(void **state)
{
	struct lazymem_mapping *mapping = make_with(
		PAGE, (struct lazymem_mapping_options){.flags = LAZYMEM_MAPPING_MERGEABLE});

	(void)state;
	assert_true(has_vm_flag(host_of(mapping), "mg"));
	lazymem_mapping_unref(mapping);
}

static void mergeable_flag_is_refused_for_shared_memory(void **state)
{
	const struct lazymem_mapping_options options = {.size = sizeof(options),
							.flags = LAZYMEM_MAPPING_MERGEABLE};
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_create_memfd(PAGE, &options, &mapping), -EINVAL);
	assert_says("LAZYMEM_MAPPING_MERGEABLE");
	assert_null(mapping);
}

static void hugepages_flag_advises_huge_pages(void **state)
{
	struct lazymem_mapping *mapping = make_with(
		2 * MIB, (struct lazymem_mapping_options){.flags = LAZYMEM_MAPPING_HUGEPAGES});

	(void)state;
	assert_true(has_vm_flag(host_of(mapping), "hg"));
	lazymem_mapping_unref(mapping);
}

static void lock_flag_locks_what_is_touched_only(void **state)
{
	struct lazymem_mapping *mapping = make_with(
		4 * PAGE, (struct lazymem_mapping_options){.flags = LAZYMEM_MAPPING_LOCK_ON_FAULT});
	size_t bytes = 7;

	(void)state;
	assert_true(has_vm_flag(host_of(mapping), "lo"));
	assert_int_equal(lazymem_mapping_resident(mapping, 0, 4 * PAGE, &bytes), 0);
	assert_int_equal(bytes, 0);
	lazymem_mapping_unref(mapping);
}

static void refused_lock_names_the_limit(void **state)
{
	(void)state;
	mlock2_error = ENOMEM;
	assert_int_equal(refuse_with(PAGE,
				     (struct lazymem_mapping_options){
					     .flags = LAZYMEM_MAPPING_LOCK_ON_FAULT}),
			 -ENOMEM);
	assert_says("RLIMIT_MEMLOCK");
}

static void refused_advice_fails_the_creation(void **state)
{
	static const struct {
		int advice;
		unsigned flags;
		const char *name;
	} rows[] = {
		{MADV_DONTDUMP, 0, "MADV_DONTDUMP"},
		{MADV_DONTFORK, LAZYMEM_MAPPING_DONTFORK, "MADV_DONTFORK"},
		{MADV_MERGEABLE, LAZYMEM_MAPPING_MERGEABLE, "MADV_MERGEABLE"},
		{MADV_HUGEPAGE, LAZYMEM_MAPPING_HUGEPAGES, "MADV_HUGEPAGE"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct lazymem_mapping_options options = {.flags = rows[i].flags};

		advice_to_refuse = rows[i].advice;
		assert_int_equal(refuse_with(2 * MIB, options), -ENOMEM);
		assert_says(rows[i].name);
	}
}

#define wrapped(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wrapped(length_must_be_whole_pages),
		wrapped(from_2_mib_on_memory_lies_at_a_multiple_of_2_mib),
		wrapped(alignment_is_as_asked),
		wrapped(alignment_must_be_a_power_of_two_of_at_least_a_page),
		wrapped(length_that_wraps_with_its_alignment_is_refused),
		wrapped(nothing_is_left_mapped_around_aligned_memory),
		wrapped(refused_reservation_is_reported),
		wrapped(refused_memory_gives_its_reservation_back),
		wrapped(unknown_flag_is_named),
		wrapped(unknown_protection_is_named),
		wrapped(unknown_option_is_refused),
		wrapped(memory_is_readable_and_writable_by_default),
		wrapped(protection_is_as_asked),
		wrapped(memory_is_left_out_of_core_dumps_by_default),
		wrapped(dump_flag_leaves_memory_in_core_dumps),
		wrapped(dontfork_flag_keeps_memory_out_of_children),
		wrapped(mergeable_flag_offers_memory_for_merging),
		wrapped(mergeable_flag_is_refused_for_shared_memory),
		wrapped(hugepages_flag_advises_huge_pages),
		wrapped(lock_flag_locks_what_is_touched_only),
		wrapped(refused_lock_names_the_limit),
		wrapped(refused_advice_fails_the_creation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
