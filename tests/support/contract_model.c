/* SPDX-License-Identifier: MIT */
#include "contract_model.h"

#include <stdlib.h>
#include <string.h>

/* A disk writes so many bytes as a whole. */
#define SECTOR ((size_t)512)

struct model_version {
	struct model_version *next;
	unsigned char bytes[];
};

static unsigned char *bytes_of(const struct model *model)
{
	unsigned char *bytes = malloc(model->count * model->size);

	assert_non_null(bytes);
	return bytes;
}

static void forget_tried(struct model_page *page)
{
	while (page->tried != NULL) {
		struct model_version *version = page->tried;

		page->tried = version->next;
		free(version);
	}
}

void model_create(struct model *model, size_t count, size_t size, size_t cut_page, size_t cut,
		  const unsigned char *bytes)
{
	*model = (struct model){.count = count, .size = size, .cut_page = cut_page, .cut = cut};
	model->now = bytes_of(model);
	model->durable = bytes_of(model);
	model->taken = bytes_of(model);
	model->pages = calloc(count, sizeof(*model->pages));
	assert_non_null(model->pages);
	model_restart(model, bytes);
}

void model_destroy(struct model *model)
{
	for (size_t i = 0; i < model->count; i++)
		forget_tried(&model->pages[i]);
	free(model->pages);
	free(model->now);
	free(model->durable);
	free(model->taken);
}

void model_restart(struct model *model, const unsigned char *bytes)
{
	memcpy(model->now, bytes, model->count * model->size);
	memcpy(model->durable, bytes, model->count * model->size);
	for (size_t i = 0; i < model->count; i++) {
		forget_tried(&model->pages[i]);
		model->pages[i] = (struct model_page){.present = NO};
	}
}

size_t model_stored(const struct model *model, size_t page)
{
	return page == model->cut_page ? model->cut : model->size;
}

static void changed(struct model_page *page)
{
	page->present = YES;
	page->poisoned = NO;
	page->untold = page->unsynced = page->changed = true;
}

void model_written(struct model *model, size_t start, size_t length)
{
	const size_t end = (start + length + model->size - 1) / model->size;

	for (size_t i = start / model->size; i < end; i++) {
		changed(&model->pages[i]);
		model->pages[i].discarded = model->pages[i].given_back = false;
	}
}

void model_discarded(struct model *model, size_t page, size_t count)
{
	memset(model->now + page * model->size, 0, count * model->size);
	for (size_t i = page; i < page + count; i++) {
		changed(&model->pages[i]);
		model->pages[i].discarded = model->pages[i].given_back = true;
	}
}

void model_discarded_again(struct model *model, size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++)
		if (!model->pages[i].given_back)
			model_discarded(model, i, 1);
}

void model_synced(struct model *model, size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++) {
		struct model_page *it = &model->pages[i];

		memcpy(model->durable + i * model->size, model->now + i * model->size,
		       model_stored(model, i));
		forget_tried(it);
		it->unsynced = false;
	}
}

void model_tried(struct model *model, size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++) {
		struct model_page *it = &model->pages[i];
		struct model_version *version;

		if (!it->unsynced)
			continue;
		version = malloc(sizeof(*version) + model->size);
		assert_non_null(version);
		memcpy(version->bytes, model->now + i * model->size, model->size);
		version->next = it->tried;
		it->tried = version;
	}
}

static bool sector_may_be_durable(const struct model *model, size_t page, size_t start,
				  size_t length, const unsigned char *bytes)
{
	if (memcmp(bytes, model->durable + page * model->size + start, length) == 0)
		return true;
	for (const struct model_version *version = model->pages[page].tried; version != NULL;
	     version = version->next)
		if (memcmp(bytes, version->bytes + start, length) == 0)
			return true;
	return false;
}

bool model_may_be_durable(const struct model *model, size_t page, const unsigned char *bytes)
{
	const size_t stored = model_stored(model, page);

	if (model->pages[page].tried == NULL)
		return memcmp(bytes, model->durable + page * model->size, stored) == 0;
	for (size_t start = 0; start < stored; start += SECTOR) {
		const size_t length = stored - start < SECTOR ? stored - start : SECTOR;

		if (!sector_may_be_durable(model, page, start, length, bytes + start))
			return false;
	}
	return true;
}

void model_taken(struct model *model)
{
	memcpy(model->taken, model->now, model->count * model->size);
	for (size_t i = 0; i < model->count; i++) {
		struct model_page *page = &model->pages[i];

		page->in_moment = page->changed;
		page->taken_discarded = page->discarded;
		page->changed = false;
	}
}

void model_moment_written(struct model *model)
{
	for (size_t i = 0; i < model->count; i++)
		model->pages[i].in_moment = false;
}

void model_moment_dropped(struct model *model)
{
	for (size_t i = 0; i < model->count; i++) {
		model->pages[i].changed |= model->pages[i].in_moment;
		model->pages[i].in_moment = false;
	}
}

void model_may_come(struct model *model, size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++) {
		struct model_page *it = &model->pages[i];

		if (it->present == NO)
			it->present = MAYBE;
		if (it->poisoned == YES)
			it->poisoned = MAYBE;
	}
}
