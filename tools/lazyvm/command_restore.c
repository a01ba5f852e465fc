/* SPDX-License-Identifier: MIT
 *
 * The vCPUs run as soon as the state is restored; memory comes as they touch it.
 *
 * The machine is begun before the snapshot is opened. KVM registers its interrupt controllers
 * and its timer without waiting until all who look through them see it (a grace period of
 * SRCU, a few ticks of the clock on Linux 6.18); that is left to whoever gives it memory. So
 * the index of a large guest is read meanwhile, and a small one takes hardly less time.
 */
#include "clock.h"
#include "commands.h"
#include "fault.h"
#include "machine_arguments.h"
#include "monitor.h"
#include "restore_source.h"

enum { OPTION_STATE = OPTION_MACHINE_END, OPTION_EAGER, OPTION_PREFETCH };

static const struct option long_options[] = {
	MACHINE_ARGUMENTS,
	{"state", required_argument, NULL, OPTION_STATE},
	{"eager", no_argument, NULL, OPTION_EAGER},
	{"prefetch", no_argument, NULL, OPTION_PREFETCH},
	OPTION_TABLE_END,
};

struct restore_request {
	struct machine_arguments machine;
	const char *state;
	bool eager;
	bool prefetch;
};

static void take(void *context, int option, const char *value)
{
	struct restore_request *request = context;

	if (machine_arguments_take(&request->machine, option, value))
		return;
	if (option == OPTION_STATE)
		request->state = value;
	else if (option == OPTION_EAGER)
		request->eager = true;
	else
		request->prefetch = true;
}

/* The working set first, where the snapshot has one; then the rest. */
static int queue_prefetch(struct lazymem_attachment *attachment,
			  const struct lazymem_snapshot *snapshot)
{
	const struct lazymem_trace *trace =
		snapshot != NULL ? lazymem_snapshot_trace(snapshot) : NULL;
	const struct lazymem_prefetch working_set = {.size = sizeof(working_set), .trace = trace};

	if (trace != NULL && lazymem_attachment_prefetch(attachment, &working_set) != 0)
		return fault_of_library(NULL);
	if (lazymem_attachment_prefetch(attachment, NULL) != 0)
		return fault_of_library(NULL);
	return 0;
}

static int restore_into(struct machine *machine, const struct restore_request *request,
			const struct restore_source *source)
{
	struct guest_memory *memory = machine_memory(machine);

	if (guest_memory_attach(memory, NULL) != 0 || machine_restore(machine, &source->state) != 0)
		return -1;
	if (!request->eager && !request->prefetch)
		return 0;
	if (queue_prefetch(memory->attachment, source->snapshot) != 0)
		return -1;
	if (request->eager && lazymem_attachment_wait(memory->attachment, UINT64_MAX) != 0)
		return fault_of_library(NULL);
	return 0;
}

static int restore(struct machine *machine, const struct restore_request *request,
		   const struct restore_source *source, struct monitor_options *monitor)
{
	struct machine_options options = {
		.memory = request->machine.memory,
		.serial = request->machine.serial,
	};
	int status = EXIT_RUN_FAILED;

	options.memory.backing = source->memory;
	options.memory.parts = source->parts;
	options.memory.part_count = source->part_count;
	monitor->parent = source->snapshot;
	if (machine_state_shape(&source->state, &options.shape) != 0 ||
	    machine_complete(machine, &options) != 0 || restore_into(machine, request, source) != 0)
		complain("%s", fault_message());
	else
		status = monitor_run(machine, monitor);
	return status;
}

static int open_source(const struct restore_request *request, char *const *paths, size_t count,
		       struct restore_source *source)
{
	if (request->state != NULL)
		return restore_source_open_images(source, request->state, paths, count);
	return restore_source_open_snapshot(source, paths, count);
}

static int run(const struct command *command, int argc, char **argv)
{
	const uint64_t began = clock_ns();
	struct restore_request request = {0};
	const int operand =
		arguments_parse(command, argc, argv, long_options, take, &request, 1, 1024);
	const size_t count = (size_t)(argc - operand);
	struct restore_source source = {0};
	struct machine *machine = NULL;
	struct monitor_options monitor = {
		.control = request.machine.control,
		.begins_paused = request.machine.paused,
		.prints_first_run = true,
		.began = began,
	};
	int status = EXIT_RUN_FAILED;

	machine_arguments_check(&request.machine);
	if (machine_begin(&machine) != 0 ||
	    open_source(&request, argv + operand, count, &source) != 0)
		complain("%s", fault_message());
	else
		status = restore(machine, &request, &source, &monitor);
	machine_destroy(machine);
	restore_source_close(&source);
	return status;
}

const struct command command_restore = {
	.name = "restore",
	.usage = MACHINE_USAGE " [--eager | --prefetch]\n"
			       "SNAPSHOT [PARENT ...] | --state FILE IMAGE [DIFF ...]",
	.help = "Run the guest of SNAPSHOT on from where it was. Its memory is read as it is "
		"touched.\n"
		"Parents of a layer that are not named are looked for where the layer says. Or of "
		"a\n"
		"raw image of the memory, with sparse differences over it, and the state of the\n"
		"machine in a file of its own. Each of them but the state may be an NBD export, by "
		"its URI;\n"
		"where a file of a snapshot is one, all its parents have to be named.\n"
		"\n" MACHINE_HELP "  --state FILE      as `lazyvm state` wrote it\n"
		"  --eager           read all memory before the guest runs\n"
		"  --prefetch        read the rest in the background\n"
		"  --help\n",
	.exit = "that of the guest, 1 failure, 2 wrong command line",
	.run = run,
};
