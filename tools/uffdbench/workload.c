/* SPDX-License-Identifier: MIT
 *
 * W0, W4, W5 and the mixed workload: those that follow from their size alone.
 */
#include "workload.h"
#include "complain.h"
#include "functions.h"
#include "guests.h"
#include "random.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>

#define MIB (1024ull * 1024)
#define TRACE_PREFIX "trace:"

/* Far enough apart for the kernel's readahead (128 KiB) not to help. */
#define STRIDE_PAGES 64u

#define ORDER_SEED 0x6f72646572ull

enum order {
	ORDER_RISING,
	ORDER_STRIDE,
	ORDER_RANDOM,
};

struct recipe {
	const char *name;
	uint64_t memory;
	unsigned touched_share; /* one page in so many is touched, from the start on */
	enum order order;
	enum pattern_layout layout;
};

static const struct recipe recipes[] = {
	{"random", 256 * MIB, 1, ORDER_RANDOM, PATTERN_DATA},
	{"sequential", 256 * MIB, 1, ORDER_RISING, PATTERN_DATA},
	{"stride", 256 * MIB, 1, ORDER_STRIDE, PATTERN_DATA},
	{"sparse", 512 * MIB, 1, ORDER_RISING, PATTERN_SPARSE},
	{"post-restore", 1024 * MIB, 8, ORDER_RISING, PATTERN_DATA},
	{"mixed", 256 * MIB, 1, ORDER_RANDOM, PATTERN_MIXED},
};

static const struct recipe *find_recipe(const char *name)
{
	for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++) {
		if (strcmp(name, recipes[i].name) == 0)
			return &recipes[i];
	}
	return NULL;
}

static bool is_trace(const char *name)
{
	size_t length = strlen(TRACE_PREFIX);

	return strncmp(name, TRACE_PREFIX, length) == 0 && name[length] != '\0';
}

bool workload_known(const char *name)
{
	return find_recipe(name) != NULL || functions_known(name) || guests_known(name) ||
	       is_trace(name);
}

const char *workload_member(const char *name, size_t index)
{
	if (strcmp(name, "functions") == 0)
		return functions_name(index);
	if (strcmp(name, "guests") == 0)
		return guests_name(index);
	return index == 0 && workload_known(name) ? name : NULL;
}

static void append_rising(struct workload *workload, size_t count, size_t step)
{
	for (size_t first = 0; first < step; first++) {
		for (size_t page = first; page < count; page += step)
			workload_append(workload, (uint64_t)page * PAGE_BYTES, true);
	}
}

/* A random permutation (Fisher and Yates), built from the inside out. */
static void append_random(struct workload *workload, size_t count)
{
	struct random random = {ORDER_SEED};
	uint64_t *order = workload->recorded;

	for (size_t i = 0; i < count; i++) {
		size_t j = (size_t)random_below(&random, i + 1);

		order[i] = order[j];
		order[j] = (uint64_t)i * PAGE_BYTES;
	}
	for (size_t i = 0; i < count; i++)
		workload_append(workload, order[i], true);
}

static int follow_recipe(const struct recipe *recipe, struct workload *workload)
{
	size_t count;

	if (workload->memory == 0)
		workload->memory = recipe->memory;
	workload->layout = recipe->layout;
	count = (size_t)(workload->memory / PAGE_BYTES / recipe->touched_share);
	if (count == 0) {
		complain("--memory %llu is too small for workload %s",
			 (unsigned long long)workload->memory, recipe->name);
		return -1;
	}
	if (workload_reserve(workload, count, count) != 0)
		return -1;
	if (recipe->order == ORDER_RANDOM)
		append_random(workload, count);
	else
		append_rising(workload, count, recipe->order == ORDER_STRIDE ? STRIDE_PAGES : 1);
	return 0;
}

int workload_create(const char *name, uint64_t memory, struct workload *ret_workload)
{
	struct workload workload = {.name = name, .memory = memory};
	const struct recipe *recipe = find_recipe(name);
	int result;

	if (recipe != NULL)
		result = follow_recipe(recipe, &workload);
	else if (is_trace(name))
		result = trace_create(name + strlen(TRACE_PREFIX), &workload);
	else if (guests_known(name))
		result = guests_create(name, &workload);
	else
		result = functions_create(name, &workload);
	if (result != 0) {
		workload_destroy(&workload);
		return -1;
	}
	*ret_workload = workload;
	return 0;
}
