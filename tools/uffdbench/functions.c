/* SPDX-License-Identifier: MIT
 *
 * W1: the working sets of ten serverless functions. The numbers are read off
 * figures 2 to 5 and 8 of "Benchmarking, Analysis, and Optimization of
 * Serverless Function Snapshots" (Ustiugov et al., ASPLOS 2021; REAP): pages
 * of 4 KiB that two invocations both touch, pages that only one touches, and
 * the mean length of a run of contiguous pages.
 *
 * The generator, the same on every machine:
 *  1. Lengths of runs are drawn from a geometric distribution with that mean,
 *     P(k) = (1 - 1/mean)^(k-1) / mean, until they sum up to the pages wanted;
 *     the last one is cut. Once for the pages in common, which reap has
 *     recorded, and once for the others, which it has not.
 *  2. The runs are shuffled and placed in ascending order so that each
 *     placement without two runs touching is equally likely: of the pages left
 *     over and one place more, as many places as there are runs are selected,
 *     and a run is put in front of each.
 *  3. The runs are shuffled again: that is the order of touch.
 */
#include "functions.h"

#include "complain.h"
#include "random.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY (256ull * 1024 * 1024)
#define SEED 0x66756e6374696f6eull

struct function {
	const char *name;
	size_t same_pages;
	size_t unique_pages;
	unsigned mean_run_tenths;
};

static const struct function functions[] = {
	{"helloworld", 1965, 2, 19},     {"chameleon", 3276, 6, 23},
	{"pyaes", 2081, 7, 19},          {"image_rotate", 6132, 1311, 34},
	{"json_serdes", 4357, 1102, 32}, {"lr_serving", 2673, 15, 16},
	{"cnn_serving", 7117, 59, 24},   {"rnn_serving", 2698, 5, 19},
	{"lr_training", 23841, 725, 49}, {"video_processing", 8038, 2527, 28},
};

#define FUNCTION_COUNT (sizeof(functions) / sizeof(functions[0]))

struct page_run {
	size_t start; /* pages */
	size_t length;
	bool recorded;
};

static const struct function *find(const char *name)
{
	for (size_t i = 0; i < FUNCTION_COUNT; i++) {
		if (strcmp(name, functions[i].name) == 0)
			return &functions[i];
	}
	return NULL;
}

const char *functions_name(size_t index)
{
	return index < FUNCTION_COUNT ? functions[index].name : NULL;
}

bool functions_known(const char *name)
{
	return find(name) != NULL;
}

static size_t draw_length(struct random *random, unsigned mean_tenths)
{
	size_t length = 1;

	while (random_below(random, mean_tenths) < mean_tenths - 10)
		length++;
	return length;
}

/* Append runs of `pages` pages in all; returns how many runs there are then. */
static size_t draw_runs(struct random *random, unsigned mean_tenths, size_t pages, bool recorded,
			struct page_run *runs, size_t count)
{
	while (pages > 0) {
		size_t length = draw_length(random, mean_tenths);

		if (length > pages)
			length = pages;
		runs[count++] = (struct page_run){0, length, recorded};
		pages -= length;
	}
	return count;
}

static void shuffle(struct random *random, struct page_run *runs, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = (size_t)random_below(random, i);
		struct page_run other = runs[j];

		runs[j] = runs[i - 1];
		runs[i - 1] = other;
	}
}

/* Select `count` of `free_pages` + 1 places in ascending order, each selection
 * equally likely; place run i in front of the i-th. */
static void place(struct random *random, struct page_run *runs, size_t count, size_t free_pages)
{
	size_t placed_pages = 0;
	size_t i = 0;

	for (size_t slot = 0; i < count; slot++) {
		if (random_below(random, free_pages + 1 - slot) >= count - i)
			continue;
		runs[i].start = slot + placed_pages;
		placed_pages += runs[i].length;
		i++;
	}
}

static void append_runs(struct workload *workload, const struct page_run *runs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t page = 0; page < runs[i].length; page++)
			workload_append(workload, (runs[i].start + page) * (uint64_t)PAGE_BYTES,
					runs[i].recorded);
	}
}

static int generate(const struct function *function, struct workload *workload)
{
	struct random random = {SEED + (uint64_t)(function - functions)};
	size_t pages = function->same_pages + function->unique_pages;
	size_t guest_pages = (size_t)(workload->memory / PAGE_BYTES);
	struct page_run *runs = calloc(pages, sizeof(*runs));
	size_t count;

	if (runs == NULL) {
		complain("no memory for workload %s", function->name);
		return -1;
	}
	count = draw_runs(&random, function->mean_run_tenths, function->same_pages, true, runs, 0);
	count = draw_runs(&random, function->mean_run_tenths, function->unique_pages, false, runs,
			  count);
	if (guest_pages < pages + count) {
		complain("--memory %llu is too small for workload %s: %zu pages in %zu runs",
			 (unsigned long long)workload->memory, function->name, pages, count);
		free(runs);
		return -1;
	}
	shuffle(&random, runs, count);
	place(&random, runs, count, guest_pages - pages);
	shuffle(&random, runs, count);
	append_runs(workload, runs, count);
	free(runs);
	return 0;
}

int functions_create(const char *name, struct workload *workload)
{
	const struct function *function = find(name);

	if (workload->memory == 0)
		workload->memory = MEMORY;
	workload->layout = PATTERN_DATA;
	if (workload_reserve(workload, function->same_pages + function->unique_pages,
			     function->same_pages) != 0)
		return -1;
	return generate(function, workload);
}
