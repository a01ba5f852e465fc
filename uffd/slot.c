/* SPDX-License-Identifier: MIT
 *
 * The lists that slots wait in.
 */
#include "uffd/slot.h"

void lm_slot_list_append(struct lm_slot_list *list, struct lm_slot *slot)
{
	slot->next = NULL;
	if (list->last != NULL)
		list->last->next = slot;
	else
		list->first = slot;
	list->last = slot;
	list->count++;
}

void lm_slot_list_prepend(struct lm_slot_list *list, struct lm_slot *slot)
{
	slot->next = list->first;
	list->first = slot;
	if (list->last == NULL)
		list->last = slot;
	list->count++;
}

struct lm_slot *lm_slot_list_take(struct lm_slot_list *list)
{
	struct lm_slot *slot = list->first;

	if (slot == NULL)
		return NULL;
	list->first = slot->next;
	if (list->first == NULL)
		list->last = NULL;
	slot->next = NULL;
	list->count--;
	return slot;
}
