/* SPDX-License-Identifier: MIT
 *
 * memory_slot.c - the current guest memory.
 *
 * The mutex covers reading the pointer together with taking a reference, which
 * is all that a plain atomic pointer could not do. References are dropped
 * outside of it: the last one unmaps, and may sync.
 */
#include "core/error.h"
#include "core/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct lazymem_memory_slot {
	pthread_mutex_t lock;
	struct lazymem_memory *memory; /* one reference is the slot's */
};

int lazymem_memory_slot_create(struct lazymem_memory *memory, struct lazymem_memory_slot **ret_slot)
{
	struct lazymem_memory_slot *slot = malloc(sizeof(*slot));

	if (slot == NULL)
		return lm_error(-ENOMEM, "a slot for guest memory of %zu regions: out of memory",
				memory->count);
	pthread_mutex_init(&slot->lock, NULL);
	slot->memory = lazymem_memory_ref(memory);
	*ret_slot = slot;
	return 0;
}

struct lazymem_memory *lazymem_memory_slot_get(struct lazymem_memory_slot *slot)
{
	struct lazymem_memory *memory;

	pthread_mutex_lock(&slot->lock);
	memory = lazymem_memory_ref(slot->memory);
	pthread_mutex_unlock(&slot->lock);
	return memory;
}

void lazymem_memory_slot_swap(struct lazymem_memory_slot *slot, struct lazymem_memory *next)
{
	struct lazymem_memory *before;

	lazymem_memory_ref(next);
	pthread_mutex_lock(&slot->lock);
	before = slot->memory;
	slot->memory = next;
	pthread_mutex_unlock(&slot->lock);
	lazymem_memory_unref(before);
}

void lazymem_memory_slot_destroy(struct lazymem_memory_slot *slot)
{
	if (slot == NULL)
		return;
	lazymem_memory_unref(slot->memory);
	pthread_mutex_destroy(&slot->lock);
	free(slot);
}
