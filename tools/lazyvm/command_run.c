/* SPDX-License-Identifier: MIT */
#include "boot_layout.h"
#include "clock.h"
#include "commands.h"
#include "fault.h"
#include "file_bytes.h"
#include "machine_arguments.h"
#include "monitor.h"
#include "size.h"

#define MEMORY (UINT64_C(256) << 20)

enum { OPTION_MEMORY = OPTION_MACHINE_END, OPTION_VCPUS, OPTION_ARGUMENT, OPTION_PAGES };

static const struct option long_options[] = {
	MACHINE_ARGUMENTS,
	{"memory", required_argument, NULL, OPTION_MEMORY},
	{"vcpus", required_argument, NULL, OPTION_VCPUS},
	{"argument", required_argument, NULL, OPTION_ARGUMENT},
	{"trace", required_argument, NULL, OPTION_PAGES},
	OPTION_TABLE_END,
};

struct run_request {
	struct machine_arguments machine;
	uint64_t memory;
	unsigned vcpus;
	const char *trace;
	uint64_t arguments[BOOT_ARGUMENTS_MAX];
	size_t argument_count;
};

static void take(void *context, int option, const char *value)
{
	struct run_request *request = context;

	if (machine_arguments_take(&request->machine, option, value))
		return;
	if (option == OPTION_MEMORY) {
		request->memory = arguments_size("memory", value);
	} else if (option == OPTION_VCPUS) {
		request->vcpus = (unsigned)arguments_integer("vcpus", value, 1, MACHINE_VCPUS_MAX);
	} else if (option == OPTION_PAGES) {
		request->trace = value;
	} else {
		if (request->argument_count == BOOT_ARGUMENTS_MAX)
			REFUSE("--argument %s: a payload takes at most %d", value,
			       BOOT_ARGUMENTS_MAX);
		request->arguments[request->argument_count++] = arguments_size("argument", value);
	}
}

static int boot(struct machine *machine, const struct run_request *request, const char *path,
		const struct lazymem_trace *trace)
{
	struct machine_payload payload = {
		.name = path,
		.arguments = request->arguments,
		.argument_count = request->argument_count,
		.trace = trace,
	};
	void *bytes;
	int result;

	if (guest_memory_attach(machine_memory(machine), NULL) != 0) {
		complain("%s", fault_message());
		return -1;
	}
	if (file_bytes_read(path, &bytes, &payload.elf_length) != 0)
		return -1;
	payload.elf = bytes;
	result = machine_boot(machine, &payload);
	if (result != 0)
		complain("%s", fault_message());
	free(bytes);
	return result;
}

static int load_trace(const char *path, struct lazymem_trace **ret_trace)
{
	if (path == NULL || lazymem_trace_load(path, ret_trace) == 0)
		return 0;
	complain("%s", lazymem_error_message());
	return -1;
}

static int run_machine(const struct run_request *request, const struct machine_options *options,
		       const char *path)
{
	const struct monitor_options monitor = {
		.control = request->machine.control,
		.begins_paused = request->machine.paused,
		.began = clock_ns(),
	};
	struct lazymem_trace *trace = NULL;
	struct machine *machine = NULL;
	int status = EXIT_RUN_FAILED;

	if (load_trace(request->trace, &trace) != 0)
		return EXIT_RUN_FAILED;
	if (machine_create(options, &machine) != 0)
		complain("%s", fault_message());
	else if (boot(machine, request, path, trace) == 0)
		status = monitor_run(machine, &monitor);
	machine_destroy(machine);
	lazymem_trace_destroy(trace);
	return status;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct run_request request = {.memory = MEMORY, .vcpus = 1};
	const int operand =
		arguments_parse(command, argc, argv, long_options, take, &request, 1, 1);
	struct machine_options options = {
		.shape.vcpu_count = request.vcpus,
		.memory = request.machine.memory,
		.serial = request.machine.serial,
	};

	machine_arguments_check(&request.machine);
	if (guest_memory_split(request.memory, &options.shape.memory) != 0)
		REFUSE("--memory: %s", fault_message());
	return run_machine(&request, &options, argv[operand]);
}

const struct command command_run = {
	.name = "run",
	.usage = MACHINE_USAGE
	" [--memory SIZE] [--vcpus N]\n[--argument N ...] [--trace FILE] PAYLOAD",
	.help = "Run the 64-bit ELF program PAYLOAD as a guest.\n"
		"\n" MACHINE_HELP
		"  --memory SIZE     of the guest (default 256M); a multiple of 2 MiB\n"
		"  --vcpus N         virtual CPUs (default 1)\n"
		"  --argument N      a number for the payload; may be given eight times\n"
		"  --trace FILE      pages for the payload, from a trace\n"
		"  --help\n",
	.exit = "that of the guest, 1 failure, 2 wrong command line",
	.run = run,
};
