/* wrap: munmap msync madvise */
/* SPDX-License-Identifier: MIT */
#include "core/mapping_operations.h"

#include "model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* What the library did to the mapping under observation. */
static void *observed;
static int syncs, unmaps, syncs_before_unmap;
static int madvise_error;

int __real_munmap(void *host, size_t length);
int __wrap_munmap(void *host, size_t length);
int __real_msync(void *host, size_t length, int flags);
int __wrap_msync(void *host, size_t length, int flags);
int __real_madvise(void *host, size_t length, int advice);
int __wrap_madvise(void *host, size_t length, int advice);

int __wrap_munmap(void *host, size_t length)
{
	if (observed != NULL && host == observed) {
		unmaps++;
		syncs_before_unmap = syncs;
	}
	return __real_munmap(host, length);
}

int __wrap_msync(void *host, size_t length, int flags)
{
	if (observed != NULL && host == observed && flags == MS_SYNC)
		syncs++;
	return __real_msync(host, length, flags);
}

int __wrap_madvise(void *host, size_t length, int advice)
{
	if (madvise_error == 0)
		return __real_madvise(host, length, advice);
	errno = madvise_error;
	return -1;
}

static int tear_down(void **state)
{
	(void)state;
	observed = NULL;
	syncs = unmaps = syncs_before_unmap = madvise_error = 0;
	return 0;
}

static struct lazymem_mapping *make_file_mapping(bool shared)
{
	const int fd = make_file(2 * PAGE, 'f');
	struct lazymem_mapping *mapping = NULL;

	assert_int_equal(lazymem_mapping_create_file(fd, 0, 2 * PAGE, shared, NULL, &mapping), 0);
	close(fd);
	return mapping;
}

/* ---- references ---------------------------------------------------------- */

static void unref_of_null_is_allowed(void **state)
{
	(void)state;
	lazymem_mapping_unref(NULL);
}

static void memory_is_unmapped_with_the_last_reference(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);

	(void)state;
	observed = host_of(mapping);
	assert_ptr_equal(lazymem_mapping_ref(mapping), mapping);
	lazymem_mapping_unref(mapping);
	assert_int_equal(unmaps, 0);
	lazymem_mapping_unref(mapping);
	assert_int_equal(unmaps, 1);
}

static void last_reference_to_a_shared_file_syncs_before_it_unmaps(void **state)
{
	struct lazymem_mapping *mapping = make_file_mapping(true);

	(void)state;
	observed = host_of(mapping);
	lazymem_mapping_ref(mapping);
	lazymem_mapping_unref(mapping);
	assert_int_equal(syncs, 0);
	lazymem_mapping_unref(mapping);
	assert_int_equal(unmaps, 1);
	assert_int_equal(syncs_before_unmap, 1);
}

static void last_reference_to_a_private_file_does_not_sync(void **state)
{
	struct lazymem_mapping *mapping = make_file_mapping(false);

	(void)state;
	observed = host_of(mapping);
	lazymem_mapping_unref(mapping);
	assert_int_equal(unmaps, 1);
	assert_int_equal(syncs, 0);
}

static void adopted_memory_stays_mapped(void **state)
{
	void *host = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct lazymem_mapping *mapping = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_adopt(host, PAGE, -1, 0, NULL, &mapping), 0);
	observed = host;
	lazymem_mapping_unref(mapping);
	assert_int_equal(unmaps, 0);
	*(char *)host = 1;
	munmap(host, PAGE);
}

/* ---- accessors ----------------------------------------------------------- */

static void anonymous_memory_has_no_descriptor(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);
	uint64_t offset = 7;
	int fd = 7;

	(void)state;
	assert_int_equal(lazymem_mapping_fd(mapping, &fd, &offset), -ENOENT);
	assert_says("mapping anonymous");
	assert_int_equal(fd, 7);
	assert_int_equal(offset, 7);
	lazymem_mapping_unref(mapping);
}

static void accessors_tell_what_was_made(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(3 * PAGE);

	(void)state;
	assert_non_null(host_of(mapping));
	assert_int_equal(lazymem_mapping_span(mapping).length, 3 * PAGE);
	assert_int_equal(lazymem_mapping_get_kind(mapping), LAZYMEM_MAPPING_ANONYMOUS);
	assert_int_equal(lazymem_mapping_page_size(mapping), PAGE);
	assert_false(lm_mapping_is_shared(mapping));
	assert_false(lm_mapping_is_file(mapping));
	lazymem_mapping_unref(mapping);
}

static void file_mappings_are_files_and_shared_as_asked(void **state)
{
	struct lazymem_mapping *shared = make_file_mapping(true);
	struct lazymem_mapping *private = make_file_mapping(false);

	(void)state;
	assert_true(lm_mapping_is_file(shared));
	assert_true(lm_mapping_is_shared(shared));
	assert_true(lm_mapping_is_file(private));
	assert_false(lm_mapping_is_shared(private));
	lazymem_mapping_unref(shared);
	lazymem_mapping_unref(private);
}

/* ---- advice -------------------------------------------------------------- */

static void hugepages_below_2_mib_succeed_and_do_nothing(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(2 * MIB - PAGE);

	(void)state;
	assert_int_equal(lazymem_mapping_use_hugepages(mapping), 0);
	assert_false(lm_mapping_wants_hugepages(mapping));
	assert_false(has_vm_flag(host_of(mapping), "hg"));
	lazymem_mapping_unref(mapping);
}

static void hugepages_from_2_mib_on_are_advised_over_the_whole_mapping(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(4 * MIB + PAGE);

	(void)state;
	assert_false(lm_mapping_wants_hugepages(mapping));
	assert_int_equal(lazymem_mapping_use_hugepages(mapping), 0);
	assert_true(lm_mapping_wants_hugepages(mapping));
	assert_true(has_vm_flag(host_of(mapping), "hg"));
	assert_true(has_vm_flag(host_of(mapping) + 4 * MIB, "hg"));
	lazymem_mapping_unref(mapping);
}

static void kernel_without_huge_pages_is_named(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(2 * MIB);

	(void)state;
	madvise_error = EINVAL;
	assert_int_equal(lazymem_mapping_use_hugepages(mapping), -EOPNOTSUPP);
	assert_says("no transparent huge pages");
	assert_false(lm_mapping_wants_hugepages(mapping));
	madvise_error = ENOMEM;
	assert_int_equal(lazymem_mapping_use_hugepages(mapping), -ENOMEM);
	lazymem_mapping_unref(mapping);
}

static void dontfork_is_applied_and_remembered(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);

	(void)state;
	assert_false(lm_mapping_is_dontfork(mapping));
	assert_int_equal(lazymem_mapping_use_dontfork(mapping), 0);
	assert_true(lm_mapping_is_dontfork(mapping));
	assert_true(has_vm_flag(host_of(mapping), "dc"));
	lazymem_mapping_unref(mapping);
}

static void dontfork_that_failed_is_not_remembered(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);

	(void)state;
	madvise_error = ENOMEM;
	assert_int_equal(lazymem_mapping_use_dontfork(mapping), -ENOMEM);
	assert_false(lm_mapping_is_dontfork(mapping));
	lazymem_mapping_unref(mapping);
}

/* ---- dispatch ------------------------------------------------------------ */

/* An attached table that records its calls. */
struct recorder {
	size_t start, length;
	int calls;
	int error;
};

static int record(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	struct recorder *recorder = state;

	(void)mapping;
	recorder->calls++;
	recorder->start = start;
	recorder->length = length;
	return recorder->error;
}

static int record_resident(struct lazymem_mapping *mapping, void *state, size_t start,
			   size_t length, size_t *ret_bytes)
{
	*ret_bytes = PAGE;
	return record(mapping, state, start, length);
}

static const struct lm_mapping_operations recording = {record, record, record, record_resident};

static void attached_table_receives_every_operation(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(4 * PAGE);
	struct recorder recorder = {0};
	size_t bytes = 0;

	(void)state;
	assert_int_equal(lm_mapping_attach(mapping, &recording, &recorder), 0);
	assert_int_equal(lazymem_mapping_sync(mapping, PAGE, PAGE), 0);
	assert_int_equal(lazymem_mapping_discard(mapping, PAGE, PAGE), 0);
	assert_int_equal(lazymem_mapping_prefetch(mapping, PAGE, PAGE), 0);
	assert_int_equal(lazymem_mapping_resident(mapping, PAGE, PAGE, &bytes), 0);
	assert_int_equal(recorder.calls, 4);
	assert_int_equal(recorder.start, PAGE);
	assert_int_equal(bytes, PAGE);
	lm_mapping_detach(mapping);
	lazymem_mapping_unref(mapping);
}

static void detached_mapping_is_plain_again(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);
	struct recorder recorder = {0};

	(void)state;
	assert_int_equal(lm_mapping_attach(mapping, &recording, &recorder), 0);
	lm_mapping_detach(mapping);
	assert_int_equal(lazymem_mapping_sync(mapping, 0, PAGE), 0);
	assert_int_equal(recorder.calls, 0);
	lazymem_mapping_unref(mapping);
}

static void second_attach_is_refused(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);
	struct recorder first = {0}, second = {0};

	(void)state;
	assert_int_equal(lm_mapping_attach(mapping, &recording, &first), 0);
	assert_int_equal(lm_mapping_attach(mapping, &recording, &second), -EBUSY);
	assert_says("attached already");
	assert_int_equal(lazymem_mapping_sync(mapping, 0, PAGE), 0);
	assert_int_equal(first.calls, 1);
	lm_mapping_detach(mapping);
	assert_int_equal(lm_mapping_attach(mapping, &recording, &second), 0);
	lm_mapping_detach(mapping);
	lazymem_mapping_unref(mapping);
}

static void sync_is_rounded_up_to_whole_pages(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(4 * PAGE);
	struct recorder recorder = {0};

	(void)state;
	assert_int_equal(lm_mapping_attach(mapping, &recording, &recorder), 0);
	assert_int_equal(lazymem_mapping_sync(mapping, PAGE, PAGE + 1), 0);
	assert_int_equal(recorder.length, 2 * PAGE);
	lm_mapping_detach(mapping);
	lazymem_mapping_unref(mapping);
}

static void failure_of_the_table_is_returned_and_outputs_untouched(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);
	struct recorder recorder = {.error = -EIO};
	size_t bytes = 7;

	(void)state;
	assert_int_equal(lm_mapping_attach(mapping, &recording, &recorder), 0);
	assert_int_equal(lazymem_mapping_resident(mapping, 0, PAGE, &bytes), -EIO);
	assert_int_equal(bytes, 7);
	lm_mapping_detach(mapping);
	lazymem_mapping_unref(mapping);
}

/* Every verb refuses the same; returns the error they agree in. */
static int refusal(struct lazymem_mapping *mapping, size_t start, size_t length)
{
	size_t bytes = 7;
	const int error = lazymem_mapping_sync(mapping, start, length);

	assert_int_equal(lazymem_mapping_discard(mapping, start, length), error);
	assert_int_equal(lazymem_mapping_prefetch(mapping, start, length), error);
	assert_int_equal(lazymem_mapping_resident(mapping, start, length, &bytes), error);
	assert_int_equal(bytes, 7);
	return error;
}

static void wrong_ranges_are_refused_by_every_operation(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(4 * PAGE);

	(void)state;
	assert_int_equal(refusal(mapping, 0, 0), -EINVAL);
	assert_int_equal(refusal(mapping, 1, PAGE), -EINVAL);
	assert_int_equal(refusal(mapping, 0, 4 * PAGE + 1), -ERANGE);
	assert_int_equal(refusal(mapping, PAGE, 4 * PAGE), -ERANGE);
	assert_int_equal(refusal(mapping, 4 * PAGE, PAGE), -ERANGE);
	assert_int_equal(refusal(mapping, PAGE, SIZE_MAX - PAGE + 1), -ERANGE);
	assert_says("0x4000");
	lazymem_mapping_unref(mapping);
}

static void length_off_a_page_is_refused_but_for_sync(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(4 * PAGE);
	size_t bytes = 7;

	(void)state;
	assert_int_equal(lazymem_mapping_discard(mapping, 0, PAGE + 1), -EINVAL);
	assert_says("0x1001");
	assert_int_equal(lazymem_mapping_prefetch(mapping, 0, PAGE - 1), -EINVAL);
	assert_int_equal(lazymem_mapping_resident(mapping, 0, 1, &bytes), -EINVAL);
	assert_int_equal(lazymem_mapping_sync(mapping, 0, 1), 0);
	lazymem_mapping_unref(mapping);
}

/* ---- detach waits -------------------------------------------------------- */

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool entered, open;
	atomic_bool detached;
	struct lazymem_mapping *mapping;
};

static int wait_at_gate(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	struct gate *gate = state;

	(void)mapping;
	(void)start;
	(void)length;
	pthread_mutex_lock(&gate->lock);
	gate->entered = true;
	pthread_cond_broadcast(&gate->moved);
	while (!gate->open)
		pthread_cond_wait(&gate->moved, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
	return atomic_load(&gate->detached) ? -EIO : 0;
}

static const struct lm_mapping_operations gated = {wait_at_gate, record, record, record_resident};

static void *detach(void *argument)
{
	struct gate *gate = argument;

	lm_mapping_detach(gate->mapping);
	atomic_store(&gate->detached, true);
	return NULL;
}

static void *sync_through_gate(void *argument)
{
	struct gate *gate = argument;
	const int error = lazymem_mapping_sync(gate->mapping, 0, PAGE);

	return error == 0 ? NULL : argument;
}

static void detach_returns_after_the_last_call_through_the_table(void **state)
{
	struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
	pthread_t syncing, detaching;
	void *saw_detached = NULL;

	(void)state;
	gate.mapping = make_mapping(PAGE);
	assert_int_equal(lm_mapping_attach(gate.mapping, &gated, &gate), 0);
	assert_int_equal(pthread_create(&syncing, NULL, sync_through_gate, &gate), 0);
	pthread_mutex_lock(&gate.lock);
	while (!gate.entered)
		pthread_cond_wait(&gate.moved, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	assert_int_equal(pthread_create(&detaching, NULL, detach, &gate), 0);
	usleep(20000);
	assert_false(atomic_load(&gate.detached));
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.moved);
	pthread_mutex_unlock(&gate.lock);
	pthread_join(syncing, &saw_detached);
	pthread_join(detaching, NULL);
	assert_null(saw_detached);
	lazymem_mapping_unref(gate.mapping);
}

#define observing(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		observing(unref_of_null_is_allowed),
		observing(memory_is_unmapped_with_the_last_reference),
		observing(last_reference_to_a_shared_file_syncs_before_it_unmaps),
		observing(last_reference_to_a_private_file_does_not_sync),
		observing(adopted_memory_stays_mapped),
		observing(anonymous_memory_has_no_descriptor),
		observing(accessors_tell_what_was_made),
		observing(file_mappings_are_files_and_shared_as_asked),
		observing(hugepages_below_2_mib_succeed_and_do_nothing),
		observing(hugepages_from_2_mib_on_are_advised_over_the_whole_mapping),
		observing(kernel_without_huge_pages_is_named),
		observing(dontfork_is_applied_and_remembered),
		observing(dontfork_that_failed_is_not_remembered),
		observing(attached_table_receives_every_operation),
		observing(detached_mapping_is_plain_again),
		observing(second_attach_is_refused),
		observing(sync_is_rounded_up_to_whole_pages),
		observing(failure_of_the_table_is_returned_and_outputs_untouched),
		observing(wrong_ranges_are_refused_by_every_operation),
		observing(length_off_a_page_is_refused_but_for_sync),
		observing(detach_returns_after_the_last_call_through_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
