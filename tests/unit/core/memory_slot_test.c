/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

static struct lazymem_memory *make_one(void)
{
	struct lazymem_region *region = make_region(0x1000, PAGE);

	return make_memory(&region, 1);
}

/* Guest memory whose host page tells, by being mapped, that it still lives. */
static bool is_alive(const void *host)
{
	unsigned char page;

	return mincore((void *)(uintptr_t)host, PAGE, &page) == 0;
}

static const void *page_of(struct lazymem_memory *memory)
{
	return host_of(lazymem_region_mapping(lazymem_memory_region(memory, 0)));
}

static void get_returns_a_reference_to_the_current_memory(void **state)
{
	struct lazymem_memory *memory = make_one();
	struct lazymem_memory_slot *slot = NULL;
	const void *page = page_of(memory);

	(void)state;
	assert_int_equal(lazymem_memory_slot_create(memory, &slot), 0);
	lazymem_memory_unref(memory);
	assert_ptr_equal(lazymem_memory_slot_get(slot), memory);
	lazymem_memory_slot_destroy(slot);
	assert_true(is_alive(page));
	lazymem_memory_unref(memory);
}

static void swap_makes_the_next_memory_current(void **state)
{
	struct lazymem_memory *first = make_one(), *second = make_one();
	struct lazymem_memory_slot *slot = NULL;
	struct lazymem_memory *current;

	(void)state;
	assert_int_equal(lazymem_memory_slot_create(first, &slot), 0);
	lazymem_memory_slot_swap(slot, second);
	current = lazymem_memory_slot_get(slot);
	assert_ptr_equal(current, second);
	lazymem_memory_unref(current);
	lazymem_memory_slot_destroy(slot);
	lazymem_memory_unref(first);
	lazymem_memory_unref(second);
}

static void old_memory_lives_until_its_last_user_is_done(void **state)
{
	struct lazymem_memory *first = make_one(), *second = make_one();
	struct lazymem_memory_slot *slot = NULL;
	struct lazymem_memory *used;
	const void *page = page_of(first);

	(void)state;
	assert_int_equal(lazymem_memory_slot_create(first, &slot), 0);
	lazymem_memory_unref(first);
	used = lazymem_memory_slot_get(slot);
	lazymem_memory_slot_swap(slot, second);
	lazymem_memory_unref(second);
	assert_true(is_alive(page));
	lazymem_memory_unref(used);
	assert_false(is_alive(page));
	lazymem_memory_slot_destroy(slot);
}

static void swap_for_the_same_memory_keeps_it(void **state)
{
	struct lazymem_memory *memory = make_one();
	struct lazymem_memory_slot *slot = NULL;
	const void *page = page_of(memory);

	(void)state;
	assert_int_equal(lazymem_memory_slot_create(memory, &slot), 0);
	lazymem_memory_unref(memory);
	lazymem_memory_slot_swap(slot, memory);
	assert_true(is_alive(page));
	lazymem_memory_slot_destroy(slot);
	assert_false(is_alive(page));
	lazymem_memory_slot_destroy(NULL);
}

struct reader {
	struct lazymem_memory_slot *slot;
	atomic_bool over;
	size_t wrong;
};

static void *read_slot(void *argument)
{
	struct reader *reader = argument;

	while (!atomic_load(&reader->over)) {
		struct lazymem_memory *memory = lazymem_memory_slot_get(reader->slot);
		uint32_t value = 0;

		if (lazymem_memory_load_u32(memory, AT(0x1000), &value) != 0 || value != 0x5a)
			reader->wrong++;
		lazymem_memory_unref(memory);
	}
	return NULL;
}

static struct lazymem_memory *make_marked(void)
{
	struct lazymem_memory *memory = make_one();

	assert_int_equal(lazymem_memory_store_u32(memory, AT(0x1000), 0x5a), 0);
	return memory;
}

static void readers_see_whole_memories_while_they_are_swapped(void **state)
{
	struct lazymem_memory *memory = make_marked();
	struct reader reader = {0};
	pthread_t thread;

	(void)state;
	assert_int_equal(lazymem_memory_slot_create(memory, &reader.slot), 0);
	lazymem_memory_unref(memory);
	assert_int_equal(pthread_create(&thread, NULL, read_slot, &reader), 0);
	for (int i = 0; i < 500; i++) {
		memory = make_marked();
		lazymem_memory_slot_swap(reader.slot, memory);
		lazymem_memory_unref(memory);
	}
	atomic_store(&reader.over, true);
	pthread_join(thread, NULL);
	assert_int_equal(reader.wrong, 0);
	lazymem_memory_slot_destroy(reader.slot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get_returns_a_reference_to_the_current_memory),
		cmocka_unit_test(swap_makes_the_next_memory_current),
		cmocka_unit_test(old_memory_lives_until_its_last_user_is_done),
		cmocka_unit_test(swap_for_the_same_memory_keeps_it),
		cmocka_unit_test(readers_see_whole_memories_while_they_are_swapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
