/* SPDX-License-Identifier: MIT
 *
 * The handler: options, and the start and stop of its workers.
 */
#include "uffd/handler.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/options.h"
#include "uffd/userfaultfd.h"
#include "uffd/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_DEMAND_DEPTH 64
#define MOST_DEMAND_DEPTH 1024
#define DEFAULT_PREFETCH_DEPTH 32
#define MOST_PREFETCH_DEPTH 64
#define DEFAULT_PIECE ((size_t)256 << 10)
#define LEAST_PIECE ((size_t)4 << 10)
#define MOST_PIECE ((size_t)2 << 20)
#define MOST_WORKERS 1024
#define MOST_FAULT_AHEAD ((size_t)64 << 20)

int lazymem_handler_check(void)
{
	return lm_userfaultfd_check();
}

static int refuse(const char *option, uint64_t value, uint64_t least, uint64_t most)
{
	return lm_error(-EINVAL, "handler option %s is %llu, and must be from %llu to %llu", option,
			(unsigned long long)value, (unsigned long long)least,
			(unsigned long long)most);
}

static int complete(struct lazymem_handler_options *options)
{
	if (options->workers == 0)
		options->workers = 1;
	if (options->demand_depth == 0)
		options->demand_depth = DEFAULT_DEMAND_DEPTH;
	if (options->prefetch_depth == 0)
		options->prefetch_depth = DEFAULT_PREFETCH_DEPTH;
	if (options->prefetch_piece == 0)
		options->prefetch_piece = DEFAULT_PIECE;
	if (options->workers > MOST_WORKERS)
		return refuse("workers", options->workers, 1, MOST_WORKERS);
	if (options->demand_depth > MOST_DEMAND_DEPTH)
		return refuse("demand_depth", options->demand_depth, 1, MOST_DEMAND_DEPTH);
	if (options->prefetch_depth > MOST_PREFETCH_DEPTH)
		return refuse("prefetch_depth", options->prefetch_depth, 1, MOST_PREFETCH_DEPTH);
	if (options->prefetch_piece < LEAST_PIECE || options->prefetch_piece > MOST_PIECE)
		return refuse("prefetch_piece", options->prefetch_piece, LEAST_PIECE, MOST_PIECE);
	if (!lm_is_power_of_two(options->prefetch_piece))
		return lm_error(-EINVAL, "handler option prefetch_piece is %zu, no power of two",
				options->prefetch_piece);
	if (options->fault_around > options->prefetch_piece)
		return refuse("fault_around", options->fault_around, 0, options->prefetch_piece);
	if (options->fault_ahead > MOST_FAULT_AHEAD)
		return refuse("fault_ahead", options->fault_ahead, 0, MOST_FAULT_AHEAD);
	if ((options->cpus == NULL) != (options->cpu_count == 0))
		return lm_error(-EINVAL, "handler options cpus and cpu_count do not go together");
	for (size_t i = 0; i < options->cpu_count; i++)
		if (options->cpus[i] < 0)
			return lm_error(-EINVAL, "handler option cpus[%zu] is %d", i,
					options->cpus[i]);
	return 0;
}

static int start_workers(struct lazymem_handler *handler,
			 const struct lazymem_handler_options *options)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (unsigned i = 0; i < options->workers; i++) {
		struct lm_worker_options worker = {
			.demand_depth = options->demand_depth,
			.prefetch_depth = options->prefetch_depth,
			.prefetch_piece =
				options->prefetch_piece > page ? options->prefetch_piece : page,
			.fault_around = options->fault_around,
			.fault_ahead = options->fault_ahead,
			.cpu = options->cpu_count > 0 ? options->cpus[i % options->cpu_count] : -1,
		};
		int error = lm_worker_start(&handler->workers[i], &worker);

		if (error != 0)
			return error;
		handler->worker_count++;
	}
	return 0;
}

static void stop(struct lazymem_handler *handler)
{
	for (size_t i = 0; i < handler->worker_count; i++)
		lm_worker_stop(&handler->workers[i]);
	free(handler);
}

int lazymem_handler_create(const struct lazymem_handler_options *caller_options,
			   struct lazymem_handler **ret_handler)
{
	struct lazymem_handler_options options;
	struct lazymem_handler *handler;
	int error = lm_options_copy(caller_options, &options, sizeof(options),
				    "struct lazymem_handler_options");

	if (error == 0)
		error = complete(&options);
	if (error != 0)
		return error;
	handler = calloc(1, sizeof(*handler) + options.workers * sizeof(handler->workers[0]));
	if (handler == NULL)
		return lm_error(-ENOMEM, "no memory for a handler of %u workers", options.workers);
	error = start_workers(handler, &options);
	if (error != 0) {
		stop(handler);
		return error;
	}
	*ret_handler = handler;
	return 0;
}

int lazymem_handler_destroy(struct lazymem_handler *handler)
{
	unsigned left = 0;

	if (handler == NULL)
		return 0;
	for (size_t i = 0; i < handler->worker_count; i++)
		left += atomic_load(&handler->workers[i].attachments);
	if (left > 0)
		return lm_error(-EBUSY,
				"the handler still serves %u attachments: finish or abort them",
				left);
	stop(handler);
	return 0;
}

struct lm_worker *lm_handler_choose(struct lazymem_handler *handler)
{
	struct lm_worker *best = &handler->workers[0];

	for (size_t i = 1; i < handler->worker_count; i++)
		if (atomic_load(&handler->workers[i].attachments) < atomic_load(&best->attachments))
			best = &handler->workers[i];
	atomic_fetch_add(&best->attachments, 1);
	return best;
}
